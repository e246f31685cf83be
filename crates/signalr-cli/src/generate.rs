//! Completion scripts and man pages.

use std::io::{self, Write as _};

use clap::{Command, CommandFactory as _};

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::failure::Failure;

/// Prints a completion script.
pub(crate) fn completions(options: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "signalr", &mut script);
    print(&script)
}

/// Prints a man page.
pub(crate) fn man(options: &ManArgs) -> Result<(), Failure> {
    let mut all = Cli::command();
    all.build();
    let command = match &options.command {
        None => all,
        Some(name) => subcommand(&all, name)?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(&page)
}

fn subcommand(all: &Command, name: &str) -> Result<Command, Failure> {
    let found = all
        .find_subcommand(name)
        .ok_or_else(|| Failure::usage(format!("there is no command '{name}'")))?;
    Ok(found.clone().version(env!("CARGO_PKG_VERSION")))
}

fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()?;
    Ok(())
}
