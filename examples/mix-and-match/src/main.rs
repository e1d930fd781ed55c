//! Tells the story with the chosen parts.

use std::process::ExitCode;

use clap::Parser;
use livestore_traits::BoxError;
use mix_and_match::{Choice, Chosen, Concrete, Outcome, tell};

/// Two clients and a backend, every part chosen by a flag.
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    choice: Choice,
    /// Take the parts that are written into the program instead, without a box.
    #[arg(long)]
    concrete: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(outcome) => {
            println!("{outcome}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Args { choice, concrete }: Args) -> Result<Outcome, BoxError> {
    if concrete {
        println!("concrete parts");
        return tell(&Concrete::new()?).await;
    }
    println!("{choice}");
    tell(&Chosen::new(choice).await?).await
}
