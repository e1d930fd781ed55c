//! A pull over a link: a task reads the backend and sends numbered pages, the client reads them in order.
//!
//! Pages of one pull behave as on one connection: they keep their order, a lost one takes the rest along, and the
//! client learns of that only by its timeout.

use std::sync::Arc;
use std::time::Duration;

use futures::future;
use futures::stream::{self, StreamExt as _};
use livestore_traits::{BoxStream, Pull, PullError, PullPage, SyncBackend};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::connection::{Broken, Connection};
use crate::link::{Direction, Link};

/// The most pages of one pull that are on their way. The backend's side waits for room, so a slow reader costs only this.
const MAX_PAGES_IN_FLIGHT: usize = 4;

/// What one item of the backend's pull is for the client; `None` is the end of the pull.
type Item = Option<Result<PullPage, PullError>>;

/// A message to the client.
enum Message {
    /// The item with this number arrives at this time.
    Item { number: u64, at: Instant, item: Item },
    /// Stands for an item that was lost, since when the client hears nothing.
    Lost,
}

/// Opens the pull when the stream is first polled.
pub(crate) fn over(
    link: Link,
    backend: Arc<dyn SyncBackend>,
    pull: Pull,
) -> BoxStream<'static, Result<PullPage, PullError>> {
    let open = async move {
        match Connection::open(&link) {
            Ok(connection) => Reader::open(connection, backend, pull).into_stream(),
            Err(broken) => stream::once(future::ready(Err(offline(broken)))).boxed(),
        }
    };
    stream::once(open).flatten().boxed()
}

fn offline(broken: Broken) -> PullError {
    PullError::Offline(Box::new(broken))
}

/// The client's end.
struct Reader {
    connection: Connection,
    messages: mpsc::Receiver<Message>,
    /// The number of the next item: a copy of an earlier one is dropped.
    next: u64,
}

impl Reader {
    fn open(connection: Connection, backend: Arc<dyn SyncBackend>, pull: Pull) -> Self {
        let (sender, messages) = mpsc::channel(MAX_PAGES_IN_FLIGHT);
        let sender =
            Sender { connection: connection.clone(), messages: sender, number: 0, arrives: Instant::now() };
        tokio::spawn(sender.run(backend, pull));
        Self { connection, messages, next: 0 }
    }

    /// The pull ends with the backend's last item, or when the connection is of no use.
    fn into_stream(self) -> BoxStream<'static, Result<PullPage, PullError>> {
        stream::unfold(Some(self), |reader| async move {
            let mut reader = reader?;
            let item = match reader.next().await {
                Ok(item) => item?,
                Err(broken) => Err(offline(broken)),
            };
            let rest = item.is_ok().then_some(reader);
            Some((item, rest))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Item, Broken> {
        let Self { connection, messages, next } = self;
        let item = connection.or_broken(async {
            loop {
                match messages.recv().await {
                    Some(Message::Item { number, .. }) if number < *next => {}
                    Some(Message::Item { at, item, .. }) => {
                        // Timers round up to a millisecond: without latency none is due.
                        if at > Instant::now() {
                            sleep_until(at).await;
                        }
                        return connection.arrives(Direction::Answer).then_some(item);
                    }
                    // The task ends without an end of the pull only with its connection.
                    Some(Message::Lost) | None => return None,
                }
            }
        });
        if let Some(item) = item.await? {
            *next += 1;
            return Ok(item);
        }
        // Nothing more comes. The rest of the timeout passes before the client knows.
        connection.or_broken(sleep(connection.timeout())).await?;
        Err(Broken::TimedOut)
    }
}

/// The backend's end.
struct Sender {
    connection: Connection,
    messages: mpsc::Sender<Message>,
    /// The number of the next item.
    number: u64,
    /// When the last item arrives; none arrives before the one before it.
    arrives: Instant,
}

impl Sender {
    async fn run(mut self, backend: Arc<dyn SyncBackend>, pull: Pull) {
        let request = self.connection.link().send(Direction::Request).into_iter().min();
        let arrived = match request {
            Some(delay) => self.connection.travel(Direction::Request, delay).await,
            None => false,
        };
        if !arrived {
            drop(self.messages.send(Message::Lost).await);
            return;
        }
        let mut items = backend.pull(pull);
        loop {
            let item = tokio::select! {
                biased;
                () = self.messages.closed() => return,
                item = items.next() => item,
            };
            let is_last = !matches!(item, Some(Ok(_)));
            if !self.send(item).await || is_last {
                return;
            }
        }
    }

    /// Sends one item with its copies; `false` ends the pull.
    async fn send(&mut self, item: Item) -> bool {
        let delays = self.connection.link().send(Direction::Answer);
        let [first, copies @ ..] = delays.as_slice() else {
            drop(self.messages.send(Message::Lost).await);
            return false;
        };
        let number = self.number;
        self.number += 1;
        let copy = copies.iter().zip(item.as_ref().and_then(|item| item.as_ref().ok()).cloned()).next();
        let copy = copy.map(|(delay, page)| (*delay, Some(Ok(page))));
        for (delay, item) in [(*first, item)].into_iter().chain(copy) {
            let at = self.arrival(delay);
            if self.messages.send(Message::Item { number, at, item }).await.is_err() {
                return false;
            }
        }
        true
    }

    fn arrival(&mut self, delay: Duration) -> Instant {
        self.arrives = self.arrives.max(Instant::now() + delay);
        self.arrives
    }
}
