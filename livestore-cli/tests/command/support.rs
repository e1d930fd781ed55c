//! Starts the command, talks to it as curl would, and stops it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// Far above what anything takes: reaching it is a hang.
const HANG: Duration = Duration::from_secs(60);

/// The command, not started.
pub(crate) fn livestore(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_livestore"));
    command.args(args).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs the command to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    livestore(args).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A running server. Killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) addr: SocketAddr,
    /// What it said first.
    pub(crate) introduction: String,
}

/// How a server ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Server {
    /// Serves a data dir on a port that the system chooses.
    pub(crate) fn start(data_dir: &Path, args: &[&str]) -> Self {
        let mut command = livestore(&["serve", "--listen", "127.0.0.1:0", "--data-dir", path(data_dir)]);
        command.args(args);
        Self::spawn(command)
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut introduction = String::new();
        while !introduction.contains("curl ") {
            if stdout.read_line(&mut introduction).unwrap() == 0 {
                let mut stderr = String::new();
                child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
                panic!("the server did not start: {stderr}");
            }
        }
        let (_, url) = introduction.split_once("http://").unwrap();
        let addr = url.split(';').next().unwrap().parse().unwrap();
        Self { child, stdout, addr, introduction }
    }

    /// Serves a data dir with a config file of this text.
    pub(crate) fn with_config(data_dir: &Path, config: &str) -> Self {
        let file = data_dir.join("livestore.toml");
        std::fs::write(&file, config).unwrap();
        Self::start(data_dir, &["--config", path(&file)])
    }

    /// A signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// The next line it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let mut ended =
            Ended { status: self.child.wait().unwrap(), stdout: String::new(), stderr: String::new() };
        self.stdout.read_to_string(&mut ended.stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut ended.stderr).unwrap();
        ended
    }

    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM");
        self.wait()
    }

    /// `GET` and the answer.
    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        try_get(self.addr, path).unwrap()
    }

    /// Pushes one event after `parent`.
    pub(crate) fn push(&self, store: &str, parent: u64, text: &str) -> (u16, Value) {
        try_push(self.addr, store, parent, text).unwrap()
    }

    /// The numbers and texts of all events after `after`.
    pub(crate) fn events(&self, store: &str) -> Vec<(u64, String)> {
        let (mut after, mut found) = (0, Vec::new());
        loop {
            let (status, page) = self.get(&format!("/stores/{store}/pull?after={after}"));
            assert_eq!(status, 200, "{page}");
            for event in page["events"].as_array().unwrap() {
                found.push((
                    event["seq"].as_u64().unwrap(),
                    event["args"]["text"].as_str().unwrap().to_owned(),
                ));
            }
            after = page["through"].as_u64().unwrap();
            if page["caughtUp"] == true {
                return found;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of a push of one event.
pub(crate) fn one_event(parent: u64, text: &str) -> Value {
    let event = json!({
        "seq": parent + 1, "parent": parent, "name": "v1.Noted", "args": {"text": text},
        "clientId": "curl", "sessionId": "main",
    });
    json!({"parent": parent, "events": [event]})
}

pub(crate) fn try_push(
    addr: SocketAddr,
    store: &str,
    parent: u64,
    text: &str,
) -> std::io::Result<(u16, Value)> {
    let body = one_event(parent, text).to_string();
    let len = body.len();
    request(addr, &format!("POST /stores/{store}/push HTTP/1.1\r\ncontent-length: {len}\r\n"), &body)
}

pub(crate) fn try_get(addr: SocketAddr, path: &str) -> std::io::Result<(u16, Value)> {
    request(addr, &format!("GET {path} HTTP/1.1\r\n"), "")
}

fn request(addr: SocketAddr, head: &str, body: &str) -> std::io::Result<(u16, Value)> {
    let mut stream = connect(addr)?;
    stream.write_all(format!("{head}host: test\r\nconnection: close\r\n\r\n{body}").as_bytes())?;
    read_answer(&mut stream)
}

/// The status and the text of the answer to a request with these lines of headers, each with its line break.
pub(crate) fn exchange(addr: SocketAddr, line: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = connect(addr).unwrap();
    let len = body.len();
    let connection = if headers.contains("upgrade") { "upgrade, close" } else { "close" };
    write!(
        stream,
        "{line} HTTP/1.1\r\nhost: test\r\nconnection: {connection}\r\ncontent-length: {len}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut answer = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(answer.read_line(&mut head).unwrap(), 0, "half an answer: {head}");
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut body = String::new();
    // Behind an upgrade there is no body, and nothing ends.
    if status != 101 {
        answer.read_to_string(&mut body).unwrap();
    }
    (status, body)
}

pub(crate) fn connect(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(HANG))?;
    Ok(stream)
}

/// The status and the JSON of an answer after which the connection is closed.
pub(crate) fn read_answer(stream: &mut TcpStream) -> std::io::Result<(u16, Value)> {
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let broken = || std::io::Error::other(format!("half an answer: {answer:?}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    Ok((status, serde_json::from_str(body).map_err(|_| broken())?))
}
