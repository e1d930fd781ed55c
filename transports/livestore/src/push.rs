//! A push, whatever it travels over: what is checked before, and what an answer leaves open.

use std::slice;
use std::time::SystemTime;

use async_trait::async_trait;
use futures::StreamExt;
use livestore_traits::{
    BackendId, Cursor, Limits, Pull, PullError, PullMode, Push, PushAck, PushError, RejectCode, Rejection,
    SyncBackend, SyncedEvent, UnixMillis,
};
use livestore_wire::livestore::PushCall;

use crate::LiveStoreError;
use crate::error::Refusal;
use crate::token::cursor_at;

/// What both ways to a server have.
#[async_trait]
pub(crate) trait Way: SyncBackend {
    /// Sends one batch; gives the last event as the server sent it back, if it has.
    async fn append(&self, call: PushCall) -> Result<Option<Echo>, Refusal>;
}

/// The last event of a batch, as a pull brought it.
#[derive(Clone, Debug)]
pub(crate) struct Echo {
    pub(crate) backend_id: BackendId,
    pub(crate) event: SyncedEvent,
}

/// Appends the events of `push`.
pub(crate) async fn push<W: Way>(way: &W, push: Push) -> Result<PushAck, PushError> {
    let Some(last) = push.events.last() else {
        return Err(PushError::Invalid("the batch has no events".to_owned()));
    };
    // The reference server checks neither.
    push.check_chain().map_err(PushError::Invalid)?;
    push.check_limits(&Limits::DEFAULT)?;
    match append(way, &push.backend_id, &push.events).await {
        Ok(Some(echo)) => Ok(acknowledgement(&echo)),
        Ok(None) => acknowledge(way, &push.backend_id, last).await,
        // The reference server refuses what it has taken before: the answer to the first attempt may have been lost.
        Err(Refusal::Other(PushError::UpstreamAhead { head, missing })) => {
            let repeat =
                if head < last.seq { None } else { standing(way, &push.backend_id, &push.events).await.ok() };
            match repeat.flatten() {
                Some(echo) => Ok(acknowledgement(&echo)),
                None => Err(PushError::UpstreamAhead { head, missing }),
            }
        }
        Err(Refusal::Other(error)) => Err(error),
        Err(Refusal::Rejected(why)) => Err(reject(way, &push, why).await),
    }
}

async fn append<W: Way>(
    way: &W,
    backend_id: &Option<BackendId>,
    events: &[SyncedEvent],
) -> Result<Option<Echo>, Refusal> {
    way.append(PushCall { backend_id: backend_id.clone(), events: events.to_vec() }).await
}

/// The server takes the batch never, and does not say which event is to blame. The first unit is tried alone: it is
/// to blame, or it is accepted, and then the head has moved under the rest.
async fn reject<W: Way>(way: &W, push: &Push, why: String) -> PushError {
    let end =
        push.events.iter().position(|event| event.unit_end).map_or(push.events.len(), |index| index + 1);
    let rejected = |message| {
        PushError::Rejected(Rejection { index: 0, code: RejectCode::Policy("server".to_owned()), message })
    };
    if end == push.events.len() {
        return rejected(why);
    }
    match append(way, &push.backend_id, &push.events[..end]).await {
        Ok(_) => PushError::UpstreamAhead { head: push.events[end - 1].seq, missing: None },
        Err(Refusal::Rejected(why)) => rejected(why),
        Err(Refusal::Other(error)) => error,
    }
}

/// Finds out what the server did not say of a batch that it accepted: by which backend, and when.
async fn acknowledge<W: Way>(
    way: &W,
    backend_id: &Option<BackendId>,
    last: &SyncedEvent,
) -> Result<PushAck, PushError> {
    match (standing(way, backend_id, slice::from_ref(last)).await, backend_id) {
        (Ok(Some(echo)), _) => Ok(acknowledgement(&echo)),
        (Ok(None), _) => {
            let why = format!("{} was accepted and is not there", last.seq);
            Err(PushError::Unacknowledged(LiveStoreError::Protocol(why).into()))
        }
        // It is accepted all the same; a cursor without a token goes on as well.
        (_, Some(backend_id)) => {
            Ok(PushAck::new(backend_id.clone(), Cursor { after: last.seq, token: None }, now()))
        }
        (Err(error), None) => Err(PushError::Unacknowledged(error.into())),
    }
}

/// The last of `events`, which follow each other, as the server has it, if it has all of them where they are proposed.
async fn standing<W: Way>(
    way: &W,
    backend_id: &Option<BackendId>,
    events: &[SyncedEvent],
) -> Result<Option<Echo>, PullError> {
    let mut expected = events.iter().peekable();
    let Some(first) = expected.peek() else { return Ok(None) };
    let cursor = Cursor { after: first.parent, token: None };
    let mut pages = way.pull(Pull::new(backend_id.clone(), cursor, PullMode::Once));
    while let Some(page) = pages.next().await {
        let page = page?;
        for event in page.events.iter() {
            if !expected.next().is_some_and(|expected| expected.is_same(event)) {
                return Ok(None);
            }
            if expected.peek().is_none() {
                return Ok(Some(Echo { backend_id: page.backend_id, event: event.clone() }));
            }
        }
    }
    Ok(None)
}

fn acknowledgement(Echo { backend_id, event }: &Echo) -> PushAck {
    let created_at = event.created_at.unwrap_or_else(now);
    PushAck::new(backend_id.clone(), cursor_at(event, backend_id), created_at)
}

/// About when the server accepted what it does not give a time for.
fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
