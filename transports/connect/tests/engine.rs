//! Stores over LiveStore's wire and over the native one hold the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use livestore_backend_memory::MemoryBackends;
use livestore_connect::Connect;
use livestore_engine::{Store, StoreConfig};
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{line, notebook, read};
use livestore_server::Server;
use livestore_traits::StoreId;

const SCHEMES: [&str; 4] = ["livestore+ws", "livestore+http", "ws", "http"];
const LIMIT: Duration = Duration::from_secs(10);

async fn open(server: &Server, scheme: &str) -> Store {
    let url = format!("{scheme}://{}", server.local_addr());
    let backend = Connect::to(url, StoreId::new("notebook").unwrap()).backend().unwrap();
    let mut config = StoreConfig::default();
    // The wait of a test for a poll, not of a user's battery.
    config.leader.poll_interval = Duration::from_millis(20);
    notebook(&MemoryStorage::default()).upstream(backend).config(config).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_every_wire_converge() {
    const ROUNDS: usize = 10;
    let server = Server::builder(MemoryBackends::new()).bind("127.0.0.1:0").await.unwrap();
    let mut stores = Vec::new();
    for scheme in SCHEMES {
        stores.push((scheme, open(&server, scheme).await));
    }
    // All of them write at the same time, so that all are refused and rebase.
    let mut receipts = Vec::new();
    for round in 0..ROUNDS {
        for (scheme, store) in &stores {
            let unit = [line(format!("{scheme} {round}")), line(format!("{scheme} {round}, continued"))];
            receipts.push(store.commit(unit).unwrap());
        }
        tokio::task::yield_now().await;
    }
    for receipt in receipts {
        receipt.confirmed().await.unwrap();
    }
    let total = (2 * ROUNDS * SCHEMES.len()) as u64;
    for (_, store) in &stores {
        store.session().wait_for(|status| status.settled_head.global.0 == total).await.unwrap();
    }
    let expected = read(&stores[2].1).lines;
    assert_eq!(expected.len() as u64, total);
    for (scheme, store) in &stores {
        assert_eq!(read(store).lines, expected, "{scheme}");
        let own: Vec<&String> =
            expected.iter().filter(|line| line.starts_with(&format!("{scheme} "))).collect();
        let written = (0..ROUNDS)
            .flat_map(|round| [format!("{scheme} {round}"), format!("{scheme} {round}, continued")]);
        assert!(own.into_iter().eq(written.collect::<Vec<_>>().iter()), "{scheme}: {expected:?}");
    }
    for (_, store) in stores {
        store.shutdown(LIMIT).await.unwrap();
    }
}
