//! A session played by a case: it follows the leader's log and checks every item against the rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use livestore_traits::{
    Args, Attach, Attached, BoxStream, ClientId, CommitRef, Event, EventName, GoneCommit, LeaderItem,
    LeaderLink, SeqNum, SessionId, SessionMessage, SessionPayload, SessionPush, SessionSender,
};

/// How one of a case's events is to be: text that begins so is client-only.
const CLIENT_ONLY: &str = "draft";

/// A session without a state or optimism: its log is what the leader told it.
#[derive(Debug)]
pub struct Probe {
    pub(super) link: Arc<dyn LeaderLink>,
    pub(super) session_id: SessionId,
    pub(super) client_id: ClientId,
    pub(super) attached: Attached,
    /// What the leader's log is known to hold.
    pub(super) log: Vec<Event>,
    /// Where that begins.
    start: SeqNum,
    pub(super) settled: SeqNum,
    pub(super) gone: Vec<GoneCommit>,
    /// Rebases among the items.
    pub(super) rebases: usize,
    stream: u64,
    attempts: u64,
    in_flight: BTreeMap<u64, Vec<Event>>,
    items: Items,
    sender: Box<dyn SessionSender>,
}

struct Items(BoxStream<'static, LeaderItem>);

impl std::fmt::Debug for Items {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Items")
    }
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    Refused,
}

impl Probe {
    /// Attaches a session that knows nothing.
    pub(super) async fn attach(link: Arc<dyn LeaderLink>, session: &str) -> Self {
        Self::attach_at(link, session, SeqNum::ROOT, 0).await
    }

    /// Attaches a session that has the leader's log up to `cursor` and has committed `last_n` times.
    pub(super) async fn attach_at(
        link: Arc<dyn LeaderLink>,
        session: &str,
        cursor: SeqNum,
        last_n: u64,
    ) -> Self {
        let session_id = SessionId::new(session).expect("a case writes valid ids");
        let attach = Attach { session_id: session_id.clone(), cursor, last_n, label: "test".into() };
        let attachment = link.attach(attach).await.expect("a leader that runs takes every session");
        Self {
            link,
            session_id,
            client_id: attachment.attached.client_id.clone(),
            gone: attachment.attached.gone.clone(),
            attached: attachment.attached,
            log: Vec::new(),
            start: cursor,
            settled: SeqNum::ROOT,
            rebases: 0,
            stream: 0,
            attempts: 0,
            in_flight: BTreeMap::new(),
            items: Items(attachment.items),
            sender: attachment.sender,
        }
    }

    /// Gives the session the log that it has up to its cursor, from the root.
    pub(super) fn knows(&mut self, log: Vec<Event>) {
        assert_eq!(log.last().map(|event| event.num), Some(self.start), "the log ends at the cursor");
        self.start = SeqNum::ROOT;
        self.log = log;
    }

    /// The version that the session has got to.
    pub(super) fn head(&self) -> SeqNum {
        self.log.last().map_or(self.start, |event| event.num)
    }

    /// The texts of the log.
    pub(super) fn texts(&self) -> Vec<String> {
        self.log.iter().map(|event| event.args.to_value().expect("args are a text")).collect()
    }

    /// A unit of these texts, as the session's commit `n` on top of what it has.
    pub(super) fn unit(&self, n: u64, texts: &[&str]) -> Vec<Event> {
        let mut head = self.head();
        let events = (0..).zip(texts).map(|(index, text)| {
            head = match text.starts_with(CLIENT_ONLY) {
                true => head.next_client_only(head.generation),
                false => head.next_synced(head.generation),
            };
            Event {
                num: head,
                name: EventName::new("v1.Noted").expect("the name is valid"),
                args: Args::from_value(text).expect("text is JSON"),
                client_id: self.client_id.clone(),
                session_id: self.session_id.clone(),
                commit: Some(CommitRef { n, index }),
                unit_end: index as usize + 1 == texts.len(),
                is_own: true,
            }
        });
        events.collect()
    }

    /// Sends events after `base`; the answer comes among the items. An error means that the attachment is over.
    pub(super) fn send(&mut self, base: SeqNum, events: Vec<Event>) -> bool {
        self.attempts += 1;
        self.in_flight.insert(self.attempts, events.clone());
        let push = SessionPush { attempt: self.attempts, base, events };
        self.sender.send(SessionMessage::Push(push)).is_ok()
    }

    /// Pushes one unit and takes items in until it is answered.
    pub(super) async fn push(&mut self, n: u64, texts: &[&str]) -> Answer {
        let unit = self.unit(n, texts);
        self.push_events(unit).await
    }

    pub(super) async fn push_events(&mut self, events: Vec<Event>) -> Answer {
        assert!(self.send(self.head(), events), "the attachment is over");
        self.answer().await
    }

    /// Takes items in until a push is answered.
    pub(super) async fn answer(&mut self) -> Answer {
        loop {
            let item = self.next().await.expect("a push is answered");
            match item.payload {
                SessionPayload::Accepted { .. } => return Answer::Accepted,
                SessionPayload::Refused { .. } => return Answer::Refused,
                SessionPayload::Advance { .. } | SessionPayload::Rebase { .. } => {}
            }
        }
    }

    /// Pushes until it is taken, with what came in between as the new base.
    pub(super) async fn persist(&mut self, n: u64, texts: &[&str]) {
        loop {
            let base = self.head();
            if self.push(n, texts).await == Answer::Accepted {
                return;
            }
            // What was missing comes, unless it came before the answer.
            self.until(|probe| probe.head() != base).await;
        }
    }

    /// Asks for the stream to begin again at `cursor`.
    pub(super) fn refresh(&mut self, cursor: SeqNum) {
        self.stream += 1;
        self.log.clear();
        self.start = cursor;
        let refresh = SessionMessage::Refresh { cursor, stream: self.stream };
        self.sender.send(refresh).expect("the attachment is not over");
    }

    /// Takes items in until the session is as it should be.
    pub(super) async fn until(&mut self, mut condition: impl FnMut(&Self) -> bool) {
        while !condition(self) {
            self.next().await.expect("the leader goes on");
        }
    }

    /// Takes items in until the log has these texts, and all of it is settled.
    pub(super) async fn until_settled(&mut self, count: usize) {
        self.until(|probe| probe.log.len() == count && probe.settled == probe.head()).await;
    }

    /// Takes items in until the stream ends.
    pub(super) async fn end(&mut self) {
        while self.next().await.is_some() {}
    }

    /// Takes in the next item of the current stream, checked; `None` when the stream has ended.
    pub(super) async fn next(&mut self) -> Option<LeaderItem> {
        loop {
            let item = self.items.0.next().await?;
            assert!(item.stream <= self.stream, "an item of a stream that was never asked for");
            if item.stream < self.stream {
                continue;
            }
            // A leader that is gone needs no telling; the stream ends then.
            let _ = self.sender.send(SessionMessage::Taken);
            self.client_id = item.client_id.clone();
            self.gone.extend(item.gone.iter().cloned());
            self.take(&item.payload);
            return Some(item);
        }
    }

    fn take(&mut self, payload: &SessionPayload) {
        match payload {
            SessionPayload::Advance { after, events, settled } => {
                assert_eq!(*after, self.head(), "an advance does not follow what came before");
                self.append(events.iter().cloned(), *settled);
            }
            SessionPayload::Rebase { after, rollback_to, events, settled } => {
                assert_eq!(*after, self.head(), "a rebase does not follow what came before");
                let stays = self.log.partition_point(|event| event.num.position() <= rollback_to.position());
                self.log.truncate(stays);
                self.start = if stays == 0 { *rollback_to } else { self.start };
                assert_eq!(self.head(), *rollback_to, "a rebase leads to a version that was never sent");
                self.rebases += 1;
                self.append(events.iter().cloned(), *settled);
            }
            SessionPayload::Accepted { attempt, after, last, settled } => {
                assert_eq!(*after, self.head(), "an answer does not follow what came before");
                let events = self.in_flight.remove(attempt).expect("a push is answered once");
                let renumbered = events.into_iter().map(|event| {
                    let num = SeqNum::new(event.num.position(), last.generation);
                    Event { num, ..event }
                });
                self.append(renumbered.collect::<Vec<_>>(), *settled);
                assert_eq!(self.head(), *last, "the answer counts other events than were pushed");
            }
            SessionPayload::Refused { attempt } => {
                self.in_flight.remove(attempt).expect("a push is answered once");
            }
        }
    }

    fn append(&mut self, events: impl IntoIterator<Item = Event>, settled: SeqNum) {
        for event in events {
            let head = self.head();
            let follows = if event.num.is_synced() {
                head.next_synced(event.num.generation)
            } else {
                head.next_client_only(event.num.generation)
            };
            assert_eq!(event.num, follows, "{} does not follow {head}", event.num);
            assert!(event.num.generation >= head.generation, "generations fell after {head}");
            self.log.push(event);
        }
        assert!(settled.position() <= self.head().position(), "{settled} is settled before it was sent");
        self.settled = settled;
    }
}
