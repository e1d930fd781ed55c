//! One client: what it knows, what it asks, and what it may hear.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures::StreamExt;
use livestore_traits::{
    Args, BackendId, ClientId, ClientSecret, CommitRef, Cursor, EventName, GlobalSeq, PageInfo, Pull,
    PullError, PullMode, PullPage, Push, PushAck, PushError, SessionId, SyncBackend, SyncedEvent,
};

use super::Mix;
use crate::Recorder;
use crate::checker::Timed;
use crate::log::{Operation, PushAnswer};
use crate::target::BATCH_EVENTS;

/// A client drops a push after at most this time.
const MAX_PATIENCE: Duration = Duration::from_micros(700);

/// A batch, as it was pushed.
type Batch = Vec<SyncedEvent>;

pub(super) struct Client {
    number: usize,
    backend: Arc<dyn SyncBackend>,
    recorder: Recorder,
    rng: Rng,
    /// The log as far as it is known.
    known: Vec<SyncedEvent>,
    /// Where pulls may go on: told by pages and acknowledgements.
    cursors: Vec<Cursor>,
    backend_id: Option<BackendId>,
    /// Commits so far; each names its events.
    n: u64,
    /// A batch of which nobody knows what became of it.
    lost: Option<Batch>,
    accepted: Vec<Batch>,
}

impl Client {
    pub(super) fn new(number: usize, seed: u64, backend: Arc<dyn SyncBackend>, recorder: Recorder) -> Self {
        Self {
            number,
            backend,
            recorder,
            rng: Rng::with_seed(seed * 1_000 + number as u64),
            known: Vec::new(),
            cursors: vec![Cursor::start()],
            backend_id: None,
            n: 0,
            lost: None,
            accepted: Vec::new(),
        }
    }

    pub(super) fn head(&self) -> usize {
        self.known.len()
    }

    /// Works. The error is something that no client may hear.
    pub(super) async fn run(mut self, mix: Mix) -> Result<(), String> {
        for _ in 0..mix.operations {
            match self.rng.u8(..20) {
                0..9 => {
                    let batch = self.invent(self.head());
                    self.push_and_rebase(batch, mix).await?;
                }
                9 => {
                    let parent = self.rng.usize(..=self.head());
                    let batch = self.invent(parent);
                    self.push(batch, mix).await?;
                }
                10..13 => self.repeat(mix).await?,
                13..18 => self.pull(self.last_cursor(), PullMode::Once, usize::MAX).await?,
                _ => {
                    let cursor = self.cursors[self.rng.usize(..self.cursors.len())].clone();
                    let pages = if self.rng.bool() { 1 } else { usize::MAX };
                    self.pull(cursor, PullMode::Once, pages).await?;
                }
            }
        }
        Ok(())
    }

    fn last_cursor(&self) -> Cursor {
        let last = self.cursors.iter().max_by_key(|cursor| cursor.after);
        last.cloned().unwrap_or_else(Cursor::start)
    }

    /// A batch of a new unit after `parent`.
    fn invent(&mut self, parent: usize) -> Batch {
        self.n += 1;
        let count = self.rng.usize(1..=4);
        (0..count)
            .map(|index| SyncedEvent {
                seq: GlobalSeq((parent + index) as u64 + 1),
                parent: GlobalSeq((parent + index) as u64),
                name: EventName::new("v1.Tested").expect("a valid name"),
                args: Args::from_value(&format!("{}.{}.{index}", self.number, self.n)).expect("text is JSON"),
                client_id: ClientId::new(format!("c{}", self.number)).expect("a valid id"),
                session_id: SessionId::new("session").expect("a valid id"),
                commit: Some(CommitRef { n: self.n, index: index as u32 }),
                unit_end: index + 1 == count,
                created_at: None,
            })
            .collect()
    }

    /// Pushes, and once more on top of what is learned from a refusal.
    async fn push_and_rebase(&mut self, batch: Batch, mix: Mix) -> Result<(), String> {
        if self.push(batch.clone(), mix).await? || self.lost.is_some() {
            return Ok(());
        }
        let parent = self.head() as u64;
        let rebased = (parent..).zip(batch).map(|(parent, event)| SyncedEvent {
            seq: GlobalSeq(parent + 1),
            parent: GlobalSeq(parent),
            ..event
        });
        self.push(rebased.collect(), mix).await.map(drop)
    }

    /// Pushes a batch again, as after a lost answer.
    async fn repeat(&mut self, mix: Mix) -> Result<(), String> {
        let batch = match self.lost.take() {
            Some(lost) => lost,
            None if self.accepted.is_empty() => self.invent(self.head()),
            None => self.accepted[self.rng.usize(..self.accepted.len())].clone(),
        };
        self.push(batch, mix).await.map(drop)
    }

    /// Pushes; tells whether it was accepted.
    async fn push(&mut self, batch: Batch, mix: Mix) -> Result<bool, String> {
        let parent = batch[0].parent;
        let ids = self.recorder.pushed(&batch);
        let secret = Some(ClientSecret([self.number as u8; 16]));
        let push = Push::new(self.backend_id.clone(), parent, secret, batch.clone());
        let patience = (self.rng.f64() < mix.drop_push).then(|| MAX_PATIENCE.mul_f64(self.rng.f64()));
        let called = self.recorder.now();
        let result = self.send(push, patience).await;
        let answer = match result {
            // Nothing was sent, or nothing was stored: then nobody will ever see it.
            Some(Err(PushError::Offline(_) | PushError::Busy(_))) => return Ok(false),
            None | Some(Err(PushError::Unacknowledged(_) | PushError::Backend { .. })) => None,
            Some(Ok(ack)) => Some(PushAnswer::Accepted { head: place(ack.cursor.after) })
                .inspect(|_| self.note_ack(batch.clone(), ack)),
            Some(Err(PushError::UpstreamAhead { head, missing })) => {
                let missing = match missing {
                    Some(page) if page.after == parent => {
                        let ids = self.recorder.pulled(place(parent), &page.events);
                        self.note_page(&page);
                        ids
                    }
                    Some(page) => {
                        return Err(format!("what is missing after {parent} began after {}", page.after));
                    }
                    None => Vec::new(),
                };
                Some(PushAnswer::Ahead { head: place(head), missing })
            }
            Some(Err(error)) => return Err(format!("a push was answered by {error:?}")),
        };
        let answered = answer.is_some().then(|| self.recorder.now());
        let is_accepted = matches!(answer, Some(PushAnswer::Accepted { .. }));
        if answer.is_none() {
            self.lost = Some(batch);
        }
        let operation = Operation::Push { parent: place(parent), events: ids, answer };
        self.recorder.record(Timed { client: self.number, operation, called, answered });
        Ok(is_accepted)
    }

    /// Waits for the answer, or drops the push when patience ends.
    async fn send(&self, push: Push, patience: Option<Duration>) -> Option<Result<PushAck, PushError>> {
        match patience {
            None => Some(self.backend.push(push).await),
            Some(patience) => tokio::time::timeout(patience, self.backend.push(push)).await.ok(),
        }
    }

    /// Pulls until it has caught up, or has so many pages.
    pub(super) async fn pull(&mut self, cursor: Cursor, mode: PullMode, pages: usize) -> Result<(), String> {
        let called = self.recorder.now();
        let mut after = place(cursor.after);
        let mut stream = self.backend.pull(Pull::new(self.backend_id.clone(), cursor, mode));
        let mut reads: Vec<Timed<Operation>> = Vec::new();
        let ended = loop {
            match stream.next().await {
                Some(Ok(page)) => {
                    let operation = read(&self.recorder, after, &page);
                    let answered = Some(self.recorder.now());
                    reads.push(Timed { client: self.number, operation, called, answered });
                    after = place(page.through);
                    self.note_page(&page);
                }
                None => break true,
                Some(Err(PullError::Offline(_) | PullError::Backend { .. })) => break false,
                Some(Err(PullError::Diverged(_))) => {
                    let (operation, answered) = (Operation::Beyond { after }, Some(self.recorder.now()));
                    self.recorder.record(Timed { client: self.number, operation, called, answered });
                    break false;
                }
                Some(Err(error)) => return Err(format!("a pull ended with {error:?}")),
            }
            if reads.len() >= pages {
                break false;
            }
        };
        // A pull that ends by itself has reached the head, whatever its last page says.
        if let Some(Timed { operation: Operation::Page { reaches_head, .. }, .. }) = reads.last_mut() {
            *reaches_head |= ended;
        }
        reads.into_iter().for_each(|timed| self.recorder.record(timed));
        Ok(())
    }

    fn note_ack(&mut self, batch: Batch, ack: PushAck) {
        if place(batch[0].parent) == self.head() {
            self.known.extend(batch.iter().cloned());
        }
        self.accepted.push(batch);
        self.backend_id = Some(ack.backend_id);
        self.cursors.push(ack.cursor);
    }

    fn note_page(&mut self, page: &PullPage) {
        let new = self.head().checked_sub(place(page.after));
        self.known.extend(page.events.iter().skip(new.unwrap_or(usize::MAX)).cloned());
        self.backend_id = Some(page.backend_id.clone());
        self.cursors.push(page.cursor.clone());
    }
}

/// A page as an operation of a client that expects it to begin after `after`.
pub(super) fn read(recorder: &Recorder, after: usize, page: &PullPage) -> Operation {
    let begins_after = place(page.after);
    Operation::Page {
        after,
        begins_after,
        events: recorder.pulled(begins_after, &page.events),
        reaches_head: page.info == PageInfo::CaughtUp,
    }
}

const fn place(seq: GlobalSeq) -> usize {
    seq.0 as usize
}

const _: () = assert!(BATCH_EVENTS >= 4, "batches of up to four events are made up");
