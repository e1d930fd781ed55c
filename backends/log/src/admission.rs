//! Who gets in: the rules of a push, as pure functions.
//!
//! What a push says of itself is checked in the caller's task ([`check`]); only whether it follows the head, and who
//! owns its client id, is decided in the critical section ([`admit`]).

use livestore_traits::{BackendId, ClientId, ClientSecret, GlobalSeq, Limits, Push, PushError};

use crate::Owner;

/// Checks what needs no look at the log.
pub(crate) fn check(push: &Push, backend_id: &BackendId, limits: &Limits) -> Result<(), PushError> {
    if let Some(foreign) = push.backend_id.as_ref().filter(|id| *id != backend_id) {
        return Err(PushError::Diverged(format!("this is {backend_id}, the push is for {foreign}")));
    }
    if push.events.is_empty() {
        return Err(PushError::Invalid("the batch is empty".into()));
    }
    push.check_limits(limits)?;
    push.check_chain().map_err(PushError::Invalid)
}

/// What the critical section decides about a push.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It follows the head; this owner is to be stored with it.
    Accept(Option<Owner>),
    /// It does not follow the head.
    Stale,
    /// Another client owns the client id.
    Taken,
}

/// Decides about a checked push, given the head and the stored owner of [`claimed`], if there is one.
pub(crate) fn admit(push: &Push, head: GlobalSeq, owner: Option<ClientSecret>) -> Admission {
    if push.parent != head {
        return Admission::Stale;
    }
    match (claim(push), owner) {
        (Some(claim), Some(owner)) if claim.secret != owner => Admission::Taken,
        (Some(_), Some(_)) | (None, _) => Admission::Accept(None),
        (Some(claim), None) => Admission::Accept(Some(claim)),
    }
}

/// The client id that the push proves to own. A proof is about one client: a batch of several clients' events (as when
/// a lost history is pushed again) claims none of them.
pub(crate) fn claimed(push: &Push) -> Option<&ClientId> {
    push.proof?;
    let (first, rest) = push.events.split_first()?;
    rest.iter().all(|event| event.client_id == first.client_id).then_some(&first.client_id)
}

fn claim(push: &Push) -> Option<Owner> {
    let client_id = claimed(push)?.clone();
    push.proof.map(|secret| Owner { client_id, secret })
}
