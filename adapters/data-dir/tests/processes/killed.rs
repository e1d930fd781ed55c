//! Processes that write at once while whoever leads is killed, again and again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use livestore_backend_memory::MemoryBackends;
use livestore_engine::Store;
use livestore_leader_file::FileElection;
use livestore_server::Server;
use livestore_traits::{Position, ReadLimit, SessionId};
use tokio::runtime::Runtime;

use crate::app::{self, LIMIT, Written};
use crate::worker::{self, Answers, Worker};

const WRITERS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Writes when they are done.
const LAST: &str = "last";

/// What each of them writes.
const COUNT: u32 = 1_000;

/// The leader is killed whenever so much was written since.
const KILL_AFTER: u32 = 400;

#[test]
fn nothing_is_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    Crew::start(dir.path(), None).write_all().check();
}

#[test]
fn nothing_is_lost_or_doubled_with_a_server() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Server::builder(MemoryBackends::new()).bind("127.0.0.1:0")).unwrap();
    let url = format!("ws://{}", server.local_addr());
    let dir = tempfile::tempdir().unwrap();
    let written = Crew::start(dir.path(), Some(&url)).write_all().check();
    // Another client gets the same from the server.
    let other = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let store = app::open(other.path(), Some(&url)).await;
        store.synced().await.unwrap();
        assert_eq!(app::all(&store), written);
        store.shutdown(LIMIT).await.unwrap();
        server.shutdown().await;
    });
}

/// All writers, through all the processes that each has one after the other.
struct Crew<'a> {
    dir: &'a Path,
    server: Option<&'a str>,
    workers: Vec<Worker>,
    /// For each writer and each run of it: up to which number all is durable, as its process said.
    kept: Vec<Vec<u32>>,
    /// What is said, by whom; `None` when a process has ended.
    said: Receiver<(usize, Option<String>)>,
    sender: Sender<(usize, Option<String>)>,
}

impl<'a> Crew<'a> {
    fn start(dir: &'a Path, server: Option<&'a str>) -> Self {
        let (sender, said) = mpsc::channel();
        let mut crew = Self { dir, server, workers: Vec::new(), kept: Vec::new(), said, sender };
        for (who, name) in WRITERS.into_iter().enumerate() {
            let (worker, answers) = Worker::start(dir, name, server);
            crew.workers.push(worker);
            crew.kept.push(Vec::new());
            crew.begin_run(who, answers);
        }
        crew
    }

    /// Lets a new process go on where the one before was known to have got.
    fn begin_run(&mut self, who: usize, answers: Answers) {
        let (run, missing) = (self.kept[who].len(), COUNT - self.total(who));
        self.kept[who].push(0);
        self.workers[who].tell(&format!("write {run} {missing}"));
        let sender = self.sender.clone();
        thread::spawn(move || {
            for said in answers.map(Some).chain([None]) {
                // The test may have failed meanwhile.
                let _ = sender.send((who, said));
            }
        });
    }

    fn total(&self, who: usize) -> u32 {
        self.kept[who].iter().sum()
    }

    /// Until everybody has written everything; whoever is killed is started again.
    fn write_all(mut self) -> Self {
        let (mut since_kill, mut kills, mut restarts) = (0, 0, 0);
        while restarts < kills || (0..WRITERS.len()).any(|who| self.total(who) < COUNT) {
            let (who, said) = self.said.recv_timeout(LIMIT).expect("they go on");
            let Some(said) = said else {
                let (worker, answers) = Worker::start(self.dir, WRITERS[who], self.server);
                self.workers[who] = worker;
                self.begin_run(who, answers);
                restarts += 1;
                continue;
            };
            if let Some(number) = said.strip_prefix("kept ") {
                *self.kept[who].last_mut().unwrap() = number.parse().unwrap();
                since_kill += 1;
            } else {
                assert_eq!(said, format!("started {}", WRITERS[who]), "a name is its session's again");
            }
            if since_kill >= KILL_AFTER && self.kill_leader() {
                (since_kill, kills) = (0, kills + 1);
            }
        }
        println!("leaders were killed {kills} times; runs: {:?}", self.kept);
        assert!(kills >= 5, "{kills}");
        self
    }

    /// Kills whoever leads, unless that is somebody else by now.
    fn kill_leader(&mut self) -> bool {
        let leader = FileElection::holder(app::data(self.dir).path()).unwrap();
        let leads =
            |worker: &&mut Worker| leader.as_ref().is_some_and(|leader| leader.pid == worker.child.id());
        let worker = self.workers.iter_mut().find(leads);
        worker.map(Worker::kill).is_some()
    }

    /// Everything that is known to be durable is there, once, in order, and in every state; returns it.
    fn check(mut self) -> Vec<Written> {
        Runtime::new().unwrap().block_on(async {
            let store = app::open(self.dir, self.server).await;
            self.check_states(&store).await;
            let all = app::all(&store);
            self.check_numbers(&all);
            self.workers.into_iter().for_each(Worker::end);
            // It is the only one left.
            app::until_leading(&store).await;
            check_log(&store).await;
            store.shutdown(LIMIT).await.unwrap();
            all
        })
    }

    async fn check_states(&mut self, store: &Store) {
        let last = Written { writer: LAST.into(), run: 0, number: 0 };
        let receipt = store.commit_event(&last).unwrap();
        receipt.persisted().await.unwrap();
        if self.server.is_some() {
            store.synced().await.unwrap();
        }
        let mut states = BTreeMap::new();
        self.workers.iter_mut().for_each(|worker| worker.tell(&format!("report {LAST}")));
        while states.len() < WRITERS.len() {
            let (who, said) = self.said.recv_timeout(LIMIT).unwrap();
            let said = said.expect("nobody is killed any more");
            if said.starts_with("state ") {
                states.insert(who, said);
            }
        }
        let expected = worker::state(store);
        assert!(states.values().all(|state| *state == expected), "{states:?}, not {expected}");
    }

    fn check_numbers(&self, all: &[Written]) {
        for (name, kept) in WRITERS.iter().zip(&self.kept) {
            let mut written: Vec<Vec<u32>> = vec![Vec::new(); kept.len()];
            let mut last_run = 0;
            for line in all.iter().filter(|line| line.writer == *name) {
                assert!(line.run >= last_run, "{name} {line:?} after run {last_run}");
                last_run = line.run;
                written[usize::try_from(line.run).unwrap()].push(line.number);
            }
            for (run, (written, kept)) in written.iter().zip(kept).enumerate() {
                // What was under way when it was killed is there once, or not at all.
                let in_order: Vec<u32> = (1..).take(written.len()).collect();
                assert_eq!(*written, in_order, "{name}, run {run}");
                assert!(written.len() >= *kept as usize, "{name}, run {run}: {} of {kept}", written.len());
            }
        }
    }
}

/// In the log each session's commits are counted without a gap.
async fn check_log(store: &Store) {
    let log = store.eventlog().await.unwrap();
    let mut last: BTreeMap<SessionId, u64> = BTreeMap::new();
    let mut at = Position::ROOT;
    loop {
        let events = log.read(at, ReadLimit::events(1_000)).unwrap();
        let Some(end) = events.last() else { break };
        at = end.num.position();
        for event in &events {
            let n = event.commit.unwrap().n;
            let before = last.insert(event.session_id.clone(), n).unwrap_or(0);
            assert_eq!(n, before + 1, "{event:?}");
        }
    }
    for name in WRITERS {
        let id = SessionId::new(name).unwrap();
        let record = log.session(&id).unwrap().unwrap();
        assert_eq!((record.persisted, record.gone.len()), (last[&id], 0));
    }
}
