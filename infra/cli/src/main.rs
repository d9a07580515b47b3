//! `ringbridge`: the command line of Ringbridge. docs/cli.md describes it.

mod api;
mod args;
mod browser;
mod bulk;
mod client;
mod commands;
mod config;
mod environment;
mod error;
mod output;
mod persistent;
mod signature;
mod target;
mod times;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Arguments, Command};
use commands::Context;
use error::{CliError, CliResult, Exit};
use output::Output;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json, arguments.color);
    let context = Context { output, profile: arguments.profile };
    match run(&context, arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            context.output.error(&error);
            ExitCode::from(error.exit as u8)
        }
    }
}

fn run(context: &Context, command: Command) -> CliResult<()> {
    if let Command::Completions { shell } = command {
        clap_complete::generate(shell, &mut Arguments::command(), "ringbridge", &mut std::io::stdout());
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::Failed, format!("the program cannot start: {error}")))?;
    runtime.block_on(commands::run(context, command))
}
