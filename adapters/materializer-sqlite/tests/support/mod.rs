//! Events for tests of this crate.

use livestore_traits::{
    Args, ClientId, Event, EventName, GlobalSeq, Position, RebaseGeneration, SeqNum, SessionId,
};

/// The synced event with this number.
pub(crate) fn event(number: u64, name: &str, args: &impl serde::Serialize) -> Event {
    Event {
        num: SeqNum::new(Position::synced(GlobalSeq(number)), RebaseGeneration(0)),
        name: EventName::new(name).unwrap(),
        args: Args::from_value(args).unwrap(),
        client_id: ClientId::new("c1").unwrap(),
        session_id: SessionId::new("s1").unwrap(),
        commit: None,
        unit_end: true,
        is_own: true,
    }
}
