//! The leader's inbox, which a thread or a task waits on.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use tokio::sync::Notify;

use super::clock;
use super::leader_handle::{LeaderGone, LeaderMessage};

/// Sends to the leader. Not bounded here: whoever sends much has a bound of its own.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    sender: mpsc::Sender<LeaderMessage>,
    /// Wakes a leader that is a task; a thread is woken by the channel.
    bell: Arc<Notify>,
}

/// The leader's end.
#[derive(Debug)]
pub(super) struct Messages {
    receiver: mpsc::Receiver<LeaderMessage>,
    bell: Arc<Notify>,
}

pub(super) fn inbox() -> (Inbox, Messages) {
    let (sender, receiver) = mpsc::channel();
    let bell = Arc::new(Notify::new());
    (Inbox { sender, bell: bell.clone() }, Messages { receiver, bell })
}

impl Inbox {
    /// Sends a message; an error means that the leader is gone.
    pub(super) fn send(&self, message: LeaderMessage) -> Result<(), LeaderGone> {
        self.sender.send(message).map_err(|_| LeaderGone)?;
        self.bell.notify_one();
        Ok(())
    }
}

impl Messages {
    /// Blocks until there is a message, or it is `deadline`; an error means that nobody can send one any more.
    pub(super) fn wait(&self, deadline: Instant) -> Result<Option<LeaderMessage>, LeaderGone> {
        match self.receiver.recv_timeout(deadline.saturating_duration_since(clock::now())) {
            Ok(message) => Ok(Some(message)),
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(None),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(LeaderGone),
        }
    }

    /// Waits for a message, or until it is `deadline`. Whoever ends a leader tells it, so there always comes one.
    pub(super) async fn next(&mut self, deadline: Instant) -> Option<LeaderMessage> {
        let bell = self.bell.clone();
        let mut sleep = std::pin::pin!(tokio::time::sleep_until(deadline.into()));
        loop {
            if let Ok(message) = self.receiver.try_recv() {
                return Some(message);
            }
            tokio::select! {
                biased;
                () = bell.notified() => {}
                () = &mut sleep => return None,
            }
        }
    }

    /// The messages that are there.
    pub(super) fn ready(&self) -> impl Iterator<Item = LeaderMessage> {
        self.receiver.try_iter()
    }
}
