use pipeline_core::{Item, OnError, Payload, RawItem, Record};
use serde_json::{Value, json};

use crate::fetch::testing::{Done, build_error, options, options_in, run_on};

fn page(html: impl Into<Vec<u8>>, metadata: Value) -> Item {
    let metadata: Record = serde_json::from_value(metadata).unwrap();
    let payload = Payload::from(html.into());
    RawItem { source: "p.html".into(), payload, fetched_at: chrono::DateTime::UNIX_EPOCH, metadata }.into()
}

async fn parse(html: &str, mut kwargs: Value, on_error: OnError) -> Done {
    kwargs["topic"] = "t".into();
    let items = vec![page(html, json!({"url": "http://shop/list/1?x=1", "status": 200}))];
    run_on(items, "html.HtmlParser", kwargs, on_error, options()).await
}

const SHOP: &str = r#"<!doctype html>
<html><head><title>A &amp; B</title></head><body>
<article class="product" data-id="1"><h3><a href="/b/1" title="One &quot;1&quot;">One…</a></h3>
  <p class="price">&pound;51.77</p><p class="stock available">In
     stock <b>(3</b> left)</p><span class=tag>a</span><span class=tag></span><span class=tag>b</span></article>
<article class="product" data-id="2"><h3><a href="b/2" title=Two>Two</a></h3>
  <p class="price">1,234.50 €</p><div class="desc">x<br>y<script>var z;</script><p>z</p></div></article>
</body></html>"#;

#[tokio::test]
async fn fields_are_taken_as_they_say() {
    let cases = [
        (json!("h3 a @title"), r#"["One \"1\"","Two"]"#),
        (json!("h3 a"), r#"["One…","Two"]"#),
        (json!("@data-id"), r#"["1","2"]"#),
        (json!({"attr": "data-id", "type": "integer"}), "[1,2]"),
        (
            json!({"select": "h3 a", "attr": "href", "absolute": true}),
            r#"["http://shop/b/1","http://shop/list/b/2"]"#,
        ),
        (json!({"select": ".price", "regex": "([0-9.,]+)", "type": "number"}), "[51.77,1234.5]"),
        (json!({"select": ".price", "regex": "[0-9]+"}), r#"["51","1"]"#),
        (json!({"select": ".price", "regex": "(£)|(€)"}), r#"["£","€"]"#),
        (json!({"exists": ".stock.available"}), "[true,false]"),
        (json!({"select": ".stock", "required": false}), r#"["In stock (3 left)",null]"#),
        (json!({"select": ".stock", "default": "none"}), r#"["In stock (3 left)","none"]"#),
        (json!({"select": ".stock", "default": null}), r#"["In stock (3 left)",null]"#),
        (json!({"select": ".stock", "type": "number", "default": 0}), "[0,0]"),
        (json!({"select": ".tag", "all": true, "default": []}), r#"[["a","","b"],[]]"#),
        (json!({"select": "h3 a @title", "all": true}), r#"[["One \"1\""],["Two"]]"#),
        (json!({"select": ".desc", "required": false}), r#"[null,"x y z"]"#),
        (json!({"select": ".desc script", "required": false}), r#"[null,"var z;"]"#),
        (
            json!({"select": "h3", "html": true}),
            r#"["<a href=\"/b/1\" title=\"One &quot;1&quot;\">One…</a>","<a href=\"b/2\" title=\"Two\">Two</a>"]"#,
        ),
    ];
    for (field, expected) in cases {
        let done =
            parse(SHOP, json!({"rows": "article.product", "fields": {"f": field}}), OnError::Fail).await;
        done.succeeded();
        let found: Vec<_> = done.parsed().map(|item| item.content.get("f").unwrap().to_json()).collect();
        assert_eq!(format!("[{}]", found.join(",")), expected, "{field}");
    }
}

#[tokio::test]
async fn a_page_without_rows_is_one_item() {
    let kwargs = json!({"fields": {"title": "title", "n": {"select": "article @data-id", "all": true, "type": "integer"}}, "meta": {"page": "url"}});
    let done = parse(SHOP, kwargs, OnError::Fail).await;
    done.succeeded();
    assert_eq!(done.contents(), [r#"{"title":"A & B","n":[1,2],"page":"http://shop/list/1?x=1"}"#]);
}

#[tokio::test]
async fn a_missing_value_is_an_error_of_its_row() {
    let cases = [
        (json!(".stock"), "p.html: row 2: f: nothing matches `.stock`"),
        (json!("article"), "p.html: row 1: f: nothing matches `article`"),
        (json!("h3 a @rel"), "row 1: f: what matches `h3 a` has no attribute `rel`"),
        (json!("@rel"), "row 1: f: the row has no attribute `rel`"),
        (json!(".tag:nth-of-type(2)"), "row 1: f: `.tag:nth-of-type(2)` is empty"),
        (json!({"select": ".price", "type": "number"}), "row 1: f: `£51.77` is not a number"),
        (json!({"select": ".price", "regex": "[a-z]+"}), "row 1: f: `[a-z]+` does not match `£51.77`"),
        (json!({"select": ".stock", "all": true}), "row 2: f: nothing matches `.stock`"),
    ];
    for (field, expected) in cases {
        let done =
            parse(SHOP, json!({"rows": "article.product", "fields": {"f": field}}), OnError::Fail).await;
        assert!(done.error().contains(expected), "{field}: {}", done.error());
    }
    let kwargs = json!({"rows": "article.product", "fields": {"f": ".stock"}});
    let done = parse(SHOP, kwargs, OnError::Skip).await;
    done.succeeded();
    assert_eq!(done.contents().len(), 1);
    let done = parse("<p>x", json!({"fields": {"f": ".y"}}), OnError::Fail).await;
    assert!(done.error().contains("p.html: f: nothing matches `.y`"), "{}", done.error());
}

#[tokio::test]
async fn a_failed_row_can_be_fed_back() {
    let folder = tempfile::tempdir().unwrap();
    let kwargs = json!({"topic": "t", "rows": "article", "fields": {"f": ".stock"}});
    let items = vec![page(SHOP, json!({"url": "http://shop/"}))];
    run_on(items, "html.HtmlParser", kwargs, OnError::DeadLetter, options_in(folder.path()))
        .await
        .succeeded();
    let letters = std::fs::read_to_string(folder.path().join("dead_letters/test.jsonl")).unwrap();
    assert!(letters.contains("data-id=") && letters.contains("\"row\":\"row 2\""), "{letters}");
}

#[tokio::test]
async fn a_page_where_no_row_matches_is_suspect() {
    for (no_rows, error) in [
        ("warn", None),
        ("ok", None),
        ("error", Some("p.html: no row matches `.gone` (has the source changed?)")),
    ] {
        let kwargs = json!({"rows": ".gone", "fields": {"f": "a"}, "no_rows": no_rows});
        let done = parse(SHOP, kwargs, OnError::Fail).await;
        match error {
            None => done.succeeded(),
            Some(error) => assert!(done.error().contains(error), "{}", done.error()),
        }
        assert_eq!(done.parsed().count(), 0);
    }
}

#[tokio::test]
async fn links_are_relative_to_what_the_page_says() {
    let cases = [
        ("<base href='http://other/x/'><a href=y>", json!({"url": "http://shop/a/"}), Ok("http://other/x/y")),
        ("<base href='x/'><a href=y>", json!({"url": "http://shop/a/"}), Ok("http://shop/a/x/y")),
        ("<a href=' ../y '>", json!({"url": "http://shop/a/b/"}), Ok("http://shop/a/y")),
        ("<a href='//cdn/y'>", json!({"url": "https://shop/"}), Ok("https://cdn/y")),
        ("<a href='http://x/y'>", json!({}), Ok("http://x/y")),
        ("<a href='y'>", json!({}), Err("f: `y` is relative, and the page has no URL")),
        ("<a href='http://['>", json!({"url": "http://shop/"}), Err("f: `http://[` is not a link")),
    ];
    for (html, metadata, expected) in cases {
        let kwargs = json!({"topic": "t", "fields": {"f": {"select": "a @href", "absolute": true}}});
        let done =
            run_on(vec![page(html, metadata)], "html.HtmlParser", kwargs, OnError::Fail, options()).await;
        match expected {
            Ok(link) => assert_eq!(
                done.parsed().next().and_then(|item| item.content.get_str("f")),
                Some(link),
                "{html}"
            ),
            Err(error) => assert!(done.error().contains(error), "{html}: {}", done.error()),
        }
    }
}

#[tokio::test]
async fn malformed_pages_are_read_as_browsers_do() {
    let deep = "<div>".repeat(2_000) + "<b>x</b>";
    let cases = [
        ("<ul><li>a<li>b</ul>", "li", r#"["a","b"]"#),
        ("<table><tr><td>a<td>b</table>", "tbody td", r#"["a","b"]"#),
        ("<p>a<p>b", "p", r#"["a","b"]"#),
        ("<b><i>x</b>y</i>", "i", r#"["x","y"]"#),
        ("<a href=x>a</a", "a", r#"["a"]"#),
        ("<p>a &lt b &#x41; &nope; &amp", "p", r#"["a < b A &nope; &"]"#),
        ("<!-- <p>no</p> --><p>yes", "p", r#"["yes"]"#),
        (&deep, "b", r#"["x"]"#),
    ];
    for (html, select, expected) in cases {
        let kwargs = json!({"fields": {"f": {"select": select, "all": true}}});
        let done = parse(html, kwargs, OnError::Fail).await;
        done.succeeded();
        assert_eq!(done.parsed().next().unwrap().content.get("f").unwrap().to_json(), expected, "{select}");
    }
    for nothing in ["", "\0", "<", "&", "plain text"] {
        let done = parse(nothing, json!({"rows": "p", "fields": {"f": "a"}}), OnError::Fail).await;
        done.succeeded();
    }
}

#[tokio::test]
async fn a_page_without_end_is_refused_at_once() {
    let done = parse(&"<div>".repeat(500_000), json!({"fields": {"f": "b"}}), OnError::Fail).await;
    assert!(
        done.error().contains("p.html: elements are nested deeper than 10000 levels"),
        "{}",
        done.error()
    );
    // Long lists whose items are not ended are no such pages.
    let list = format!("<ul>{}</ul>", "<li>a<br><p>b<img src=x>".repeat(20_000));
    let done = parse(&list, json!({"rows": "li", "fields": {"f": "p"}}), OnError::Fail).await;
    done.succeeded();
    assert_eq!(done.parsed().count(), 20_000);
}

#[tokio::test]
async fn pages_that_are_made_to_take_long_are_read_or_refused_at_once() {
    let many = |part: &str, count: usize| part.repeat(count);
    let attributes: String = (0..100_000).map(|n| format!(" a{n}=1")).collect();
    let unlike: String = (0..9_000).map(|n| format!("<b id={n}>")).collect();
    let refused = [
        (many("<div>", 1_000_000), "nested deeper than 10000 levels"),
        (many("<div></x>", 100_000), "nested deeper than 10000 levels"),
        (many("<b>", 100_000), "nested deeper than 10000 levels"),
        (many("<b></i>", 100_000), "nested deeper than 10000 levels"),
        (many("<table>", 100_000), "nested deeper than 10000 levels"),
        (format!("<p{attributes}>"), "open elements or attributes"),
        (format!("<html><body><p{attributes}></p></body></html>"), "open elements or attributes"),
        (format!("<p>{unlike}{}", many("<p>x", 9_000)), "more than 4000000 elements"),
    ];
    for (page, expected) in refused {
        let done = parse(&page, json!({"rows": "p", "fields": {"f": "b"}}), OnError::Fail).await;
        assert!(done.error().contains(expected), "{}: {}", &page[..20], done.error());
    }
    let plain = |inner: String| format!("<html><head></head><body>{inner}</body></html>");
    let divs = |depth| format!("{}<p>x</p>{}", many("<div>", depth), many("</div>", depth));
    let read = [
        (many("<a>", 100_000), "a[href]", 0),
        (format!("<p a='{}'>", "x".repeat(1 << 20)), "p", 1),
        (plain(format!("<p a='{}'></p>", "x".repeat(1 << 20))), "p", 1),
        // Each part of the selector could be any of the elements above: the wrong way to look never ends.
        (plain(divs(400)), "i div div div div div div p", 0),
        (plain(divs(400)), "body > div div div div div div div p", 1),
        (divs(2_000), "i div div div div div div p", 0),
        (divs(3_000), "p", 1),
        (plain(format!("<ul>{}</ul>", many("<li>a</li>", 40_000))), "li:nth-last-child(2n)", 20_000),
        (plain(format!("<ul>{}</ul>", many("<li>a</li>", 40_000))), "b ~ li + li", 0),
    ];
    for (page, rows, expected) in read {
        let kwargs =
            json!({"rows": rows, "no_rows": "ok", "fields": {"f": {"select": "u", "required": false}}});
        let done = parse(&page, kwargs, OnError::Fail).await;
        done.succeeded();
        assert_eq!(done.parsed().count(), expected, "{rows} on {}", &page[..20]);
    }
}

#[test]
fn all_mistakes_are_found_at_once() {
    let kwargs = json!({
        "topic": "t", "rows": "a:hoover", "meta": ["x"],
        "fields": {"x": "b >", "y": {"type": "money"}},
    });
    let error = build_error("html.HtmlParser", kwargs);
    assert!(error.contains("fields.y.type: unknown value `money`"), "{error}");
    let kwargs =
        json!({"topic": "t", "rows": "a:hoover", "meta": ["x"], "fields": {"x": "b >", "y": {"regex": "("}}});
    let error = build_error("html.HtmlParser", kwargs);
    for expected in [
        "rows: `a:hoover` is not a CSS selector",
        "meta: `meta` names the field `x`",
        "fields.x: `b >`",
        "fields.y.regex",
    ] {
        assert!(error.contains(expected), "{error}");
    }
    assert!(
        build_error("html.HtmlParser", json!({"topic": "t", "fields": {}})).contains("at least one field")
    );
    assert!(build_error("html.HtmlParser", json!({"topic": "t", "fields": {"a": 5}})).contains("fields.a"));
}
