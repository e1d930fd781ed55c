//! Two clients push to a store in a JSON-lines file; the second one is too late and rebases.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use custom_backend::JsonLinesBackend;
use futures::TryStreamExt as _;
use livestore_traits::{
    Args, ClientId, Cursor, EventName, GlobalSeq, Pull, PullMode, Push, PushError, SessionId, SyncBackend,
    SyncedEvent,
};

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
    let path = std::env::args().nth(1).unwrap_or_else(|| "custom-backend.jsonl".into());
    let backend = JsonLinesBackend::open(Path::new(&path)).map_err(|error| format!("{path}: {error}"))?;
    let head = read_all(&backend).await?.last().map_or(GlobalSeq::ROOT, |event| event.seq);
    println!("{path} is at {head}");

    // Both clients know the same head, and both commit.
    let from_alice = [event("alice", "buy milk", head)?];
    let from_bob = [event("bob", "buy bread", head)?];

    let ack = backend.push(Push::new(None, head, None, from_alice.to_vec())).await?;
    println!("alice: accepted as {}", ack.cursor.after);

    // An engine does this by itself: take in what is missing, put the own events on top, push again.
    match backend.push(Push::new(None, head, None, from_bob.to_vec())).await {
        Err(PushError::UpstreamAhead { head, .. }) => {
            println!("bob:   too late, the head is {head}; rebasing");
            let rebased = event("bob", "buy bread", head)?;
            let ack = backend.push(Push::new(None, head, None, vec![rebased])).await?;
            println!("bob:   accepted as {}", ack.cursor.after);
        }
        other => return Err(format!("a push after a stale parent was not refused: {other:?}").into()),
    }

    for event in read_all(&backend).await? {
        println!("{:>5} {} {} {}", event.seq.to_string(), event.client_id, event.name, event.args.as_str());
    }
    Ok(())
}

/// The event that `client` commits after `parent`.
fn event(client: &str, text: &str, parent: GlobalSeq) -> Result<SyncedEvent, Box<dyn Error>> {
    Ok(SyncedEvent {
        seq: parent.next(),
        parent,
        name: EventName::new("v1.TodoAdded")?,
        args: Args::from_value(&serde_json::json!({ "text": text }))?,
        client_id: ClientId::new(client)?,
        session_id: SessionId::new("main")?,
        commit: None,
        unit_end: true,
        created_at: None,
    })
}

/// Everything in the store, page by page.
async fn read_all(backend: &JsonLinesBackend) -> Result<Vec<SyncedEvent>, Box<dyn Error>> {
    let pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    let events = pages.try_fold(Vec::new(), |mut events, page| async move {
        events.extend(page.events.iter().cloned());
        Ok(events)
    });
    Ok(events.await?)
}
