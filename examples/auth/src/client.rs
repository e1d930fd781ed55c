//! A client of the sync server: notes, in their order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use livestore_connect::{Connect, PayloadSource, SyncPayload};
use livestore_engine::{Receipt, Store};
use livestore_eventlog_memory::MemoryStorage;
use livestore_materializer_memory::{MemoryMaterializer, MemorySchema};
use livestore_traits::{BoxError, EventSet, StoreId, TypedEvent};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Account;

/// The longest that anything may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Somebody wrote a note.
#[derive(Debug, Serialize, Deserialize)]
struct NoteAdded {
    text: String,
}

impl TypedEvent for NoteAdded {
    const NAME: &'static str = "v1.NoteAdded";
}

/// What is shown to the server: a new token of this account, each time that it is asked for.
///
/// The client asks before each connection. The server ends a connection when its token does, the client comes back, and
/// so nothing has to be renewed in time; the store does not notice.
pub(crate) fn tokens_of(account: Arc<Account>) -> impl PayloadSource {
    move || {
        let account = account.clone();
        async move { Ok(SyncPayload::new(&json!({"authToken": account.token()?}))?) }
    }
}

/// A store of notes that is open.
#[derive(Debug)]
pub(crate) struct Client(Store);

impl Client {
    /// Opens the store `store_id` at a server, with what `payload` has to show there.
    pub(crate) async fn open(
        server: SocketAddr,
        store_id: StoreId,
        payload: Option<impl PayloadSource>,
    ) -> Result<Self, BoxError> {
        let mut connect = Connect::to(format!("ws://{server}"), store_id.clone());
        if let Some(payload) = payload {
            connect = connect.payload(payload);
        }
        let schema = MemorySchema::<Vec<String>>::builder(EventSet::builder().event::<NoteAdded>().build()?)
            .on::<NoteAdded>(|notes: &mut Vec<String>, event, _| {
                notes.push(event.text);
                Ok(())
            })
            .build()?;
        let store = Store::builder(store_id)
            .eventlog(MemoryStorage::default().open())
            .materializer(MemoryMaterializer::new(schema))
            .upstream(connect.backend()?)
            .start()
            .await?;
        Ok(Self(store))
    }

    /// Adds a note.
    pub(crate) fn add(&self, text: &str) -> Result<Receipt, BoxError> {
        Ok(self.0.commit_event(&NoteAdded { text: text.to_owned() })?)
    }

    /// Adds a note, and waits until the server has it. Returns its number.
    pub(crate) async fn add_confirmed(&self, text: &str) -> Result<String, BoxError> {
        let receipt = self.add(text)?;
        let number = tokio::time::timeout(LIMIT, receipt.confirmed())
            .await
            .map_err(|_| format!("{text:?} is not confirmed: {:?}", self.0.store_status().leader))??;
        Ok(number.to_string())
    }

    /// The notes.
    pub(crate) fn notes(&self) -> Result<Vec<String>, BoxError> {
        Ok(self.0.query(|notes: &Vec<String>| notes.clone())?)
    }

    /// Waits until the notes are these.
    pub(crate) async fn sees(&self, expected: &[&str]) -> Result<(), BoxError> {
        let mut changes = self.0.changes();
        let wait = async {
            while self.notes()? != expected {
                changes.next().await?;
            }
            Ok(())
        };
        match tokio::time::timeout(LIMIT, wait).await {
            Ok(seen) => seen,
            Err(_) => Err(format!("there are {:?} instead of {expected:?}", self.notes()?).into()),
        }
    }

    /// Waits until the server refuses something for this reason. Returns all that is known of it.
    pub(crate) async fn refused(&self, reason: &str) -> Result<String, BoxError> {
        let mut status = self.0.watch_status();
        let refused =
            status.wait_for(|status| status.last_error.as_ref().is_some_and(|error| error.contains(reason)));
        match tokio::time::timeout(LIMIT, refused).await {
            Ok(Some(status)) => Ok(status.last_error.unwrap_or_default()),
            Ok(None) => Err("the store was closed".into()),
            Err(_) => {
                Err(format!("nothing was refused with {reason:?}: {:?}", self.0.store_status().leader).into())
            }
        }
    }

    /// The notes once everything is here that the server has now.
    pub(crate) async fn caught_up(&self) -> Result<Vec<String>, BoxError> {
        tokio::time::timeout(LIMIT, self.0.synced()).await??;
        self.notes()
    }

    /// Whether something waits to be taken by the server.
    pub(crate) fn has_pending(&self) -> bool {
        !self.0.store_status().is_confirmed()
    }
}
