//! A connection: two lanes, and what happens to both at once.

use std::io;
use std::mem::replace;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use fastrand::Rng;
use tokio::io::ReadBuf;
use tokio::time::Instant;

use crate::counts::{Count, Counts};
use crate::lane::{End, Lane};
use crate::pump::{LaneKey, Pump};
use crate::{LinkConfig, SimStream};

/// One of the two hosts of a connection; as an index, the lane that it writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    /// Client, server, and which of their connections it is.
    pub(crate) name: (Arc<str>, Arc<str>, u64),
    state: Mutex<State>,
    pump: Arc<Pump>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct State {
    lanes: [Lane; 2],
    /// When the pump is to wake the reader of each lane.
    alarms: [Option<Instant>; 2],
    ambush: Option<Ambush>,
}

/// The answer to a request is to be lost.
#[derive(Clone, Copy, Debug)]
enum Ambush {
    /// The request has not been written yet.
    Waiting,
    /// It ends with this byte of the client's.
    Requested(u64),
}

impl Connection {
    /// A connection, and its ends: the client's, then the server's.
    pub(crate) fn new(
        name: (Arc<str>, Arc<str>, u64),
        link: LinkConfig,
        random: &mut Rng,
        pump: Arc<Pump>,
        counts: Arc<Counts>,
    ) -> (Arc<Self>, SimStream, SimStream) {
        let now = Instant::now();
        let lanes = [Lane::new(link, random.fork(), now), Lane::new(link, random.fork(), now)];
        let state = Mutex::new(State { lanes, alarms: [None; 2], ambush: None });
        let this = Arc::new(Self { name, state, pump, counts });
        let ends = [Side::Client, Side::Server].map(|side| SimStream::new(this.clone(), side));
        let [client, server] = ends;
        (this, client, server)
    }

    /// The name of a side's host.
    pub(crate) fn host(&self, side: Side) -> &str {
        match side {
            Side::Client => &self.name.0,
            Side::Server => &self.name.1,
        }
    }

    pub(crate) fn poll_read(
        &self,
        side: Side,
        buffer: &mut ReadBuf<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let now = Instant::now();
        self.with(|state| {
            let lane = side.other() as usize;
            let read = state.lanes[lane].poll_read(buffer, now, cx);
            if let Poll::Ready(Ok(len)) = read
                && !state.lanes[side as usize].is_lost()
            {
                state.lanes[lane].acknowledge(len);
            }
            read.map_ok(|_| ())
        })
    }

    pub(crate) fn poll_write(
        &self,
        side: Side,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        self.with(|state| {
            if side == Side::Server && state.is_answering() {
                self.counts.add(Count::LostAnswer);
                for lane in &mut state.lanes {
                    lane.refuse(io::ErrorKind::ConnectionReset);
                    lane.abort(now);
                }
            }
            let written = state.lanes[side as usize].poll_write(bytes, now, cx);
            match written {
                Poll::Ready(Ok(len)) => {
                    self.counts.note_write(&self.name, side, len, now);
                    state.note_request(side);
                }
                Poll::Ready(Err(_)) => {}
                Poll::Pending => self.counts.add(Count::BackPressure),
            }
            written
        })
    }

    pub(crate) fn finish(&self, side: Side) {
        self.with(|state| state.lanes[side as usize].finish(Instant::now()));
    }

    /// A side lets go of its end. One that has not read everything resets the connection, as TCP does.
    pub(crate) fn close(&self, side: Side) {
        let now = Instant::now();
        self.with(|state| {
            let has_unread = state.lanes[side.other() as usize].has_arrived(now);
            let outgoing = &mut state.lanes[side as usize];
            if has_unread {
                outgoing.reset(now);
            } else {
                outgoing.finish(now);
            }
            let is_told = !outgoing.is_lost();
            let incoming = &mut state.lanes[side.other() as usize];
            incoming.lose(now);
            if is_told {
                incoming.refuse(io::ErrorKind::BrokenPipe);
            }
        });
    }

    /// Both sides learn at once that it broke, in the middle of what was under way.
    pub(crate) fn cut(&self, end: End) {
        let now = Instant::now();
        self.with(|state| {
            // Word of it goes the way of the bytes.
            let is_lost = state.lanes.each_ref().map(Lane::is_lost);
            for (lane, [is_lost, other_is_lost]) in
                state.lanes.iter_mut().zip([is_lost, [is_lost[1], is_lost[0]]])
            {
                if !other_is_lost {
                    lane.refuse(io::ErrorKind::ConnectionReset);
                }
                if !is_lost && lane.cut(now, end) {
                    self.counts.add(Count::Truncation);
                }
            }
        });
    }

    /// What `from` writes vanishes from now on.
    pub(crate) fn lose(&self, from: Side) {
        self.with(|state| state.lanes[from as usize].lose(Instant::now()));
    }

    /// The host of `side` is gone; the other one is told, or not.
    pub(crate) fn crash(&self, side: Side, is_told: bool) {
        let now = Instant::now();
        self.with(|state| {
            let incoming = &mut state.lanes[side.other() as usize];
            incoming.abort(now);
            if is_told {
                incoming.refuse(io::ErrorKind::ConnectionReset);
            } else {
                incoming.lose(now);
            }
            let outgoing = &mut state.lanes[side as usize];
            if is_told {
                outgoing.reset(now);
            } else {
                outgoing.lose(now);
            }
            outgoing.refuse(io::ErrorKind::ConnectionReset);
        });
    }

    /// The answer to the next request is lost, and the connection with it, once the server has the request.
    pub(crate) fn ambush(&self) {
        self.with(|state| state.ambush = Some(Ambush::Waiting));
    }

    /// Nothing lies in ambush any more.
    pub(crate) fn spare(&self) {
        self.with(|state| state.ambush = None);
    }

    pub(crate) fn stall(&self, until: Instant) {
        let now = Instant::now();
        self.with(|state| state.lanes.iter_mut().for_each(|lane| lane.stall(now, until)));
    }

    /// What is under way arrives soon.
    pub(crate) fn hasten(&self) {
        let now = Instant::now();
        self.with(|state| state.lanes.iter_mut().for_each(|lane| lane.hasten(now)));
    }

    /// The line to `reader` carries only so much.
    pub(crate) fn slow_down(&self, reader: Side, bytes_per_second: u32) {
        self.with(|state| state.lanes[reader.other() as usize].slow_down(bytes_per_second));
    }

    /// Both lines carry again what their link does.
    pub(crate) fn speed_up(&self) {
        self.with(|state| state.lanes.iter_mut().for_each(Lane::speed_up));
    }

    /// Does something to the connection; then the pump knows when to wake whom.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let done = act(&mut state);
        let State { lanes, alarms, .. } = &mut *state;
        for (index, (lane, alarm)) in lanes.iter().zip(alarms).enumerate() {
            let due = lane.reader.as_ref().and_then(|reader| Some((lane.next_arrival()?, reader)));
            let at = due.map(|(at, _)| at);
            let old = replace(alarm, at);
            if let Some(old) = old.filter(|old| Some(*old) != at) {
                self.pump.cancel(old, &self.key(index));
            }
            if let Some((at, reader)) = due {
                self.pump.schedule(at, self.key(index), reader.clone());
            }
        }
        done
    }

    fn key(&self, lane: usize) -> LaneKey {
        let (client, server, nth) = &self.name;
        (client.clone(), server.clone(), *nth, lane == Side::Server as usize)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note_request(&mut self, side: Side) {
        if side == Side::Client && self.ambush.is_some() {
            self.ambush = Some(Ambush::Requested(self.lanes[0].written));
        }
    }

    /// Whether the server, which is about to write, has the request whose answer is to be lost.
    fn is_answering(&mut self) -> bool {
        match self.ambush {
            Some(Ambush::Requested(through)) if self.lanes[0].read >= through => {
                self.ambush = None;
                !self.lanes[1].is_lost()
            }
            _ => false,
        }
    }
}
