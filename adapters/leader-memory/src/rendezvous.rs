//! Where stores of one process find the one that leads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use livestore_traits::{
    Attach, Attachment, BoxStream, LeaderLink, LeaderReport, LeaderStatus, LinkError, OpenRendezvous,
    Rendezvous, SessionId, SessionMessage, SessionSender, SessionSnapshot,
};
use tokio::sync::Notify;

/// A rendezvous of all stores that hold a clone of it. For tests, and for several stores on one log in one process.
#[derive(Clone, Debug)]
pub struct MemoryRendezvous {
    place: Arc<Place>,
}

#[derive(Debug, Default)]
struct Place {
    openings: Mutex<Openings>,
    /// Tells of changes, in the order in which others began to wait: `watch` draws that order at random, and a simulation
    /// could not be repeated.
    changes: Notify,
}

/// Who is to be met.
#[derive(Debug, Default)]
struct Openings {
    /// Counts the openings.
    last: u64,
    /// Those that are open; the last one counts. A leader that does not know yet that it was replaced may open late: its
    /// successor is met again when it closes.
    open: Vec<(u64, Arc<dyn LeaderLink>)>,
}

impl Default for MemoryRendezvous {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    fn change<T>(&self, change: impl FnOnce(&mut Openings) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changes.notify_waiters();
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Openings> {
        // Each step under the lock leaves it whole, so a panic elsewhere does not matter.
        self.openings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryRendezvous {
    /// A place where nobody is yet.
    #[must_use]
    pub fn new() -> Self {
        Self { place: Arc::default() }
    }
}

#[async_trait]
impl Rendezvous for MemoryRendezvous {
    async fn open(&self, link: Arc<dyn LeaderLink>) -> Result<Box<dyn OpenRendezvous>, LinkError> {
        let opening = self.place.change(|place| {
            place.last += 1;
            place.open.push((place.last, link));
            place.last
        });
        Ok(Box::new(Open { opening, place: self.place.clone() }))
    }

    fn connect(&self) -> Arc<dyn LeaderLink> {
        Arc::new(Connected(self.place.clone()))
    }
}

#[derive(Debug)]
struct Open {
    opening: u64,
    place: Arc<Place>,
}

impl OpenRendezvous for Open {}

impl Drop for Open {
    fn drop(&mut self) {
        self.place.change(|place| place.open.retain(|(opening, _)| *opening != self.opening));
    }
}

#[derive(Clone, Debug)]
struct Connected(Arc<Place>);

impl Connected {
    fn leader(&self) -> Result<(Arc<dyn LeaderLink>, Meeting), LinkError> {
        let (opening, link) = self.0.lock().open.last().cloned().ok_or(LinkError::Gone)?;
        Ok((link, Meeting { opening, place: self.0.clone() }))
    }
}

/// What lasts as long as one opening does.
#[derive(Clone, Debug)]
struct Meeting {
    opening: u64,
    place: Arc<Place>,
}

impl Meeting {
    fn is_over(&self) -> bool {
        self.place.lock().open.last().is_none_or(|(last, _)| *last != self.opening)
    }

    async fn over(self) {
        loop {
            // Before the look: what changes after it is told.
            let change = self.place.changes.notified();
            if self.is_over() {
                return;
            }
            change.await;
        }
    }
}

#[async_trait]
impl LeaderLink for Connected {
    async fn attach(&self, attach: Attach) -> Result<Attachment, LinkError> {
        let (link, meeting) = self.leader()?;
        let Attachment { attached, items, sender } = link.attach(attach).await?;
        let items = items.take_until(Box::pin(meeting.clone().over())).boxed();
        Ok(Attachment { attached, items, sender: Box::new(Sender { sender, meeting }) })
    }

    async fn snapshot(&self, session_id: &SessionId) -> Result<SessionSnapshot, LinkError> {
        self.leader()?.0.snapshot(session_id).await
    }

    async fn sync_now(&self) -> Result<LeaderStatus, LinkError> {
        self.leader()?.0.sync_now().await
    }

    async fn reports(&self) -> Result<BoxStream<'static, LeaderReport>, LinkError> {
        let (link, meeting) = self.leader()?;
        Ok(link.reports().await?.take_until(Box::pin(meeting.over())).boxed())
    }
}

#[derive(Debug)]
struct Sender {
    sender: Box<dyn SessionSender>,
    meeting: Meeting,
}

impl SessionSender for Sender {
    fn send(&self, message: SessionMessage) -> Result<(), LinkError> {
        if self.meeting.is_over() {
            return Err(LinkError::Gone);
        }
        self.sender.send(message)
    }
}
