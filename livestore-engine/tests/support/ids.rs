//! What the tests of the processors share: a beginning of time, and names.

use std::time::Instant;

use livestore_traits::{BackendId, ClientId, ClientSecret, EventName, Identity, SessionId};

/// The instant at which every test begins.
#[expect(clippy::disallowed_methods, reason = "any instant is a good beginning; tests add to it")]
pub(crate) fn beginning() -> Instant {
    Instant::now()
}

pub(crate) fn client_id(text: &str) -> ClientId {
    ClientId::new(text).expect("a good id")
}

pub(crate) fn session_id(text: &str) -> SessionId {
    SessionId::new(text).expect("a good id")
}

pub(crate) fn backend_id(text: &str) -> BackendId {
    BackendId::new(text).expect("a good id")
}

pub(crate) fn name(text: &str) -> EventName {
    EventName::new(text).expect("a good name")
}

pub(crate) fn identity(client: &str) -> Identity {
    Identity { client_id: client_id(client), secret: ClientSecret([7; 16]) }
}
