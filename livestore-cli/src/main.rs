//! The `livestore` command: a sync server in one binary, and the tools around it.

mod bench;
mod data;
mod demo;
mod error;
mod restore;
mod serve;
mod terminal;
mod units;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::CommandError;

/// Local-first sync: a server, and the tools around it.
#[derive(Debug, Parser)]
#[command(name = "livestore", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log on stderr: a level (error, warn, info, debug, trace, off), or a filter by crate such as
    /// "warn,livestore_server=debug".
    #[arg(long, global = true, env = "RUST_LOG", value_name = "LEVEL", value_parser = terminal::parse_filter)]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Restore(restore::RestoreArgs),
    Bench(Box<bench::BenchArgs>),
    Demo(demo::DemoArgs),
}

fn main() -> ExitCode {
    match command_line().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// The command line, on top of the config file that it may name.
fn command_line() -> Result<Cli, CommandError> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let (matches, config) = serve::read_config(&Cli::command(), &args)?;
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Command::Serve(args) = &mut cli.command {
        args.beside = config;
    }
    Ok(cli)
}

fn run(cli: Cli) -> Result<(), CommandError> {
    match cli.command {
        Command::Serve(args) => {
            terminal::log(cli.log.as_deref().unwrap_or(terminal::SERVE_LOG)).and_then(|()| serve::run(*args))
        }
        Command::Restore(args) => {
            terminal::log(cli.log.as_deref().unwrap_or("warn")).and_then(|()| restore::run(&args))
        }
        Command::Bench(args) => {
            terminal::log(cli.log.as_deref().unwrap_or("warn")).and_then(|()| bench::run(*args))
        }
        // The demo makes its clients fail on purpose; what they log about it would garble the story.
        Command::Demo(args) => {
            terminal::log(cli.log.as_deref().unwrap_or("off")).and_then(|()| demo::run(&args))
        }
    }
}

/// The runtime of a command.
fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::new("the runtime cannot be started").caused_by(error))
}
