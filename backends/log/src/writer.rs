//! Where the committer runs: on a thread of its own that gathers what arrives while it writes, or inline.

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use livestore_traits::BoxError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::committer::{Command, Committer};
use crate::log::lock;
use crate::{Failure, LogConfig, LogStorage};

/// Bytes that a command counts for beside its events, so that their number is bounded too.
const COMMAND_BYTES: usize = 1024;

#[derive(Debug)]
pub(crate) enum Writer<S> {
    Thread(WriterThread),
    Inline(Mutex<Committer<S>>),
}

impl<S: LogStorage> Writer<S> {
    /// Hands a command over, after waiting for room in the queue.
    ///
    /// Cancel safe: a command whose future is dropped before it got room is not performed.
    pub(crate) async fn submit(&self, command: Command) -> Result<(), Failure> {
        match self {
            Self::Inline(committer) => {
                lock(committer).run([command]);
                Ok(())
            }
            Self::Thread(thread) => thread.submit(command).await,
        }
    }

    /// Whether nothing is done on another thread.
    pub(crate) const fn is_inline(&self) -> bool {
        matches!(self, Self::Inline(_))
    }

    /// Bytes of commands that wait or are being written.
    pub(crate) fn queued_bytes(&self) -> usize {
        match self {
            Self::Inline(_) => 0,
            Self::Thread(thread) => thread.queue_bytes - thread.room.available_permits(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct WriterThread {
    /// Taken when the thread is to end.
    queue: Option<mpsc::UnboundedSender<Queued>>,
    /// Bounds the queue in bytes.
    room: Arc<Semaphore>,
    queue_bytes: usize,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Queued {
    command: Command,
    room: OwnedSemaphorePermit,
}

impl WriterThread {
    pub(crate) fn start<S: LogStorage>(
        committer: Committer<S>,
        config: &LogConfig,
    ) -> Result<Self, BoxError> {
        let (queue, commands) = mpsc::unbounded_channel();
        let queue_bytes =
            config.queue_bytes.clamp(COMMAND_BYTES, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let group_bytes = config.group_bytes;
        let thread = thread::Builder::new()
            .name(format!("livestore-{}", S::NAME))
            .spawn(move || write(committer, commands, group_bytes))?;
        let room = Arc::new(Semaphore::new(queue_bytes));
        Ok(Self { queue: Some(queue), room, queue_bytes, thread: Some(thread) })
    }

    async fn submit(&self, command: Command) -> Result<(), Failure> {
        let bytes = u32::try_from(command.bytes().min(self.queue_bytes)).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(bytes).await.map_err(|_| Failure::stopped())?;
        let queue = self.queue.as_ref().ok_or_else(Failure::stopped)?;
        queue.send(Queued { command, room }).map_err(|_| Failure::stopped())
    }
}

impl Drop for WriterThread {
    /// Waits until everything handed over is written, so that the storage can be opened again at once.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already seen by everyone who waited for an answer.
            let _ = thread.join();
        }
    }
}

impl Command {
    fn bytes(&self) -> usize {
        let events = match self {
            Self::Open { .. } => 0,
            Self::Push { push, .. } => push.events.iter().map(|event| event.encoded_len()).sum(),
        };
        COMMAND_BYTES + events
    }
}

/// The thread: takes what is there, up to a group, and runs it. What arrives meanwhile is the next group.
fn write<S: LogStorage>(
    mut committer: Committer<S>,
    mut queue: mpsc::UnboundedReceiver<Queued>,
    group_bytes: usize,
) {
    while let Some(first) = queue.blocking_recv() {
        let mut bytes = first.room.num_permits();
        let mut group = vec![first];
        while bytes < group_bytes {
            let Ok(next) = queue.try_recv() else { break };
            bytes += next.room.num_permits();
            group.push(next);
        }
        let (commands, _room): (Vec<_>, Vec<_>) =
            group.into_iter().map(|queued| (queued.command, queued.room)).unzip();
        committer.run(commands);
    }
}
