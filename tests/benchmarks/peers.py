#!/usr/bin/env python3
"""Whole pipelines against the programs that people use for the same: one run, one table.

    python3 -m venv target/peers && target/peers/bin/pip install scrapy pandas openpyxl feedparser
    cargo build --release --bin scraper-legacy
    target/peers/bin/python tests/benchmarks/peers.py [CASE ...] [--rounds N] [--program PATH]

Cases: `disk` and `web` (5,000 HTML pages of 55 kB with 60 rows each, 16 at a time, against Scrapy), `spreadsheet`
(200,000 rows of 10 columns, against pandas), `feed` (200 feeds of 100 entries, against feedparser), `start` (nothing
but one item). Each ends in a JSON Lines file. A round runs every program once; the middle of the rounds is shown, as
processor seconds (user and system, all threads) and as the most memory the process has held. A peer that is not installed
is left out.
"""

import argparse
import asyncio
import importlib.util
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

PAGES, ROWS_A_PAGE = 5_000, 60
SHEET_ROWS = 200_000
FEEDS, ENTRIES = 200, 100
FILLER = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor. " * 5


def page(number):
    """An HTML page of a shop, as servers write them."""
    rows = []
    for row in range(ROWS_A_PAGE):
        book = number * ROWS_A_PAGE + row
        stock = "" if book % 3 == 0 else " available"
        rows.append(
            f'  <article class="product item-{row}" data-id="{book}">\n'
            f'    <div class="image"><a href="/book/{book}.html"><img src="/media/{book}.jpg" alt="Book {book}" class="thumbnail"></a></div>\n'
            '    <p class="star-rating Three"><i class="icon-star"></i><i class="icon-star"></i><i class="icon-star"></i></p>\n'
            f'    <h3><a href="/book/{book}.html" title="The book of {book} &amp; others">The book of {book}&hellip;</a></h3>\n'
            f'    <div class="product_price"><p class="price">&pound;{10 + book % 50}.{book % 100:02}</p><p class="stock{stock}">In stock</p></div>\n'
            f'    <p class="text">{FILLER}</p>\n  </article>\n'
        )
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Books &amp; more</title>'
        '<link rel="stylesheet" href="/style.css"><script>var shop = {"a": 1 < 2};</script></head>\n<body>\n'
        '<nav><ul class="menu"><li><a href="/">Home</a></li><li><a href="/list">Books</a></li></ul></nav>\n'
        '<main><div class="rows">\n' + "".join(rows) + "</div></main>\n<footer><p>End</p></footer>\n</body>\n</html>\n"
    )


def feed(number):
    """An RSS feed."""
    entries = "".join(
        f"<item><title>News {number}-{n}</title><link>https://news.example/{number}/{n}</link><guid>n{number}-{n}</guid>"
        f"<pubDate>Thu, 29 Feb 2024 10:11:12 GMT</pubDate><description>{'Lorem ipsum dolor sit amet. ' * 10}</description></item>"
        for n in range(ENTRIES)
    )
    head = '<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>News</title><link>https://news.example/</link>'
    return f"{head}{entries}</channel></rss>"


def workbook(path):
    """A workbook of names, dates and numbers."""
    import datetime

    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Prices")
    sheet.append([f"column {letter}" for letter in "ABCDEFGHIJ"])
    first = datetime.date(2023, 1, 1)
    for row in range(1, SHEET_ROWS + 1):
        day = first + datetime.timedelta(days=row % 900)
        sheet.append([f"Name {row} A", f"Name {row} B", day, *(row * column + 0.25 for column in range(3, 10))])
    book.save(path)


class Answers(asyncio.Protocol):
    """HTTP/1.1 with keep-alive: /N.html is page N."""

    pages = {}

    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            name = head.split(b" ", 2)[1].decode().strip("/").removesuffix(".html")
            if not name.isdigit():
                self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                continue
            body = self.pages.get(name) or self.pages.setdefault(name, page(int(name)).encode())
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
            self.transport.write(head.encode() + body)


def most_memory(pid):
    """The most that a process has held so far, in MB; none at its end."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024


def serve(sender):
    async def main():
        Answers.pages = {str(n): page(n).encode() for n in range(PAGES)}
        server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0)
        sender.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


HTML = {
    "topic": "shop.book",
    "rows": "article.product",
    "fields": {
        "title": "h3 a @title",
        "link": {"select": "h3 a @href", "absolute": True},
        "price": {"select": ".price", "regex": "([0-9.]+)", "type": "number"},
        "in_stock": {"exists": ".stock.available"},
        "text": ".text",
    },
}

SPIDER = '''
import scrapy
from scrapy.crawler import CrawlerProcess

class Books(scrapy.Spider):
    name = "books"
    start_urls = open({urls!r}).read().split()
    def parse(self, response):
        for row in response.css("article.product"):
            yield dict(
                title=row.css("h3 a::attr(title)").get(),
                link=response.urljoin(row.css("h3 a::attr(href)").get()),
                price=float(row.css(".price::text").re_first("([0-9.]+)")),
                in_stock=bool(row.css(".stock.available")),
                text=row.css(".text::text").get(),
            )

process = CrawlerProcess(dict(
    CONCURRENT_REQUESTS=16, CONCURRENT_REQUESTS_PER_DOMAIN=16, DOWNLOAD_DELAY=0, ROBOTSTXT_OBEY=False,
    AUTOTHROTTLE_ENABLED=False, COOKIES_ENABLED=False, RETRY_ENABLED=False, TELNETCONSOLE_ENABLED=False,
    LOG_LEVEL="ERROR", FEEDS={{{out!r}: {{"format": "jsonlines"}}}},
))
process.crawl(Books)
process.start()
'''

PANDAS = '''
import pandas
pandas.read_excel({path!r}).to_json({out!r}, orient="records", lines=True, date_format="iso")
'''

FEEDPARSER = '''
import feedparser, json, pathlib
with open({out!r}, "w") as out:
    for path in sorted(pathlib.Path({folder!r}).iterdir()):
        for entry in feedparser.parse(path.read_bytes()).entries:
            out.write(json.dumps(dict(id=entry.id, title=entry.title, link=entry.link, published=entry.published, summary=entry.summary)) + "\\n")
'''


def stage(kind, **kwargs):
    return {"class": kind, "kwargs": kwargs}


class Bench:
    def __init__(self, folder, program, rounds):
        self.folder, self.program, self.rounds = folder, program, rounds

    def pipeline(self, case, *stages):
        """Writes a pipelines file, and gives the command that runs it and the file that it makes."""
        out = self.folder / f"{case}.ours.jsonl"
        stages = [*stages, stage("file.JsonlSink", path=str(out))]
        path = self.folder / f"{case}.yml"
        # YAML reads JSON.
        path.write_text(json.dumps({"pipelines": {case: {"chain": stages}}}))
        return [self.program, str(path), "--state-dir", str(self.folder / "state"), "--log-level", "error"], out

    def script(self, case, text, **values):
        out = self.folder / f"{case}.peer.jsonl"
        path = self.folder / f"{case}.py"
        path.write_text(text.format(out=str(out), **values))
        return [sys.executable, str(path)], out

    def once(self, command, out):
        out.unlink(missing_ok=True)
        begun = time.monotonic()
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)
        # What the kernel says at the end counts the memory of this program, which has forked it.
        memory = 0
        while True:
            memory = most_memory(process.pid) or memory
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.002)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - begun
        if process.returncode:
            sys.exit(f"{' '.join(command)} ended with {process.returncode}")
        with open(out, "rb") as lines:
            count = sum(1 for _ in lines)
        return wall, usage.ru_utime + usage.ru_stime, memory, count

    def compare(self, case, unit, amount, ours, peers):
        """Runs all programs in turns, and prints a line each. The counts of what they made must agree."""
        peers = {name: peer for name, peer in peers.items() if importlib.util.find_spec(name.lower())}
        programs = {"scraper-legacy": ours, **peers}
        results = {name: [] for name in programs}
        for _ in range(self.rounds):
            for name, (command, out) in programs.items():
                results[name].append(self.once(command, out))
        reference = None
        for name, rounds in results.items():
            wall, cpu, memory = (statistics.median(column) for column in list(zip(*rounds))[:3])
            counts = {count for *_, count in rounds}
            reference = reference or (cpu, counts)
            if counts != reference[1]:
                sys.exit(f"{case}: {name} made {counts} lines, not {reference[1]}")
            ratio = f"{cpu / reference[0]:6.1f}x" if name in peers else ""
            print(
                f"{case:<12} {name:<15} {wall:7.2f} s {cpu:7.2f} CPU s {amount / cpu:9.0f} {unit}/CPU s"
                f" {amount / wall:9.0f} {unit}/s {memory:7.1f} MB {ratio}",
                flush=True,
            )

    def disk(self):
        pages = self.folder / "pages"
        pages.mkdir()
        for n in range(PAGES):
            (pages / f"{n}.html").write_text(page(n))
        urls = self.folder / "files.txt"
        urls.write_text("\n".join(f"file://{pages}/{n}.html" for n in range(PAGES)))
        # A file has no address that its links could be relative to.
        html = {**HTML, "fields": {**HTML["fields"], "link": "h3 a @href"}}
        ours = self.pipeline("disk", stage("file.FileFetcher", path=f"{pages}/*.html"), stage("html.HtmlParser", **html))
        self.compare("disk", "pages", PAGES, ours, {"Scrapy": self.script("disk", SPIDER, urls=str(urls))})

    def web(self):
        receiver, sender = multiprocessing.Pipe(False)
        server = multiprocessing.Process(target=serve, args=(sender,), daemon=True)
        server.start()
        port = receiver.recv()
        addresses = [f"http://127.0.0.1:{port}/{n}.html" for n in range(PAGES)]
        urls = self.folder / "urls.txt"
        urls.write_text("\n".join(addresses))
        fetch = stage("http.HttpFetcher", urls=addresses, concurrency=16, robots=False, conditional=False)
        ours = self.pipeline("web", fetch, stage("html.HtmlParser", **HTML))
        self.compare("web", "pages", PAGES, ours, {"Scrapy": self.script("web", SPIDER, urls=str(urls))})
        server.terminate()

    def spreadsheet(self):
        if not importlib.util.find_spec("openpyxl"):
            return print("spreadsheet  left out: openpyxl, which writes the workbook, is not installed")
        path = self.folder / "prices.xlsx"
        workbook(path)
        read = stage("spreadsheet.SpreadsheetParser", topic="prices")
        ours = self.pipeline("spreadsheet", stage("file.FileFetcher", path=str(path)), read)
        peer = self.script("spreadsheet", PANDAS, path=str(path))
        self.compare("spreadsheet", "rows", SHEET_ROWS, ours, {"pandas": peer})

    def feed(self):
        feeds = self.folder / "feeds"
        feeds.mkdir()
        for n in range(FEEDS):
            (feeds / f"{n:03}.xml").write_text(feed(n))
        ours = self.pipeline("feed", stage("file.FileFetcher", path=f"{feeds}/*.xml"), stage("feed.FeedParser", topic="news"))
        peer = self.script("feed", FEEDPARSER, folder=str(feeds))
        self.compare("feed", "entries", FEEDS * ENTRIES, ours, {"feedparser": peer})

    def start(self):
        ours = self.pipeline("start", stage("items.ItemsFetcher", topic="one", items=[{"id": 1}]))
        self.compare("start", "starts", 1, ours, {})


def main():
    cases = ["start", "disk", "web", "spreadsheet", "feed"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", choices=[[], *cases], default=[])
    parser.add_argument("--rounds", type=int, default=3)
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--program", default=str(root / "target/release/scraper-legacy"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(pathlib.Path(folder), arguments.program, arguments.rounds)
        for case in arguments.case or cases:
            getattr(bench, case)()


if __name__ == "__main__":
    main()
