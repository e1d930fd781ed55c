//! An honest backend that can be restored from an older copy, and that knows what events really are.

use std::sync::Arc;

use bytes::Bytes;
use livestore_traits::{
    BackendId, Cursor, GlobalSeq, PageInfo, PullPage, Push, PushAck, PushError, RejectCode, Rejection,
    SyncedEvent, UnixMillis,
};

use crate::support::{backend_id, client_id, name, session_id};

/// Who committed what: session, commit, place in it. Known to the test whatever the wire carries.
pub(crate) type Ghost = (String, u64, u32);

#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) incarnation: u32,
    pub(crate) events: Vec<(SyncedEvent, Ghost)>,
    /// Whether its wire carries commits and units, as LiveStore's does not.
    pub(crate) native: bool,
    pub(crate) foreign: u64,
}

/// An answer that can be copied, as errors cannot.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Ack(u64, BackendId),
    Ahead(u64, Option<PullPage>),
    Rejected(usize),
    Diverged,
    Lost,
}

impl Answer {
    pub(crate) fn into_result(self) -> Result<PushAck, PushError> {
        match self {
            Self::Ack(through, id) => Ok(PushAck::new(id, cursor(through), UnixMillis(0))),
            Self::Ahead(head, missing) => {
                Err(PushError::UpstreamAhead { head: GlobalSeq(head), missing: missing.map(Box::new) })
            }
            Self::Rejected(index) => {
                let code = RejectCode::Policy("no x".to_owned());
                Err(PushError::Rejected(Rejection { index, code, message: "refused".to_owned() }))
            }
            Self::Diverged => Err(PushError::Diverged("another one".to_owned())),
            Self::Lost => Err(PushError::Unacknowledged("no answer".into())),
        }
    }
}

fn cursor(after: u64) -> Cursor {
    Cursor { after: GlobalSeq(after), token: Some(Bytes::from_static(b"t")) }
}

impl Backend {
    pub(crate) fn new(native: bool) -> Self {
        Self { incarnation: 0, events: Vec::new(), native, foreign: 0 }
    }

    pub(crate) fn id(&self) -> BackendId {
        backend_id(&format!("b{}", self.incarnation))
    }

    pub(crate) fn head(&self) -> u64 {
        self.events.len() as u64
    }

    /// The `count` events after `after`.
    pub(crate) fn page(&self, after: u64, count: usize) -> PullPage {
        let events: Arc<[SyncedEvent]> =
            self.events.iter().skip(after as usize).take(count).map(|(event, _)| event.clone()).collect();
        let left = self.head() - after - events.len() as u64;
        let info = if left == 0 { PageInfo::CaughtUp } else { PageInfo::More { remaining: Some(left) } };
        PullPage::new(GlobalSeq(after), events, Some(Bytes::from_static(b"t")), self.id(), info)
    }

    /// Admits a push, or says why not; `sends_missing` decides whether the events that are missing come along.
    pub(crate) fn push(&mut self, push: &Push, sends_missing: bool) -> Answer {
        let (parent, end) = (push.parent.0, push.parent.0 + push.events.len() as u64);
        if push.backend_id.as_ref().is_some_and(|id| *id != self.id()) {
            return Answer::Diverged;
        }
        let stands = end <= self.head()
            && push.events.iter().all(|event| self.events[event.seq.0 as usize - 1].0.is_same(event));
        if stands {
            return Answer::Ack(end, self.id());
        }
        if parent > self.head() {
            return Answer::Ahead(self.head(), None);
        }
        if parent < self.head() {
            return Answer::Ahead(self.head(), sends_missing.then(|| self.page(parent, usize::MAX)));
        }
        if let Some(index) = push.events.iter().position(|event| event.args.as_str() == "\"x\"") {
            return Answer::Rejected(index);
        }
        for event in &push.events {
            let commit = event.commit.expect("clients push own events");
            let ghost = (event.session_id.to_string(), commit.n, commit.index);
            let mut event = event.clone();
            if !self.native {
                (event.commit, event.unit_end) = (None, true);
            }
            self.events.push((event, ghost));
        }
        Answer::Ack(end, self.id())
    }

    /// An event of a client that is not part of the test.
    pub(crate) fn append_foreign(&mut self) {
        self.foreign += 1;
        let parent = self.head();
        let event = SyncedEvent {
            seq: GlobalSeq(parent + 1),
            parent: GlobalSeq(parent),
            name: name("e"),
            args: livestore_traits::Args::parse("\"a\"").expect("JSON"),
            client_id: client_id("other"),
            session_id: session_id("other"),
            commit: None,
            unit_end: true,
            created_at: None,
        };
        self.events.push((event, ("other".to_owned(), self.foreign, 0)));
    }

    /// Goes back to the first `count` events, as a new incarnation.
    pub(crate) fn restore(&mut self, count: usize) {
        self.incarnation += 1;
        self.events.truncate(count);
    }

    /// Whether a restored copy may end after `count` events: it consists of whole batches.
    pub(crate) fn is_unit_end(&self, count: usize) -> bool {
        let unit = |index: usize| self.events.get(index).map(|(_, (session, n, _))| (session, n));
        count == 0 || unit(count - 1) != unit(count)
    }
}
