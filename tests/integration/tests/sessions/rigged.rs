//! Logs that take their time, wait at the door, or fail, as a test wants it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use livestore_eventlog_memory::{MemoryEventlog, MemoryStorage};
use livestore_traits::{
    ArchiveInfo, Event, Eventlog, EventlogError, EventlogReader, Heads, LogCommit, Position, ReadLimit,
    SeqNum, SessionId, SessionRecord, Term,
};
use tokio::task::yield_now;

/// What is to become of the logs opened through it.
#[derive(Debug, Default)]
pub(crate) struct Rig {
    held: Mutex<bool>,
    released: Condvar,
    waiting: AtomicUsize,
    open: AtomicUsize,
    broken: AtomicBool,
    /// The longest that opening or a commit takes, in microseconds.
    slowness: AtomicU64,
}

impl Rig {
    /// Opens a log, when the rig lets it.
    pub(crate) fn open(self: &Arc<Self>, storage: &MemoryStorage) -> Result<Rigged, EventlogError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let held = self.released.wait_while(self.held.lock().unwrap(), |held| *held);
        drop(held);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.dawdle();
        self.check()?;
        self.open.fetch_add(1, Ordering::SeqCst);
        Ok(Rigged { log: storage.open(), rig: self.clone() })
    }

    /// From now on opening waits for [`Self::release`].
    pub(crate) fn hold(&self) {
        *self.held.lock().unwrap() = true;
    }

    pub(crate) fn release(&self) {
        *self.held.lock().unwrap() = false;
        self.released.notify_all();
    }

    /// Waits until somebody waits to open the log.
    pub(crate) async fn is_waited_for(&self) {
        while self.waiting.load(Ordering::SeqCst) == 0 {
            yield_now().await;
        }
    }

    /// Handles that are open.
    pub(crate) fn open_handles(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// From now on commits and opening fail.
    pub(crate) fn fail(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    /// From now on everything takes up to so long.
    pub(crate) fn slow_down(&self, longest: Duration) {
        self.slowness.store(longest.as_micros() as u64, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), EventlogError> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(EventlogError::Storage("the disk is broken".into())),
            false => Ok(()),
        }
    }

    fn dawdle(&self) {
        let longest = self.slowness.load(Ordering::SeqCst);
        if longest > 0 {
            std::thread::sleep(Duration::from_micros(fastrand::u64(..longest)));
        }
    }
}

/// A log in memory under a rig.
#[derive(Debug)]
pub(crate) struct Rigged {
    log: MemoryEventlog,
    rig: Arc<Rig>,
}

impl Drop for Rigged {
    fn drop(&mut self) {
        self.rig.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl EventlogReader for Rigged {
    fn heads(&self) -> Result<Heads, EventlogError> {
        self.log.heads()
    }
    fn read(&self, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError> {
        self.log.read(after, limit)
    }
    fn common(&self, version: SeqNum) -> Result<SeqNum, EventlogError> {
        self.log.common(version)
    }
    fn session(&self, session_id: &SessionId) -> Result<Option<SessionRecord>, EventlogError> {
        self.log.session(session_id)
    }
    fn archives(&self) -> Result<Vec<ArchiveInfo>, EventlogError> {
        self.log.archives()
    }
    fn read_archive(&self, id: u64, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError> {
        self.log.read_archive(id, after, limit)
    }
}

impl Eventlog for Rigged {
    fn commit(&mut self, term: Term, commit: LogCommit) -> Result<Heads, EventlogError> {
        self.rig.dawdle();
        self.rig.check()?;
        self.log.commit(term, commit)
    }
    fn reader(&self) -> Result<Box<dyn EventlogReader>, EventlogError> {
        self.log.reader()
    }
}
