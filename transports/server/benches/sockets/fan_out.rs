//! One pushed event until the last of many subscribers has it.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_websockets::{Message, WebSocketStream};

use crate::clients::{Pusher, subscriber};
use crate::serve::{Served, Storage};
use crate::{bare, table};

const ROUNDS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn measure() {
    for subscribers in [1, 100, 1000] {
        let (ceiling, _) = broadcast(&Served::start(Storage::Memory), subscribers).await;
        for storage in [Storage::Memory, Storage::Redb] {
            let (ours, quantiles) = fan_out(&Served::start(storage), subscribers).await;
            let what = format!("{}, the last of {subscribers} subscribers", storage.name());
            table::times(&what, ours, ceiling, &quantiles);
        }
    }
}

/// A bare broadcast, in memory.
async fn broadcast(served: &Served, subscribers: usize) -> (Duration, String) {
    let mut sockets = Vec::new();
    for _ in 0..subscribers {
        sockets.push(bare::connect(served.bare, "subscribe").await);
    }
    let mut publisher = bare::connect(served.bare, "publish").await;
    delivery(sockets, 1, async || publisher.send(Message::binary(vec![0])).await.unwrap()).await
}

async fn fan_out(served: &Served, subscribers: usize) -> (Duration, String) {
    let mut sockets = Vec::new();
    for _ in 0..subscribers {
        sockets.push(subscriber(served.server, "shared").await);
    }
    let mut pusher = Pusher::new(served.server, "shared", "pusher");
    // A page is two messages.
    delivery(sockets, 2, async || assert!(pusher.push(1).await)).await
}

/// How long it takes from `publish` until the last socket has what it waits for.
async fn delivery(
    sockets: Vec<WebSocketStream<TcpStream>>,
    messages: usize,
    mut publish: impl AsyncFnMut(),
) -> (Duration, String) {
    let count = sockets.len();
    let (received, mut arrivals) = mpsc::unbounded_channel();
    for mut socket in sockets {
        let received = received.clone();
        tokio::spawn(async move {
            loop {
                for _ in 0..messages {
                    let Some(Ok(_)) = socket.next().await else { return };
                }
                let _ = received.send(Instant::now());
            }
        });
    }
    let mut last = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        publish().await;
        for arrival in 1..=count {
            let at = timeout(PATIENCE, arrivals.recv()).await.unwrap().unwrap();
            if arrival == count {
                last.push(at - begun);
            }
        }
    }
    table::quantiles(last)
}
