//! The end of a run: faults stop, everybody converges in bounded time, and new events arrive promptly.

use std::time::Duration;

use livestore_traits::{LeaderStatus, SyncActivity};
use livestore_transport_memory::LinkConfig;
use tokio::time::{Instant, sleep};

use crate::app::Kind;
use crate::client::Phase;
use crate::ledger::Account;
use crate::plan::Layer;
use crate::world::World;

/// How long clients may take to converge once faults have stopped: several of the longest waits one after the other
/// (a start that waits for a leader, a silent connection, a backoff).
const CONVERGE: Duration = Duration::from_secs(600);

/// How long an event may take to everybody when all are connected.
const DELIVER: Duration = Duration::from_secs(15);

/// How long it may take to notice that a connection died in silence, and to make another one.
const NOTICE: Duration = Duration::from_secs(150);

impl World {
    /// Ends all faults, and waits until everybody has converged.
    pub(crate) async fn settle(&mut self) {
        self.record.tell("faults stop");
        self.ways.configure(LinkConfig::default());
        self.ways.heal_all();
        self.server.disarm();
        (0..self.clients.len()).for_each(|at| self.heal_disk(at));
        self.restart_server();
        for client in &self.clients {
            client.model.lock().disarm();
            client.election.resume();
            client.processes.iter().for_each(|process| process.gate.resume());
        }
        let began = Instant::now();
        while !self.has_converged() {
            if began.elapsed() > CONVERGE {
                return self.record.violate(self.why_not());
            }
            sleep(Duration::from_millis(250)).await;
            self.check();
            if self.record.violation().is_some() {
                return;
            }
            self.restart_server();
            for at in 0..self.clients.len() {
                if self.clients[at].processes.is_empty() {
                    self.start(at);
                }
            }
        }
        self.record.tell("everybody has converged");
        if self.plan.layer == Layer::Network {
            sleep(NOTICE).await;
        }
        self.deliver().await;
    }

    /// Every client commits once more, and everybody gets that in time: nobody is asleep.
    async fn deliver(&mut self) {
        for at in 0..self.clients.len() {
            let text = format!("t{}", self.new_id());
            let (session, account) = self.clients[at].processes[0].sessions[0].clone();
            self.record.tell(format_args!("{} commits Put {text}", self.clients[at].name));
            if let Err(error) = self.accounts[account].commit(&session, vec![(Kind::Put, text)]) {
                return self.record.violate(format_args!("a session takes no commit: {error}"));
            }
        }
        let began = Instant::now();
        sleep(Duration::from_millis(10)).await;
        while !self.has_converged() {
            if began.elapsed() > DELIVER {
                let why = self.why_not();
                return self.record.violate(format_args!("an event is not delivered: {why}"));
            }
            sleep(Duration::from_millis(100)).await;
            self.check();
        }
        self.check();
    }

    fn has_converged(&self) -> bool {
        let head = self.server.len() as u64;
        let is_there = |leader: &LeaderStatus| {
            leader.pending_events == 0
                && leader.upstream_head.global.0 == head
                && leader.activity == SyncActivity::CaughtUp
        };
        self.clients.iter().all(|client| {
            !client.processes.is_empty()
                && client.processes.iter().all(|process| {
                    let Phase::Running(store) = &process.phase else { return false };
                    let leader = store.store_status().leader;
                    is_there(&leader)
                        && process.opening.is_empty()
                        && process.sessions.iter().all(|(session, _)| {
                            let status = session.status();
                            status.attached
                                && status.pending_events == 0
                                && status.unconfirmed_commits == 0
                                && status.upstream_head == leader.local_head
                        })
                })
        }) && self.accounts_are_decided()
    }

    /// Whoever holds a receipt of a session that lives was told.
    fn accounts_are_decided(&self) -> bool {
        let live = self.clients.iter().flat_map(|client| &client.processes);
        let mut accounts = live.flat_map(|process| &process.sessions).map(|(_, account)| *account);
        accounts.all(|account| {
            let account: &Account = &self.accounts[account];
            account.commits.iter().all(|commit| commit.is_decided())
        })
    }

    /// What somebody still waits for.
    fn why_not(&self) -> String {
        let mut why = format!("no convergence; the backend is at {}", self.server.len());
        for client in &self.clients {
            for process in &client.processes {
                why.push_str(&format!("\n  {}: ", process.name));
                match &process.phase {
                    Phase::Running(store) => {
                        let status = store.store_status();
                        let leader = &status.leader;
                        why.push_str(&format!(
                            "{:?}, leader at {} (upstream {}), {} pending, {:?}, {:?}, {:?}",
                            status.presence,
                            leader.local_head,
                            leader.upstream_head,
                            leader.pending_events,
                            leader.activity,
                            leader.connection,
                            leader.last_error
                        ));
                    }
                    phase => why.push_str(&format!("{phase:?}")),
                }
                for (session, account) in &process.sessions {
                    why.push_str(&format!("\n    {:?}", session.status()));
                    let open = self.accounts[*account].commits.iter().filter(|commit| !commit.is_decided());
                    open.for_each(|commit| why.push_str(&format!("\n      open: {:?}", commit.unit)));
                }
            }
        }
        why
    }
}
