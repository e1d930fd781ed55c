//! Events for unit tests.

use livestore_traits::{Args, ClientId, Event, EventName, SeqNum, SessionId};

pub(crate) fn num(text: &str) -> SeqNum {
    text.parse().expect("a number")
}

/// An event of this client with that number, a unit of its own.
pub(crate) fn event(text: &str) -> Event {
    Event {
        num: num(text),
        name: EventName::new("e").expect("a name"),
        args: Args::default(),
        client_id: ClientId::new("c").expect("an id"),
        session_id: SessionId::new("s").expect("an id"),
        commit: None,
        unit_end: true,
        is_own: true,
    }
}
