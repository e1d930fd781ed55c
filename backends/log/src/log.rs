//! One open log: its identity, its visible head, its tail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use livestore_traits::{BackendId, StoreId};
use tokio::sync::watch;

use crate::tail::Tail;
use crate::{Batch, Failure, Head, LogInfo, LogNo};

/// What readers wait for.
#[derive(Clone, Debug)]
pub(crate) struct Visible {
    /// The last durable event.
    pub(crate) head: Head,
    /// Why nothing more will come, if the storage failed.
    pub(crate) failure: Option<Failure>,
}

#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) no: LogNo,
    pub(crate) backend_id: BackendId,
    store: StoreId,
    visible: watch::Sender<Visible>,
    tail: Mutex<Tail>,
    open: Arc<OpenLogs>,
}

impl Log {
    /// The head that readers may see, or why there is none any more.
    pub(crate) fn head(&self) -> Result<Head, Failure> {
        let visible = self.visible.borrow();
        visible.failure.clone().map_or(Ok(visible.head), Err)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Visible> {
        self.visible.subscribe()
    }

    pub(crate) fn tail(&self) -> MutexGuard<'_, Tail> {
        lock(&self.tail)
    }

    /// Shows a batch that is durable now. Returns its size in the tail.
    pub(crate) fn publish(&self, batch: &Batch, end: Head) -> usize {
        // Both under one lock: whoever sees the head finds its events, and whoever reads the events comes back with a
        // cursor that is not beyond the head.
        let mut tail = self.tail();
        let after = self.visible.borrow().head.seq;
        let bytes = tail.push(after, &batch.events, end, batch.tag);
        self.visible.send_modify(|visible| visible.head = end);
        bytes
    }

    fn fail(&self, failure: &Failure) {
        self.visible.send_modify(|visible| visible.failure = Some(failure.clone()));
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.open.forget(&self.store);
    }
}

/// The logs that are open in this process: there is one [`Log`] per store, so all its readers share one head.
#[derive(Debug, Default)]
pub(crate) struct OpenLogs(Mutex<HashMap<StoreId, Weak<Log>>>);

impl OpenLogs {
    pub(crate) fn find(&self, store: &StoreId) -> Option<Arc<Log>> {
        lock(&self.0).get(store).and_then(Weak::upgrade)
    }

    pub(crate) fn insert(self: &Arc<Self>, store: StoreId, info: LogInfo, tail_bytes: usize) -> Arc<Log> {
        let log = Arc::new(Log {
            no: info.log,
            backend_id: info.backend_id,
            store: store.clone(),
            visible: watch::Sender::new(Visible { head: info.head, failure: None }),
            tail: Mutex::new(Tail::new(tail_bytes)),
            open: self.clone(),
        });
        lock(&self.0).insert(store, Arc::downgrade(&log));
        log
    }

    /// Tells all readers that nothing more will come.
    pub(crate) fn fail(&self, failure: &Failure) {
        let logs: Vec<_> = lock(&self.0).values().filter_map(Weak::upgrade).collect();
        for log in logs {
            log.fail(failure);
        }
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }

    fn forget(&self, store: &StoreId) {
        let mut logs = lock(&self.0);
        // The store may have been opened again since its last handle was dropped.
        if logs.get(store).is_some_and(|log| log.strong_count() == 0) {
            logs.remove(store);
        }
    }
}

/// Locks; the data behind our locks is whole between any two statements, so a panic elsewhere does not spoil it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
