//! `livestore demo`: the story of sync in one go.
//!
//! ```text
//!  alice ── cable ──┐
//!  bob   ── cable ──┼── server, its log in redb        each client: log in redb, database in SQLite
//!  carol ── cable ──┘
//! ```
//!
//! Nothing is staged but the events: the clients are ordinary stores over the native WebSocket, and carol is cut off by
//! breaking her connection.

mod app;
mod cable;
mod client;
mod compare;
mod heads;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt as _;
use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_engine::Receipt;
use livestore_server::Server;
use livestore_traits::{
    BoxError, Cursor, GlobalSeq, NewEvent, Pull, PullMode, StoreId, SyncBackend as _, SyncedEvent,
};
use livestore_transport_ws::{WsBackend, WsConfig};

use crate::error::CommandError;
use crate::terminal::{count, say};
use client::Client;
use compare::Replica;
use heads::Heads;

/// How long closing a client may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

const INTRODUCTION: &str = "\
livestore demo: alice, bob and carol keep one shopping list, each on a device of their own.

A commit goes into the client's own log and database, online or not; the last event of its log is its head.
The server puts the events of all clients into one order: e1, e2, e3 ... What it has ordered is confirmed and
never moves again. What it has not is pending, and moves back if others were first. All apply the same events
in the same order, so all databases become the same.";

const TOGETHER: &str = "\n1. Everybody is online.\n";

const APART: &str = "
2. Carol's connection is cut. All three go on. Carol does by herself, so her events take the numbers that others
   get for theirs.
";

const AGAIN: &str = "
3. Carol is connected again. Her pending events go behind what the others did meanwhile. What a log wrote after
   its first rebase is marked r1, so that e5 of before and e5r1 are not mistaken for each other.
";

const COMPARED: &str = "
4. The clients are closed. The server's log beside what is on their disks; the marks are each log's own:
";

/// Watch three clients sync: one is cut off, all three go on, it comes back and rebases, and all are the same again.
///
/// Starts a server of its own and keeps everything in a temporary directory. Fails if anything differs at the end.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Keep the logs and databases, and say where they are.
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: &DemoArgs) -> Result<(), CommandError> {
    let failed = |error: BoxError| CommandError::new("the demo failed").caused_by(error);
    let dir =
        tempfile::Builder::new().prefix("livestore-demo-").tempdir().map_err(|error| failed(error.into()))?;
    let differences = crate::runtime()?.block_on(play(dir.path())).map_err(failed)?;
    if args.keep {
        say(format_args!("\nEverything is kept in {}", dir.keep().display()));
    }
    match differences.as_slice() {
        [] => Ok(()),
        differences => Err(CommandError::new(differences.join("; "))),
    }
}

/// Plays the whole story and returns what differs at its end.
async fn play(dir: &Path) -> Result<Vec<String>, BoxError> {
    let server = Server::builder(RedbBackends::open(dir.join("server"), RedbConfig::default())?)
        .bind("127.0.0.1:0")
        .await?;
    let addr = server.local_addr();
    let store_id = StoreId::new("shopping")?;
    let start = |name| Client::start(name, store_id.clone(), addr, dir);
    let clients = [start("alice").await?, start("bob").await?, start("carol").await?];
    say(INTRODUCTION);
    say(format_args!("\nserver: ws://{addr}, its log in redb; clients: log in redb, database in SQLite"));
    let mut heads = Heads::new(&clients);
    together(&clients, &mut heads).await?;
    let receipts = apart(&clients, &mut heads).await?;
    again(&clients, &mut heads, receipts).await?;

    let log = read_server(addr, store_id).await?;
    let ids = clients.each_ref().map(|client| (client.id(), client.name));
    let mut replicas = Vec::new();
    for client in clients {
        let name = client.name;
        let files = client.close(CLOSE_LIMIT).await?;
        replicas.push(Replica {
            name,
            events: compare::read_log(&files)?,
            items: client::read_database(&files)?,
        });
    }
    server.shutdown().await;

    say(COMPARED);
    let author =
        |event: &SyncedEvent| ids.iter().find(|(id, _)| *id == event.client_id).map_or("?", |(_, name)| name);
    print_logs(&log, &replicas, author);
    let differences = compare::differences(&log, &replicas);
    conclude(&log, &replicas, &differences);
    Ok(differences)
}

async fn together(clients: &[Client; 3], heads: &mut Heads) -> Result<(), BoxError> {
    say(TOGETHER);
    heads.wait("everybody is online", |_, status| heads::is_online(status)).await?;
    let [alice, bob, _] = clients;
    commit(alice, app::added("milk", "milk")?)?;
    heads.wait_for_all(GlobalSeq(1)).await?;
    commit(bob, app::added("bread", "bread")?)?;
    heads.wait_for_all(GlobalSeq(2)).await?;
    print_lists(clients).await
}

/// Returns the receipts of what carol committed alone.
async fn apart(clients: &[Client; 3], heads: &mut Heads) -> Result<Vec<Receipt>, BoxError> {
    say(APART);
    let [alice, bob, carol] = clients;
    carol.cable.pull_out();
    heads.wait("carol is offline", |name, status| name != carol.name || !heads::is_online(status)).await?;
    let events =
        [app::changed("milk", "goat milk")?, app::added("honey", "honey")?, app::added("tea", "tea")?];
    let mut receipts = Vec::new();
    for event in events {
        receipts.push(commit(carol, event)?);
    }
    heads
        .wait("carol has it in her log", |name, status| name != carol.name || status.pending_events == 3)
        .await?;
    let others_at =
        |head: u64| move |name: &str, status: &_| name == carol.name || heads::is_at(status, GlobalSeq(head));
    commit(alice, app::changed("milk", "oat milk")?)?;
    heads.wait("the others are at e3", others_at(3)).await?;
    commit(bob, app::added("coffee", "coffee")?)?;
    heads.wait("the others are at e4", others_at(4)).await?;
    print_lists(clients).await?;
    Ok(receipts)
}

async fn again(clients: &[Client; 3], heads: &mut Heads, receipts: Vec<Receipt>) -> Result<(), BoxError> {
    say(AGAIN);
    let [.., carol] = clients;
    carol.cable.plug_in();
    carol.store.sync_now();
    heads.wait_for_all(GlobalSeq(7)).await?;
    for receipt in receipts {
        let is = receipt.confirmed().await?;
        say(format_args!("  carol  what was {} is {is} for good", receipt.num));
    }
    print_lists(clients).await
}

fn commit(client: &Client, event: NewEvent) -> Result<Receipt, BoxError> {
    let what = format!("{} {}", event.name, event.args.as_str());
    let receipt = client.store.commit([event])?;
    say(format_args!("  {:<6} COMMIT  {} {what}", client.name, receipt.num));
    Ok(receipt)
}

/// Prints what each client's application shows.
async fn print_lists(clients: &[Client]) -> Result<(), BoxError> {
    say("");
    for client in clients {
        let items = client.items().await?;
        say(format_args!("  {:<6} shows   {}", client.name, app::in_words(&items)));
    }
    Ok(())
}

/// The server's log, as anybody may read it.
async fn read_server(addr: SocketAddr, store_id: StoreId) -> Result<Vec<SyncedEvent>, BoxError> {
    let backend = WsBackend::new(WsConfig::new(&format!("ws://{addr}"), store_id)?);
    let pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    let events = pages.try_fold(Vec::new(), |mut events, page| async move {
        events.extend(page.events.iter().cloned());
        Ok(events)
    });
    Ok(events.await?)
}

fn print_logs(log: &[SyncedEvent], replicas: &[Replica], author: impl Fn(&SyncedEvent) -> &'static str) {
    let columns: String = replicas.iter().map(|replica| format!("{:<7}", replica.name)).collect();
    say(format_args!("  server {columns} by     event"));
    for (index, event) in log.iter().enumerate() {
        let numbers: String = replicas
            .iter()
            .map(|replica| {
                replica.events.get(index).map_or_else(|| "-".to_owned(), |event| event.num.to_string())
            })
            .map(|number| format!("{number:<7}"))
            .collect();
        let (seq, author) = (event.seq.to_string(), author(event));
        say(format_args!("  {seq:<6} {numbers} {author:<6} {} {}", event.name, event.args.as_str()));
    }
    say("");
    for replica in replicas {
        say(format_args!("  {:<6} stored  {}", replica.name, app::in_words(&replica.items)));
    }
}

fn conclude(log: &[SyncedEvent], replicas: &[Replica], differences: &[String]) {
    if differences.is_empty() {
        let (events, clients) = (count(log.len() as u64, "event"), replicas.len());
        say(format_args!(
            "\nThe same {events} on the server and {clients} clients, and {clients} databases alike."
        ));
    }
}
