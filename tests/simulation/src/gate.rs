//! What can be done to a leader from outside: stopping it like SIGSTOP, and killing it like SIGKILL.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::future::BoxFuture;
use livestore_engine::runtime::LeaderHost;
use tokio::task::AbortHandle;

/// The leaders of one process. Clones are handles of the same gate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    paused: bool,
    dead: bool,
    waiting: Vec<Waker>,
    tasks: Vec<AbortHandle>,
}

impl Gate {
    /// Lets leaders run behind this gate.
    pub(crate) fn host(&self) -> LeaderHost {
        let gate = self.clone();
        LeaderHost::Task(Arc::new(move |leader| {
            let task = tokio::spawn(Gated { gate: gate.clone(), leader }).abort_handle();
            let mut state = gate.state();
            if state.dead {
                task.abort();
            }
            state.tasks.push(task);
        }))
    }

    /// The leader does nothing more until [`Self::resume`].
    pub(crate) fn pause(&self) {
        self.state().paused = true;
    }

    pub(crate) fn resume(&self) {
        let mut state = self.state();
        state.paused = false;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The leader does nothing more at all.
    pub(crate) fn kill(&self) {
        let mut state = self.state();
        state.dead = true;
        state.tasks.drain(..).for_each(|task| task.abort());
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().dead
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Gated {
    gate: Gate,
    leader: BoxFuture<'static, ()>,
}

impl Future for Gated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.gate.state();
        if state.dead {
            return Poll::Ready(());
        }
        if state.paused {
            state.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        self.leader.as_mut().poll(cx)
    }
}
