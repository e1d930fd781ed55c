//! The load generator against servers that are as they should be, and against others.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Output, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use livestore_backend_memory::MemoryBackends;
use livestore_integration::TlsProxy;
use livestore_traits::{
    Args, BackendProvider, BoxStream, Capabilities, ConnectionStatus, ProviderError, Pull, PullError,
    PullPage, Push, PushAck, PushError, StoreId, SyncBackend,
};
use serde_json::Value;

use crate::support::{Server, livestore, path, run, text};

const DIALECTS: [&str; 4] = ["livestore", "livestore-http", "native", "http"];

fn in_memory() -> Server {
    Server::spawn(livestore(&["serve", "--memory", "--listen", "127.0.0.1:0"]))
}

fn bench(addr: &str, dialect: &str, args: &[&str]) -> Output {
    let url = format!("ws://{addr}");
    let mut all = vec!["bench", "--url", &url, "--dialect", dialect, "--seconds", "0.1"];
    all.extend(args);
    run(&all)
}

#[track_caller]
fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Checks that a failure is one sentence with all of `parts`.
#[track_caller]
fn assert_failed(output: &Output, parts: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{part:?} is not in {stderr}");
    }
}

#[test]
fn every_dialect_is_measured_and_read_back() {
    let server = in_memory();
    let addr = server.addr.to_string();
    for dialect in DIALECTS {
        let pushes = ["--clients", "1,3", "--batch", "1,7", "--events", "250", "--json"];
        let report = report(&bench(&addr, dialect, &[&["push", "pull"][..], &pushes[..]].concat()));
        assert_eq!(report["dialect"], dialect);
        assert_eq!(report["complete"], true);
        let rows = report["push"].as_array().unwrap();
        let shapes: Vec<_> =
            rows.iter().map(|row| (row["clients"].as_u64(), row["stores"].as_u64())).collect();
        assert_eq!(
            shapes,
            [(1, 1), (1, 1), (3, 3), (3, 3), (3, 1), (3, 1)]
                .map(|(clients, stores)| (Some(clients), Some(stores)))
        );
        // Each client has pushed one event before the clock runs.
        assert!(rows.iter().all(|row| row["verifiedEvents"].as_u64() >= row["clients"].as_u64()), "{rows:?}");
        let pull = &report["pull"][0];
        assert_eq!((pull["events"].as_u64(), pull["verifiedEvents"].as_u64()), (Some(250), Some(250)));
        assert!(pull["eventsPerSecond"].as_f64() > Some(0.0), "{pull}");
    }
}

#[test]
fn an_event_reaches_every_subscriber() {
    let server = in_memory();
    let addr = server.addr.to_string();
    for dialect in ["livestore", "native", "http"] {
        let report = report(&bench(&addr, dialect, &["fan-out", "--subscribers", "1,20", "--json"]));
        let rows = report["fanOut"].as_array().unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row["rounds"].as_u64() > Some(0)), "{rows:?}");
    }
    let polled = bench(&addr, "livestore-http", &["fan-out"]);
    assert_failed(&polled, &["no live pull", "--dialect"]);
}

#[test]
fn the_table_says_that_it_was_verified() {
    let server = in_memory();
    let output = bench(&server.addr.to_string(), "livestore", &["push", "--clients", "2", "--batch", "1"]);
    let table = text(&output.stdout);
    for part in ["pushes/s", "ack p50", "client cpu", "verified: ", "every acknowledged one is there once"] {
        assert!(table.contains(part), "{part:?} is not in {table}");
    }
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn addresses_that_lead_nowhere() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for dialect in DIALECTS {
        assert_failed(&bench(&free, dialect, &["push"]), &["refused"]);
    }
    for (url, part) in [("nowhere", "scheme"), ("ftp://a", "scheme"), ("ws://a b", "no address")] {
        assert_failed(&run(&["bench", "--url", url]), &["--url", part]);
    }
}

#[test]
fn a_server_behind_tls() {
    let server = in_memory();
    let proxy = TlsProxy::start("localhost", server.addr);
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, proxy.certificate()).unwrap();
    for scheme in ["wss", "https", "livestore+wss", "livestore+https"] {
        let url = format!("{scheme}://localhost:{}", proxy.port());
        let push = ["bench", "push", "--url", &url, "--seconds", "0.1", "--clients", "1", "--batch", "1"];
        assert_failed(&run(&push), &["UnknownIssuer"]);
        let trusting = run(&[&push[..], &["--ca", path(&ca)]].concat());
        assert!(trusting.status.success(), "{scheme}: {}", text(&trusting.stderr));
    }
    assert_failed(
        &run(&["bench", "--url", "wss://a", "--ca", "no-such-file"]),
        &["--ca no-such-file", "No such file"],
    );
}

#[test]
fn options_that_make_no_sense() {
    for (args, part) in [
        (["push", "--events", "5"], "--events is for the scenario pull"),
        (["pull", "--batch", "5"], "--batch is for the scenario push"),
        (["push", "--clients", "1000000"], "--clients is at most"),
        (["push", "--event-bytes", "7"], "--event-bytes is from"),
    ] {
        assert_failed(&bench("127.0.0.1:1", "native", &args), &[part]);
    }
}

#[test]
fn a_payload_that_the_server_wants() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("livestore.toml");
    fs::write(&config, "memory = true\nlisten = \"127.0.0.1:0\"\n[[access]]\nstores = \"bench-*\"\npayload.authToken = \"let-me-in\"\nallow = \"read-write\"\n").unwrap();
    let server = Server::spawn(livestore(&["serve", "--config", path(&config)]));
    let addr = server.addr.to_string();
    let push = ["push", "--clients", "1", "--batch", "1"];
    for dialect in DIALECTS {
        assert_failed(&bench(&addr, dialect, &push), &[]);
        let wrong = [&push[..], &["--payload", r#"{"authToken":"wrong"}"#]].concat();
        let output = bench(&addr, dialect, &wrong);
        assert_failed(&output, &[]);
        assert!(!text(&output.stderr).contains("wrong\""), "the payload was printed");
        let right = [&push[..], &["--payload", r#"{"authToken":"let-me-in"}"#]].concat();
        assert!(bench(&addr, dialect, &right).status.success(), "{dialect}");
    }
    assert!(text(&run(&["bench", "--url", "ws://a", "--payload", "{"]).stderr).contains("not JSON"));
}

/// A bench with so many rows that it is still running when its first one is there.
struct Endless {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Endless {
    fn start(addr: &str, dialect: &str) -> Self {
        let url = format!("ws://{addr}");
        let clients: Vec<String> = (1..1000).map(|clients| clients.to_string()).collect();
        let args = ["bench", "push", "--url", &url, "--dialect", dialect, "--seconds", "0.1", "--clients"];
        let mut command = livestore(&args);
        command.args([&clients.join(","), "--batch", "1"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        // The heading ends with the column, the first row with its figure.
        while said.lines().skip_while(|line| !line.contains("client cpu")).count() < 2 {
            assert!(stdout.read_line(&mut said).unwrap() > 0, "it ended: {said}");
        }
        Self { child, stdout }
    }

    fn end(mut self) -> Output {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.stdout.read_to_end(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
        Output { status: self.child.wait().unwrap(), stdout, stderr }
    }
}

#[test]
fn a_server_that_dies_in_the_middle() {
    for dialect in DIALECTS {
        let server = in_memory();
        let bench = Endless::start(&server.addr.to_string(), dialect);
        server.signal("KILL");
        assert_failed(&bench.end(), &[]);
    }
}

#[test]
fn ctrl_c_keeps_what_was_measured() {
    let server = in_memory();
    let bench = Endless::start(&server.addr.to_string(), "livestore");
    let kill = format!("kill -INT {}", bench.child.id());
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let output = bench.end();
    assert_failed(&output, &["interrupted"]);
    assert!(text(&output.stdout).contains("verified: "));
}

/// Changes what is read back, as a server does that is not to be trusted.
#[derive(Debug)]
struct Lying<T>(T, Lie);

#[derive(Clone, Copy, Debug)]
enum Lie {
    OtherArgs,
    LostEnd,
}

#[async_trait]
impl BackendProvider for Lying<MemoryBackends> {
    async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
        Ok(Arc::new(Lying(self.0.open(store).await?, self.1)))
    }
}

#[async_trait]
impl SyncBackend for Lying<Arc<dyn SyncBackend>> {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        self.0.push(push).await
    }
    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        let lie = self.1;
        self.0.pull(pull).map(move |page| page.map(|page| lie.tell(&page))).boxed()
    }
    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.0.connection()
    }
}

impl Lie {
    fn tell(self, page: &PullPage) -> PullPage {
        let mut events = page.events.to_vec();
        match self {
            Self::OtherArgs => {
                if let Some(first) = events.first_mut() {
                    first.args = Args::null();
                }
            }
            Self::LostEnd => drop(events.pop()),
        }
        let token = page.cursor.token.clone();
        PullPage::new(page.after, events.into(), token, page.backend_id.clone(), page.info)
    }
}

#[tokio::test]
async fn what_a_server_loses_or_changes_is_found() {
    for (lie, part) in [(Lie::OtherArgs, "is not event 0 of client 0"), (Lie::LostEnd, "ends at 0")] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Lying(MemoryBackends::new(), lie);
        let server = livestore_server::Server::builder(provider).listen(listener).unwrap();
        let addr = server.local_addr().to_string();
        for dialect in ["livestore", "http"] {
            let addr = addr.clone();
            // One event: nothing but the warm-up's, so that the first page holds the whole log.
            let args = ["pull", "--events", "1"];
            let output = tokio::task::spawn_blocking(move || bench(&addr, dialect, &args)).await.unwrap();
            assert_failed(&output, &["lost or changed", part]);
        }
    }
}
