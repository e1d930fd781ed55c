//! What the server costs end to end, each figure beside the ceiling of what it stands on, measured in the same run.
//!
//! `cargo bench -p livestore-server` measures everything in about a minute and a half; with names behind `--` only those
//! groups: `push`, `contention`, `fan-out`, `pull`, `idle`. The server, and the bare sockets and storages that are its
//! ceilings, run in a process of their own; clients run in this one. Both share the machine. Set `TMPDIR` to a directory
//! on the disk that matters.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and fails by panicking")]

mod bare;
mod clients;
mod fan_out;
mod idle;
mod pull;
mod push;
mod serve;
mod table;

use serve::Storage;

const GROUPS: [&str; 5] = ["push", "contention", "fan-out", "pull", "idle"];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(serve) = args.iter().position(|arg| arg == "serve") {
        runtime.block_on(serve::serve(Storage::named(&args[serve + 1]), args[serve + 2].as_ref()));
    } else if args.iter().any(|arg| arg == "--bench") {
        // `cargo test --all-targets` runs this too, and means it as a test.
        let asked: Vec<&str> =
            GROUPS.into_iter().filter(|group| args.iter().any(|arg| arg == group)).collect();
        runtime.block_on(measure(if asked.is_empty() { &GROUPS } else { &asked }));
    }
}

async fn measure(groups: &[&str]) {
    for group in groups {
        table::heading(group);
        match *group {
            "push" => push::each_its_store().await,
            "contention" => push::all_one_store().await,
            "fan-out" => fan_out::measure().await,
            "pull" => pull::measure().await,
            "idle" => idle::measure().await,
            _ => unreachable!("only groups that exist are asked for"),
        }
    }
}
