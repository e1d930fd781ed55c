//! Cases: what comes out of the log.

use futures::StreamExt;
use livestore_traits::{ConnectionStatus, Cursor, GlobalSeq, PageInfo, Pull, PullMode};

use super::BackendFixture;
use super::client::{Client, events_of, pages, unstamped};

/// A pull of an empty store answers at once with an empty page that names the backend, live or not.
///
/// Verifies: the first page comes at once, even if it is empty.
pub async fn an_empty_store_gives_one_empty_page_at_once<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    for mode in [PullMode::Once, PullMode::Live] {
        let mut pull = client.backend.pull(Pull::new(None, Cursor::start(), mode));
        let page = pull.next().await.unwrap().unwrap();
        assert_eq!((page.after, page.through), (GlobalSeq::ROOT, GlobalSeq::ROOT));
        assert_eq!(page.backend_id, client.backend_id);
        if client.capabilities().page_info {
            assert_eq!(page.info, PageInfo::CaughtUp);
        }
    }
}

/// A pull of a client that has everything answers with an empty page whose cursor is as good as the one given.
///
/// Verifies: the first page comes at once, even if it is empty.
pub async fn a_pull_at_the_head_gives_one_empty_page<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let ack = client.push(client.events(GlobalSeq::ROOT, 3)).await.unwrap();
    let pages = client.pages(ack.cursor.clone()).await;
    assert_eq!(pages.len(), 1);
    assert_eq!(pages[0].events[..], []);
    assert_eq!(pages[0].cursor, ack.cursor);
    assert_eq!(client.pages(pages[0].cursor.clone()).await.len(), 1);
}

/// A pull goes on after its cursor, with and without a token, also in the middle of a batch.
///
/// Verifies: `after` is exclusive; a cursor without a token is one of any history.
pub async fn a_pull_goes_on_from_its_cursor<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let mut head = GlobalSeq::ROOT;
    for count in [3, 1, 4] {
        head = client.push(client.events(head, count)).await.unwrap().cursor.after;
    }
    let log = client.log().await;
    for after in 0..=log.len() {
        let cursor = Cursor { after: GlobalSeq(after as u64), token: None };
        assert_eq!(events_of(&client.pages(cursor).await), log[after..], "after e{after}");
    }
    let without_backend_id = Pull::new(None, Cursor { after: GlobalSeq(4), token: None }, PullMode::Once);
    assert_eq!(events_of(&pages(&*client.backend, without_backend_id).await), log[4..]);
}

/// Logs of one event less than a page, exactly a page, one more, and several pages are read whole, from every place.
///
/// Verifies: page boundaries; `max_batch_events` bounds pages; the cursor of each page goes on behind it.
pub async fn pages_are_cut_at_the_limit_of_events<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let limit = client.capabilities().limits.max_batch_events;
    let mut log = Vec::new();
    for size in [limit - 1, limit, limit + 1, 3 * limit - 1, 3 * limit] {
        log.extend(client.fill(GlobalSeq(log.len() as u64), size - log.len()).await);
        let pages = client.pages(Cursor::start()).await;
        assert!(pages.iter().all(|page| page.events.len() <= limit), "a page is larger than the limit");
        assert_eq!(unstamped(&events_of(&pages)), log);
        let mut read = 0;
        for page in &pages {
            read += page.events.len();
            let rest = events_of(&client.pages(page.cursor.clone()).await);
            assert_eq!(unstamped(&rest), log[read..], "after the page through {}", page.through);
        }
    }
}

/// Pages of large events stay within the limit of bytes.
///
/// Verifies: `max_batch_bytes` bounds pages.
pub async fn pages_are_cut_at_the_limit_of_bytes<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let limits = client.capabilities().limits;
    let large = (limits.max_batch_bytes / 5 * 2).min(limits.max_event_bytes);
    for after in 0..7 {
        client.push(vec![client.event_of(GlobalSeq(after), large)]).await.unwrap();
    }
    let pages = client.pages(Cursor::start()).await;
    for page in &pages {
        let bytes: usize = page.events.iter().map(|event| event.encoded_len()).sum();
        assert!(bytes <= limits.max_batch_bytes, "a page has {bytes} bytes");
    }
    assert_eq!(events_of(&pages).len(), 7);
}

/// Every page but the last says that more follows, the last that it reached the head.
///
/// Verifies: `page_info`.
pub async fn page_info_tells_what_follows<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    if !client.capabilities().page_info {
        return;
    }
    let size = client.capabilities().limits.max_batch_events * 5 / 2;
    client.fill(GlobalSeq::ROOT, size).await;
    let pages = client.pages(Cursor::start()).await;
    let (last, others) = pages.split_last().unwrap();
    assert_eq!(last.info, PageInfo::CaughtUp);
    assert!(others.len() >= 2);
    for page in others {
        assert!(matches!(page.info, PageInfo::More { .. }), "{:?} before the head", page.info);
        if let PageInfo::More { remaining: Some(remaining) } = page.info {
            assert!(remaining > 0);
        }
    }
}

/// Two handles of a store are two ways to the same log.
///
/// Verifies: one total order.
pub async fn handles_of_one_store_share_its_log<F: BackendFixture>(fixture: &F) {
    let (store, one) = Client::of_new_store(fixture).await;
    let two = Client::connect(fixture, &store, "two").await;
    assert_eq!(one.backend_id, two.backend_id);
    let ack = one.push(one.events(GlobalSeq::ROOT, 2)).await.unwrap();
    two.push(two.events(GlobalSeq(2), 2)).await.unwrap();
    assert_eq!(one.log().await, two.log().await);
    assert_eq!(events_of(&two.pages(ack.cursor).await).len(), 2);
}

/// Two stores have nothing in common.
///
/// Verifies: one eventlog per store, with a backend id of its own.
pub async fn stores_are_apart<F: BackendFixture>(fixture: &F) {
    let (_store_a, a) = Client::of_new_store(fixture).await;
    let (_store_b, b) = Client::of_new_store(fixture).await;
    assert_ne!(a.backend_id, b.backend_id);
    a.fill(GlobalSeq::ROOT, 3).await;
    b.fill(GlobalSeq::ROOT, 1).await;
    assert_eq!((a.log().await.len(), b.log().await.len()), (3, 1));
}

/// After an answer the backend says that it is connected, and goes on reporting.
///
/// Verifies: the present status comes first; the stream never ends while the backend lives.
pub async fn the_connection_is_reported<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let mut connection = client.backend.connection();
    while connection.next().await.expect("the stream never ends") != ConnectionStatus::Connected {}
}
