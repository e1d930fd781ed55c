//! A client that pushes its events 1, 2, 3 … in order, each once, and keeps every acknowledgement.
//!
//! It does what every correct client has to: one push at a time; after a refusal or an unknown outcome it reads what the
//! log has, and finds its events there or pushes them again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use livestore_traits::{
    BackendId, ClientId, CommitRef, Cursor, EventName, GlobalSeq, Pull, PullError, PullMode, PullPage, Push,
    PushError, Recovery, SessionId, SyncBackend, SyncedEvent,
};
use tokio::time::{Instant, sleep, timeout};

use crate::ledger::{ITEM, Written, item};
use crate::{HANG, HarnessResult};

const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

/// Tells tasks to end when they are done with what they do.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Tells it.
    pub fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was told.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// It stands in the log.
    Acknowledged,
    /// The server cannot write it now, or cannot be reached.
    Refused,
}

/// A write that was acknowledged: from when to when it took.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// When it was first pushed.
    pub begun: Instant,
    /// When it was acknowledged.
    pub ended: Instant,
}

/// One writing client of one store.
#[derive(Debug)]
pub struct Writer {
    name: String,
    backend: Arc<dyn SyncBackend>,
    backend_id: Option<BackendId>,
    cursor: Cursor,
    written: Written,
    /// The last event that is known to stand in the log.
    confirmed: u64,
    spans: Vec<Span>,
    refusals: u64,
    failures: u64,
    /// Acknowledged events, for others to look at meanwhile.
    counter: Arc<AtomicU64>,
    /// The last failure, in words.
    last_error: String,
    /// Why the last push was not accepted, other than that others were first.
    last_refusal: Option<PushError>,
    /// Whether it goes on at a head that it is told of, without reading what is before it.
    jumps: bool,
}

impl Writer {
    /// A writer that has written nothing yet. Its name is its client id, and no other writer of the store has it.
    #[must_use]
    pub fn new(name: impl Into<String>, backend: Arc<dyn SyncBackend>, text_bytes: usize) -> Self {
        Self {
            name: name.into(),
            backend,
            backend_id: None,
            cursor: Cursor::start(),
            written: Written { text_bytes, ..Written::default() },
            confirmed: 0,
            spans: Vec::new(),
            refusals: 0,
            failures: 0,
            counter: Arc::default(),
            last_error: String::new(),
            last_refusal: None,
            jumps: false,
        }
    }

    /// Counts the acknowledged events with `counter`.
    #[must_use]
    pub fn counted_by(mut self, counter: Arc<AtomicU64>) -> Self {
        self.counter = counter;
        self
    }

    /// Does not read what others wrote: it goes on at the head that a refusal names.
    #[must_use]
    pub const fn jumping(mut self) -> Self {
        self.jumps = true;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it knows of its events.
    #[must_use]
    pub const fn written(&self) -> &Written {
        &self.written
    }

    /// When each of its writes was acknowledged.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// How often others were first, and how often the server could not be reached or failed.
    #[must_use]
    pub const fn setbacks(&self) -> (u64, u64) {
        (self.refusals, self.failures)
    }

    /// What the last failure said.
    #[must_use]
    pub fn last_error(&self) -> &str {
        &self.last_error
    }

    /// Why its last push that failed did, if others were not just first.
    #[must_use]
    pub const fn last_refusal(&self) -> Option<&PushError> {
        self.last_refusal.as_ref()
    }

    /// The last event of the log that it knows of.
    #[must_use]
    pub const fn head(&self) -> GlobalSeq {
        self.cursor.after
    }

    /// Writes batches until it is told to stop, with random pauses of up to `pause` in between, and finishes the last.
    ///
    /// # Errors
    /// A violation, in a sentence.
    pub async fn run(&mut self, pause: Duration, stop: &Stop) -> Result<(), String> {
        while !stop.is_stopped() {
            let count = fastrand::u64(1..=3);
            self.write(count).await?;
            sleep(pause.mul_f64(fastrand::f64())).await;
        }
        Ok(())
    }

    /// Writes the next events; returns once they stand in the log, whatever it takes.
    ///
    /// # Errors
    /// A violation, in a sentence: an answer that no server gives to a correct client, or no success within [`HANG`]
    /// although there were answers.
    pub async fn write(&mut self, count: u64) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            if self.try_write(count).await? == Wrote::Acknowledged {
                self.spans.push(Span { begun, ended: Instant::now() });
                return Ok(());
            }
            if begun.elapsed() > HANG {
                return Err(format!("{} could not write for {HANG:?}: {}", self.name, self.last_error));
            }
            sleep(PAUSE_AFTER_FAILURE).await;
        }
    }

    /// Pushes the next events; says that they stand in the log, or that the server did not take them for now.
    ///
    /// # Errors
    /// A violation, in a sentence.
    pub async fn try_write(&mut self, count: u64) -> Result<Wrote, String> {
        let target = self.confirmed + count;
        loop {
            let push = self.push_of(target).map_err(|error| error.to_string())?;
            let (parent, last) = (push.parent, push.parent.0 + push.events.len() as u64);
            let answer = timeout(HANG, self.backend.push(push)).await;
            match answer.map_err(|_| format!("a push of {} was never answered", self.name))? {
                Ok(ack) if ack.cursor.after.0 != last => {
                    return Err(format!("a push up to e{last} was acknowledged up to {}", ack.cursor.after));
                }
                Ok(ack) => {
                    self.confirm(parent, target);
                    (self.cursor, self.backend_id) = (ack.cursor, Some(ack.backend_id));
                    return Ok(Wrote::Acknowledged);
                }
                Err(PushError::UpstreamAhead { head, missing }) => {
                    if head < parent {
                        return Err(format!("{} knows {parent}, and the head is {head}", self.name));
                    }
                    self.refusals += 1;
                    // After an unknown outcome its own events may be before the head.
                    if self.jumps && self.failures == 0 {
                        self.cursor = Cursor { after: head, token: None };
                    } else if let Some(page) = missing {
                        self.take(&page)?;
                    } else if !self.catch_up().await? {
                        return Ok(Wrote::Refused);
                    }
                }
                Err(error) if is_violation(error.recovery()) => {
                    return Err(format!("a push of {} at {parent}: {}", self.name, sentence(&error)));
                }
                Err(error) => {
                    self.failures += 1;
                    self.last_error = sentence(&error);
                    self.last_refusal = Some(error);
                    if !self.catch_up().await? || self.confirmed < target {
                        return Ok(Wrote::Refused);
                    }
                }
            }
            // Its own events may have been among what it read.
            if self.confirmed == target {
                return Ok(Wrote::Acknowledged);
            }
        }
    }

    /// Reads what is new up to the head. Returns whether it came so far; the error is a violation, in a sentence.
    async fn catch_up(&mut self) -> Result<bool, String> {
        let pull = Pull::new(self.backend_id.clone(), self.cursor.clone(), PullMode::Once);
        let before = self.confirmed;
        let mut pages = self.backend.pull(pull);
        loop {
            let page = timeout(HANG, pages.next()).await;
            match page.map_err(|_| format!("a pull of {} was never answered", self.name))? {
                None => break,
                Some(Ok(page)) => self.take(&page)?,
                Some(Err(error @ (PullError::Offline(_) | PullError::Backend { .. }))) => {
                    self.last_error = sentence(&error);
                    return Ok(false);
                }
                Some(Err(error)) => {
                    return Err(format!(
                        "a pull of {} at {}: {}",
                        self.name,
                        self.cursor.after,
                        sentence(&error)
                    ));
                }
            }
        }
        if self.confirmed > before && self.confirmed != self.written.sent {
            return Err(format!("{} finds a part of its batch in the log", self.name));
        }
        Ok(true)
    }

    fn take(&mut self, page: &PullPage) -> Result<(), String> {
        if page.after > self.cursor.after {
            return Err(format!(
                "{} is at {}, and a page follows {}",
                self.name, self.cursor.after, page.after
            ));
        }
        let known = self.cursor.after;
        for event in page.events.iter().filter(|event| event.seq > known) {
            if event.client_id.as_str() == self.name {
                // Seen in the log is as good as acknowledged: what is visible is durable. The ledger checks which it is.
                self.confirm(event.parent, self.confirmed + 1);
            }
        }
        if page.through > self.cursor.after {
            self.cursor = page.cursor.clone();
        }
        self.backend_id = Some(page.backend_id.clone());
        Ok(())
    }

    /// The events up to `through` stand in the log, the first of them after `parent`.
    fn confirm(&mut self, parent: GlobalSeq, through: u64) {
        let new = self.confirmed + 1..=through;
        self.counter.fetch_add(through - self.confirmed, Ordering::Relaxed);
        self.written.acknowledged.extend((parent.0 + 1..).map(GlobalSeq).zip(new));
        self.confirmed = through;
    }

    /// The events after the confirmed ones up to `target`, on the head that is known.
    fn push_of(&mut self, target: u64) -> HarnessResult<Push> {
        self.written.sent = self.written.sent.max(target);
        let events = events(&self.name, self.cursor.after, self.confirmed + 1..=target, &self.written)?;
        Ok(Push::new(self.backend_id.clone(), self.cursor.after, None, events))
    }
}

/// Events of a writer as they are pushed after `parent`.
///
/// # Errors
/// If the name is no client id.
pub fn events(
    writer: &str,
    parent: GlobalSeq,
    numbers: std::ops::RangeInclusive<u64>,
    written: &Written,
) -> HarnessResult<Vec<SyncedEvent>> {
    let (client_id, session_id) = (ClientId::new(writer)?, SessionId::new("writer")?);
    let mut parent = parent;
    let event = |n| {
        let seq = parent.next();
        let event = SyncedEvent {
            seq,
            parent,
            name: EventName::new(ITEM)?,
            args: item(writer, n, written.text_bytes)?,
            client_id: client_id.clone(),
            session_id: session_id.clone(),
            commit: Some(CommitRef { n, index: 0 }),
            unit_end: true,
            created_at: None,
        };
        parent = seq;
        Ok(event)
    };
    numbers.map(event).collect()
}

/// Whether no server answers a correct client so, as long as it has its data.
const fn is_violation(recovery: Recovery) -> bool {
    match recovery {
        Recovery::Rebase | Recovery::Backoff | Recovery::PullThenRetry => false,
        Recovery::Diverged
        | Recovery::NewClientId
        | Recovery::Drop
        | Recovery::Unauthorized
        | Recovery::Fatal => true,
    }
}

/// An error with what it comes from.
#[must_use]
pub fn sentence(error: &(dyn std::error::Error + 'static)) -> String {
    let parts = std::iter::successors(Some(error), |&error| error.source());
    parts.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
