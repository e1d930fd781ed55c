//! Subscribers that subscribe and never read, while others push a lot. The server's memory stays bounded, everybody else
//! gets everything, and those that never read are dropped in the end.

use std::time::Duration;

use futures::StreamExt;
use livestore_traits::{Cursor, GlobalSeq, Pull, PullMode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::binaries::Binaries;
use crate::cable::{Cable, Plug, Speed};
use crate::findings::{Findings, mebibytes, millis, progress};
use crate::ledger::{Ledger, audit};
use crate::server::{Server, ServerOptions, connect};
use crate::usage::{Usage, wait_for};
use crate::writer::Writer;
use crate::{HANG, HarnessResult};

const TEXT_BYTES: usize = 50_000;
const STORE: &str = "loud";
/// What the server may take in all, whatever is pushed past subscribers that never read.
const MEMORY_BYTES: u64 = 128 * 1024 * 1024;
/// Short, so that the end can be waited for.
const LIMITS: [&str; 4] = ["--write-timeout=3s", "--idle-timeout=6s", "--header-timeout=5s", "--max-wait=5s"];

/// How the hunt goes.
#[derive(Clone, Debug)]
pub struct NeverReads {
    /// The programs.
    pub binaries: Binaries,
    /// What the server keeps its data in.
    pub store: String,
    /// How many of them there are over each wire.
    pub subscribers: usize,
    /// How much is pushed past them. Beyond some 10 MB nothing more fits into the buffers of the system.
    pub megabytes: usize,
}

/// Runs the hunt.
///
/// # Errors
/// Of the harness.
pub async fn run(options: &NeverReads) -> HarnessResult<Findings> {
    let mut findings = Findings::default();
    let dir = tempfile::tempdir()?;
    let server = ServerOptions::new(options.binaries.clone(), dir.path()).store(&options.store).args(&LIMITS);
    let cache: &[&str] = if options.store == "redb" { &["--cache-bytes=16MiB"] } else { &[] };
    let server = Server::start(server.args(cache)).await?;
    let mut writer = Writer::new("writer", connect(&server.url("ws"), STORE)?, TEXT_BYTES);
    writer.write(1).await?;
    let listener = listen(&server)?;
    // A request of the writer's may have its own connection; it is there before the count.
    let at_rest = Usage::of(server.pid()).ok_or("this system does not tell what a process holds")?;
    let deaf = subscribe(&server, options.subscribers).await?;
    let before = Usage::of(server.pid()).ok_or("the server is gone")?;
    findings.figure("the server before", before);

    let pushes = options.megabytes * 1_000_000 / TEXT_BYTES;
    progress(format_args!(
        "{pushes} events of {TEXT_BYTES} bytes past {} subscribers that never read",
        deaf.len()
    ));
    let begun = Instant::now();
    for _ in 0..pushes {
        writer.write(1).await?;
    }
    let rate = options.megabytes as f64 / begun.elapsed().as_secs_f64();
    findings.figure("pushed", format!("{} MB, {rate:.1} MB/s", options.megabytes));
    let pushed = Instant::now();
    let delivered = timeout(HANG, listener.until(writer.head())).await;
    findings.expect(matches!(delivered, Ok(Ok(()))), || {
        "the subscriber that reads did not get everything".to_owned()
    });
    findings
        .figure("the one that reads had all", format!("{} after the last push", millis(pushed.elapsed())));

    // Pipelined requests for the whole log, of which no answer is ever read.
    let greedy = ask_and_never_read(&server, options.subscribers).await?;
    dropped(&server, at_rest, &mut findings).await?;
    let peak = Usage::of(server.pid()).ok_or("the server is gone")?;
    let grown = peak.peak_bytes.saturating_sub(at_rest.resident_bytes);
    findings.figure(
        "memory at most",
        format!("{}, {} more than before", mebibytes(peak.peak_bytes), mebibytes(grown)),
    );
    findings.expect(grown <= MEMORY_BYTES, || format!("the server took {} more", mebibytes(grown)));
    drop((deaf, greedy));

    let audited = audit(&*connect(&server.url("http"), STORE)?, &Ledger::of([&writer])).await?;
    findings.violations(audited.violations);
    findings.violations(server.panics());
    Ok(findings)
}

/// Live pulls over each kind of WebSocket, whose clients got one page and hear nothing more.
async fn subscribe(server: &Server, count: usize) -> HarnessResult<Vec<Deaf>> {
    let mut all = Vec::new();
    for wire in ["ws", "livestore+ws"] {
        for _ in 0..count {
            let cable = Cable::new(server.addr(), Speed::default()).await?;
            let backend = connect(&cable.url(wire), STORE)?;
            let mut pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Live));
            timeout(HANG, pages.next()).await?.ok_or("a live pull ended")??;
            cable.set(Plug::Deaf);
            // It goes on to acknowledge, to ask and to ping.
            let client = tokio::spawn(async move { while let Some(Ok(_)) = pages.next().await {} });
            all.push(Deaf { _cable: cable, client });
        }
    }
    Ok(all)
}

/// A subscriber that hears nothing.
#[derive(Debug)]
struct Deaf {
    _cable: Cable,
    client: JoinHandle<()>,
}

impl Drop for Deaf {
    fn drop(&mut self) {
        self.client.abort();
    }
}

/// HTTP clients that ask for more than any buffer holds, and read nothing.
async fn ask_and_never_read(server: &Server, count: usize) -> HarnessResult<Vec<TcpStream>> {
    let request = format!("GET /stores/{STORE}/pull?after=0 HTTP/1.1\r\nhost: test\r\n\r\n");
    let mut all = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(server.addr()).await?;
        stream.write_all(request.repeat(50).as_bytes()).await?;
        all.push(stream);
    }
    Ok(all)
}

/// Those that never read have to be gone in the end, without having closed anything themselves.
async fn dropped(server: &Server, at_rest: Usage, findings: &mut Findings) -> HarnessResult<()> {
    let begun = Instant::now();
    // The answers are on their way, and fill the system's buffers.
    sleep(Duration::from_millis(500)).await;
    let with_them = Usage::of(server.pid()).ok_or("the server is gone")?;
    let are_gone = |usage: &Usage| usage.files <= at_rest.files;
    let settled = wait_for(server.pid(), HANG, are_gone).await.ok_or("the server is gone")?;
    findings.figure("the server with them", with_them);
    findings.figure("the server at the end", format!("{settled}, {} later", millis(begun.elapsed())));
    findings.expect(settled.files <= at_rest.files, || {
        format!("{} connections that never read are still open", settled.files - at_rest.files)
    });
    Ok(())
}

/// A subscriber that reads.
#[derive(Debug)]
struct Listener(JoinHandle<Result<(), String>>, tokio::sync::watch::Receiver<GlobalSeq>);

fn listen(server: &Server) -> HarnessResult<Listener> {
    let mut pages = connect(&server.url("ws"), STORE)?.pull(Pull::new(None, Cursor::start(), PullMode::Live));
    let (sender, reached) = tokio::sync::watch::channel(GlobalSeq::ROOT);
    let reading = tokio::spawn(async move {
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| error.to_string())?;
            if page.after > *sender.borrow() {
                return Err(format!("a page follows {}", page.after));
            }
            sender.send_replace(page.through);
        }
        Err("a live pull ended".to_owned())
    });
    Ok(Listener(reading, reached))
}

impl Listener {
    async fn until(mut self, head: GlobalSeq) -> Result<(), String> {
        tokio::select! {
            ended = &mut self.0 => ended.map_err(|error| error.to_string())?,
            reached = self.1.wait_for(|reached| *reached >= head) => reached.map(drop).map_err(|error| error.to_string()),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}
