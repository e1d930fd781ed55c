//! Wakes tasks in an order that is the same in each run.
//!
//! A backend wakes whoever follows its log in no particular order: tokio's channels draw it at random. Those who are woken
//! are noted here instead, and woken in the order in which they came once the push that woke them is done. Nobody is woken
//! whom the backend forgot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The tasks that wait. Clones are handles of the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wakes(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, Waker>,
    woken: BTreeSet<u64>,
}

/// A place among them, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    id: u64,
    wakes: Wakes,
}

struct Note {
    id: u64,
    wakes: Wakes,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.wakes.state().woken.insert(self.id);
    }
}

impl Wakes {
    pub(crate) fn place(&self) -> Place {
        let mut state = self.state();
        state.next += 1;
        Place { id: state.next, wakes: self.clone() }
    }

    /// Wakes those who were woken.
    pub(crate) fn ring(&self) {
        let mut state = self.state();
        let woken = std::mem::take(&mut state.woken);
        let wakers: Vec<_> = woken.iter().filter_map(|id| state.waiting.remove(id)).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Wakes everybody.
    pub(crate) fn ring_all(&self) {
        let waiting = std::mem::take(&mut self.state().waiting);
        waiting.into_values().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Polls something that wakes in any order.
    pub(crate) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let note = Arc::new(Note { id: self.id, wakes: self.wakes.clone() });
        let polled = poll(&mut Context::from_waker(&note.into()));
        if polled.is_pending() {
            let mut state = self.wakes.state();
            // It may have woken itself already.
            if state.woken.remove(&self.id) {
                cx.waker().wake_by_ref();
            }
            state.waiting.insert(self.id, cx.waker().clone());
        }
        polled
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.wakes.state().waiting.remove(&self.id);
    }
}
