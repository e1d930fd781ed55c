//! The server is stopped and started again under load, as when it is updated.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::binaries::Binaries;
use crate::findings::{Findings, Waits, progress};
use crate::ledger::{Ledger, audit};
use crate::server::{Server, ServerOptions, WIRES, connect};
use crate::writer::{Stop, Writer};
use crate::{HANG, HarnessResult};

/// The longest pause of a writer between two writes.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest time between two restarts.
const BETWEEN: Duration = Duration::from_millis(1500);

/// Stops and starts a server that keeps its data in `store` so many times.
///
/// # Errors
/// Of the harness.
pub async fn run(binaries: &Binaries, store: &str, times: u64) -> HarnessResult<Findings> {
    let mut findings = Findings::default();
    let dir = tempfile::tempdir()?;
    let mut server = start(binaries, dir.path(), store).await?;
    let stop = Stop::default();
    let mut writings = Vec::new();
    for wire in WIRES.iter().chain(&WIRES[..1]).enumerate() {
        let (number, wire) = wire;
        let mut writer = Writer::new(format!("writer{number}"), connect(&server.url(wire), "busy")?, 0);
        let stop = stop.clone();
        writings.push(tokio::spawn(async move {
            let outcome = writer.run(PAUSE, &stop).await;
            (*wire, writer, outcome)
        }));
    }
    let restarts = restart(&mut server, times, &mut findings).await?;
    sleep(BETWEEN).await;
    stop.stop();

    let mut ledger = Ledger::default();
    let mut all = Waits::default();
    for writing in writings {
        let (wire, writer, outcome) =
            timeout(2 * HANG, writing).await.map_err(|_| "a writer does not end")??;
        findings.violations(outcome.err());
        let without: Vec<_> = restarts.iter().filter_map(|restart| restart.without(&writer)).collect();
        all.extend(without.iter().copied());
        let mut own = Waits::default();
        own.extend(without);
        findings.figure(format!("without it, over {wire}"), own);
        ledger.add(writer.name(), writer.written().clone());
    }
    findings.figure("without it, all", all);
    let audited = audit(&*connect(&server.url("http"), "busy")?, &ledger).await?;
    findings.figure("acknowledged", ledger.acknowledged());
    findings.figure("in the log", audited.events);
    findings.expect(audited.others.is_empty(), || "there are events that nobody wrote".to_owned());
    findings.violations(audited.violations);
    findings.violations(server.panics());
    Ok(findings)
}

async fn start(binaries: &Binaries, dir: &Path, store: &str) -> HarnessResult<Server> {
    Server::start(ServerOptions::new(binaries.clone(), dir).store(store)).await
}

/// One restart: from the signal until it served again.
#[derive(Clone, Copy, Debug)]
struct Restart {
    signalled: Instant,
    served: Instant,
}

impl Restart {
    /// How long a writer had no server: from the last acknowledgement before it was gone to the first after it was back.
    fn without(&self, writer: &Writer) -> Option<Duration> {
        let spans = writer.spans();
        let back = spans.iter().find(|span| span.ended >= self.served)?;
        let last =
            spans.iter().rfind(|span| span.ended < self.served).map_or(self.signalled, |span| span.ended);
        // Acknowledged after the signal: it was in flight, and the server finished it.
        Some(back.ended - last.max(self.signalled))
    }
}

async fn restart(server: &mut Server, times: u64, findings: &mut Findings) -> HarnessResult<Vec<Restart>> {
    let mut restarts = Vec::new();
    let (mut stops, mut starts) = (Waits::default(), Waits::default());
    for n in 1..=times {
        sleep(BETWEEN.mul_f64(0.3 + 0.7 * fastrand::f64())).await;
        let signalled = Instant::now();
        let status = server.terminate().await?;
        stops.record(signalled.elapsed());
        findings.expect(status.success(), || format!("after SIGTERM the server ended with {status}"));
        starts.record(server.start_again().await?);
        restarts.push(Restart { signalled, served: Instant::now() });
        if n % 10 == 0 {
            progress(format_args!("{n} restarts"));
        }
    }
    findings.figure("the server stopped in", stops);
    findings.figure("the server started in", starts);
    Ok(restarts)
}
