//! HTTP as a careful client speaks it: retries, politeness, bounds. The stages that use it stand beside.

mod address;
mod body;
mod client;
mod cookies;
mod error;
mod limits;
mod proxy;
mod request;
mod retry;
mod robots;
mod robots_cache;
mod shared;
mod size;
mod webhook;
#[cfg(test)]
mod webhook_tests;

use pipeline_core::Registry;

/// Registers the classes of this folder.
pub(crate) fn register(registry: &mut Registry) {
    registry.register::<webhook::WebhookSink>();
}

pub(crate) use body::{Body, BodyWriter, Spool};
pub(crate) use client::{Answer, Client, ClientOptions};
pub(crate) use limits::Rate;
pub(crate) use proxy::ProxyUrl;
pub(crate) use request::{Auth, Request, is_secret, parse_url};
pub(crate) use retry::RetryPolicy;
pub(crate) use shared::RunHttp;
pub(crate) use size::ByteSize;
