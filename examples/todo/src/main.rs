//! A to-do list that works offline and syncs when there is a server: what an application on livestore looks like.
//!
//! ```text
//! main      the command line
//! commands  what each command does
//! exchange  those that are about the server, and what becomes of a change there
//! watch     the one that runs on
//! app       puts the store together from its parts, and takes it apart at the end
//! events    what can happen
//! schema    what it does to the tables, and the queries
//! output    how it looks
//! leader    which of the programs on a data directory leads, in words
//! failure   what went wrong, in one sentence
//! ```

mod app;
mod commands;
mod events;
mod exchange;
mod failure;
mod leader;
mod output;
mod schema;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::app::{App, Settings};
use crate::failure::Failure;

/// A to-do list that works offline and syncs when there is a server.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add an item.
    Add {
        /// What is to be done; `-` reads one item per line from standard input.
        text: String,
    },
    /// Show all items that are known here.
    List,
    /// Mark an item as done.
    Done {
        /// The item's id, or how it begins.
        id: String,
    },
    /// Change the text of an item.
    Edit {
        /// The item's id, or how it begins.
        id: String,
        /// Its new text.
        text: String,
    },
    /// Remove an item.
    Rm {
        /// The item's id, or how it begins.
        id: String,
    },
    /// Show the list and follow what changes, until Ctrl-C.
    Watch,
    /// Exchange everything with the server.
    Sync {
        /// How long to try, in seconds.
        #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = app::seconds)]
        timeout: Duration,
    },
    /// Show how far this client and the server are.
    Status,
}

#[tokio::main]
async fn main() -> ExitCode {
    failure::quiet_about_damage();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::FAILURE
        }
    }
}

async fn run(Args { mut settings, command }: Args) -> Result<(), Failure> {
    if matches!(command, Command::List) {
        // Reading needs no network, and must not wait for it.
        settings.server = None;
    }
    let app = App::open(settings).await?;
    let outcome = match &command {
        Command::Add { text } if text == "-" => commands::add_lines(&app).await,
        Command::Add { text } => commands::add(&app, text).await,
        Command::List => commands::list(&app),
        Command::Done { id } => commands::done(&app, id).await,
        Command::Edit { id, text } => commands::edit(&app, id, text).await,
        Command::Rm { id } => commands::remove(&app, id).await,
        Command::Watch => watch::watch(&app).await,
        Command::Sync { timeout } => exchange::sync(&app, *timeout).await,
        Command::Status => exchange::status(&app).await,
    };
    // Also after a failure: what is committed becomes durable, and another program on the data directory leads at once.
    outcome.and(app.close().await)
}
