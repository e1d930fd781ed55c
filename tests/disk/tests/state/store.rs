//! The same through a store in a data dir, as an application has it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

use std::time::Duration;

use fastrand::Rng;
use livestore_data_dir::DataDir;
use livestore_disk::files::{Damage, Image};
use livestore_engine::Store;
use livestore_materializer_sqlite::SqliteView;

use crate::history::{Written, schema};

/// Longer than anything takes: reaching it is a hang.
const LIMIT: Duration = Duration::from_secs(30);

async fn write(store: &Store, places: std::ops::Range<u32>) {
    for place in places {
        store.commit_event(&Written { place, text: "x".repeat(300) }).unwrap();
    }
    let last = store.commit_event(&Written { place: 0, text: "last".into() }).unwrap();
    last.persisted().await.unwrap();
}

/// How many places there are, or what SQLite says.
fn count(store: &Store) -> Result<u32, String> {
    let query = |view: &SqliteView| view.query_row("SELECT count(text) FROM places", (), |row| row.get(0));
    store.query(query).unwrap().map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_store_starts_over_damaged_files_and_takes_commits() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::new(dir.path(), "notes".parse().unwrap());
    let store = data.store(schema()).start().await.unwrap();
    write(&store, 1..100).await;
    let earlier = Image::of(data.state()).unwrap();
    // In order, so that the pages of the log get into the file.
    store.shutdown(LIMIT).await.unwrap();
    let store = data.store(schema()).start().await.unwrap();
    write(&store, 100..200).await;
    // What is there if the process is killed now.
    let now = Image::of(data.state()).unwrap();
    assert!(earlier.has_wal() && now.has_wal());
    store.shutdown(LIMIT).await.unwrap();

    let mut rng = Rng::with_seed(1);
    for damage in Damage::ALL {
        let dir = tempfile::tempdir().unwrap();
        let copied = DataDir::new(dir.path(), "notes".parse().unwrap());
        std::fs::create_dir_all(copied.path()).unwrap();
        std::fs::copy(data.eventlog(), copied.eventlog()).unwrap();
        let Some(image) = damage.done_to(&now, &earlier, &mut rng) else {
            panic!("{damage:?} has no effect")
        };
        image.write(copied.state()).unwrap();
        let store = copied.store(schema()).start().await.unwrap();
        match count(&store) {
            // Also under the old log: these pages are the ones that it went into.
            Ok(count) => assert_eq!(count, 200, "{damage:?}"),
            Err(error) => assert!(error.contains("malformed"), "{damage:?}: {error}"),
        }
        store.commit_event(&Written { place: 500, text: "more".into() }).unwrap().persisted().await.unwrap();
        store.shutdown(LIMIT).await.unwrap();
    }
}
