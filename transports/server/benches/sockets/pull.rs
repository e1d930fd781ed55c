//! A long catch-up.

use std::time::Instant;

use futures::StreamExt;
use livestore_traits::{Cursor, Pull, PullMode, SyncBackend};
use tokio::net::TcpStream;
use tokio_websockets::WebSocketStream;

use crate::clients::{Pusher, backend, subscriber};
use crate::serve::{Served, Storage};
use crate::{bare, table};

pub(crate) const PAGES: usize = 1000;
/// Events of a page.
const EVENTS: usize = 100;

pub(crate) async fn measure() {
    for storage in Storage::ALL {
        let served = Served::start(storage);
        let mut pusher = Pusher::new(served.server, "long", "client");
        for _ in 0..PAGES {
            assert!(pusher.push(EVENTS).await);
        }
        let ceiling = rate(&served, async {
            read(bare::connect(served.bare, "pages").await, PAGES).await;
        })
        .await;
        let undecoded = rate(&served, async {
            // The subscriber has had the first page; each is two messages.
            read(subscriber(served.server, "long").await, 2 * (PAGES - 1)).await;
        })
        .await;
        let decoded = rate(&served, decode(&served)).await;
        for (what, ours) in [("read and not decoded", undecoded), ("by our client", decoded)] {
            let detail = format!("{:.0}/s per server core", ours.per_core);
            let what = format!("{}, {what}", storage.name());
            table::rates(&what, ours.per_second, ceiling.per_second, &detail);
        }
    }
}

async fn read(mut socket: WebSocketStream<TcpStream>, messages: usize) {
    for _ in 0..messages {
        socket.next().await.unwrap().unwrap();
    }
}

async fn decode(served: &Served) {
    let mut pages = backend(served.server, "long").pull(Pull::new(None, Cursor::start(), PullMode::Once));
    let mut events = 0;
    while let Some(page) = pages.next().await {
        events += page.unwrap().events.len();
    }
    assert_eq!(events, PAGES * EVENTS);
}

struct Rate {
    per_second: f64,
    /// Per second of processor time of the server.
    per_core: f64,
}

async fn rate(served: &Served, pull: impl Future<Output = ()>) -> Rate {
    let (started, cpu) = (Instant::now(), served.cpu_seconds());
    pull.await;
    let events = (PAGES * EVENTS) as f64;
    let cpu = served.cpu_seconds() - cpu;
    Rate { per_second: events / started.elapsed().as_secs_f64(), per_core: events / cpu.max(0.01) }
}
