//! Where stores of one process find the one that leads.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use livestore_traits::{
    Attach, Attachment, BoxStream, LeaderLink, LeaderReport, LeaderStatus, LinkError, OpenRendezvous,
    Rendezvous, SessionId, SessionMessage, SessionSender, SessionSnapshot,
};
use tokio::sync::watch;

/// A rendezvous of all stores that hold a clone of it. For tests, and for several stores on one log in one process.
#[derive(Clone, Debug)]
pub struct MemoryRendezvous {
    place: Arc<watch::Sender<Place>>,
}

/// Who is to be met.
#[derive(Clone, Debug, Default)]
struct Place {
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

impl MemoryRendezvous {
    /// A place where nobody is yet.
    #[must_use]
    pub fn new() -> Self {
        Self { place: Arc::new(watch::Sender::new(Place::default())) }
    }
}

#[async_trait]
impl Rendezvous for MemoryRendezvous {
    async fn open(&self, link: Arc<dyn LeaderLink>) -> Result<Box<dyn OpenRendezvous>, LinkError> {
        let mut opening = 0;
        self.place.send_modify(|place| {
            place.last += 1;
            opening = place.last;
            place.open.push((opening, link));
        });
        Ok(Box::new(Open { opening, place: self.place.clone() }))
    }

    fn connect(&self) -> Arc<dyn LeaderLink> {
        Arc::new(Connected(self.place.subscribe()))
    }
}

#[derive(Debug)]
struct Open {
    opening: u64,
    place: Arc<watch::Sender<Place>>,
}

impl OpenRendezvous for Open {}

impl Drop for Open {
    fn drop(&mut self) {
        self.place.send_modify(|place| place.open.retain(|(opening, _)| *opening != self.opening));
    }
}

#[derive(Clone, Debug)]
struct Connected(watch::Receiver<Place>);

impl Connected {
    fn leader(&self) -> Result<(Arc<dyn LeaderLink>, Meeting), LinkError> {
        let (opening, link) = self.0.borrow().open.last().cloned().ok_or(LinkError::Gone)?;
        Ok((link, Meeting { opening, place: self.0.clone() }))
    }
}

/// What lasts as long as one opening does.
#[derive(Clone, Debug)]
struct Meeting {
    opening: u64,
    place: watch::Receiver<Place>,
}

impl Meeting {
    fn is_over(&self) -> bool {
        is_over(&self.place.borrow(), self.opening)
    }

    async fn over(mut self) {
        let opening = self.opening;
        // An error means that the place itself is gone.
        let _ = self.place.wait_for(|place| is_over(place, opening)).await;
    }
}

fn is_over(place: &Place, opening: u64) -> bool {
    place.open.last().is_none_or(|(last, _)| *last != opening)
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
