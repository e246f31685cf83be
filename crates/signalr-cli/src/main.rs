//! `signalr`: SignalR from the command line.
//!
//! `signalr demo` shows what a connection can do; `invoke`, `send`, `stream` and `listen` talk to any hub, `connect` all in
//! one session; `serve` is a hub to try clients with; `decode` and `encode` turn the bytes of the protocol into JSON and back. `signalr help` tells more.

mod cli;
mod decode;
mod demo;
mod doctor;
mod encode;
mod failure;
mod generate;
mod hub;
mod input;
mod log;
mod serve;
mod shell;
mod style;
mod value;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            failure.exit_code()
        }
    }
}

/// Says what went wrong; nobody can be told when that fails as well.
fn complain(failure: &Failure) {
    if let Some(message) = failure.message() {
        let message = style::printable(message);
        let _ = writeln!(std::io::stderr().lock(), "signalr: {message}");
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    log::start(cli.verbose);
    match &cli.command {
        Command::Decode(options) => decode::run(options),
        Command::Encode(options) => encode::run(options),
        Command::Completions(options) => generate::completions(options),
        Command::Man(options) => generate::man(options),
        Command::Demo(options) => demo::run(options),
        Command::Serve(options) => serve::run(options),
        Command::Negotiate(options) => hub::negotiate::run(options),
        Command::Invoke(options) => hub::calls::invoke(options),
        Command::Send(options) => hub::calls::send(options),
        Command::Stream(options) => hub::calls::stream(options),
        Command::Listen(options) => hub::listen::run(options),
        Command::Connect(options) => shell::run(options),
        Command::Doctor(options) => doctor::run(options),
    }
}
