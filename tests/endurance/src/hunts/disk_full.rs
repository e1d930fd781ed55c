//! The disk becomes full under a server, and under `todo`. What does not fit is refused in so many words, reads go on,
//! nothing acknowledged is lost, and with room again everything goes on.
//!
//! A disk is full in one of two ways: no file may grow beyond a limit, which anybody can have (EFBIG), or the file system
//! is a small one in memory, which only root can mount, on Linux (ENOSPC).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use livestore_traits::{PushError, SyncBackend};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};

use crate::binaries::Binaries;
use crate::findings::{Findings, millis, progress};
use crate::ledger::{Ledger, audit};
use crate::server::{Server, ServerOptions, connect, wait_until};
use crate::todo::{Said, TodoDir, ended};
use crate::writer::{Writer, Wrote};
use crate::{HANG, HarnessResult};

/// How much fits.
const ROOM_BYTES: u64 = 4 * 1024 * 1024;
/// What is written at a time: it fills the room soon, and fits a pipe.
const TEXT_BYTES: usize = 60_000;

/// What makes the disk full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// A limit on the size of each file.
    FileSize,
    /// A small file system. Only root can make one, on Linux.
    FileSystem,
}

/// How the hunt goes.
#[derive(Clone, Debug)]
pub struct DiskFull {
    /// The programs.
    pub binaries: Binaries,
    /// What the server keeps its data in.
    pub store: String,
    /// What makes the disk full.
    pub full: Full,
    /// How long it stays full, while pushes are tried and the log is read.
    pub time: Duration,
}

/// Runs the hunt.
///
/// # Errors
/// Of the harness.
pub async fn run(options: &DiskFull) -> HarnessResult<Findings> {
    let mut findings = Findings::default();
    let dir = tempfile::tempdir()?;
    serve(options, dir.path(), &mut findings).await?;
    todo(options, dir.path(), &mut findings).await?;
    Ok(findings)
}

async fn serve(options: &DiskFull, dir: &Path, findings: &mut Findings) -> HarnessResult<()> {
    progress(format_args!("a server with {}", options.store));
    let volume = Volume::new(options.full, &dir.join("server/data"))?;
    let mut server = ServerOptions::new(options.binaries.clone(), dir.join("server")).store(&options.store);
    server.max_file_bytes = volume.max_file_bytes();
    let mut server = Server::start(server).await?;
    let backend = connect(&server.url("ws"), "notes")?;
    let mut writer = Writer::new("writer", backend, TEXT_BYTES);
    let refusal = fill(&mut writer).await?;
    findings.figure("server: accepted", writer.written().acknowledged.len());
    findings.figure("server: then said", &refusal);
    stays_readable(&server, &mut writer, options.time, findings).await?;
    let starts = starts_while_full(&mut server, &writer, findings).await?;

    let lifted = Instant::now();
    if volume.make_room(server.pid())? && starts {
        goes_on(&mut writer, findings).await;
        findings.figure("server: room to acknowledged", millis(lifted.elapsed()));
    }
    // Whatever state a full disk left the files in, a sudden death adds to it.
    if starts {
        server.kill().await?;
    }
    server.set_max_file_bytes(None);
    server.start_again().await?;
    goes_on(&mut writer, findings).await;
    check(&server, &writer, findings).await?;
    findings.violations(server.panics());
    Ok(())
}

/// Writes until nothing more fits; says how that was refused.
async fn fill(writer: &mut Writer) -> HarnessResult<String> {
    while writer.head().0 < 10 * ROOM_BYTES / TEXT_BYTES as u64 {
        if writer.try_write(1).await? == Wrote::Refused {
            return match writer.last_refusal() {
                Some(error @ (PushError::Backend { .. } | PushError::Busy(_))) => Ok(error.to_string()),
                other => Err(format!("a push beyond the room was not answered: {other:?}").into()),
            };
        }
    }
    Err("the disk never became full".into())
}

/// While nothing can be written, the log can be read, and pushes are refused rather than kept waiting.
async fn stays_readable(
    server: &Server,
    writer: &mut Writer,
    time: Duration,
    findings: &mut Findings,
) -> HarnessResult<()> {
    let full = Instant::now();
    let (mut reads, mut tries) = (0, 0);
    while full.elapsed() < time {
        let begun = Instant::now();
        // A storage that closed itself over the failure is opened again meanwhile.
        let reader = connect(&server.url("http"), "notes")?;
        let is_readable = wait_until(async || can_read(&reader, writer).await).await;
        findings.expect(is_readable, || "the log cannot be read while the disk is full".to_owned());
        reads += 1;
        if writer.try_write(1).await? == Wrote::Acknowledged {
            // Some of the room is left: what was refused was larger, or something was freed.
            fill(writer).await?;
        }
        tries += 1;
        sleep(Duration::from_millis(100).saturating_sub(begun.elapsed())).await;
    }
    findings.figure("server: while full", format!("{reads} reads of the whole log, {tries} pushes refused"));
    Ok(())
}

/// Kills the server and starts it while there is no room. Whether it can is told: a storage may have to write to open its
/// files. If it does, it has everything.
async fn starts_while_full(
    server: &mut Server,
    writer: &Writer,
    findings: &mut Findings,
) -> HarnessResult<bool> {
    server.kill().await?;
    let starts = server.start_again().await.is_ok();
    if starts {
        let reader = connect(&server.url("http"), "notes")?;
        let is_readable = wait_until(async || can_read(&reader, writer).await).await;
        findings.expect(is_readable, || "started on a full disk, the server does not have it all".to_owned());
        findings.figure("server: started while full", "yes, and can be read");
    } else {
        findings.figure("server: started while full", server.said().lines().last().unwrap_or_default());
    }
    Ok(starts)
}

async fn can_read(reader: &Arc<dyn SyncBackend>, writer: &Writer) -> bool {
    audit(&**reader, &Ledger::of([writer])).await.is_ok_and(|audited| audited.violations.is_empty())
}

async fn goes_on(writer: &mut Writer, findings: &mut Findings) {
    for _ in 0..5 {
        findings.violations(writer.write(1).await.err());
    }
}

async fn check(server: &Server, writer: &Writer, findings: &mut Findings) -> HarnessResult<()> {
    let audited = audit(&*connect(&server.url("ws"), "notes")?, &Ledger::of([writer])).await?;
    findings.figure("server: in the log at the end", audited.events);
    findings.expect(audited.others.is_empty(), || "there are events that nobody wrote".to_owned());
    findings.violations(audited.violations);
    Ok(())
}

/// The same for a client: what it said is saved stays, and the rest is refused in one sentence.
async fn todo(options: &DiskFull, dir: &Path, findings: &mut Findings) -> HarnessResult<()> {
    progress("todo");
    let server = Server::start(ServerOptions::new(options.binaries.clone(), dir.join("other"))).await?;
    let volume = Volume::new(options.full, &dir.join("client"))?;
    let client = TodoDir::new(&options.binaries, dir, "client", server.url("ws"));
    let command = |args: &[&str]| match volume.max_file_bytes() {
        Some(bytes) => client.limited(bytes, args),
        None => client.command(args),
    };
    let said = add_until_full(&client, command(&["add", "-"])).await?;
    findings.figure("todo: said", said.trim());
    findings.expect(is_one_sentence(&said), || format!("todo says more than a sentence: {said}"));
    // Whether a list can be shown with no room at all is told, and decides nothing.
    let list = ended(command(&["list"])).await?;
    findings.expect(!list.stderr.contains("panicked"), || format!("`list` panicked: {}", list.stderr));
    let listed = if list.status.success() { "works" } else { list.stderr.trim() };
    findings.figure("todo: `list` while full", listed);
    // A little may still fit, where a file would have grown by more than was needed.
    let again = ended(command(&["add", &"=".repeat(TEXT_BYTES)])).await?;
    findings.expect(again.status.success() || is_one_sentence(&again.stderr), || {
        format!("another `add` ended with {}: {}", again.status, again.stderr)
    });

    volume.make_room(0)?;
    let (text, args) = client.promises(|promises| (promises.new_text(), ["--wait", "20", "add"]));
    let added = client.run(&[&args[..], &[text.as_str()]].concat()).await?;
    findings.expect(added.status.success(), || format!("with room again `add` says {}", added.stderr));
    let synced = client.run(&["sync", "--timeout", "60"]).await?;
    findings.expect(synced.status.success(), || format!("with room again `sync` says {}", synced.stderr));
    let audited = audit(&*connect(&server.url("http"), "todo")?, &Ledger::default()).await?;
    findings.violations(audited.violations);
    let mut log = audited.others;
    findings
        .figure("todo: saved, in the log", format!("{}, {}", client.promises(|p| p.counts().0), log.len()));
    // The one whose text is nobody's may or may not have made it, being refused.
    log.retain(|event| !event.args.as_str().contains("\"text\":\"==="));
    findings.violations(client.promises(|promises| promises.check(&log)));
    Ok(())
}

/// Feeds items until the program ends; returns what it said then.
async fn add_until_full(client: &TodoDir, mut command: tokio::process::Command) -> HarnessResult<String> {
    let mut child = command.stdin(std::process::Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().ok_or("stdin is piped")?;
    let mut lines = Vec::new();
    for _ in 0..10 * ROOM_BYTES as usize / TEXT_BYTES {
        let text = client.promises(|promises| promises.new_long_text(TEXT_BYTES));
        lines.push(text);
    }
    let feeding = tokio::spawn(async move {
        for line in lines {
            if stdin.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let output = timeout(2 * HANG, child.wait_with_output()).await.map_err(|_| "todo does not end")??;
    feeding.abort();
    if output.status.success() {
        return Err("todo's disk never became full".into());
    }
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some((_, text)) = line.strip_prefix("added  [ ] ").and_then(|item| item.split_once("  ")) {
            client.promises(|promises| promises.said(Said::Added(text.to_owned()), ""));
        }
    }
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn is_one_sentence(said: &str) -> bool {
    said.starts_with("error: ") && said.trim_end().lines().count() == 1
}

/// A directory that gets full.
#[derive(Debug)]
struct Volume {
    full: Full,
    path: PathBuf,
}

impl Volume {
    fn new(full: Full, path: &Path) -> HarnessResult<Self> {
        std::fs::create_dir_all(path)?;
        if full == Full::FileSystem {
            mount(&["-t", "tmpfs", "-o", &format!("size={ROOM_BYTES}"), "tmpfs"], path)?;
        }
        Ok(Self { full, path: path.to_owned() })
    }

    const fn max_file_bytes(&self) -> Option<u64> {
        match self.full {
            Full::FileSize => Some(ROOM_BYTES),
            Full::FileSystem => None,
        }
    }

    /// Makes room, under the running process `pid` too, if there is one. Returns whether that one has room now.
    fn make_room(&self, pid: u32) -> HarnessResult<bool> {
        if self.full == Full::FileSystem {
            mount(&["-o", "remount,size=1g"], &self.path)?;
            return Ok(true);
        }
        lift_limit(pid)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.full == Full::FileSystem {
            // Lazily: what still has files open there is about to end.
            let _ = Command::new("umount").arg("-l").arg(&self.path).status();
        }
    }
}

fn mount(args: &[&str], path: &Path) -> HarnessResult<()> {
    match Command::new("mount").args(args).arg(path).status()?.success() {
        true => Ok(()),
        false => Err("a small file system cannot be mounted; only root can, on Linux".into()),
    }
}

/// Lifts the limit of a running process; only Linux can.
#[cfg(target_os = "linux")]
fn lift_limit(pid: u32) -> HarnessResult<bool> {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let Some(pid) = Pid::from_raw(i32::try_from(pid)?) else { return Ok(false) };
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: None, maximum: None })?;
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
fn lift_limit(_: u32) -> HarnessResult<bool> {
    Ok(false)
}
