//! What can go wrong, each by name; and one thing at random.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::{Connection, Side};
use crate::counts::Count;
use crate::lane::End;
use crate::network::{Inner, SimNetwork, pair};

/// How it looks to connect to a host that can't be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// Somebody says so.
    Refuses,
    /// Nobody answers.
    Silent,
}

/// How a host goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Its process ends: peers see their connections reset, and new ones refused.
    Process,
    /// Its power is cut: peers hear nothing.
    Machine,
}

/// A fault that [`SimNetwork::strike`] has drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// [`SimNetwork::partition`]
    Partition(Unreachable),
    /// [`SimNetwork::partition_oneway`], of the first host's bytes or the second's.
    PartitionOneway {
        /// Whether the first host is not heard, or the second.
        of_first: bool,
    },
    /// [`SimNetwork::half_open`], likewise.
    HalfOpen {
        /// Whether the first host is not heard, or the second.
        of_first: bool,
    },
    /// [`SimNetwork::cut`]
    Cut(End),
    /// [`SimNetwork::lose_answer`]
    LoseAnswer,
    /// [`SimNetwork::stall`]
    Stall(Duration),
    /// [`SimNetwork::slow_reader`], the first host or the second.
    SlowReader {
        /// Whether it is the first.
        is_first: bool,
        /// How slow.
        bytes_per_second: u32,
    },
}

impl SimNetwork {
    /// Parts two hosts: bytes between them vanish without a word, and connecting fails. Connections that exist then stay
    /// dead when the hosts are [healed](Self::heal), as behind a router that has forgotten them.
    pub fn partition(&self, one: &str, other: &str, how: Unreachable) {
        self.block(one, other, how);
        self.block(other, one, how);
        self.shared.counts.add(Count::Partition);
    }

    /// Parts two hosts in one direction: what `from` sends to `to` vanishes. Nobody can connect.
    pub fn partition_oneway(&self, from: &str, to: &str) {
        self.block(from, to, Unreachable::Silent);
        self.shared.counts.add(Count::Partition);
    }

    fn block(&self, from: &str, to: &str, how: Unreachable) {
        self.lock().blocked.insert((from.into(), to.into()), how);
        self.half_open(from, to);
    }

    /// What `from` sends to `to` on the connections that exist vanishes. New ones are sound.
    pub fn half_open(&self, from: &str, to: &str) {
        for (connection, side) in self.ends_at(from) {
            if connection.host(side.other()) == to {
                connection.lose(side);
                self.shared.counts.add(Count::HalfOpen);
            }
        }
    }

    /// Ends all connections of two hosts at once, each somewhere within what is under way.
    pub fn cut(&self, one: &str, other: &str, end: End) {
        self.between(one, other, |connection| {
            connection.cut(end);
            self.shared.counts.add(Count::Cut);
        });
    }

    /// Cuts each connection of two hosts, or the next one if there is none, when its next request has been delivered and
    /// the server is about to answer. The request has its effect; the answer is lost.
    pub fn lose_answer(&self, one: &str, other: &str) {
        let mut is_new = true;
        self.between(one, other, |connection| {
            connection.ambush();
            is_new = false;
        });
        if is_new {
            self.lock().ambushed.insert(pair(one, other));
        }
    }

    /// Nothing arrives between two hosts for `time`; then all of it.
    pub fn stall(&self, one: &str, other: &str, time: Duration) {
        let until = Instant::now() + time;
        self.lock().stalled.insert(pair(one, other), until);
        self.between(one, other, |connection| connection.stall(until));
        self.shared.counts.add(Count::Stall);
    }

    /// `host` reads at most so many bytes a second of each connection, so that buffers fill and writers wait.
    pub fn slow_reader(&self, host: &str, bytes_per_second: u32) {
        self.lock().slow.insert(host.into(), bytes_per_second);
        for (connection, side) in self.ends_at(host) {
            connection.slow_down(side, bytes_per_second);
        }
        self.shared.counts.add(Count::SlowReader);
    }

    /// `host` goes away with all its connections, and nobody serves there until [`SimNetwork::serve`]. What runs on the
    /// host is for the caller to drop.
    pub fn crash(&self, host: &str, how: Crash) {
        let is_silent = how == Crash::Machine;
        self.unlisten(host, is_silent);
        for (connection, side) in self.ends_at(host) {
            connection.crash(side, !is_silent);
        }
        self.shared.counts.add(Count::Crash);
    }

    /// Ends whatever is wrong between two hosts, and lets flow what is under way. What was lost stays lost.
    pub fn heal(&self, one: &str, other: &str) {
        let mut inner = self.lock();
        inner.blocked.remove(&(one.into(), other.into()));
        inner.blocked.remove(&(other.into(), one.into()));
        inner.stalled.remove(&pair(one, other));
        inner.ambushed.remove(&pair(one, other));
        inner.slow.remove(one);
        inner.slow.remove(other);
        drop(inner);
        self.between(one, other, restore);
    }

    /// Ends whatever is wrong anywhere. Hosts that have crashed are served again by [`SimNetwork::serve`] only.
    pub fn heal_all(&self) {
        let mut inner = self.lock();
        inner.blocked.clear();
        inner.stalled.clear();
        inner.ambushed.clear();
        inner.slow.clear();
        drop(inner);
        self.connections().iter().for_each(|connection| restore(connection));
    }

    /// One fault between two hosts, whichever the seed has in store. It lasts until they are healed.
    pub fn strike(&self, one: &str, other: &str) -> Fault {
        let fault = draw(&mut self.lock().chance);
        let ways = |of_first| if of_first { (one, other) } else { (other, one) };
        match fault {
            Fault::Partition(how) => self.partition(one, other, how),
            Fault::PartitionOneway { of_first } => {
                let (from, to) = ways(of_first);
                self.partition_oneway(from, to);
            }
            Fault::HalfOpen { of_first } => {
                let (from, to) = ways(of_first);
                self.half_open(from, to);
            }
            Fault::Cut(end) => self.cut(one, other, end),
            Fault::LoseAnswer => self.lose_answer(one, other),
            Fault::Stall(time) => self.stall(one, other, time),
            Fault::SlowReader { is_first, bytes_per_second } => {
                self.slow_reader(ways(is_first).0, bytes_per_second);
            }
        }
        fault
    }

    fn between(&self, one: &str, other: &str, mut act: impl FnMut(&Connection)) {
        for (connection, side) in self.ends_at(one) {
            if connection.host(side.other()) == other {
                act(&connection);
            }
        }
    }

    /// The connections of `host`, each with its side.
    fn ends_at(&self, host: &str) -> Vec<(Arc<Connection>, Side)> {
        let side = |connection: Arc<Connection>| {
            let side =
                [Side::Client, Side::Server].into_iter().find(|side| connection.host(*side) == host)?;
            Some((connection, side))
        };
        self.connections().into_iter().filter_map(side).collect()
    }
}

fn restore(connection: &Connection) {
    connection.speed_up();
    connection.spare();
    connection.hasten();
}

fn draw(chance: &mut fastrand::Rng) -> Fault {
    match chance.u32(..8) {
        0 => Fault::Partition(Unreachable::Refuses),
        1 => Fault::Partition(Unreachable::Silent),
        2 => Fault::PartitionOneway { of_first: chance.bool() },
        3 => Fault::HalfOpen { of_first: chance.bool() },
        4 => Fault::Cut(if chance.bool() { End::Reset } else { End::Finished }),
        5 => Fault::LoseAnswer,
        6 => Fault::Stall(Duration::from_millis(chance.u64(100..40_000))),
        _ => Fault::SlowReader { is_first: chance.bool(), bytes_per_second: chance.u32(10..1_000) },
    }
}

impl Inner {
    /// What is slow already is so for a new connection too.
    pub(crate) fn limit(&self, connection: &Connection) {
        for reader in [Side::Client, Side::Server] {
            if let Some(rate) = self.slow.get(connection.host(reader)) {
                connection.slow_down(reader, *rate);
            }
        }
    }
}
