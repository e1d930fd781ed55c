//! The application of these tests: writers that write numbers.

use std::path::Path;
use std::time::Duration;

use livestore_connect::Connect;
use livestore_data_dir::DataDir;
use livestore_engine::{Presence, Store, StoreBuilder};
use livestore_materializer_sqlite::{SqliteSchema, SqliteView};
use livestore_traits::{EventSet, StoreId, TypedEvent};
use serde::{Deserialize, Serialize};

/// Only ever waited for when a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A line of what a writer writes in one run of its process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) writer: String,
    pub(crate) run: u32,
    pub(crate) number: u32,
}

impl TypedEvent for Written {
    const NAME: &'static str = "v1.Written";
}

/// Nothing forbids what was written twice: it would show.
pub(crate) fn schema() -> SqliteSchema {
    SqliteSchema::builder(EventSet::builder().event::<Written>().build().unwrap())
        .table("CREATE TABLE written (writer TEXT NOT NULL, run INTEGER NOT NULL, number INTEGER NOT NULL)")
        .on::<Written>(|state, written, _| {
            let row = (&written.writer, written.run, written.number);
            state.execute("INSERT INTO written VALUES (?1, ?2, ?3)", row)?;
            Ok(())
        })
        .build()
        .unwrap()
}

pub(crate) fn store_id() -> StoreId {
    "lines".parse().unwrap()
}

pub(crate) fn data(dir: &Path) -> DataDir {
    DataDir::new(dir, store_id())
}

/// A store on `dir`, which syncs if a server is named.
pub(crate) fn builder(dir: &Path, server: Option<&str>) -> StoreBuilder {
    let builder = data(dir).store(schema());
    match server {
        Some(url) => builder.upstream(Connect::to(url, store_id()).backend().unwrap()),
        None => builder,
    }
}

pub(crate) async fn open(dir: &Path, server: Option<&str>) -> Store {
    builder(dir, server).start().await.unwrap()
}

/// Everything that was written, in its order.
pub(crate) fn all(store: &Store) -> Vec<Written> {
    let read = |view: &SqliteView| {
        view.query_map("SELECT writer, run, number FROM written ORDER BY rowid", (), |row| {
            Ok(Written { writer: row.get(0)?, run: row.get(1)?, number: row.get(2)? })
        })
    };
    store.query(read).unwrap().unwrap()
}

/// Waits until the store's state is as wanted.
pub(crate) async fn until(store: &Store, mut condition: impl FnMut(&Store) -> bool) {
    let mut changes = store.changes();
    let met = async {
        while !condition(store) {
            changes.next().await.unwrap();
        }
    };
    assert!(
        tokio::time::timeout(LIMIT, met).await.is_ok(),
        "{:?} {:?}",
        store.store_status(),
        all(store).last()
    );
}

/// Waits until the store leads.
pub(crate) async fn until_leading(store: &Store) {
    let mut presence = store.watch_presence();
    let leads = async {
        while presence.current() != Presence::Here {
            presence.changed().await.unwrap();
        }
    };
    assert!(tokio::time::timeout(LIMIT, leads).await.is_ok(), "{:?}", store.store_status());
}
