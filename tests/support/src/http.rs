//! An HTTP/1.1 server on loopback that behaves as badly as it is told to.
//!
//! ```
//! # use test_support::http::{Answer, HttpServer};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let server = HttpServer::start().await;
//! // Busy once, then well; the last answer repeats.
//! server.on("/page", [Answer::status(503).header("retry-after", "1"), Answer::html("<p>hello")]);
//! server.on("/cut", [Answer::text("a body that ends").truncated(6)]);
//! let url = server.url("/page");
//! assert_eq!(server.hits("/page"), 0);
//! # }
//! ```
//!
//! Paths without an answer get a 404, which is counted as well. Every request is logged with its headers, its
//! body and the instant at which it came.

mod answer;
mod request;
mod server;

pub use answer::Answer;
pub use request::Request;
pub use server::HttpServer;
