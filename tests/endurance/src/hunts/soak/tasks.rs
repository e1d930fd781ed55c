//! The same visits at a server in this process, in a runtime of its own, whose tasks can be counted.

use std::time::Duration;

use livestore_backend_redb::{RedbBackends, RedbConfig};
use livestore_server::{Server, ServerLimits};
use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, sleep};

use super::{REST, SILENCE, STORE_IDLE, Site, Soak, first_visits, visitors};
use crate::findings::{Findings, progress};
use crate::{HANG, HarnessResult};

/// Counts the server's tasks before the visits and after them.
pub(super) async fn count(options: &Soak, findings: &mut Findings) -> HarnessResult<()> {
    progress("a server in this process, to count its tasks");
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let counted = count_in(runtime.handle(), options, findings).await;
    // In its own time: dropping it would wait here.
    runtime.shutdown_background();
    counted
}

async fn count_in(runtime: &Handle, options: &Soak, findings: &mut Findings) -> HarnessResult<()> {
    let dir = tempfile::tempdir()?;
    let backends = RedbBackends::open(dir.path(), RedbConfig::default())?;
    let starting = Server::builder(backends).limits(limits()).bind("127.0.0.1:0");
    let server = runtime.spawn(starting).await??;
    let site = Site::new(server.local_addr());
    let tasks = || runtime.metrics().num_alive_tasks();
    first_visits(&site).await?;
    sleep(REST).await;
    let before = tasks();

    let mut visitors = visitors(&site, options.visitors);
    let (begun, mut most) = (Instant::now(), before);
    while begun.elapsed() < options.time / 4 {
        sleep(Duration::from_millis(50)).await;
        most = most.max(tasks());
    }
    site.stop.stop();
    while let Some(visitor) = visitors.join_next().await {
        visitor??;
    }
    findings.violations(std::mem::take(&mut site.book().violations));
    let ended = Instant::now();
    while tasks() > before && ended.elapsed() < HANG {
        sleep(Duration::from_millis(50)).await;
    }
    let after = tasks();
    findings.figure("tasks of a server", format!("{before} at rest, up to {most} meanwhile, {after} after"));
    findings.expect(most > before, || "no task was ever counted beside those at rest".to_owned());
    findings.expect(after <= before, || format!("{before} tasks before the visits, {after} after them"));
    runtime.spawn(async move { server.shutdown().await }).await?;
    Ok(())
}

fn limits() -> ServerLimits {
    let mut limits = ServerLimits::DEFAULT;
    limits.idle_timeout = SILENCE;
    limits.write_timeout = SILENCE;
    limits.header_timeout = SILENCE;
    limits.max_wait = SILENCE;
    limits.first_pull_timeout = SILENCE;
    limits.store_idle_timeout = STORE_IDLE;
    limits
}
