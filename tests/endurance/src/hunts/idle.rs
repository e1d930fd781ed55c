//! Thousands of live subscribers that have nothing to do. Then one event has to reach them all.

use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use livestore_traits::{Cursor, Pull, PullError, PullMode, PullPage};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::binaries::Binaries;
use crate::findings::{Findings, millis, progress};
use crate::server::{Server, ServerOptions, connect};
use crate::usage::{Usage, raise_file_limit};
use crate::writer::Writer;
use crate::{HANG, HarnessResult};

/// How many connect at the same time.
const CONNECTING: usize = 64;
/// Files beside the connections.
const OTHER_FILES: u64 = 200;

/// How the hunt goes.
#[derive(Clone, Debug)]
pub struct Idle {
    /// The programs.
    pub binaries: Binaries,
    /// What the server keeps its data in.
    pub store: String,
    /// How many subscribers there are, if the system allows so many.
    pub connections: usize,
    /// How long they have nothing to do; beyond 20 seconds they ping.
    pub time: Duration,
}

type Pages = BoxStream<'static, Result<PullPage, PullError>>;

/// Runs the hunt.
///
/// # Errors
/// Of the harness.
pub async fn run(options: &Idle) -> HarnessResult<Findings> {
    let mut findings = Findings::default();
    let possible = usize::try_from(raise_file_limit().saturating_sub(OTHER_FILES))?;
    let connections = options.connections.min(possible);
    findings.figure("connections", connections);
    if connections < options.connections {
        findings.figure("fewer than asked for", "the system allows no more open files");
    }
    let dir = tempfile::tempdir()?;
    let server =
        Server::start(ServerOptions::new(options.binaries.clone(), dir.path()).store(&options.store)).await?;
    let mut writer = Writer::new("writer", connect(&server.url("ws"), "idle")?, 0);
    writer.write(1).await?;
    let before = Usage::of(server.pid()).ok_or("this system does not tell what a process holds")?;

    let begun = Instant::now();
    let subscribed = stream::iter(0..connections).map(|_| subscribe(&server)).buffer_unordered(CONNECTING);
    let subscribers: Vec<Pages> = subscribed.try_collect().await?;
    findings.figure("all subscribed after", millis(begun.elapsed()));
    let after = Usage::of(server.pid()).ok_or("the server is gone")?;
    findings.figure("the server before", before);
    findings.figure("the server with them", after);
    let per_connection =
        after.resident_bytes.saturating_sub(before.resident_bytes) / connections.max(1) as u64;
    findings.figure("memory per connection", format!("{:.1} KiB", per_connection as f64 / 1024.0));

    let subscribers = deliver(subscribers, &mut writer, "the first event", &mut findings).await?;
    progress(format_args!("idle for {:?}", options.time));
    sleep(options.time).await;
    let subscribers = deliver(subscribers, &mut writer, "after idling", &mut findings).await?;
    findings.figure("the server at the end", Usage::of(server.pid()).ok_or("the server is gone")?);
    drop(subscribers);
    findings.violations(server.panics());
    Ok(findings)
}

/// Follows the store from its head on.
async fn subscribe(server: &Server) -> HarnessResult<Pages> {
    let backend = connect(&server.url("ws"), "idle")?;
    let mut pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Live));
    let first = timeout(HANG, pages.next()).await.map_err(|_| "a subscriber was not answered")?;
    first.ok_or("a live pull ended")??;
    // The pull holds its connection.
    Ok(pages)
}

/// Writes one event; every subscriber has to get it.
async fn deliver(
    subscribers: Vec<Pages>,
    writer: &mut Writer,
    what: &str,
    findings: &mut Findings,
) -> HarnessResult<Vec<Pages>> {
    let expected = writer.head().next();
    let mut waiting = JoinSet::new();
    for mut pages in subscribers {
        waiting.spawn(async move {
            let page = timeout(HANG, pages.next()).await;
            let got = matches!(page, Ok(Some(Ok(page))) if page.through == expected);
            (pages, got)
        });
    }
    let begun = Instant::now();
    writer.write(1).await?;
    let (mut there, mut missed) = (Vec::new(), 0);
    while let Some(outcome) = waiting.join_next().await {
        let (pages, got) = outcome?;
        missed += u64::from(!got);
        there.push(pages);
    }
    findings.figure(format!("{what} had reached all"), format!("after {}", millis(begun.elapsed())));
    findings.expect(missed == 0, || format!("{missed} subscribers did not get {what}"));
    Ok(there)
}
