//! Decoding is total.

use livestore_wire::livestore::{ServerFrame, SyncQuery, Transport, decode_client_frames};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Text that looks like a message and has something wrong with it somewhere.
fn almost_a_message() -> impl Strategy<Value = Vec<u8>> {
    let event = json!({"name": "n", "args": {"a": [1]}, "seqNum": 1, "parentSeqNum": 0, "clientId": "c", "sessionId": "s"});
    let metadata = json!({"_tag": "Some", "value": {"_tag": "SyncMessage.SyncMetadata", "createdAt": "2026-11-23T04:57:17.674Z"}});
    let messages: Vec<Value> = vec![
        json!({"_tag": "Request", "id": "1", "tag": "SyncWsRpc.Push", "payload": {"storeId": "a", "batch": [event], "backendId": {"_tag": "None"}}}),
        json!({"_tag": "Request", "id": 1, "tag": "SyncWsRpc.Pull", "payload": {"storeId": "a", "live": true, "cursor": {"_tag": "Some", "value": {"backendId": "b", "eventSequenceNumber": 3}}}}),
        json!([{"_tag": "Ack", "requestId": 1}, {"_tag": "Ping"}]),
        json!({"_tag": "Chunk", "requestId": "1", "values": [{"batch": [{"eventEncoded": event, "metadata": metadata}], "pageInfo": {"_tag": "MoreKnown", "remaining": 3}, "backendId": "b"}]}),
        json!({"_tag": "Exit", "requestId": 1, "exit": {"_tag": "Failure", "cause": {"_tag": "Sequential", "left": {"_tag": "Empty"}, "right": {"_tag": "Die", "defect": 1}}}}),
    ];
    let texts: Vec<String> = messages.iter().map(Value::to_string).collect();
    (
        prop::sample::select(texts),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        "[\\PC\"{}\\[\\],:0-9]{0,6}",
    )
        .prop_map(|(text, from, to, other)| {
            let (from, to) = (from.index(text.len()), to.index(text.len()));
            let (from, to) = (from.min(to), from.max(to));
            // The texts are ASCII, so any index is between characters.
            let to = to.min(from + 12);
            [&text.as_bytes()[..from], other.as_bytes(), &text.as_bytes()[to..]].concat()
        })
}

fn decode_as_everything(bytes: &[u8]) {
    for transport in [Transport::Ws, Transport::Http] {
        let frames = decode_client_frames(bytes, transport);
        assert!(!frames.is_empty(), "every message has an answer, or ends its connection");
        for malformed in frames.iter().filter_map(|frame| frame.as_ref().err()) {
            if let Some(answer) = malformed.answer() {
                // An answer is one that clients can read, whatever it quotes.
                ServerFrame::decode(&answer.encode()).unwrap();
            }
        }
    }
    if let Ok(frame) = ServerFrame::decode(bytes) {
        let again = ServerFrame::decode(&frame.encode()).unwrap();
        assert_eq!(again, frame);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = SyncQuery::parse(text);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn broken_messages_are_messages_or_errors(bytes in almost_a_message()) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn any_query_is_read_or_refused(text in "(storeId|transport|payload|[a-z%=&+]{0,4}|ws|http|[=&%]){0,12}") {
        if let Some(Ok(query)) = SyncQuery::parse(&text) {
            prop_assert!(text.contains("storeId") && !query.store.as_str().is_empty());
        }
    }
}

#[test]
fn deep_nesting_is_no_stack_overflow() {
    let deep = |open: &str| open.repeat(100_000);
    for text in [
        deep("["),
        deep("{\"a\":"),
        format!("[{}", deep("[")),
        format!(r#"{{"_tag":"Request","id":"1","tag":"SyncWsRpc.Pull","payload":{}}}"#, deep("[")),
        format!(r#"{{"_tag":"Exit","requestId":"1","exit":{}}}"#, deep("{\"cause\":")),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
    ] {
        decode_as_everything(text.as_bytes());
    }
}
