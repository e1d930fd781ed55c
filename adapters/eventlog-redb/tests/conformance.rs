//! The suite for eventlogs, on files.

use std::path::PathBuf;

use livestore_conformance::eventlog::EventlogFixture;
use livestore_eventlog_redb::RedbEventlog;
use livestore_traits::EventlogError;
use tempfile::TempDir;

struct File;

impl EventlogFixture for File {
    type Storage = (TempDir, PathBuf);
    type Eventlog = RedbEventlog;

    fn storage(&self) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("eventlog.redb");
        (dir, path)
    }

    fn open(&self, (_, path): &(TempDir, PathBuf)) -> Result<RedbEventlog, EventlogError> {
        RedbEventlog::open(path)
    }

    fn second(&self, _: &(TempDir, PathBuf), log: &RedbEventlog) -> Option<RedbEventlog> {
        Some(log.handle())
    }
}

livestore_conformance::eventlog!(File);
