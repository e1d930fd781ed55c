//! Clients over a network that loses, repeats, delays and cuts: once it is whole again, everybody has everything, once.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use livestore_backend_memory::MemoryBackend;
use livestore_engine::Store;
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{draft, impatient, line, notebook, read};
use livestore_layers::{FaultRates, Faulty};
use livestore_traits::SyncBackend;

const CLIENTS: usize = 3;
const COMMITS: usize = 40;

async fn converge_over_faults(seed: u64) {
    let backend = MemoryBackend::new();
    let mut stores: Vec<(Store, Arc<Faulty<MemoryBackend>>)> = Vec::new();
    for client in 0..CLIENTS {
        let rates = FaultRates::all(0.15, Duration::from_millis(5));
        let faulty = Arc::new(Faulty::seeded(backend.clone(), seed * 100 + client as u64, rates));
        let upstream: Arc<dyn SyncBackend> = faulty.clone();
        let store = notebook(&MemoryStorage::default()).config(impatient()).upstream(upstream);
        let store = store.start().await.unwrap();
        stores.push((store, faulty));
    }
    let mut receipts = Vec::new();
    for n in 0..COMMITS {
        for (client, (store, _)) in stores.iter().enumerate() {
            let unit = [
                line(format!("{client}:{n}:0")),
                draft(format!("{client}:{n}")),
                line(format!("{client}:{n}:1")),
            ];
            receipts.push(store.commit(unit).unwrap());
            tokio::task::yield_now().await;
        }
    }
    stores.iter().for_each(|(_, faulty)| faulty.heal());
    for receipt in receipts {
        receipt.confirmed().await.unwrap();
    }
    let head = (CLIENTS * COMMITS * 2) as u64;
    for (store, _) in &stores {
        store.session().wait_for(|status| status.settled_head.global.0 == head).await.unwrap();
    }
    let expected = read(&stores[0].0).lines;
    let each: BTreeSet<&String> = expected.iter().collect();
    assert_eq!((expected.len() as u64, each.len() as u64), (head, head), "an event is missing or repeated");
    for (client, (store, _)) in stores.iter().enumerate() {
        let notebook = read(store);
        assert_eq!(notebook.lines, expected);
        let own: Vec<&String> =
            notebook.lines.iter().filter(|line| line.starts_with(&format!("{client}:"))).collect();
        let in_order: Vec<String> =
            (0..COMMITS).flat_map(|n| [format!("{client}:{n}:0"), format!("{client}:{n}:1")]).collect();
        assert_eq!(own, in_order.iter().collect::<Vec<_>>(), "the order of a session is broken");
        let drafts: Vec<String> = (0..COMMITS).map(|n| format!("{client}:{n}")).collect();
        assert_eq!(notebook.drafts.into_iter().map(|(_, text)| text).collect::<Vec<_>>(), drafts);
    }
}

#[tokio::test]
async fn everything_arrives_once_and_in_order_when_faults_end() {
    for seed in 0..12 {
        tokio::time::timeout(Duration::from_secs(60), converge_over_faults(seed))
            .await
            .unwrap_or_else(|_| panic!("seed {seed} does not converge"));
    }
}
