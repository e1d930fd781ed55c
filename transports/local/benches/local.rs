//! What it costs that a leader is in another process: a push, an item, a catch-up, a start from its state, and memory.
//!
//! The leader runs in a process of its own, which this program starts from itself. `cargo bench -p
//! livestore-transport-local` prints one line for each figure.

#![expect(clippy::unwrap_used, reason = "a bench that fails may panic")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt as _;
use livestore_engine::Store;
use livestore_eventlog_memory::MemoryStorage;
use livestore_materializer_sqlite::{SqliteMaterializer, SqliteSchema};
use livestore_traits::{
    Attach, Attachment, CommitRef, Event, EventSet, LeaderLink, Materializer as _, NewEvent, Rendezvous as _,
    SeqNum, SessionId, SessionMessage, SessionPayload, SessionPush, StoreId, TypedEvent,
};
use livestore_transport_local::{LocalConfig, LocalRendezvous, Medium};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// Tells this program to be the leader, where, and over what.
const VARIABLE: &str = "LIVESTORE_BENCH_LEAD_IN";

/// Round trips and items, one at a time.
const SINGLE: usize = 5_000;
/// Events of a catch-up, in commits of 100.
const CATCH_UP: u64 = 200_000;
/// Sessions whose memory is counted.
const SESSIONS: usize = 100;
/// The state to start from: so many rows of 100 KB.
const ROWS: u64 = 1_000;

/// About 200 bytes as JSON.
#[derive(Serialize, Deserialize)]
struct Added {
    /// When, in microseconds, which both processes read off the same clock.
    at: u64,
    text: String,
}

impl TypedEvent for Added {
    const NAME: &'static str = "v1.Added";
}

fn added(bytes: usize) -> NewEvent {
    NewEvent::from(&Added { at: now(), text: "x".repeat(bytes) }).unwrap()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

fn schema() -> SqliteSchema {
    SqliteSchema::builder(EventSet::builder().event::<Added>().build().unwrap())
        .table("CREATE TABLE items (at INTEGER NOT NULL, text TEXT NOT NULL)")
        .on::<Added>(|state, event, _| {
            state.execute("INSERT INTO items VALUES (?1, ?2)", (event.at as i64, &event.text))?;
            Ok(())
        })
        .build()
        .unwrap()
}

fn rendezvous(dir: &Path, medium: Medium) -> LocalRendezvous {
    let mut config = LocalConfig::new(StoreId::new("bench").unwrap());
    config.medium = medium;
    LocalRendezvous::new(dir, config)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match std::env::var(VARIABLE) {
        Ok(told) => {
            let (how, dir) = told.split_once(' ').unwrap();
            runtime.block_on(lead(PathBuf::from(dir), how));
        }
        Err(_) => runtime.block_on(measure()),
    }
}

async fn store(state: SqliteMaterializer) -> Store {
    let builder = Store::builder(StoreId::new("bench").unwrap());
    let builder = builder.eventlog(MemoryStorage::default().open()).materializer(state);
    builder.start().await.unwrap()
}

/// Leads, and commits when it is told to.
async fn lead(dir: PathBuf, how: &str) {
    let medium = if how == "tcp" { Medium::Tcp } else { Medium::Auto };
    let state = match how {
        "file" => SqliteMaterializer::open(dir.join("state.sqlite"), schema()),
        _ => SqliteMaterializer::in_memory(schema()),
    };
    let state = state.unwrap();
    let store = store(state).await;
    let _open = rendezvous(&dir, medium).open(store.link()).await.unwrap();
    let echo = UnixListener::bind(dir.join("echo.sock")).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = echo.accept().await.unwrap();
        let mut bytes = [0; 256];
        while stream.read_exact(&mut bytes).await.is_ok() {
            stream.write_all(&bytes).await.unwrap();
        }
    });
    say("ready");
    let (lines, mut told) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
    });
    while let Some(line) = told.recv().await {
        let (count, events, bytes) = parse(&line);
        for _ in 0..count {
            let unit: Vec<_> = (0..events).map(|_| added(bytes)).collect();
            store.commit(unit).unwrap().persisted().await.unwrap();
        }
        say("done");
    }
}

fn say(word: &str) {
    std::io::stderr().write_all(format!("{word}\n").as_bytes()).unwrap();
}

/// Commits, events in each, and bytes of each event's text.
fn parse(line: &str) -> (u64, u64, usize) {
    let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    (numbers[0], numbers[1], usize::try_from(numbers[2]).unwrap())
}

struct Leader {
    child: Child,
    stdin: ChildStdin,
    said: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Leader {
    /// Over a socket or TCP, with a state in memory, or over a socket with a state in a file.
    fn start(dir: &Path, how: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(VARIABLE, format!("{how} {}", dir.display()))
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut leader = Self { child, stdin, said };
        leader.hears("ready");
        leader
    }

    fn tell(&mut self, count: u64, events: u64, bytes: usize) {
        writeln!(self.stdin, "{count} {events} {bytes}").unwrap();
    }

    fn hears(&mut self, word: &str) {
        assert_eq!(self.said.next().unwrap().unwrap(), word);
    }

    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn measure() {
    let here = store(SqliteMaterializer::in_memory(schema()).unwrap()).await;
    pushes("in process", &here.link()).await;
    for medium in ["unix", "tcp"] {
        let dir = tempfile::tempdir().unwrap();
        let mut leader = Leader::start(dir.path(), medium);
        let link = rendezvous(dir.path(), Medium::Auto).connect();
        if medium == "unix" {
            echo(dir.path()).await;
        }
        pushes(medium, &link).await;
        items(medium, &link, &mut leader).await;
        catch_up(medium, &link, &mut leader).await;
        memory(medium, &link, &leader).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut leader = Leader::start(dir.path(), "file");
    start_from_state(&rendezvous(dir.path(), Medium::Auto).connect(), &mut leader).await;
}

/// The ceiling of a round trip, to which a push adds the leader's thread: 256 bytes there and back between two processes.
async fn echo(dir: &Path) {
    let mut stream = UnixStream::connect(dir.join("echo.sock")).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..SINGLE {
        let started = Instant::now();
        stream.write_all(&[7; 256]).await.unwrap();
        stream.read_exact(&mut [0; 256]).await.unwrap();
        times.push(started.elapsed());
    }
    report("unix: bare echo of 256 bytes, round trip", times);
}

async fn attach(link: &Arc<dyn LeaderLink>, session: &str, cursor: SeqNum) -> Attachment {
    let session_id = SessionId::new(session.to_owned()).unwrap();
    link.attach(Attach { session_id, cursor, last_n: 0, label: "bench".into() }).await.unwrap()
}

/// A session's push until it is answered, with a log in memory.
async fn pushes(medium: &str, link: &Arc<dyn LeaderLink>) {
    let mut attachment = attach(link, "pusher", SeqNum::ROOT).await;
    let mut head = SeqNum::ROOT;
    let mut times = Vec::new();
    for n in 1..=SINGLE as u64 {
        let event = added(120);
        let event = Event {
            num: head.next_synced(head.generation),
            name: event.name,
            args: event.args,
            client_id: attachment.attached.client_id.clone(),
            session_id: SessionId::new("pusher").unwrap(),
            commit: Some(CommitRef { n, index: 0 }),
            unit_end: true,
            is_own: true,
        };
        let started = Instant::now();
        let push = SessionPush { attempt: n, base: head, events: vec![event] };
        attachment.sender.send(SessionMessage::Push(push)).unwrap();
        loop {
            let item = attachment.items.next().await.unwrap();
            attachment.sender.send(SessionMessage::Taken).unwrap();
            if let SessionPayload::Accepted { last, .. } = item.payload {
                head = last;
                break;
            }
        }
        times.push(started.elapsed());
    }
    report(&format!("{medium}: push until accepted"), times);
}

/// From before a commit in the leader's process until its item is here.
async fn items(medium: &str, link: &Arc<dyn LeaderLink>, leader: &mut Leader) {
    let head = link.sync_now().await.unwrap().local_head;
    let mut attachment = attach(link, "follower", head).await;
    // The first one tells the settled head.
    attachment.items.next().await.unwrap();
    attachment.sender.send(SessionMessage::Taken).unwrap();
    leader.tell(SINGLE as u64, 1, 120);
    let mut times = Vec::new();
    while times.len() < SINGLE {
        let item = attachment.items.next().await.unwrap();
        let arrived = now();
        attachment.sender.send(SessionMessage::Taken).unwrap();
        if let SessionPayload::Advance { events, .. } = item.payload {
            for event in events.iter() {
                let committed = event.args.to_value::<Added>().unwrap().at;
                times.push(Duration::from_micros(arrived - committed));
            }
        }
    }
    leader.hears("done");
    report(&format!("{medium}: commit in the leader's process until the item is here"), times);
}

/// All of a log to a session that has nothing.
async fn catch_up(medium: &str, link: &Arc<dyn LeaderLink>, leader: &mut Leader) {
    leader.tell(CATCH_UP / 100, 100, 120);
    leader.hears("done");
    let head = link.sync_now().await.unwrap().local_head;
    let started = Instant::now();
    let mut attachment = attach(link, "late", SeqNum::ROOT).await;
    let mut count = 0;
    loop {
        let item = attachment.items.next().await.unwrap();
        attachment.sender.send(SessionMessage::Taken).unwrap();
        if let SessionPayload::Advance { events, .. } = item.payload {
            count += events.len();
            if events.last().is_some_and(|event| event.num == head) {
                break;
            }
        }
    }
    let rate = count as f64 / started.elapsed().as_secs_f64();
    println!("{medium}: catch-up of {count} events: {rate:.0} events/s");
}

/// What the leader's process holds for sessions that are attached and follow its status.
async fn memory(medium: &str, link: &Arc<dyn LeaderLink>, leader: &Leader) {
    let head = link.sync_now().await.unwrap().local_head;
    let mut held = Vec::new();
    let mut resident = Vec::new();
    // The first ones make what all share.
    for _ in 0..2 {
        resident.push(leader.resident_kib());
        for _ in 0..SESSIONS / 2 {
            let mut attachment = attach(link, &format!("idle-{}", held.len()), head).await;
            attachment.items.next().await.unwrap();
            let mut reports = link.reports().await.unwrap();
            reports.next().await.unwrap();
            held.push((attachment, reports));
        }
    }
    resident.push(leader.resident_kib());
    let per_session = (resident[2].saturating_sub(resident[1])) as f64 / (SESSIONS / 2) as f64;
    println!(
        "{medium}: a session that is attached and follows the status: {per_session:.1} KiB at the leader"
    );
}

/// From the leader's state in a file to one in memory here.
async fn start_from_state(link: &Arc<dyn LeaderLink>, leader: &mut Leader) {
    leader.tell(ROWS, 1, 100_000);
    leader.hears("done");
    for _ in 0..3 {
        let started = Instant::now();
        let taken = link.snapshot(&SessionId::new("new").unwrap()).await.unwrap();
        let transferred = started.elapsed();
        let mib = taken.snapshot.len >> 20;
        let mut state = SqliteMaterializer::in_memory(schema()).unwrap();
        state.restore(taken.snapshot).unwrap();
        let restored = started.elapsed() - transferred;
        println!(
            "unix: a state of {mib} MiB: copied and transferred in {transferred:.0?}, restored in {restored:.0?}"
        );
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[times.len() * percent / 100];
    println!("{what}: p50 {:.1?}, p99 {:.1?}", at(50), at(99));
}
