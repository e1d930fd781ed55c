//! The confirmed history as a stream.

use futures::StreamExt;
use livestore_backend_memory::MemoryBackend;
use livestore_engine::{HistoryFilter, Store};
use livestore_integration::{Line, draft, line};
use livestore_traits::{BoxStream, Event, EventName, EventlogError, GlobalSeq, Position};

use crate::support::{LIMIT, Replaceable, client};

async fn now(store: &Store, mut filter: HistoryFilter) -> Vec<String> {
    filter.until_now = true;
    let events = store.events(filter).await.unwrap();
    events.map(|event| text(&event.unwrap())).collect().await
}

fn text(event: &Event) -> String {
    event.args.to_value::<Line>().unwrap().text
}

async fn next(stream: &mut BoxStream<'static, Result<Event, EventlogError>>) -> String {
    text(&stream.next().await.unwrap().unwrap())
}

#[tokio::test]
async fn filters_choose() {
    let backend = MemoryBackend::new();
    let (here, there) = (client(backend.clone()).await, client(backend).await);
    here.commit([line("one"), draft("aside")]).unwrap().confirmed().await.unwrap();
    there.synced().await.unwrap();
    there.commit([line("two")]).unwrap().confirmed().await.unwrap();
    here.watch_status().wait_for(|status| status.upstream_head.global.0 == 2).await.unwrap();
    let filter = |change: fn(&mut HistoryFilter)| {
        let mut filter = HistoryFilter::default();
        change(&mut filter);
        filter
    };
    assert_eq!(now(&here, HistoryFilter::default()).await, ["one", "two"]);
    assert_eq!(now(&here, filter(|filter| filter.client_only = true)).await, ["one", "aside", "two"]);
    let drafts = filter(|filter| {
        filter.client_only = true;
        filter.name = Some(EventName::new("v1.Draft").unwrap());
    });
    assert_eq!(now(&here, drafts).await, ["aside"]);
    let after = filter(|filter| filter.after = Position::synced(GlobalSeq(1)));
    assert_eq!(now(&here, after).await, ["two"]);
    let mut of_there = HistoryFilter::default();
    of_there.client_id = Some(there.watch_status().current().client_id);
    assert_eq!(now(&here, of_there).await, ["two"]);
}

#[tokio::test]
async fn it_goes_on_with_what_is_confirmed_later_until_the_store_is_closed() {
    let store = client(MemoryBackend::new()).await;
    let mut stream = store.events(HistoryFilter::default()).await.unwrap();
    for n in 0..700 {
        store.commit([line(format!("{n}"))]).unwrap();
    }
    for n in 0..700 {
        assert_eq!(next(&mut stream).await, n.to_string());
    }
    store.commit([line("live")]).unwrap();
    assert_eq!(next(&mut stream).await, "live");
    store.shutdown(LIMIT).await.unwrap();
    assert!(stream.next().await.is_none());
    assert!(matches!(store.events(HistoryFilter::default()).await, Err(EventlogError::Closed)));
}

#[tokio::test]
async fn unconfirmed_events_are_not_in_it() {
    let store = livestore_integration::notebook(&Default::default()).start().await.unwrap();
    store.commit([line("offline")]).unwrap().persisted().await.unwrap();
    assert!(now(&store, HistoryFilter::default()).await.is_empty());
}

#[tokio::test]
async fn a_reader_is_told_when_what_it_read_was_replaced() {
    let backend = Replaceable::new(MemoryBackend::new());
    let store = client(backend.clone()).await;
    store.commit([line("lost")]).unwrap().confirmed().await.unwrap();
    let mut stream = store.events(HistoryFilter::default()).await.unwrap();
    assert_eq!(next(&mut stream).await, "lost");
    backend.replace(MemoryBackend::new());
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(matches!(&error, EventlogError::Refused(why) if why.contains("e1")), "{error:?}");
    assert!(stream.next().await.is_none());
}
