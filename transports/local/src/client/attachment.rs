//! An attached session: items as they are read from the socket, messages written to it at once.
//!
//! No task stands between: items wait in the socket until they are asked for, and a message is written by who sends it.
//! Only what the socket has no room for is left to a task.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use livestore_traits::{Attached, Attachment, LeaderItem, LinkError, SessionMessage, SessionSender};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::{Connection, note};
use crate::LocalConfig;
use crate::error::in_words;
use crate::frame::{FrameReader, KEPT_BUFFER, decode, encode};
use crate::socket::{ReadHalf, WriteHalf};

impl Connection {
    pub(super) fn attachment(self, attached: Attached) -> Attachment {
        let Self { frames, write, config } = self;
        let is_over = Arc::new(AtomicBool::new(false));
        let items = Items { frames, is_over: is_over.clone() };
        let next = |mut items: Items| async move { Some((items.next().await?, items)) };
        let outbox = Outbox { write, unsent: Mutex::default(), is_over, runtime: Handle::current(), config };
        Attachment {
            attached,
            items: futures::stream::unfold(items, next).boxed(),
            sender: Box::new(RemoteSender(Arc::new(outbox))),
        }
    }
}

struct Items {
    frames: FrameReader<ReadHalf>,
    is_over: Arc<AtomicBool>,
}

impl Items {
    /// Whatever is wrong with the connection, the session attaches again.
    async fn next(&mut self) -> Option<LeaderItem> {
        let item = match self.frames.next().await {
            Ok(frame) => frame.map(|frame| decode(&frame)).transpose(),
            Err(error) => Err(error),
        };
        let item = item.unwrap_or_else(|error| {
            note(error);
            None
        });
        self.is_over.fetch_or(item.is_none(), Ordering::Relaxed);
        item
    }
}

#[derive(Debug)]
struct RemoteSender(Arc<Outbox>);

impl SessionSender for RemoteSender {
    fn send(&self, message: SessionMessage) -> Result<(), LinkError> {
        let outbox = &self.0;
        let mut unsent = outbox.unsent.lock().expect("nothing panics while it is locked");
        if outbox.is_over.load(Ordering::Relaxed) {
            return Err(LinkError::Gone);
        }
        let is_first = unsent.is_empty();
        // One that is too large would break the connection, and with it one after another: the session sends it again when
        // it has attached anew. So bounds of the session's own have to stay below this one.
        encode(&message, &mut unsent.bytes, outbox.config.max_frame_bytes)
            .map_err(|error| LinkError::Refused(in_words(&error)))?;
        // Otherwise a task is writing already, and goes on with this.
        if is_first {
            outbox.write(&mut unsent).map_err(|_| LinkError::Gone)?;
            if !unsent.is_empty() {
                outbox.runtime.spawn(outbox.clone().flush());
            }
        }
        Ok(())
    }
}

/// Where messages wait that the socket has no room for: a push and a refresh at most, and what was taken before them.
#[derive(Debug)]
struct Outbox {
    write: WriteHalf,
    unsent: Mutex<Unsent>,
    /// The items have ended, or writing failed.
    is_over: Arc<AtomicBool>,
    runtime: Handle,
    config: Arc<LocalConfig>,
}

#[derive(Debug, Default)]
struct Unsent {
    bytes: Vec<u8>,
    /// So many of them have been written.
    written: usize,
}

impl Unsent {
    const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Outbox {
    /// Writes what there is room for.
    fn write(&self, unsent: &mut Unsent) -> io::Result<()> {
        while unsent.written < unsent.bytes.len() {
            match self.write.try_write(&unsent.bytes[unsent.written..]) {
                Ok(count) if count > 0 => unsent.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                failed => {
                    self.is_over.store(true, Ordering::Relaxed);
                    return Err(failed.err().unwrap_or_else(|| ErrorKind::WriteZero.into()));
                }
            }
        }
        unsent.bytes.clear();
        unsent.bytes.shrink_to(KEPT_BUFFER);
        unsent.written = 0;
        Ok(())
    }

    /// Writes the rest. The connection stays open for it if the sender is dropped meanwhile.
    async fn flush(self: Arc<Self>) {
        loop {
            let room = timeout(self.config.stall_timeout, self.write.writable()).await;
            let mut unsent = self.unsent.lock().expect("nothing panics while it is locked");
            if !matches!(room, Ok(Ok(()))) {
                self.is_over.store(true, Ordering::Relaxed);
                return;
            }
            if self.write(&mut unsent).is_err() || unsent.is_empty() {
                return;
            }
        }
    }
}
