//! The suite for eventlogs, on the log itself and behind a box.

use livestore_conformance::eventlog::EventlogFixture;
use livestore_eventlog_memory::{MemoryEventlog, MemoryStorage};
use livestore_traits::{Eventlog, EventlogError};

struct Memory;

impl EventlogFixture for Memory {
    type Storage = MemoryStorage;
    type Eventlog = MemoryEventlog;

    fn storage(&self) -> MemoryStorage {
        MemoryStorage::default()
    }

    fn open(&self, storage: &MemoryStorage) -> Result<MemoryEventlog, EventlogError> {
        Ok(storage.open())
    }

    fn second(&self, storage: &MemoryStorage, _: &MemoryEventlog) -> Option<MemoryEventlog> {
        Some(storage.open())
    }
}

/// The same behind the forwarding impls.
struct Boxed;

impl EventlogFixture for Boxed {
    type Storage = MemoryStorage;
    type Eventlog = Box<dyn Eventlog>;

    fn storage(&self) -> MemoryStorage {
        Memory.storage()
    }

    fn open(&self, storage: &MemoryStorage) -> Result<Box<dyn Eventlog>, EventlogError> {
        Ok(Box::new(storage.open()))
    }

    fn second(&self, storage: &MemoryStorage, _: &Box<dyn Eventlog>) -> Option<Box<dyn Eventlog>> {
        Some(Box::new(storage.open()))
    }
}

mod plain {
    livestore_conformance::eventlog!(super::Memory);
}

mod boxed {
    livestore_conformance::eventlog!(super::Boxed);
}
