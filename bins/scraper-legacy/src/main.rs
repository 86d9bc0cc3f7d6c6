//! Runs the pipelines of a file once.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    app::install_tls();
    app::legacy::main(app::legacy::LegacyArgs::parse())
}
