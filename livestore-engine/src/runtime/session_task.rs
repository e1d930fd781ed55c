//! The task of a session: what of it takes waiting.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::Fuse;
use livestore_traits::{BoxStream, LeaderItem, LeaderLink, LinkError, SessionId};
use tokio::task::JoinHandle;

use super::clock;
use super::session_cell::{SessionCell, TaskWork};

/// The longest sleep while nothing is known to be due: a commit may set a deadline without waking this task.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// The most items taken in under one lock.
const ITEMS_AT_ONCE: usize = 64;

/// Starts the task of a session. It ends when it is aborted, or with the session when no leader will ever take it.
pub(crate) fn spawn_session(
    session_id: SessionId,
    cell: Arc<Mutex<SessionCell>>,
    link: Arc<dyn LeaderLink>,
    changed: Arc<dyn Fn() + Send + Sync>,
) -> JoinHandle<()> {
    let task = SessionTask { session_id, cell, link, changed, items: None };
    tokio::spawn(task.run())
}

struct SessionTask {
    session_id: SessionId,
    cell: Arc<Mutex<SessionCell>>,
    link: Arc<dyn LeaderLink>,
    /// Called after anything may have changed, without the lock.
    changed: Arc<dyn Fn() + Send + Sync>,
    /// Fused: its end may be met behind items, and is met again after them.
    items: Option<Fuse<BoxStream<'static, LeaderItem>>>,
}

impl SessionTask {
    async fn run(mut self) {
        self.with(SessionCell::timeout);
        while !self.with(|cell| cell.is_ended()) {
            match self.with(SessionCell::take_work) {
                Some(TaskWork::Attach(attach)) => self.attach(attach).await,
                Some(TaskWork::Restart) => self.restart().await,
                None => self.wait().await,
            }
        }
        // Tells those who follow changes that there will be none.
        (self.changed)();
    }

    /// Waits for the next item, deadline or wake-up, and takes it in.
    async fn wait(&mut self) {
        let longest = clock::now() + LONGEST_SLEEP;
        let deadline = self.with(|cell| cell.poll_timeout()).map_or(longest, |at| at.min(longest));
        let next = async {
            match &mut self.items {
                Some(items) => items.ready_chunks(ITEMS_AT_ONCE).next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            items = next => match items {
                Some(items) => self.with(|cell| items.into_iter().for_each(|item| cell.item(item))),
                None => {
                    self.items = None;
                    self.with(SessionCell::link_lost);
                }
            },
            () = tokio::time::sleep_until(deadline.into()) => self.with(SessionCell::timeout),
        }
        (self.changed)();
    }

    async fn attach(&mut self, attach: livestore_traits::Attach) {
        self.items = None;
        match self.link.attach(attach).await {
            Ok(attachment) => {
                self.items = Some(attachment.items.fuse());
                self.with(|cell| cell.attached(attachment.attached, attachment.sender));
            }
            Err(error) => self.lost(&error),
        }
        (self.changed)();
    }

    async fn restart(&mut self) {
        self.items = None;
        let snapshot = match self.link.snapshot(&self.session_id).await {
            Ok(snapshot) => snapshot,
            Err(error) => return self.lost(&error),
        };
        if let Err(error) = self.with(|cell| cell.restart(snapshot.snapshot, snapshot.held)) {
            self.lost(&LinkError::Link(error.into()));
        }
        (self.changed)();
    }

    fn lost(&mut self, error: &LinkError) {
        tracing::debug!(session = %self.session_id, error = error as &dyn std::error::Error, "no leader to attach to");
        match error {
            // Who waits for a receipt must not wait for a leader that will never come.
            LinkError::Refused(_) => self.with(SessionCell::end),
            _ => self.with(SessionCell::link_lost),
        }
    }

    fn with<T>(&self, run: impl FnOnce(&mut SessionCell) -> T) -> T {
        // A panic inside the lock is a bug that has been reported; the data is only ever changed by whole steps.
        run(&mut self.cell.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
