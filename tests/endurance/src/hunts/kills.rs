//! Everything is killed with SIGKILL at random moments, again and again: the server, processes of `todo` that lead, and
//! those that follow. At the end the faults stop, and everything must come together.
//!
//! ```text
//! store `busy`   four writers, one over each wire, as fast as they can
//! store `todo`   data dirs with several processes each, over different wires, and one slow writer
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use livestore_traits::{Cursor, Pull, PullMode, SyncBackend, SyncedEvent};
use tempfile::TempDir;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::binaries::Binaries;
use crate::findings::{Findings, Waits, millis, progress};
use crate::ledger::{Ledger, audit};
use crate::server::{Server, ServerOptions, WIRES, connect};
use crate::todo::{Agent, AgentReport, Role, TodoDir, replay, without_ids};
use crate::writer::{Stop, Writer};
use crate::{HANG, HarnessResult};

/// The longest pause between two writes of a writer that has a store to itself and its like.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// Slow enough that `todo` gets its turns, and fast enough that most of its commits are rebased once.
const FOREIGN_PAUSE: Duration = Duration::from_millis(400);
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// How the hunt goes.
#[derive(Clone, Debug)]
pub struct Kills {
    /// The programs.
    pub binaries: Binaries,
    /// When faults stop.
    pub until: Until,
    /// What the server keeps its data in.
    pub store: String,
    /// How many data dirs of `todo` there are.
    pub dirs: usize,
    /// The longest time between two kills; on average it is half as long.
    pub pause: Duration,
}

/// When faults stop.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time.
    Time(Duration),
    /// After so many kills.
    Kills(u64),
}

/// Everything that runs.
struct World {
    dir: TempDir,
    server: Server,
    dirs: Vec<Arc<TodoDir>>,
    agents: Vec<Agent>,
    running: JoinSet<HarnessResult<AgentReport>>,
    busy: Vec<Writing>,
    foreign: Vec<Writing>,
    stop: Stop,
    acknowledged: Arc<AtomicU64>,
}

type Writing = JoinHandle<(Writer, Result<(), String>)>;

/// Runs the hunt.
///
/// # Errors
/// Of the harness.
pub async fn run(options: &Kills) -> HarnessResult<Findings> {
    let mut findings = Findings::default();
    let mut world = World::start(options).await?;
    let server_kills = world.kill(options, &mut findings).await?;
    progress("no more faults; everything comes together");
    let healed = Instant::now();
    world.stop.stop();
    world.agents_end(server_kills, &mut findings).await?;
    let busy = written(world.busy.drain(..), &mut findings).await?;
    let foreign = written(world.foreign.drain(..), &mut findings).await?;
    world.check_busy(&busy, &mut findings).await?;
    world.check_todo(&foreign, &mut findings).await?;
    findings.figure("converged after", millis(healed.elapsed()));
    findings.violations(world.server.panics());
    drop(world.dir);
    Ok(findings)
}

impl World {
    async fn start(options: &Kills) -> HarnessResult<Self> {
        let dir = tempfile::tempdir()?;
        let server = ServerOptions::new(options.binaries.clone(), dir.path().join("server"));
        let server = Server::start(server.store(&options.store)).await?;
        let (stop, acknowledged) = (Stop::default(), Arc::<AtomicU64>::default());
        let writing = |name: String, wire: &str, store: &str, pause: Duration| -> HarnessResult<Writing> {
            let writer = Writer::new(name, connect(&server.url(wire), store)?, 0);
            let (mut writer, stop) = (writer.counted_by(acknowledged.clone()), stop.clone());
            Ok(tokio::spawn(async move {
                let outcome = writer.run(pause, &stop).await;
                (writer, outcome)
            }))
        };
        let busy = WIRES
            .iter()
            .map(|wire| writing(format!("over-{}", wire.replace('+', "-")), wire, "busy", BUSY_PAUSE));
        let busy = busy.collect::<HarnessResult<Vec<_>>>()?;
        let foreign = vec![writing("foreign".to_owned(), "ws", "todo", FOREIGN_PAUSE)?];
        let dirs: Vec<_> = (0..options.dirs)
            .map(|n| {
                TodoDir::new(
                    &options.binaries,
                    dir.path(),
                    &format!("dir{n}"),
                    server.url(WIRES[n % WIRES.len()]),
                )
            })
            .map(Arc::new)
            .collect();
        let roles = [Role::Watch, Role::Stream, Role::Commands];
        let agents: Vec<_> =
            dirs.iter().flat_map(|dir| roles.map(|role| Agent::new(dir.clone(), role))).collect();
        let mut running = JoinSet::new();
        for agent in &agents {
            running.spawn(agent.clone().run(stop.clone()));
        }
        Ok(Self { dir, server, dirs, agents, running, busy, foreign, stop, acknowledged })
    }

    /// Kills until it is enough. Returns how often the server was killed.
    async fn kill(&mut self, options: &Kills, findings: &mut Findings) -> HarnessResult<u64> {
        let begun = Instant::now();
        let (mut kills, mut server_kills, mut starts) = (0, 0, Waits::default());
        let mut told = begun;
        loop {
            let is_enough = match options.until {
                Until::Time(time) => begun.elapsed() >= time,
                Until::Kills(count) => kills >= count,
            };
            if is_enough {
                break;
            }
            sleep(options.pause.mul_f64(fastrand::f64())).await;
            kills += 1;
            if fastrand::u8(0..100) < 35 {
                server_kills += 1;
                self.server.kill().await?;
                sleep(options.pause.mul_f64(fastrand::f64() / 2.0)).await;
                starts.record(self.server.start_again().await?);
            } else if let Some(agent) = fastrand::choice(&self.agents) {
                agent.kill();
            }
            if told.elapsed() >= PROGRESS_EVERY {
                told = Instant::now();
                let acknowledged = self.acknowledged.load(Ordering::Relaxed);
                progress(format_args!("{kills} kills, {acknowledged} events acknowledged to writers"));
            }
        }
        findings.figure("faults lasted", millis(begun.elapsed()));
        findings.figure("the server started in", starts);
        Ok(server_kills)
    }

    async fn agents_end(&mut self, server_kills: u64, findings: &mut Findings) -> HarnessResult<()> {
        let mut all = AgentReport::default();
        while let Some(report) = timeout(3 * HANG, self.running.join_next()).await? {
            let report = report??;
            all.runs += report.runs;
            all.killed_leaders += report.killed_leaders;
            all.killed_others += report.killed_others;
            all.violations.extend(report.violations);
            for (excuse, count) in report.excuses {
                *all.excuses.entry(excuse).or_default() += count;
            }
        }
        findings.figure("killed: servers", server_kills);
        findings.figure("killed: leaders of todo", all.killed_leaders);
        findings.figure("killed: other todos", all.killed_others);
        findings.figure("todo processes", all.runs);
        findings.figure("todo was excused", format!("{:?}", all.excuses));
        findings.violations(all.violations);
        Ok(())
    }

    async fn check_busy(&self, writers: &[Writer], findings: &mut Findings) -> HarnessResult<()> {
        let ledger = Ledger::of(writers);
        let audited = audit(&*connect(&self.server.url("http"), "busy")?, &ledger).await?;
        findings.figure("busy: acknowledged", ledger.acknowledged());
        findings.figure("busy: in the log", audited.events);
        findings.figure("busy: refused, failed", setbacks(writers));
        findings.expect(audited.others.is_empty(), || {
            format!("{} events are in `busy` that nobody wrote", audited.others.len())
        });
        findings.violations(audited.violations);
        Ok(())
    }

    async fn check_todo(&self, foreign: &[Writer], findings: &mut Findings) -> HarnessResult<()> {
        // One after the other: each brings what it still has, which the others must get too.
        for dir in self.dirs.iter().chain(&self.dirs) {
            let ended = dir.run(&["sync", "--timeout", "60"]).await?;
            findings.expect(ended.status.success(), || {
                format!("{} does not sync after the faults: {}", dir.name(), ended.stderr)
            });
        }
        let log = read_log(&*connect(&self.server.url("ws"), "todo")?).await?;
        let ledger = Ledger::of(foreign);
        let mut audit = ledger.audit();
        log.iter().for_each(|event| audit.take(event));
        findings.violations(audit.finish().violations);
        let expected = replay(&log);
        for dir in &self.dirs {
            let (said, confirmed) = dir.promises(|promises| promises.counts());
            findings.figure(
                format!("{}: saved, confirmed at once", dir.name()),
                format!("{said}, {confirmed} over {}", rebases(dir).await?),
            );
            findings.violations(dir.promises(|promises| promises.check(&log)));
            let list = without_ids(&dir.run(&["list"]).await?.stdout);
            findings.expect(list == expected, || {
                format!("{} lists {} items, and the log says {}", dir.name(), list.len(), expected.len())
            });
            let status = dir.run(&["status"]).await?.stdout;
            for line in status.lines().filter(|line| line.starts_with("failed ")) {
                findings.violation(format!("{}: {line}", dir.name()));
            }
        }
        findings.figure("todo: in the log", log.len());
        Ok(())
    }
}

/// How often a client rebased, in words.
async fn rebases(dir: &TodoDir) -> HarnessResult<String> {
    let status = dir.run(&["status"]).await?.stdout;
    let count = status.lines().find_map(|line| line.strip_prefix("rebases  ")).unwrap_or("?").to_owned();
    Ok(format!("{count} rebases"))
}

/// The writers, once they have finished what they were writing.
async fn written(
    writings: impl Iterator<Item = Writing>,
    findings: &mut Findings,
) -> HarnessResult<Vec<Writer>> {
    let mut writers = Vec::new();
    for writing in writings {
        let (writer, outcome) = timeout(2 * HANG, writing).await.map_err(|_| "a writer does not end")??;
        findings.violations(outcome.err());
        writers.push(writer);
    }
    Ok(writers)
}

fn setbacks(writers: &[Writer]) -> String {
    let setbacks = writers.iter().map(Writer::setbacks);
    let (refused, failed) = setbacks.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    format!("{refused}, {failed}")
}

/// All events of a log, in order.
async fn read_log(backend: &dyn SyncBackend) -> HarnessResult<Vec<SyncedEvent>> {
    let mut pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    let mut log = Vec::new();
    while let Some(page) = timeout(HANG, pages.next()).await.map_err(|_| "a pull hangs")? {
        log.extend_from_slice(&page?.events);
    }
    Ok(log)
}
