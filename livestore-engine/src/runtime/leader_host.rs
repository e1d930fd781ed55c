//! Where a leader's loop runs: on a thread of its own, or as a task.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use livestore_traits::{EventlogError, Leadership};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::clock;
use super::core::LeaderFailure;
use super::inbox::{Inbox, Messages, inbox};
use super::leader_handle::{LoopHandle, ShutDown, Tenure};
use super::leader_loop::{LeaderLoop, LeaderSettings, StatusBoard};
use super::recovery::RecoveryError;

/// Spawns the task of a leader.
pub type SpawnLeader = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// Where a leader runs.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum LeaderHost {
    /// On a thread of its own, so that what waits for storage holds up nothing else.
    #[default]
    Thread,
    /// As a task, which this spawns: for simulations, where one thread and virtual time make a run repeatable. Each
    /// commit to the log holds up the thread that polls the task. A task that is dropped ends its leader as a crash of
    /// its process would.
    Task(SpawnLeader),
}

impl fmt::Debug for LeaderHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thread => "Thread",
            Self::Task(_) => "Task(..)",
        })
    }
}

/// Resolves when the leader leads, or could not begin to.
pub(super) type Started = oneshot::Receiver<Result<StatusBoard, RecoveryError>>;

/// A leader that opens its log and recovers.
pub(super) struct StartingLeader {
    pub(super) leader: LoopHandle,
    pub(super) tenure: Tenure,
    pub(super) started: Started,
}

/// Starts the loop, which opens the log and recovers, and then leads.
///
/// Without a `leadership` whoever opens the log leads, with the next term. The status goes to `board`, or to a new one.
pub(super) fn spawn_leader(
    settings: LeaderSettings,
    leadership: Option<Arc<dyn Leadership>>,
    board: Option<StatusBoard>,
) -> Result<StartingLeader, RecoveryError> {
    let (inbox, mut messages) = inbox();
    let (failure, ended) = oneshot::channel();
    let (started_sender, started) = oneshot::channel();
    // From here on, so that a leader whose start nobody waits for any more ends too.
    let tenure = Tenure(inbox.clone());
    let host = settings.host.clone();
    let runtime = Handle::current();
    let beginning = Beginning {
        settings,
        leadership,
        board,
        inbox: inbox.clone(),
        runtime: runtime.clone(),
        started: started_sender,
    };
    match host {
        LeaderHost::Thread => {
            let thread = move || {
                let _enter = runtime.enter();
                let Some(mut leader) = beginning.open() else { return };
                let outcome = catch_unwind(AssertUnwindSafe(|| leader.run(&messages)));
                end(leader, messages, outcome, failure);
            };
            clock::spawn_thread("livestore-leader", thread)
                .map_err(|error| EventlogError::Storage(error.into()))?;
        }
        LeaderHost::Task(spawn) => spawn(Box::pin(async move {
            let Some(mut leader) = beginning.open() else { return };
            let outcome = AssertUnwindSafe(leader.run_as_task(&mut messages)).catch_unwind().await;
            end(leader, messages, outcome, failure);
        })),
    }
    Ok(StartingLeader { leader: LoopHandle { inbox, ended: ended.shared() }, tenure, started })
}

/// What a leader begins with.
struct Beginning {
    settings: LeaderSettings,
    leadership: Option<Arc<dyn Leadership>>,
    board: Option<StatusBoard>,
    inbox: Inbox,
    runtime: Handle,
    started: oneshot::Sender<Result<StatusBoard, RecoveryError>>,
}

impl Beginning {
    /// Opens log and state, and tells whoever waits whether that went well.
    fn open(self) -> Option<LeaderLoop> {
        let opened = LeaderLoop::open(self.settings, self.leadership, self.board, self.inbox, self.runtime);
        let (leader, started) = match opened {
            Ok(leader) => {
                let board = leader.board();
                (Some(leader), Ok(board))
            }
            Err(error) => (None, Err(error)),
        };
        // Whoever started it may have stopped waiting; then the leader is told that it is abandoned.
        let _ = self.started.send(started);
        leader
    }
}

/// Closes everything, in the order in which others may find out.
fn end(
    leader: LeaderLoop,
    messages: Messages,
    outcome: Result<Result<Option<ShutDown>, LeaderFailure>, Box<dyn Any + Send>>,
    failure: oneshot::Sender<Arc<LeaderFailure>>,
) {
    // Before anybody can see that the leader is gone: whoever has seen it reaches nothing here any more.
    drop(messages);
    match outcome.unwrap_or_else(|panic| Err(panicked(&*panic))) {
        Ok(Some(done)) => {
            // Whoever asked may have stopped waiting; then the tasks end by themselves.
            let _ = done.send(leader.close());
        }
        Ok(None) => {}
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the leader stopped");
            // Whoever sees the failure may open the log again.
            drop(leader);
            // Nobody may be left to be told.
            let _ = failure.send(Arc::new(error));
        }
    }
}

/// A leader that panicked is over, its sessions with it; they are told why.
fn panicked(panic: &(dyn Any + Send)) -> LeaderFailure {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    LeaderFailure::Panicked(text.unwrap_or("for a reason that is no text").to_owned())
}
