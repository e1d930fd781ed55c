//! Values that tests of this crate share.

use livestore_traits::{
    Args, BackendId, ClientId, ClientSecret, CommitRef, EventName, GlobalSeq, Push, SessionId, SyncedEvent,
    UnixMillis,
};

pub(crate) fn backend_id() -> BackendId {
    BackendId::new("b-1").unwrap()
}

pub(crate) fn event(seq: u64, args: &'static str) -> SyncedEvent {
    SyncedEvent {
        seq: GlobalSeq(seq),
        parent: GlobalSeq(seq.saturating_sub(1)),
        name: EventName::new("v1.A").unwrap(),
        args: Args::parse(args).unwrap(),
        client_id: ClientId::new("c").unwrap(),
        session_id: SessionId::new("s").unwrap(),
        commit: Some(CommitRef { n: seq, index: 0 }),
        unit_end: true,
        created_at: Some(UnixMillis(1000)),
    }
}

pub(crate) fn push() -> Push {
    let event = SyncedEvent { created_at: None, ..event(1, r#"{"text":"a"}"#) };
    Push::new(Some(backend_id()), GlobalSeq(0), Some(ClientSecret([7; 16])), vec![event])
}
