//! An attached session: the leader's items to the socket, the session's messages from it.
//!
//! A session that gives up on attaching and tries again has two connections for a while. The older one must not be
//! attached after the newer, which that would end. So sessions are attached one after another, and a connection for
//! which there is a newer one already is closed.

use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _};
use livestore_traits::{Attach, Attachment, BoxStream, LeaderItem, LinkError, SessionId, SessionSender};

use super::{Connection, Server};
use crate::frame::{FrameReader, KEPT_BUFFER, decode, encode, write_all};
use crate::message::Answer;
use crate::socket::{ReadHalf, WriteHalf};
use crate::{LocalConfig, LocalError};

/// Items that are there go out together up to so many bytes.
const WRITE_BYTES: usize = 256 * 1024;

impl Server {
    pub(super) async fn attachment(
        &self,
        mut connection: Connection,
        attach: Attach,
        number: u64,
    ) -> Result<(), LocalError> {
        let _entry = Entry { server: self, session_id: attach.session_id.clone(), number };
        let attachment = connection.ask(self.attach_in_order(attach, number)).await?;
        let Some(Attachment { attached, items, sender }) = attachment else { return Ok(()) };
        connection.send(&Answer::Attached(attached)).await?;
        let Connection { mut frames, write, buffer, config } = connection;
        let sending = Sending { write, buffer, config };
        // Whichever ends first ends the other, and with it the attachment.
        tokio::select! {
            ended = sending.run(items) => ended,
            ended = take_messages(&mut frames, &*sender) => ended,
        }
    }

    async fn attach_in_order(&self, attach: Attach, number: u64) -> Result<Attachment, LinkError> {
        let _turn = self.attaching.lock().await;
        {
            let mut attached = self.attached.lock().expect("nothing panics while it is locked");
            let newest = attached.entry(attach.session_id.clone()).or_insert(number);
            if *newest > number {
                return Err(LinkError::Gone);
            }
            *newest = number;
        }
        self.link.attach(attach).await
    }
}

/// Forgets a connection when it ends, unless a newer one took its place.
struct Entry<'a> {
    server: &'a Server,
    session_id: SessionId,
    number: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut attached = self.server.attached.lock().expect("nothing panics while it is locked");
        if attached.get(&self.session_id) == Some(&self.number) {
            attached.remove(&self.session_id);
        }
    }
}

struct Sending {
    write: WriteHalf,
    buffer: Vec<u8>,
    config: Arc<LocalConfig>,
}

impl Sending {
    /// Ends with the items, or when the session takes nothing for too long.
    async fn run(mut self, mut items: BoxStream<'static, LeaderItem>) -> Result<(), LocalError> {
        while let Some(item) = items.next().await {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_BUFFER);
            self.add(&item)?;
            let mut has_ended = false;
            while self.buffer.len() < WRITE_BYTES && !has_ended {
                match items.next().now_or_never() {
                    Some(Some(item)) => self.add(&item)?,
                    Some(None) => has_ended = true,
                    None => break,
                }
            }
            write_all(&mut self.write, &self.buffer, self.config.stall_timeout).await?;
            if has_ended {
                break;
            }
        }
        Ok(())
    }

    fn add(&mut self, item: &LeaderItem) -> Result<(), LocalError> {
        let added = encode(item, &mut self.buffer, self.config.max_frame_bytes);
        added.inspect_err(|error| tracing::warn!(%error, "an item cannot be sent to its session"))
    }
}

/// Ends when the session closes the connection or sends what is no message.
async fn take_messages(
    frames: &mut FrameReader<ReadHalf>,
    sender: &dyn SessionSender,
) -> Result<(), LocalError> {
    while let Some(frame) = frames.next().await? {
        if sender.send(decode(&frame)?).is_err() {
            break;
        }
    }
    Ok(())
}
