//! Tells the story, and fails if somebody could do what they may not.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match auth::tell(|line| println!("{line}")).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
