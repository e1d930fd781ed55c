//! One direction of a connection: bytes in order, each write with a time at which it arrives.
//!
//! Knows no clock: the time comes in with each call. Whoever waits leaves a waker; when a reader is to be woken is what
//! [`Lane::next_arrival`] says.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use fastrand::Rng;
use tokio::io::ReadBuf;
use tokio::time::Instant;

use crate::LinkConfig;

/// One write in so many arrives in two parts, as TCP may cut it anywhere.
const SPLIT_ONE_IN: u32 = 8;
/// What a limited line carries arrives in so many parts a second.
const PARTS_PER_SECOND: u32 = 4;

#[derive(Debug)]
pub(crate) struct Lane {
    link: LinkConfig,
    /// How many bytes a second it carries now: as its link, or fewer.
    bytes_per_second: Option<u32>,
    random: Rng,
    in_flight: VecDeque<Segment>,
    /// What was written and, as far as the writer knows, not read.
    unread_bytes: usize,
    /// When the line has carried what was written.
    free_at: Instant,
    /// When the last segment arrives.
    arrived_at: Instant,
    /// Whether whatever is written vanishes.
    is_lost: bool,
    /// What the reader finds after the last segment.
    end: Option<(Instant, End)>,
    /// Why nothing more can be written.
    refusal: Option<io::ErrorKind>,
    pub(crate) reader: Option<Waker>,
    writer: Option<Waker>,
    pub(crate) written: u64,
    pub(crate) read: u64,
}

#[derive(Debug)]
struct Segment {
    at: Instant,
    bytes: Bytes,
}

/// How a stream of bytes ends for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As if the writer had said all it wanted to.
    Finished,
    /// With an error.
    Reset,
}

impl Lane {
    pub(crate) const fn new(link: LinkConfig, random: Rng, now: Instant) -> Self {
        Self {
            link,
            bytes_per_second: link.bytes_per_second,
            random,
            in_flight: VecDeque::new(),
            unread_bytes: 0,
            free_at: now,
            arrived_at: now,
            is_lost: false,
            end: None,
            refusal: None,
            reader: None,
            writer: None,
            written: 0,
            read: 0,
        }
    }

    pub(crate) const fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// When there is something for the reader.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.in_flight.front().map(|segment| segment.at).or(self.end.map(|(at, _)| at))
    }

    pub(crate) fn has_arrived(&self, now: Instant) -> bool {
        self.in_flight.front().is_some_and(|segment| segment.at <= now)
    }

    /// Takes as many bytes as there is room for.
    pub(crate) fn poll_write(
        &mut self,
        bytes: &[u8],
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Some(kind) = self.refusal {
            return Poll::Ready(Err(kind.into()));
        }
        let len = bytes.len().min(self.link.buffer_bytes.saturating_sub(self.unread_bytes));
        if len == 0 && !bytes.is_empty() {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.unread_bytes += len;
        self.written += len as u64;
        if !self.is_lost {
            self.send(Bytes::copy_from_slice(&bytes[..len]), now);
        }
        Poll::Ready(Ok(len))
    }

    fn send(&mut self, mut bytes: Bytes, now: Instant) {
        while !bytes.is_empty() {
            let part = bytes.split_to(self.part_len(bytes.len()));
            self.free_at = self.free_at.max(now) + self.carrying(part.len());
            let at = (self.free_at + self.delay()).max(self.arrived_at);
            self.arrived_at = at;
            self.in_flight.push_back(Segment { at, bytes: part });
        }
    }

    fn part_len(&mut self, len: usize) -> usize {
        let carried = self.bytes_per_second.map_or(len, |rate| (rate / PARTS_PER_SECOND).max(1) as usize);
        let len = len.min(carried);
        if len > 1 && self.random.u32(..SPLIT_ONE_IN) == 0 { self.random.usize(1..len) } else { len }
    }

    fn carrying(&self, len: usize) -> Duration {
        let rate = self.bytes_per_second.map(|rate| f64::from(rate.max(1)));
        rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(len as f64 / rate))
    }

    fn delay(&mut self) -> Duration {
        self.link.latency + self.link.jitter.mul_f64(self.random.f64())
    }

    /// Gives what has arrived. Returns how many bytes were read.
    pub(crate) fn poll_read(
        &mut self,
        buffer: &mut ReadBuf<'_>,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut len = 0;
        while self.has_arrived(now) && buffer.remaining() > 0 {
            let Some(segment) = self.in_flight.front_mut() else { break };
            let part = segment.bytes.len().min(buffer.remaining());
            buffer.put_slice(&segment.bytes[..part]);
            segment.bytes.advance(part);
            len += part;
            if segment.bytes.is_empty() {
                self.in_flight.pop_front();
            }
        }
        self.read += len as u64;
        self.reader = None;
        if len > 0 {
            return Poll::Ready(Ok(len));
        }
        match self.end {
            Some((at, End::Finished)) if self.in_flight.is_empty() && at <= now => Poll::Ready(Ok(0)),
            Some((at, End::Reset)) if self.in_flight.is_empty() && at <= now => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            _ => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The writer learns that so much was read.
    pub(crate) fn acknowledge(&mut self, len: usize) {
        self.unread_bytes -= len;
        self.wake_writer();
    }

    /// The writer has nothing more to say.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.refusal.get_or_insert(io::ErrorKind::BrokenPipe);
        if self.end.is_none() && !self.is_lost {
            let at = (self.free_at.max(now) + self.delay()).max(self.arrived_at);
            self.end = Some((at, End::Finished));
        }
    }

    /// The writer is gone and tells so: what has not arrived by then never does.
    pub(crate) fn reset(&mut self, now: Instant) {
        self.refusal.get_or_insert(io::ErrorKind::ConnectionReset);
        if !self.is_lost {
            self.in_flight.retain(|segment| segment.at <= now);
            self.end = Some((now + self.link.latency, End::Reset));
        }
    }

    /// From now on bytes vanish, those under way too.
    pub(crate) fn lose(&mut self, now: Instant) {
        self.is_lost = true;
        self.in_flight.retain(|segment| segment.at <= now);
        self.end = self.end.filter(|(at, _)| *at <= now);
    }

    /// Ends at once for its reader, somewhere within what it has not read yet. Returns whether anything is cut off.
    pub(crate) fn cut(&mut self, now: Instant, end: End) -> bool {
        let unread: usize = self.in_flight.iter().map(|segment| segment.bytes.len()).sum();
        let mut kept = self.random.usize(..=unread);
        let is_cut = kept < unread;
        for segment in &mut self.in_flight {
            segment.bytes.truncate(kept);
            segment.at = segment.at.min(now);
            kept -= segment.bytes.len();
        }
        self.in_flight.retain(|segment| !segment.bytes.is_empty());
        self.end = Some((now, end));
        is_cut
    }

    /// Ends at once for its reader, with nothing of what it has not read yet.
    pub(crate) fn abort(&mut self, now: Instant) {
        self.in_flight.clear();
        self.end = Some((now, End::Reset));
    }

    /// Nothing more can be written.
    pub(crate) fn refuse(&mut self, kind: io::ErrorKind) {
        self.refusal.get_or_insert(kind);
        self.wake_writer();
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// What has not arrived does not arrive before `until`.
    pub(crate) fn stall(&mut self, now: Instant, until: Instant) {
        for segment in self.in_flight.iter_mut().filter(|segment| segment.at > now) {
            segment.at = segment.at.max(until);
        }
        if let Some((at, _)) = self.end.as_mut().filter(|(at, _)| *at > now) {
            *at = until.max(*at);
        }
        self.arrived_at = self.arrived_at.max(until);
    }

    /// The line is free: what has not arrived does soon.
    pub(crate) fn hasten(&mut self, now: Instant) {
        let soon = now + self.link.latency;
        for segment in &mut self.in_flight {
            segment.at = segment.at.min(soon);
        }
        if let Some((at, _)) = &mut self.end {
            *at = soon.min(*at);
        }
        self.arrived_at = self.arrived_at.min(soon);
        self.free_at = now;
    }

    /// It carries only so much.
    pub(crate) const fn slow_down(&mut self, bytes_per_second: u32) {
        self.bytes_per_second = Some(bytes_per_second);
    }

    /// It carries again what its link does.
    pub(crate) const fn speed_up(&mut self) {
        self.bytes_per_second = self.link.bytes_per_second;
    }
}
