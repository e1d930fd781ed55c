//! Logs that take their time, wait at the door, or fail, as a test wants it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use livestore_eventlog_memory::{MemoryEventlog, MemoryStorage};
use livestore_integration::wrap::{Fuse, Passing, Point};
use livestore_traits::EventlogError;
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
    pub(crate) fn open(
        self: &Arc<Self>,
        storage: &MemoryStorage,
    ) -> Result<Passing<MemoryEventlog>, EventlogError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let held = self.released.wait_while(self.held.lock().unwrap(), |held| *held);
        drop(held);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.dawdle();
        self.check().map_err(|why| EventlogError::Storage(why.into()))?;
        let handle = Handle::of(self);
        let fuse = move |point| {
            if point == Point::BeforeLog {
                handle.0.dawdle();
                handle.0.check()?;
            }
            Ok(())
        };
        Ok(Passing(storage.open(), Fuse(Arc::new(fuse))))
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

    fn check(&self) -> Result<(), &'static str> {
        if self.broken.load(Ordering::SeqCst) { Err("the disk is broken") } else { Ok(()) }
    }

    fn dawdle(&self) {
        let longest = self.slowness.load(Ordering::SeqCst);
        if longest > 0 {
            std::thread::sleep(Duration::from_micros(fastrand::u64(..longest)));
        }
    }
}

/// Counts a log that is open.
struct Handle(Arc<Rig>);

impl Handle {
    fn of(rig: &Arc<Rig>) -> Self {
        rig.open.fetch_add(1, Ordering::SeqCst);
        Self(rig.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
