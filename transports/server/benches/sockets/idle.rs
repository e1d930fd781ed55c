//! What waits costs memory.

use futures::future::join_all;
use futures::{StreamExt, stream};

use crate::clients::{Pusher, subscriber};
use crate::serve::{Served, Storage};
use crate::{bare, table};

const CONNECTIONS: usize = 2000;
const STORES: usize = 10_000;
/// As many pushes as a store gets before it idles.
const PUSHES: usize = 4;

pub(crate) async fn measure() {
    connections().await;
    // In memory, the stores are the memory.
    for storage in [Storage::Redb, Storage::Sqlite] {
        for batch in [1, 10] {
            stores(storage, batch).await;
        }
    }
}

async fn connections() {
    let served = Served::start(Storage::Memory);
    let before = warm_up(&served).await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(bare::connect(served.bare, "subscribe").await);
    }
    let bare = bytes_each(&served, before, idle.len());

    let served = Served::start(Storage::Memory);
    let before = warm_up(&served).await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(subscriber(served.server, "idle").await);
    }
    let ours = bytes_each(&served, before, idle.len());
    table::bytes("a WebSocket with a live pull", ours, Some(bare), &format!("resident, of {CONNECTIONS}"));
}

/// Stores that were pushed to and that nobody uses any more.
async fn stores(storage: Storage, batch: usize) {
    let served = Served::start(storage);
    let before = warm_up(&served).await;
    stream::iter(0..STORES)
        .for_each_concurrent(64, async |n| {
            let mut pusher = Pusher::new(served.server, &format!("store-{n}"), "client");
            for _ in 0..PUSHES {
                assert!(pusher.push(batch).await);
            }
        })
        .await;
    let what = format!("an open store, {}, after {} events", storage.name(), PUSHES * batch);
    let ours = bytes_each(&served, before, STORES);
    table::bytes(&what, ours, None, &format!("resident, of {STORES}, with the storage's cache"));
}

/// The first connections also pay for the allocator's arenas.
async fn warm_up(served: &Served) -> usize {
    drop(join_all((0..100).map(|_| subscriber(served.server, "warm"))).await);
    served.resident_bytes()
}

fn bytes_each(served: &Served, before: usize, count: usize) -> usize {
    served.resident_bytes().saturating_sub(before) / count
}
