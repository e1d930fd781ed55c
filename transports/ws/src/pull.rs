//! One running pull, as its reader sees it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use livestore_traits::{Pull, PullError, PullPage};
use tokio::sync::mpsc;

use crate::WsError;
use crate::link::{Command, Delivery};

/// The pages of one pull. Taking one lets the server send on; dropping it tells the server to stop.
pub(crate) struct PullStream {
    id: u64,
    window_bytes: u32,
    /// What was taken and the server not yet told of, in bytes.
    taken_bytes: u32,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    commands: mpsc::UnboundedSender<Command>,
    is_done: bool,
}

impl PullStream {
    pub(crate) fn start(
        id: u64,
        pull: Pull,
        window_bytes: u32,
        commands: mpsc::UnboundedSender<Command>,
    ) -> Self {
        let (sender, deliveries) = mpsc::unbounded_channel();
        // If there is no driver any more the sender is dropped here, which the stream reports.
        let _ = commands.send(Command::Pull { id, pull, deliveries: sender });
        Self { id, window_bytes, taken_bytes: 0, deliveries, commands, is_done: false }
    }

    fn take(&mut self, bytes: u32) {
        self.taken_bytes = self.taken_bytes.saturating_add(bytes);
        // Telling of each page would double the messages; at half a window the server need not pause.
        if self.taken_bytes >= self.window_bytes / 2 {
            let _ = self.commands.send(Command::Credit { id: self.id, bytes: self.taken_bytes });
            self.taken_bytes = 0;
        }
    }
}

impl Stream for PullStream {
    type Item = Result<PullPage, PullError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        let delivery = ready!(self.deliveries.poll_recv(cx));
        Poll::Ready(match delivery {
            Some(Delivery::Page { page, bytes }) => {
                self.take(bytes);
                Some(Ok(page))
            }
            Some(Delivery::End(end)) => {
                self.is_done = true;
                end.map(Err)
            }
            None => {
                self.is_done = true;
                Some(Err(WsError::NoRuntime.pull()))
            }
        })
    }
}

impl Drop for PullStream {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = self.commands.send(Command::Cancel { id: self.id });
        }
    }
}
