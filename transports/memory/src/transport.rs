//! The client's side of a link.
//!
//! ```text
//! push ──> Offline ──────────────── nothing was sent: partitioned, or no room
//!      └─> sent ──> the answer
//!               └─> Unacknowledged  cut, or nothing heard in time; the request may still take effect, even later
//! ```

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use livestore_traits::{
    BoxStream, Capabilities, ConnectionStatus, Pull, PullError, PullPage, Push, PushAck, PushError,
    SyncBackend,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use crate::connection::{Broken, Connection, statuses};
use crate::link::{Direction, Link};
use crate::pull;

/// The most pushes of one transport that are on their way, with their answers; a further one waits before it is sent.
pub const MAX_PUSHES_IN_FLIGHT: usize = 64;

/// A way to a backend over one link of a [`Network`](crate::Network).
#[derive(Debug)]
pub struct MemoryTransport {
    backend: Arc<dyn SyncBackend>,
    link: Link,
    room: Arc<Semaphore>,
}

impl MemoryTransport {
    pub(crate) fn new(backend: Arc<dyn SyncBackend>, link: Link) -> Self {
        Self { backend, link, room: Arc::new(Semaphore::new(MAX_PUSHES_IN_FLIGHT)) }
    }

    /// The link, to configure, cut and heal it.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// Waits until there is room for one more push.
    async fn room(&self, connection: &Connection) -> Result<OwnedSemaphorePermit, Broken> {
        let room = Arc::clone(&self.room).acquire_owned();
        let permit = connection.or_broken(timeout(connection.timeout(), room)).await?;
        let permit = permit.map_err(|_| Broken::TimedOut)?;
        Ok(permit.expect("the semaphore is never closed"))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SyncBackend for MemoryTransport {
    /// Those of the backend, which is in the same process.
    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    /// Sends the push, and waits for the answer up to [`LinkConfig::timeout`](crate::LinkConfig::timeout).
    ///
    /// # Errors
    /// What the backend answers; [`PushError::Offline`] if nothing was sent; [`PushError::Unacknowledged`] if it was, and
    /// no answer came.
    ///
    /// # Cancel safety
    /// Before the push is sent, dropping the future leaves no trace. After that the push goes its way without its
    /// caller.
    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        let offline = |broken| PushError::Offline(Box::new(broken));
        let connection = Connection::open(&self.link).map_err(offline)?;
        let room = Arc::new(self.room(&connection).await.map_err(offline)?);

        // Room for one answer: where two copies arrive, the second finds nobody waiting for it.
        let (answer, mut answers) = mpsc::channel(1);
        for delay in self.link.send(Direction::Request) {
            let request = PushInFlight {
                connection: connection.clone(),
                backend: Arc::clone(&self.backend),
                push: push.clone(),
                answer: answer.clone(),
                _room: Arc::clone(&room),
            };
            tokio::spawn(request.run(delay));
        }

        let heard = connection.or_broken(timeout(connection.timeout(), answers.recv())).await;
        let broken = match heard {
            Ok(Ok(Some(answer))) => return answer,
            Ok(Ok(None)) => unreachable!("this function holds a sender of the answers"),
            Ok(Err(_)) => Broken::TimedOut,
            Err(broken) => broken,
        };
        Err(PushError::Unacknowledged(Box::new(broken)))
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        pull::over(self.link.clone(), Arc::clone(&self.backend), pull)
    }

    /// A partition shows at once, silence only after the timeout, as `Connecting`.
    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        statuses(self.link.clone())
    }
}

/// One copy of a push on its way: a task of its own, because it goes on when its caller is gone.
struct PushInFlight {
    connection: Connection,
    backend: Arc<dyn SyncBackend>,
    push: Push,
    answer: mpsc::Sender<Result<PushAck, PushError>>,
    /// Taken until the last copy and its answer are through.
    _room: Arc<OwnedSemaphorePermit>,
}

impl PushInFlight {
    async fn run(self, delay: Duration) {
        if !self.connection.travel(Direction::Request, delay).await {
            return;
        }
        let answer = self.backend.push(self.push).await;
        // Of two copies of an answer the later one says nothing new, so only the first one travels on.
        let Some(delay) = self.connection.link().send(Direction::Answer).into_iter().min() else { return };
        if self.connection.travel(Direction::Answer, delay).await {
            // An error means that the caller has an answer already, or is gone.
            drop(self.answer.try_send(answer));
        }
    }
}
