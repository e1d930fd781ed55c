//! The suite for eventlogs, on files.

use std::path::PathBuf;

use livestore_conformance::eventlog::EventlogFixture;
use livestore_eventlog_sqlite::SqliteEventlog;
use livestore_traits::EventlogError;
use tempfile::TempDir;

struct File;

impl EventlogFixture for File {
    type Storage = (TempDir, PathBuf);
    type Eventlog = SqliteEventlog;

    fn storage(&self) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("eventlog.sqlite");
        (dir, path)
    }

    fn open(&self, (_, path): &(TempDir, PathBuf)) -> Result<SqliteEventlog, EventlogError> {
        SqliteEventlog::open(path)
    }

    fn second(&self, (_, path): &(TempDir, PathBuf), _: &SqliteEventlog) -> Option<SqliteEventlog> {
        Some(SqliteEventlog::open(path).expect("a second handle"))
    }
}

livestore_conformance::eventlog!(File);
