//! The fetcher against a server that behaves as badly as it is told to.

mod bodies;
mod conditional;
mod each;
mod lists;
mod politeness;
mod redirects;
mod retries;
mod wrong;

use pipeline_core::{Chain, OnError, RunContext, RunOptions};
use serde_json::{Value, json};
use test_support::http::HttpServer;

use crate::fetch::testing::{Done, build, options, run_chain};

const CLASS: &str = "http.HttpFetcher";

/// Kwargs with short delays, robots off, and what a case adds.
fn kwargs(server: &HttpServer, path: &str, more: Value) -> Value {
    let mut kwargs = json!({
        "url": server.url(path),
        "robots": false,
        "base_delay": "10ms",
        "max_delay": "50ms",
        "max_retries": 2,
        "timeout": "5s",
    });
    let (fields, more) = (kwargs.as_object_mut().unwrap(), more.as_object().unwrap().clone());
    fields.extend(more);
    fields.retain(|_, value| !value.is_null());
    kwargs
}

async fn fetch(server: &HttpServer, path: &str, more: Value) -> Done {
    fetch_with(kwargs(server, path, more), OnError::Fail, options()).await
}

async fn fetch_with(kwargs: Value, on_error: OnError, options: RunOptions) -> Done {
    let chain = Chain::new().stage_with(CLASS, build(CLASS, kwargs), on_error);
    run_chain(chain, RunContext::new(options)).await
}
