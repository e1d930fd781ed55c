//! One running pull, as its reader sees it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt, stream};
use livestore_traits::{Pull, PullError, PullPage};
use tokio::sync::mpsc;

use super::link::{Command, Commander, Delivery};
use crate::LiveStoreError;
use crate::reader::Reader;

/// The pages of a pull, for which up to `window` bytes are kept.
pub(super) fn pages(
    pull: Pull,
    window: usize,
    commander: Commander,
) -> impl Stream<Item = Result<PullPage, PullError>> {
    match Reader::new(pull, window) {
        Ok(reader) => PullStream::start(reader, commander).left_stream(),
        Err(error) => stream::iter([Err(error)]).right_stream(),
    }
}

/// Reading lets the server send on; dropping tells it to stop.
struct PullStream {
    id: u64,
    reader: Reader,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    commander: Commander,
    is_over: bool,
}

impl PullStream {
    fn start(mut reader: Reader, commander: Commander) -> Self {
        let (id, deliveries) = ask(&mut reader, &commander);
        Self { id, reader, deliveries, commander, is_over: false }
    }

    /// Takes one delivery; an error is the last.
    fn receive(&mut self, delivery: Option<Delivery>) -> Result<(), PullError> {
        match delivery {
            Some(Delivery::Item { item, bytes }) => {
                self.reader.take(item, bytes)?;
                // If the link is gone, the next delivery says so.
                self.commander.send(Command::Taken { id: self.id, bytes });
                Ok(())
            }
            Some(Delivery::Lagging) => {
                // All that was kept is read: from here on acknowledgements set the pace again.
                (self.id, self.deliveries) = ask(&mut self.reader, &self.commander);
                Ok(())
            }
            Some(Delivery::End) => {
                self.is_over = true;
                self.reader.finish()
            }
            Some(Delivery::Failed(error)) => Err(error),
            None => Err(LiveStoreError::NoRuntime.pull()),
        }
    }
}

/// Sends the pull; if there is no link any more, the deliveries end at once.
fn ask(reader: &mut Reader, commander: &Commander) -> (u64, mpsc::UnboundedReceiver<Delivery>) {
    let (sender, deliveries) = mpsc::unbounded_channel();
    let id = commander.next_id();
    commander.send(Command::Pull { id, call: reader.call(), deliveries: sender });
    (id, deliveries)
}

impl Stream for PullStream {
    type Item = Result<PullPage, PullError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(page) = self.reader.next_page() {
                return Poll::Ready(Some(Ok(page)));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            let delivery = ready!(self.deliveries.poll_recv(cx));
            if let Err(error) = self.receive(delivery) {
                self.is_over = true;
                self.commander.send(Command::Cancel { id: self.id });
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl Drop for PullStream {
    fn drop(&mut self) {
        if !self.is_over {
            self.commander.send(Command::Cancel { id: self.id });
        }
    }
}
