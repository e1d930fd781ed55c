//! The story, for clients of any parts.

use std::fmt;
use std::time::Duration;

use livestore_engine::{Session, StartError, Store};
use livestore_traits::{
    BoxError, Eventlog, EventlogError, LeaderElection, MaterializeError, Materializer, NewEvent, StoreId,
    SyncBackend,
};

use crate::notes::{NoteAdded, Notes};

/// The longest that anything may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Starts a client from any parts.
///
/// The log and the state are opened by the store, once it leads: files belong to the leader.
///
/// # Errors
/// [`StartError`] if a part cannot be used.
pub async fn start<L: Eventlog, M: Materializer>(
    store_id: StoreId,
    open_eventlog: impl FnMut() -> Result<L, EventlogError> + Send + 'static,
    open_state: impl FnMut() -> Result<M, MaterializeError> + Send + 'static,
    upstream: impl SyncBackend,
    election: Option<impl LeaderElection>,
) -> Result<Store, StartError> {
    let mut builder = Store::builder(store_id)
        .open_eventlog(open_eventlog)
        .open_materializer(open_state)
        .upstream(upstream);
    if let Some(election) = election {
        builder = builder.election(election);
    }
    builder.start().await
}

/// A started client. How its state is read depends on the kind of state.
#[derive(Debug)]
pub struct Client {
    /// Its store.
    pub store: Store,
    /// Reads its notes.
    pub read: fn(&Session) -> Result<Notes, BoxError>,
}

/// Where clients come from. One that is started again finds what it had stored before.
pub trait Clients {
    /// Starts the client called `name`.
    fn start(&self, name: &'static str) -> impl Future<Output = Result<Client, BoxError>>;
}

/// How the story ended.
#[derive(Debug)]
pub struct Outcome {
    /// What both clients have.
    pub notes: Notes,
    /// A line about each client.
    pub clients: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clients.iter().try_for_each(|client| writeln!(f, "{client}"))?;
        write!(f, "both have:")?;
        self.notes.iter().try_for_each(|note| write!(f, "\n  {note}"))
    }
}

/// Tells the story.
///
/// # Errors
/// What went wrong, above all if the clients end with different notes.
pub async fn tell(clients: &impl Clients) -> Result<Outcome, BoxError> {
    let alice = clients.start("alice").await?;
    let bob = clients.start("bob").await?;

    // Both at once, so that they compete for the same numbers. The second two notes of each are one unit.
    for (client, name) in [(&alice, "alice"), (&bob, "bob")] {
        client.store.commit_event(&note(format!("{name} was here")))?;
        let unit = [NewEvent::from(&note(format!("{name} had")))?, NewEvent::from(&note("an idea".into()))?];
        client.store.commit(unit)?;
    }
    sync(&alice).await?;
    sync(&bob).await?;

    // Bob leaves. What alice does meanwhile he finds when he is back, beside what he had.
    bob.store.shutdown(LIMIT).await?;
    let goodbye = alice.store.commit_event(&note("alice went on alone".into()))?;
    tokio::time::timeout(LIMIT, goodbye.confirmed()).await??;
    let bob = clients.start("bob").await?;
    sync(&bob).await?;
    sync(&alice).await?;

    let notes = (alice.read)(&alice.store)?;
    let of_bob = (bob.read)(&bob.store)?;
    if notes != of_bob {
        return Err(format!("alice has {notes:?}, bob has {of_bob:?}").into());
    }
    let clients = vec![describe("alice", &alice), describe("bob", &bob)];
    alice.store.shutdown(LIMIT).await?;
    bob.store.shutdown(LIMIT).await?;
    Ok(Outcome { notes, clients })
}

fn note(text: String) -> NoteAdded {
    NoteAdded { text }
}

async fn sync(client: &Client) -> Result<(), BoxError> {
    match tokio::time::timeout(LIMIT, client.store.synced()).await {
        Ok(synced) => synced.map(drop).map_err(Into::into),
        Err(_) => Err(format!("not in sync after {LIMIT:?}: {:?}", client.store.store_status()).into()),
    }
}

fn describe(name: &str, client: &Client) -> String {
    let leader = client.store.store_status().leader;
    format!("{name:<5}  head {}, rebased {} times", leader.upstream_head.global, leader.generation.0)
}
