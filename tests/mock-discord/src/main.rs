//! A mock Discord as a process of its own: prints one line of JSON with its addresses, then serves until it is ended.
//!
//! `mock-discord [TOKEN [REST_PORT [GATEWAY_PORT]]]`

use std::io::Write;

use mock_discord::{MockConfig, MockDiscord};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut config = MockConfig::default();
    if let Some(token) = arguments.next() {
        config.token = token;
    }
    let mut port = || -> std::io::Result<u16> {
        let Some(text) = arguments.next() else { return Ok(0) };
        text.parse().map_err(|_| std::io::Error::other(format!("{text:?} is no port")))
    };
    config.rest_port = port()?;
    config.gateway_port = port()?;
    let mock = MockDiscord::start(config).await?;
    let line = serde_json::json!({"api_base": mock.api_base(), "gateway_url": mock.gateway_url()});
    writeln!(std::io::stdout(), "{line}")?;
    std::future::pending().await
}
