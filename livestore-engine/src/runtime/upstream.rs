//! The leader's way to its backend: tasks that pull, push and watch, and report as inputs.

use std::sync::Arc;

use futures::StreamExt;
use livestore_traits::{Pull, Push, SyncBackend};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};

use super::inbox::Inbox;
use super::leader_handle::LeaderMessage;
use crate::processor::{AttemptId, Input, PullId};

/// Pages that may wait for the leader; then the pull waits.
const PAGES_AHEAD: usize = 64;

/// Drives one backend for one leader. Dropping it aborts everything that runs.
#[derive(Debug)]
pub(super) struct Upstream {
    backend: Arc<dyn SyncBackend>,
    inbox: Inbox,
    runtime: Handle,
    tasks: JoinSet<()>,
    pull: Option<AbortHandle>,
    /// One permit for each page that may wait; the leader gives it back with the page's [`PagePermit`].
    pages: Arc<Semaphore>,
}

/// Goes with a page: so many may wait for the leader at a time.
#[derive(Debug)]
pub(crate) struct PagePermit(OwnedSemaphorePermit);

impl PagePermit {
    /// Lets the pull go on.
    pub(super) fn taken_in(self) {
        drop(self.0);
    }
}

impl Upstream {
    pub(super) fn new(backend: Arc<dyn SyncBackend>, inbox: Inbox, runtime: Handle) -> Self {
        let mut this = Self {
            backend,
            inbox,
            runtime,
            tasks: JoinSet::new(),
            pull: None,
            pages: Arc::new(Semaphore::new(PAGES_AHEAD)),
        };
        this.watch_connection();
        this
    }

    /// The tasks that hold the backend.
    pub(super) fn into_tasks(self) -> JoinSet<()> {
        self.tasks
    }

    /// Reports the backend's status and, with each change of it, what it can do.
    fn watch_connection(&mut self) {
        let (backend, inbox) = (self.backend.clone(), self.inbox.clone());
        self.spawn(async move {
            let mut statuses = backend.connection();
            while let Some(status) = statuses.next().await {
                let capabilities = LeaderMessage::Input(Input::Capabilities(backend.capabilities()));
                let status = LeaderMessage::Input(Input::Connection(status));
                if inbox.send(capabilities).is_err() || inbox.send(status).is_err() {
                    return;
                }
            }
        });
    }

    /// Begins a pull in place of the one that runs.
    pub(super) fn start_pull(&mut self, id: PullId, pull: Pull) {
        self.stop_pull();
        // Those that wait belong to the old pull and count no more.
        self.pages = Arc::new(Semaphore::new(PAGES_AHEAD));
        let (backend, inbox, pages) = (self.backend.clone(), self.inbox.clone(), self.pages.clone());
        self.pull = Some(self.spawn(async move {
            let mut stream = backend.pull(pull);
            let error = loop {
                let Ok(permit) = pages.clone().acquire_owned().await else { return };
                match stream.next().await {
                    Some(Ok(page)) => {
                        let message = LeaderMessage::Page(Input::Page(id, page), PagePermit(permit));
                        if inbox.send(message).is_err() {
                            return;
                        }
                    }
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            };
            // A receiver that is gone needs no answer.
            let _ = inbox.send(LeaderMessage::Input(Input::PullEnded(id, error)));
        }));
    }

    pub(super) fn stop_pull(&mut self) {
        if let Some(pull) = self.pull.take() {
            pull.abort();
        }
    }

    /// Pushes; the answer comes as an input.
    pub(super) fn push(&mut self, attempt: AttemptId, push: Push) {
        let (backend, inbox) = (self.backend.clone(), self.inbox.clone());
        self.spawn(async move {
            let answer = backend.push(push).await;
            // A receiver that is gone needs no answer.
            let _ = inbox.send(LeaderMessage::Input(Input::PushAnswered(attempt, answer)));
        });
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn_on(task, &self.runtime)
    }
}
