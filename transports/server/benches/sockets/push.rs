//! Push to acknowledgement.

use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_websockets::{Message, WebSocketStream};

use crate::bare::{self, RECORD_BYTES};
use crate::clients::Pusher;
use crate::serve::{Served, Storage};
use crate::table;

const FOR: Duration = Duration::from_millis(1500);

/// A client of which one turn is measured after the other.
trait Turn: Send + 'static {
    /// How many events were stored.
    fn turn(&mut self) -> impl Future<Output = usize> + Send;
}

struct Bare {
    socket: WebSocketStream<TcpStream>,
    batch: usize,
}

impl Turn for Bare {
    async fn turn(&mut self) -> usize {
        self.socket.send(Message::binary(vec![0; RECORD_BYTES * self.batch])).await.unwrap();
        self.socket.next().await.unwrap().unwrap();
        self.batch
    }
}

struct Ours {
    pusher: Pusher,
    batch: usize,
}

impl Turn for Ours {
    async fn turn(&mut self) -> usize {
        if self.pusher.push(self.batch).await { self.batch } else { 0 }
    }
}

pub(crate) async fn each_its_store() {
    for storage in Storage::ALL {
        for (clients, batch) in [(1, 1), (64, 1), (1, 100), (16, 100)] {
            let served = Served::start(storage);
            let ceiling = bare(&served, clients, batch).await;
            let ours = ours(&served, clients, batch, |n| format!("store-{n}")).await;
            let what = format!("{}, {clients} clients, a store each, batches of {batch}", storage.name());
            print(&what, ours, &ceiling);
        }
    }
}

/// Only one of the pushes that name a head is accepted; the others learn of it and try again. So accepted pushes follow
/// each other, and the ceiling is what one client alone reaches.
pub(crate) async fn all_one_store() {
    for storage in Storage::ALL {
        let served = Served::start(storage);
        let ceiling = bare(&served, 1, 1).await;
        let ours = ours(&served, 64, 1, |_| "shared".to_owned()).await;
        print(&format!("{}, 64 clients, one store, accepted pushes", storage.name()), ours, &ceiling);
    }
}

async fn bare(served: &Served, clients: usize, batch: usize) -> Rate {
    let clients = (0..clients).map(async |_| Bare { socket: bare::connect(served.bare, "").await, batch });
    rate(served, join_all(clients).await).await
}

async fn ours(served: &Served, clients: usize, batch: usize, store: impl Fn(usize) -> String) -> Rate {
    let clients = (0..clients).map(async |n| {
        let mut pusher = Pusher::new(served.server, &store(n), &format!("client-{n}"));
        pusher.push(1).await;
        Ours { pusher, batch }
    });
    rate(served, join_all(clients).await).await
}

fn print(what: &str, ours: Rate, ceiling: &Rate) {
    let (_, quantiles) = table::quantiles(ours.times);
    let detail = format!("{quantiles}; cpu {:.0} : {:.0} µs", ours.cpu_micros, ceiling.cpu_micros);
    table::rates(what, ours.per_second, ceiling.per_second, &detail);
}

struct Rate {
    /// Stored events.
    per_second: f64,
    /// Processor time of the server for each.
    cpu_micros: f64,
    /// How long each turn took.
    times: Vec<Duration>,
}

/// Repeats the turns of all clients at once.
async fn rate(served: &Served, clients: Vec<impl Turn>) -> Rate {
    let (started, cpu) = (Instant::now(), served.cpu_seconds());
    let tasks = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            let (mut times, mut stored) = (Vec::new(), 0);
            while started.elapsed() < FOR {
                let begun = Instant::now();
                stored += client.turn().await;
                times.push(begun.elapsed());
            }
            (times, stored)
        })
    });
    let done: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let stored = done.iter().map(|(_, stored)| stored).sum::<usize>() as f64;
    Rate {
        per_second: stored / started.elapsed().as_secs_f64(),
        cpu_micros: (served.cpu_seconds() - cpu) * 1e6 / stored,
        times: done.into_iter().flat_map(|(times, _)| times).collect(),
    }
}
