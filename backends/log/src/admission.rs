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

#[cfg(test)]
mod tests {
    use livestore_conformance::backend::sample_events;

    use super::*;

    const SECRET: ClientSecret = ClientSecret([1; 16]);
    const OTHER: ClientSecret = ClientSecret([2; 16]);

    fn push(parent: u64, proof: Option<ClientSecret>) -> Push {
        let parent = GlobalSeq(parent);
        Push::new(None, parent, proof, sample_events("client", parent, 2))
    }

    #[test]
    fn a_push_gets_in_at_the_head_if_its_client_id_is_its_own() {
        let bind = || Some(Owner { client_id: ClientId::new("client").unwrap(), secret: SECRET });
        for (parent, head, proof, owner, expected) in [
            (3, 3, None, None, Admission::Accept(None)),
            (3, 3, None, Some(SECRET), Admission::Accept(None)),
            (3, 3, Some(SECRET), None, Admission::Accept(bind())),
            (3, 3, Some(SECRET), Some(SECRET), Admission::Accept(None)),
            (3, 3, Some(SECRET), Some(OTHER), Admission::Taken),
            (3, 2, Some(SECRET), None, Admission::Stale),
            (3, 4, Some(SECRET), Some(OTHER), Admission::Stale),
        ] {
            let admission = admit(&push(parent, proof), GlobalSeq(head), owner);
            assert_eq!(admission, expected, "parent {parent}, head {head}, {proof:?}, {owner:?}");
        }
    }

    #[test]
    fn a_batch_of_several_clients_claims_no_client_id() {
        let mut reseeded = push(0, Some(SECRET));
        assert_eq!(claimed(&reseeded).map(ClientId::as_str), Some("client"));
        reseeded.events[1].client_id = ClientId::new("other").unwrap();
        assert_eq!(claimed(&reseeded), None);
        assert_eq!(admit(&reseeded, GlobalSeq(0), None), Admission::Accept(None));
    }

    #[test]
    fn a_batch_is_refused_before_it_queues() {
        let own = BackendId::new("own").unwrap();
        let limits = Limits { max_batch_events: 2, ..Limits::DEFAULT };
        assert!(check(&push(0, None), &own, &limits).is_ok());
        let mut foreign = push(0, None);
        foreign.backend_id = Some(BackendId::new("foreign").unwrap());
        assert!(matches!(check(&foreign, &own, &limits), Err(PushError::Diverged(_))));
        let mut empty = push(0, None);
        empty.events.clear();
        assert!(matches!(check(&empty, &own, &limits), Err(PushError::Invalid(_))));
        let large = Push::new(None, GlobalSeq(0), None, sample_events("client", GlobalSeq(0), 3));
        assert!(matches!(check(&large, &own, &limits), Err(PushError::TooLarge { .. })));
        let mut gap = push(0, None);
        gap.events.remove(0);
        assert!(matches!(check(&gap, &own, &limits), Err(PushError::Invalid(_))));
    }
}
