//! Events of the log whose materializer fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use livestore_backend_memory::MemoryBackend;
use livestore_engine::runtime::LeaderFailure;
use livestore_engine::{NotConfirmed, Store};
use livestore_eventlog_memory::MemoryStorage;
use livestore_integration::{Draft, Line, Notebook, line, notebook, read};
use livestore_materializer_memory::{MemoryMaterializer, MemorySchema};
use livestore_traits::{EventSet, PushError, RejectCode, Rejection, StoreId, SyncBackend};
use livestore_transport_memory::Network;

use crate::support::{Tampered, client, eager};

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

#[tokio::test]
async fn the_entry_goes_with_the_event() {
    let rejects = Arc::new(AtomicBool::new(false));
    let on_push = {
        let rejects = rejects.clone();
        move |push: &livestore_traits::Push| {
            let two = push.events.iter().position(|event| event.args.as_str().contains("two"));
            match two.filter(|_| rejects.load(Ordering::Relaxed)) {
                Some(index) => Err(PushError::Rejected(Rejection {
                    index,
                    code: RejectCode::Forbidden,
                    message: "not this one".into(),
                })),
                None => Err(PushError::Busy("later".into())),
            }
        }
    };
    let backend = MemoryBackend::new();
    let store = Store::builder(StoreId::new("notebook").unwrap())
        .eventlog(MemoryStorage::default().open())
        .materializer(MemoryMaterializer::new(at_most_two_lines()))
        .config(eager())
        .upstream(Tampered::new(backend.clone()).on_push(on_push))
        .start()
        .await
        .unwrap();
    store.commit([line("one")]).unwrap();
    let two = store.commit([line("two")]).unwrap();
    two.persisted().await.unwrap();
    client(backend).await.commit([line("of others")]).unwrap().confirmed().await.unwrap();
    store.session().wait_for(|status| status.local_head.global.0 == 3).await.unwrap();
    assert_eq!(store.quarantined().unwrap().len(), 1);
    rejects.store(true, Ordering::Relaxed);
    assert!(matches!(two.confirmed().await, Err(NotConfirmed::Rejected(_))));
    assert!(store.quarantined().unwrap().is_empty());
    assert_eq!(read(&store).lines, ["of others", "one"]);
}

#[tokio::test]
async fn a_materializer_that_panics_stops_the_store_with_a_reason() {
    let schema = MemorySchema::builder(EventSet::builder().event::<Line>().build().unwrap())
        .on::<Line>(|_: &mut Notebook, event, _| panic!("no idea what {:?} means", event.text))
        .build()
        .unwrap();
    let backend = MemoryBackend::new();
    let store = Store::builder(StoreId::new("notebook").unwrap())
        .eventlog(MemoryStorage::default().open())
        .materializer(MemoryMaterializer::new(schema))
        .upstream(backend.clone())
        .start()
        .await
        .unwrap();
    client(backend).await.commit([line("this")]).unwrap().confirmed().await.unwrap();
    let failure = store.stopped().await.unwrap();
    assert!(matches!(&*failure, LeaderFailure::Panicked(why) if why.contains("no idea what")), "{failure:?}");
    store.session().wait_for(|_| false).await.unwrap_err();
}
