//! A Discord on loopback: REST and gateway, as strict as the real one where it matters to a client.
//!
//! It enforces the limits, deadlines and error codes that Discord documents (a late callback is 404/10062, a second one
//! 400/40060, 2001 characters are 400/50035), so that a test fails here rather than in production. Every request
//! is kept with its time; faults are scripted per route; the gateway can be made to lie in every way that matters.
//!
//! ```no_run
//! # async fn demo() -> std::io::Result<()> {
//! let mock = mock_discord::MockDiscord::start(mock_discord::MockConfig::default()).await?;
//! println!("DISCORD_API_BASE={} DISCORD_GATEWAY_URL={}", mock.api_base(), mock.gateway_url());
//! # Ok(()) }
//! ```

mod acts;
mod config;
mod control;
mod faults;
mod gateway;
mod interaction;
mod log;
mod multipart;
mod ratelimit;
mod rest;
mod routes;
mod server;
mod state;
mod validate;

pub use config::MockConfig;
pub use faults::{Fault, LimitShape, Rule};
pub use gateway::{Behaviour, Connection, Push, ResumeAnswer};
pub use interaction::{Acknowledgement, Interaction, InteractionKind, Ticket};
pub use log::{Captured, File};
pub use server::MockDiscord;
pub use state::{Message, MessageKind};
