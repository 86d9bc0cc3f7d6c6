//! The server misbehaves exactly as told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::Duration;

use test_support::http::{Answer, HttpServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends a request and reads all until the server closes, or has been silent for a moment.
async fn ask(server: &HttpServer, head: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    tokio::time::timeout(Duration::from_millis(200), read).await.ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn answers_come_in_turn_and_are_counted() {
    let server = HttpServer::start().await;
    server.on("/a", [Answer::status(503).header("retry-after", "1"), Answer::text("well")]);
    server.on("/a?x=1", [Answer::text("by query")]);
    server.handle(|request| (request.path() == "/echo").then(|| Answer::text(request.text())));
    let cases = [
        ("GET /a HTTP/1.1", "HTTP/1.1 503 Answer\r\ncontent-type: text/plain\r\nretry-after: 1\r\n"),
        ("GET /a HTTP/1.1", "\r\n\r\nwell"),
        ("GET /a HTTP/1.1", "\r\n\r\nwell"),
        ("GET /a?x=1 HTTP/1.1", "by query"),
        ("GET /none HTTP/1.1", "HTTP/1.1 404 Answer"),
        ("GET http://other.example/a HTTP/1.1", "well"),
        ("POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi", "\r\n\r\nhi"),
        ("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", "\r\n\r\nhi"),
    ];
    for (request, expected) in cases {
        let answer = ask(&server, request).await;
        assert!(answer.contains(expected), "{request}: {answer}");
    }
    assert_eq!((server.hits("/a"), server.hits("/none")), (5, 1));
    assert_eq!(server.requests_of("/a")[3].param("x"), Some("1"));
    assert_eq!(server.most_in_flight(), 1);
}

#[tokio::test]
async fn bad_manners_are_as_told() {
    let server = HttpServer::start().await;
    server.on("/whole", [Answer::text("12345678")]);
    server.on("/cut", [Answer::text("12345678").truncated(3)]);
    server.on("/length", [Answer::text("1234").with_length(99)]);
    server.on("/chunked", [Answer::text("12345").chunked(2)]);
    server.on("/abort", [Answer::text("12345678").chunked_abort(3)]);
    server.on("/silent", [Answer::silent()]);
    server.on("/closed", [Answer::closed()]);
    server.on("/stalled", [Answer::text("12345678").stalled()]);
    server.on("/raw", [Answer::verbatim("not even HTTP")]);
    server.on("/known", [Answer::text("body").etag("\"1\"").last_modified("Thu, 01 Jan 1970 00:00:00 GMT")]);
    let cases = [
        ("GET /whole", "content-length: 8\r\n\r\n12345678"),
        ("HEAD /whole", "content-length: 8\r\n\r\n"),
        ("GET /cut", "content-length: 8\r\n\r\n123"),
        ("GET /length", "content-length: 99\r\n\r\n1234"),
        ("GET /chunked", "transfer-encoding: chunked\r\n\r\n2\r\n12\r\n2\r\n34\r\n1\r\n5\r\n0\r\n\r\n"),
        ("GET /abort", "transfer-encoding: chunked\r\n\r\n3\r\n123\r\n"),
        ("GET /silent", ""),
        ("GET /closed", ""),
        ("GET /stalled", "content-length: 8\r\n\r\n"),
        ("GET /raw", "not even HTTP"),
        ("GET /known", "content-length: 4\r\n\r\nbody"),
    ];
    for (request, expected) in cases {
        let answer = ask(&server, &format!("{request} HTTP/1.1")).await;
        assert!(
            answer.ends_with(expected) && (expected.is_empty() == answer.is_empty()),
            "{request}: {answer}"
        );
    }
    for validator in ["if-none-match: \"0\", \"1\"", "if-modified-since: Thu, 01 Jan 1970 00:00:00 GMT"] {
        let answer = ask(&server, &format!("GET /known HTTP/1.1\r\n{validator}")).await;
        assert!(answer.starts_with("HTTP/1.1 304") && answer.ends_with("GMT\r\n\r\n"), "{answer}");
    }
}
