//! Agents that run `todo` over and over on a data dir, and are killed at any moment.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use livestore_traits::GlobalSeq;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{Said, TodoDir};
use crate::writer::Stop;
use crate::{HANG, HarnessResult};

/// Between two lines of a stream.
const LINE_PAUSE: Duration = Duration::from_millis(60);
/// What a command may say instead of doing it while servers and leaders die. Anything else is a violation.
const EXCUSES: [&str; 4] = ["not in sync after", "is ambiguous", "does not answer", "leads without a server"];

/// What an agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `watch`, which runs on, and leads most of the time.
    Watch,
    /// `add -`, fed with lines.
    Stream,
    /// `add`, `edit`, `done`, `sync`, one after the other.
    Commands,
}

/// One agent. Its clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Agent {
    dir: Arc<TodoDir>,
    role: Role,
    kill: Arc<Notify>,
}

/// What an agent has seen.
#[derive(Debug, Default)]
pub struct AgentReport {
    /// How many processes it started.
    pub runs: u64,
    /// Killed processes that led on their data dir.
    pub killed_leaders: u64,
    /// Killed processes that followed, or had not begun to.
    pub killed_others: u64,
    /// Excuses of commands that were not done, by their beginning.
    pub excuses: BTreeMap<&'static str, u64>,
    /// What no process may do or say, a sentence each.
    pub violations: Vec<String>,
}

/// A run as its agent saw it.
struct Run {
    status: ExitStatus,
    was_killed: bool,
    stdout: Vec<String>,
    stderr: String,
}

impl Agent {
    /// An agent that is not running yet.
    #[must_use]
    pub fn new(dir: Arc<TodoDir>, role: Role) -> Self {
        Self { dir, role, kill: Arc::default() }
    }

    /// Kills the process that it runs, or the next one as soon as it starts.
    pub fn kill(&self) {
        self.kill.notify_one();
    }

    /// Runs processes until it is told to stop.
    ///
    /// # Errors
    /// Of the harness.
    pub async fn run(self, stop: Stop) -> HarnessResult<AgentReport> {
        let mut report = AgentReport::default();
        while !stop.is_stopped() {
            match self.role {
                Role::Watch => {
                    let run = self.process(&["watch"], Vec::new(), &stop, &mut report).await?;
                    self.judge(&run, &mut report);
                }
                Role::Stream => {
                    let count = fastrand::usize(5..60);
                    let lines = (0..count).map(|_| self.dir.promises(|promises| promises.new_text()));
                    let args = ["--wait", "20", "add", "-"];
                    let run = self.process(&args, lines.collect(), &stop, &mut report).await?;
                    self.note(&run, None, &mut report);
                }
                Role::Commands => self.command(&stop, &mut report).await?,
            }
        }
        Ok(report)
    }

    async fn command(&self, stop: &Stop, report: &mut AgentReport) -> HarnessResult<()> {
        let item = self.dir.promises(|promises| promises.any_item());
        let text = self.dir.promises(|promises| promises.new_text());
        let (args, done): (Vec<&str>, _) = match (fastrand::u8(0..10), &item) {
            (0, _) => (vec!["sync", "--timeout", "5"], None),
            (1..=3, Some((id, _))) => (vec!["edit", id, &text], None),
            (4..=5, Some((id, added_as))) => {
                self.dir.promises(|promises| promises.try_done(added_as));
                (vec!["done", id], Some(added_as.as_str()))
            }
            _ => (vec!["--wait", "5", "add", &text], None),
        };
        let run = self.process(&args, Vec::new(), stop, report).await?;
        self.note(&run, done, report);
        Ok(())
    }

    /// One process from its start to its end.
    async fn process(
        &self,
        args: &[&str],
        lines: Vec<String>,
        stop: &Stop,
        report: &mut AgentReport,
    ) -> HarnessResult<Run> {
        report.runs += 1;
        let mut child = self.dir.command(args).stdin(Stdio::piped()).spawn()?;
        let pid = child.id().unwrap_or_default();
        let feeding = tokio::spawn(feed(child.stdin.take().ok_or("stdin is piped")?, lines, stop.clone()));
        let reading = read(&mut child)?;
        let mut was_killed = false;
        let status = tokio::select! {
            status = child.wait() => status?,
            () = self.kill.notified() => {
                let led = self.dir.leader() == Some(pid);
                *(if led { &mut report.killed_leaders } else { &mut report.killed_others }) += 1;
                was_killed = true;
                child.kill().await?;
                child.wait().await?
            }
            () = stopped(stop) => self.end(&mut child, report).await?,
        };
        feeding.abort();
        let (stdout, stderr) = reading.await?;
        Ok(Run { status, was_killed, stdout, stderr })
    }

    /// A process that has nothing more to do has to end by itself.
    async fn end(&self, child: &mut Child, report: &mut AgentReport) -> HarnessResult<ExitStatus> {
        let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let (Role::Watch, Some(pid)) = (self.role, pid) {
            kill_process(pid, Signal::TERM)?;
        }
        if let Ok(status) = timeout(HANG, child.wait()).await {
            return Ok(status?);
        }
        report.violations.push(format!("a {:?} of {} did not end for {HANG:?}", self.role, self.dir.name()));
        child.kill().await?;
        Ok(child.wait().await?)
    }

    /// Takes note of what a run said.
    fn note(&self, run: &Run, done: Option<&str>, report: &mut AgentReport) {
        let mut last = None;
        for line in &run.stdout {
            if let Some(seq) = line.strip_prefix("confirmed as e").and_then(|seq| seq.parse().ok()) {
                if let Some(said) = last.clone() {
                    self.dir.promises(|promises| promises.confirmed(GlobalSeq(seq), said));
                }
            } else if let Some((id, said)) = promise(line, done) {
                self.dir.promises(|promises| promises.said(said.clone(), id));
                last = Some(said);
            }
        }
        self.judge(run, report);
    }

    fn judge(&self, run: &Run, report: &mut AgentReport) {
        let whose = || format!("a {:?} of {}", self.role, self.dir.name());
        if run.stderr.contains("panicked at") {
            report.violations.push(format!("{} panicked: {}", whose(), run.stderr));
        }
        if run.was_killed || run.status.success() {
            return;
        }
        if let Some(signal) = run.status.signal() {
            report.violations.push(format!("{} ended with signal {signal}", whose()));
        }
        match EXCUSES.iter().find(|excuse| run.stderr.contains(**excuse)) {
            Some(excuse) => *report.excuses.entry(excuse).or_default() += 1,
            None => report.violations.push(format!("{} failed: {}", whose(), run.stderr.trim())),
        }
    }
}

/// Resolves when processes are to end: `watch` is told so, a stream's input ends, and a command ends anyway.
async fn stopped(stop: &Stop) {
    while !stop.is_stopped() {
        sleep(LINE_PAUSE).await;
    }
}

async fn feed(mut stdin: ChildStdin, lines: Vec<String>, stop: Stop) {
    for line in lines {
        if stop.is_stopped() || stdin.write_all(format!("{line}\n").as_bytes()).await.is_err() {
            return;
        }
        sleep(LINE_PAUSE.mul_f64(fastrand::f64())).await;
    }
}

type Reading = JoinHandle<(Vec<String>, String)>;

/// Reads both outputs to their ends, so that the process never waits for that.
fn read(child: &mut Child) -> HarnessResult<Reading> {
    let stdout = child.stdout.take().ok_or("stdout is piped")?;
    let mut stderr = child.stderr.take().ok_or("stderr is piped")?;
    Ok(tokio::spawn(async move {
        let (mut lines, mut said) = (Vec::new(), String::new());
        let reading = async {
            let mut reader = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                lines.push(line);
            }
        };
        // What cannot be read was not said.
        let (_, ()) = tokio::join!(stderr.read_to_string(&mut said), reading);
        (lines, said)
    }))
}

/// What a line promises, and the id it shows.
fn promise<'a>(line: &'a str, done: Option<&str>) -> Option<(&'a str, Said)> {
    let (what, item) = line.split_once("  [")?;
    let (id, text) = item.get(3..)?.split_once("  ")?;
    let said = match what {
        "added" => Said::Added(text.to_owned()),
        "edited" => Said::Edited(text.to_owned()),
        "done" => Said::Done(done?.to_owned()),
        _ => return None,
    };
    Some((id, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_read_from_what_is_printed() {
        assert_eq!(promise("added  [ ] abc  a 1", None), Some(("abc", Said::Added("a 1".into()))));
        assert_eq!(promise("edited  [x] abcd  a 2", None), Some(("abcd", Said::Edited("a 2".into()))));
        assert_eq!(promise("done  [x] abc  a 2", Some("a 1")), Some(("abc", Said::Done("a 1".into()))));
        assert_eq!(promise("saved; will sync later: no", None), None);
        assert_eq!(promise("confirmed as e4", None), None);
        // Half a line, of a process that was killed, cannot be printed: a line is written at once.
        assert_eq!(promise("added  [", None), None);
    }
}
