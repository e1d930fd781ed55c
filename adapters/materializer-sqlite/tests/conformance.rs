//! The suite for materializers, over files, over memory, and with what a session forks.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

use std::collections::BTreeMap;

use livestore_conformance::materializer::{MaterializerFixture, kv};
use livestore_materializer_sqlite::{
    SqliteMaterializer, SqliteOptions, SqliteSchema, SqliteSchemaBuilder, SqliteView,
};
use livestore_traits::{EventSet, MaterializeError, Materializer};
use tempfile::TempDir;

const SET: &str =
    "INSERT INTO kv (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

fn schema(events: EventSet) -> SqliteSchemaBuilder {
    SqliteSchema::builder(events)
        .version(1)
        .table("CREATE TABLE kv (key TEXT PRIMARY KEY, value INTEGER NOT NULL)")
        .on::<kv::Set>(|state, event, _cx| {
            state.execute(SET, (&event.key, event.value))?;
            Ok(())
        })
        .on::<kv::Add>(|state, event, _cx| {
            state.execute(
                "INSERT INTO kv (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = value + ?2",
                (&event.key, event.by),
            )?;
            Ok(())
        })
        .on::<kv::Del>(|state, event, _cx| {
            state.execute("DELETE FROM kv WHERE key = ?1", [&event.key])?;
            Ok(())
        })
        .on::<kv::Copy>(|state, event, _cx| {
            let values = state.query_map("SELECT value FROM kv WHERE key = ?1", [&event.from], |row| row.get(0))?;
            state.execute(SET, (&event.to, values.first().copied().unwrap_or(0_i64)))?;
            Ok(())
        })
        .on::<kv::Fail>(|state, event, _cx| {
            state.execute(SET, (&event.key, -1))?;
            Err(kv::FAILURE.into())
        })
}

fn first_version() -> SqliteSchema {
    schema(kv::events()).build().unwrap()
}

fn later_version() -> SqliteSchema {
    let later = schema(kv::later_events()).on::<kv::Later>(|state, event, _cx| {
        state.execute(SET, (&event.key, event.value))?;
        Ok(())
    });
    later.build().unwrap()
}

fn dump(materializer: &dyn Materializer) -> BTreeMap<String, i64> {
    let view: &SqliteView = materializer.view().downcast_ref().unwrap();
    view.query_map("SELECT key, value FROM kv", (), |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .into_iter()
        .collect()
}

mod file {
    use super::*;

    struct FileFixture;

    impl MaterializerFixture for FileFixture {
        type Storage = TempDir;
        type Materializer = SqliteMaterializer;

        fn storage(&self) -> TempDir {
            tempfile::tempdir().unwrap()
        }
        fn open(&self, storage: &TempDir) -> Result<SqliteMaterializer, MaterializeError> {
            let options = SqliteOptions::new().forks_in(storage.path());
            options.open(storage.path().join("state.sqlite"), first_version())
        }
        fn open_later(&self, storage: &TempDir) -> Result<SqliteMaterializer, MaterializeError> {
            SqliteMaterializer::open(storage.path().join("state.sqlite"), later_version())
        }
        fn dump(&self, materializer: &dyn Materializer) -> BTreeMap<String, i64> {
            dump(materializer)
        }
    }

    livestore_conformance::materializer!(FileFixture);
}

mod memory {
    use super::*;

    struct MemoryFixture;

    impl MaterializerFixture for MemoryFixture {
        type Storage = ();
        type Materializer = SqliteMaterializer;
        const REOPENS: bool = false;

        fn storage(&self) {}
        fn open(&self, (): &()) -> Result<SqliteMaterializer, MaterializeError> {
            SqliteMaterializer::in_memory(first_version())
        }
        fn open_later(&self, (): &()) -> Result<SqliteMaterializer, MaterializeError> {
            SqliteMaterializer::in_memory(later_version())
        }
        fn dump(&self, materializer: &dyn Materializer) -> BTreeMap<String, i64> {
            dump(materializer)
        }
    }

    livestore_conformance::materializer!(MemoryFixture);
}
