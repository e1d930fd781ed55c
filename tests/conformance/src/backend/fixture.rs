//! What an implementer gives to the suite.

use std::sync::Arc;

use async_trait::async_trait;
use livestore_traits::{
    Args, ClientId, CommitRef, EventName, GlobalSeq, SessionId, SyncBackend, SyncedEvent,
};

/// One event after `parent`, for an implementer's own tests.
///
/// # Panics
/// If the ids or the args are not valid.
#[must_use]
pub fn sample_event(client_id: &str, parent: GlobalSeq, args: &str) -> SyncedEvent {
    SyncedEvent {
        seq: parent.next(),
        parent,
        name: EventName::new("v1.Tested").unwrap(),
        args: Args::parse(args.to_owned()).unwrap(),
        client_id: ClientId::new(client_id).unwrap(),
        session_id: SessionId::new("session").unwrap(),
        commit: Some(CommitRef { n: parent.0 + 1, index: 0 }),
        unit_end: true,
        created_at: None,
    }
}

/// `count` events after `parent`, each a unit of its own with small args.
#[must_use]
pub fn sample_events(client_id: &str, parent: GlobalSeq, count: usize) -> Vec<SyncedEvent> {
    let event = |index: usize| {
        sample_event(client_id, GlobalSeq(parent.0 + index as u64), &format!("{{\"nr\":{index}}}"))
    };
    (0..count).map(event).collect()
}

/// What a way to a backend carries beside numbers, names, args and ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carries {
    /// Which commit an event belongs to, and where units end. Otherwise every event comes back as a unit of its own.
    pub commits: bool,
    /// Who owns a client id.
    pub proofs: bool,
}

impl Carries {
    /// All there is to carry.
    pub const ALL: Self = Self { commits: true, proofs: true };
}

/// Makes the backends under test.
///
/// # Example
/// ```
/// # use std::sync::Arc;
/// # use async_trait::async_trait;
/// # use livestore_traits::SyncBackend;
/// use livestore_backend_memory::MemoryBackend;
/// use livestore_conformance::backend::BackendFixture;
///
/// /// A log in memory: a store is a handle of it.
/// struct InMemory;
///
/// #[async_trait]
/// impl BackendFixture for InMemory {
///     type Store = MemoryBackend;
///     async fn create(&self) -> Self::Store { MemoryBackend::new() }
///     async fn connect(&self, store: &Self::Store) -> Arc<dyn SyncBackend> { Arc::new(store.clone()) }
///     async fn reopen(&self, _: Self::Store) -> Option<Self::Store> { None }
///     async fn replace(&self, _: Self::Store) -> Option<Self::Store> { Some(MemoryBackend::new()) }
///     fn runs_on_virtual_time(&self) -> bool { true }
/// }
/// ```
#[async_trait]
pub trait BackendFixture: Send + Sync {
    /// Where a store is: a handle, an id in a data dir, an address. Everything that serves it lives in here or in the
    /// fixture.
    type Store: Send + Sync;

    /// Makes a new, empty store.
    async fn create(&self) -> Self::Store;

    /// A new handle of the store, as another client would have one.
    async fn connect(&self, store: &Self::Store) -> Arc<dyn SyncBackend>;

    /// Closes the store and opens the same storage again, as after a restart. All handles were dropped before. `None`
    /// if nothing outlives the process.
    async fn reopen(&self, store: Self::Store) -> Option<Self::Store>;

    /// Puts a new, empty log where the store was, as when a server's data was deleted. All handles were dropped before.
    /// `None` if that cannot happen to this backend.
    async fn replace(&self, store: Self::Store) -> Option<Self::Store>;

    /// Whether the backend neither uses threads nor sockets, so that paused time advances only when it waits.
    fn runs_on_virtual_time(&self) -> bool;

    /// What the way to the backend carries; what it does not, the cases leave out.
    fn carries(&self) -> Carries {
        Carries::ALL
    }
}
