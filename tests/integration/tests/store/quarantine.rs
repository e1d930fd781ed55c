//! Events of the log whose materializer fails.

use livestore_backend_memory::MemoryBackend;
use livestore_engine::Store;
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{Draft, Line, Notebook, line, notebook, read};
use livestore_materializer_memory::{MemoryMaterializer, MemorySchema};
use livestore_traits::{EventSet, StoreId, SyncBackend};
use livestore_transport_memory::Network;
use std::sync::Arc;

use crate::support::client;

/// A client whose application takes every line, also those that others find unacceptable.
async fn lenient(backend: impl SyncBackend) -> Store {
    let events = EventSet::builder().event::<Line>().event::<Draft>().build().unwrap();
    let schema = MemorySchema::builder(events)
        .on::<Line>(|state: &mut Notebook, event, _| {
            state.lines.push(event.text);
            Ok(())
        })
        .on::<Draft>(|_, _, _| Ok(()))
        .build()
        .unwrap();
    Store::builder(StoreId::new("notebook").unwrap())
        .eventlog(MemoryStorage::default().open())
        .materializer(MemoryMaterializer::new(schema))
        .upstream(backend)
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn an_event_of_another_client_that_fails_is_listed_and_sync_goes_on() {
    let backend = MemoryBackend::new();
    let other = lenient(backend.clone()).await;
    for text in ["fine", "unacceptable", "fine again"] {
        other.commit([line(text)]).unwrap().confirmed().await.unwrap();
    }
    let storage = MemoryStorage::default();
    let store = notebook(&storage).upstream(backend).start().await.unwrap();
    store.synced().await.unwrap();
    assert_eq!(read(&store).lines, ["fine", "fine again"]);
    let quarantined = store.quarantined().unwrap();
    let listed: Vec<_> =
        quarantined.iter().map(|event| (event.num.to_string(), event.name.as_str(), &*event.error)).collect();
    assert_eq!(listed, [("e2".to_owned(), "v1.Line", "the line is unacceptable")]);
    let session = store.open_session(Default::default()).await.unwrap();
    assert_eq!(session.quarantined().unwrap(), quarantined, "a session that came later does not know");
}

/// The materializer of the own event depends on what stands before it, so that a rebase decides.
fn at_most_two_lines() -> MemorySchema<Notebook> {
    let events = EventSet::builder().event::<Line>().build().unwrap();
    MemorySchema::builder(events)
        .on::<Line>(|state: &mut Notebook, event, _| {
            if state.lines.len() == 2 {
                return Err("the notebook is full".into());
            }
            state.lines.push(event.text);
            Ok(())
        })
        .build()
        .unwrap()
}

#[tokio::test]
async fn an_own_event_that_a_rebase_makes_fail_is_quarantined() {
    let backend: Arc<dyn SyncBackend> = Arc::new(MemoryBackend::new());
    let network = Network::new(1);
    let transport = network.connect(backend.clone(), "away");
    let link = transport.link().clone();
    let away = Store::builder(StoreId::new("notebook").unwrap())
        .eventlog(MemoryStorage::default().open())
        .materializer(MemoryMaterializer::new(at_most_two_lines()))
        .upstream(transport)
        .start()
        .await
        .unwrap();
    away.synced().await.unwrap();
    link.partition();
    let (first, second) = (away.commit([line("one")]).unwrap(), away.commit([line("two")]).unwrap());
    second.persisted().await.unwrap();
    assert!(away.quarantined().unwrap().is_empty());
    client(backend).await.commit([line("of others")]).unwrap().confirmed().await.unwrap();
    link.heal();
    away.sync_now();
    first.confirmed().await.unwrap();
    second.confirmed().await.unwrap();
    away.synced().await.unwrap();
    assert_eq!(read(&away).lines, ["of others", "one"]);
    let quarantined = away.quarantined().unwrap();
    assert_eq!(quarantined.len(), 1);
    assert_eq!((quarantined[0].num.global.0, &*quarantined[0].error), (3, "the notebook is full"));
}
