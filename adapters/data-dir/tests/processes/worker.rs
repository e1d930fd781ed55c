//! A process that opens the store and does as it is told, line by line.
//!
//! ```text
//! test ▶ process                    process ▶ test
//! write <run> <count>               kept <number>    for each, once it is durable
//! report <writer>                   state <hash>     once that writer is there, and all is confirmed
//! end                               (it shuts down)
//! ```

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::{env, io};

use livestore_engine::{Receipt, Store};
use tokio::runtime::Runtime;

use crate::app::{self, LIMIT, Written};

const JOB: &str = "LIVESTORE_TEST_WORKER";

/// So many commits of a worker are on their way at once.
const UNDER_WAY: usize = 32;

/// A process, from the test's side; killed at the end if it still runs.
pub(crate) struct Worker {
    pub(crate) child: Child,
    stdin: ChildStdin,
}

/// What a process says, up to its end.
pub(crate) struct Answers(Receiver<String>);

impl Iterator for Answers {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        match self.0.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("a process says nothing"),
        }
    }
}

impl Worker {
    /// Starts a process with a session called `name`.
    pub(crate) fn start(dir: &Path, name: &str, server: Option<&str>) -> (Self, Answers) {
        let job = format!("{}\n{name}\n{}", dir.display(), server.unwrap_or_default());
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["worker::process", "--exact", "--nocapture"])
            .env(JOB, job)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // What the test harness says is no answer, and who no longer listens needs none.
                let _ = line.strip_prefix("> ").map(|line| sender.send(line.to_owned()));
            }
        });
        (Self { child, stdin }, Answers(answers))
    }

    /// Tells it something. It may have been killed.
    pub(crate) fn tell(&mut self, what: &str) {
        let _ = writeln!(self.stdin, "{what}");
    }

    /// As `kill -9`; what it had said is still to be read.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn end(mut self) {
        self.tell("end");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does nothing, unless a test started this program as a process of its own.
#[test]
fn process() {
    let Ok(job) = env::var(JOB) else { return };
    let job: Vec<&str> = job.split('\n').collect();
    let (dir, name, server) = (PathBuf::from(job[0]), job[1], Some(job[2]).filter(|url| !url.is_empty()));
    Runtime::new().unwrap().block_on(async {
        let session = app::data(&dir).session(name.parse().unwrap()).unwrap();
        let store = app::builder(&dir, server).session(session).start().await.unwrap();
        say(&format!("started {}", store.session().id()));
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["write", run, count] => {
                    write(&store, name, run.parse().unwrap(), count.parse().unwrap()).await;
                }
                ["report", writer] => say(&report(&store, writer, server.is_some()).await),
                _ => break,
            }
        }
        store.shutdown(LIMIT).await.unwrap();
    });
}

async fn write(store: &Store, writer: &str, run: u32, count: u32) {
    let mut under_way = VecDeque::<(u32, Receipt)>::new();
    for number in 1..=count {
        let written = Written { writer: writer.to_owned(), run, number };
        under_way.push_back((number, store.commit_event(&written).unwrap()));
        if under_way.len() == UNDER_WAY {
            keep(under_way.pop_front()).await;
        }
    }
    while !under_way.is_empty() {
        keep(under_way.pop_front()).await;
    }
}

async fn keep(next: Option<(u32, Receipt)>) {
    let (number, receipt) = next.unwrap();
    receipt.persisted().await.unwrap();
    say(&format!("kept {number}"));
}

async fn report(store: &Store, writer: &str, syncs: bool) -> String {
    app::until(store, |store| app::all(store).iter().any(|written| written.writer == writer)).await;
    if syncs {
        store.synced().await.unwrap();
    }
    state(store)
}

/// What a process says of a state.
pub(crate) fn state(store: &Store) -> String {
    let mut hasher = DefaultHasher::new();
    let all = app::all(store);
    all.hash(&mut hasher);
    format!("state {} {:x}", all.len(), hasher.finish())
}

fn say(what: &str) {
    // The test may have failed and be gone.
    let _ = writeln!(io::stdout(), "> {what}");
}
