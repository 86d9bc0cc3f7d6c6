//! `scraper-scheduler`: parses the command line, calls what it asks for, and maps the outcome to an exit code.

mod cli;
mod commands;
mod dispatch;
mod failure;
mod output;
mod pipelines;
mod service;
mod settings;
mod store;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    app::install_tls();
    dispatch::main(&cli::Cli::parse())
}
