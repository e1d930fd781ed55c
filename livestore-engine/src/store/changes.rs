//! Which parts of a session's state changed, as a stream that coalesces.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// Tells subscribers of changes. A slow one gets several changes as one; nothing queues.
#[derive(Debug, Default)]
pub(super) struct ChangeHub {
    subscribers: Mutex<Subscribers>,
}

#[derive(Debug, Default)]
struct Subscribers {
    list: Vec<Weak<Subscriber>>,
    /// Set when the session has ended: who subscribes then is told at once.
    ended: bool,
}

#[derive(Debug, Default)]
struct Subscriber {
    changed: Mutex<(BTreeSet<Arc<str>>, bool)>,
    wake: Notify,
}

/// A subscription to changes of a session's state.
#[derive(Debug)]
pub struct Changes {
    subscriber: Arc<Subscriber>,
}

/// The session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session has ended")]
pub struct ChangesEnded;

impl ChangeHub {
    pub(super) fn subscribe(&self) -> Changes {
        let subscriber = Arc::new(Subscriber::default());
        let mut subscribers = lock(&self.subscribers);
        lock(&subscriber.changed).1 = subscribers.ended;
        subscribers.list.push(Arc::downgrade(&subscriber));
        Changes { subscriber }
    }

    pub(super) fn publish(&self, changed: &BTreeSet<Arc<str>>) {
        if !changed.is_empty() {
            let mut subscribers = lock(&self.subscribers);
            subscribers.each(|subscriber| lock(&subscriber.changed).0.extend(changed.iter().cloned()));
        }
    }

    pub(super) fn end(&self) {
        let mut subscribers = lock(&self.subscribers);
        subscribers.ended = true;
        subscribers.each(|subscriber| lock(&subscriber.changed).1 = true);
    }
}

impl Subscribers {
    fn each(&mut self, change: impl Fn(&Subscriber)) {
        self.list.retain(|subscriber| {
            subscriber.upgrade().is_some_and(|subscriber| {
                change(&subscriber);
                subscriber.wake.notify_one();
                true
            })
        });
    }
}

impl Changes {
    /// Waits for changes since the last call and returns the parts of the state, for example tables, that they touched.
    ///
    /// # Errors
    /// [`ChangesEnded`] once the session has ended and everything was returned.
    ///
    /// # Cancel safety
    /// Cancel safe: what is not returned is returned by the next call.
    pub async fn next(&mut self) -> Result<BTreeSet<Arc<str>>, ChangesEnded> {
        loop {
            {
                let mut changed = lock(&self.subscriber.changed);
                if !changed.0.is_empty() {
                    return Ok(std::mem::take(&mut changed.0));
                }
                if changed.1 {
                    return Err(ChangesEnded);
                }
            }
            self.subscriber.wake.notified().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
