//! A `scraper-legacy` that knows one class more: all options, checks and built-ins are there too.
//!
//! Run with `cargo run -p custom-transform -- examples/custom-transform/pipelines.yml` from the root of the repository.

use std::process::ExitCode;

use app::legacy::{LegacyArgs, main_with};
use clap::Parser;
use custom_transform::Round;

fn main() -> ExitCode {
    app::install_tls();
    main_with(LegacyArgs::parse(), |registry| {
        registry.register::<Round>();
    })
}
