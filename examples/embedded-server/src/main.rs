//! Listens on 127.0.0.1:8080, or where the first argument says, and keeps its data in `embedded-data`.

use std::error::Error;
use std::process::ExitCode;

use embedded_server::{MOUNT, serve};
use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_server::Server;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let backends = RedbBackends::open("embedded-data", RedbConfig::default())?;
    let listener =
        TcpListener::bind(&addr).await.map_err(|error| format!("cannot listen on {addr}: {error}"))?;
    let addr = listener.local_addr()?;
    println!("own routes at http://{addr}/ and http://{addr}/hello");
    println!("sync at ws://{addr}{MOUNT} and http://{addr}{MOUNT}; Ctrl-C ends it");

    let sync = Server::builder(backends).into_service();
    serve(listener, sync, async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("Ctrl-C cannot be waited for: {error}");
        }
    })
    .await;
    Ok(())
}
