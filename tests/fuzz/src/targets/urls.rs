//! What stands in URLs and headers.

use bytes::Bytes;
use livestore_auth::PayloadCondition;
use livestore_traits::{Cursor, GlobalSeq, StoreId};
use livestore_wire::livestore::{SyncQuery, SyncUrl, Transport};
use livestore_wire::{Endpoint, PullQuery, StoreUrl, SyncPayload};
use serde_json::Value;

use super::texts;

fn store() -> StoreId {
    StoreId::new("todo").expect("a valid id")
}

/// A path and query, or the URL of a server.
pub(super) fn native(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        // A server chooses its tokens, and clients put them into their next query.
        let cursor = Cursor { after: GlobalSeq(1), token: Some(Bytes::copy_from_slice(input)) };
        let query = PullQuery { cursor, ..PullQuery::default() };
        assert_eq!(PullQuery::parse(&query.to_text()), Ok(query));
        return;
    };
    let (path, query) = text.split_once('?').unwrap_or((text, text));
    if let Ok((store, endpoint)) = Endpoint::parse(path) {
        assert_eq!(Endpoint::parse(&endpoint.path(&store)), Ok((store, endpoint)));
    }
    if let Ok(query) = PullQuery::parse(query) {
        assert_eq!(PullQuery::parse(&query.to_text()), Ok(query));
    }
    if let Ok(url) = StoreUrl::new(&["http"], text, store()) {
        let uri = url.endpoint(&Endpoint::Pull, Some("after=1"));
        assert!(uri.path().ends_with("/stores/todo/pull") && uri.query() == Some("after=1"), "{uri}");
    }
}

/// A query, or the URL of a server.
pub(super) fn livestore(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    if let Some(Ok(query)) = SyncQuery::parse(query) {
        // The payload of a URL may be longer than one that a client shows.
        if let Ok(payload) = query.payload.as_ref().map(SyncPayload::new).transpose() {
            let url = SyncUrl::new(&["http"], "http://a", query.store.clone()).expect("a valid URL");
            let uri = url.uri(query.transport, payload.as_ref());
            assert_eq!(SyncQuery::parse(uri.query().unwrap_or_default()), Some(Ok(query)));
        }
    }
    if let Ok(url) = SyncUrl::new(&["http"], text, store()) {
        for transport in [Transport::Ws, Transport::Http] {
            let uri = url.uri(transport, None);
            let query = SyncQuery { store: store(), payload: None, transport };
            assert_eq!(SyncQuery::parse(uri.query().unwrap_or_default()), Some(Ok(query)), "{uri}");
        }
    }
}

/// Headers with a payload, and what one must hold.
pub(super) fn payload(input: &[u8]) {
    let texts = texts(input);
    let payloads: Vec<_> = texts.into_iter().take(2).flat_map(SyncPayload::from_header).collect();
    for payload in &payloads {
        assert!(payload.as_json().len() <= SyncPayload::MAX_BYTES);
        let again = SyncPayload::from_header(payload.to_header().as_bytes()).expect("it was one");
        assert_eq!(again.as_json(), payload.as_json());
    }
    let values = payloads.iter().map(|payload| serde_json::from_str::<Value>(payload.as_json()));
    let values: Vec<_> = values.filter_map(Result::ok).collect();
    let [wanted, rest @ ..] = &values[..] else { return };
    let Ok(condition) = PayloadCondition::new(wanted.clone()) else { return };
    assert!(condition.holds(wanted), "a payload lacks what it has");
    for other in rest {
        // Whatever it says, it says it of the value and not of how it was written.
        let written: Value = serde_json::from_str(&other.to_string()).expect("it is JSON");
        assert_eq!(condition.holds(other), condition.holds(&written));
    }
}
