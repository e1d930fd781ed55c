//! Decoding is total, and gives back what was encoded.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod samples;

use bytes::Bytes;
use livestore_traits::{
    Args, BackendId, ClientId, ClientSecret, CommitRef, Cursor, EventName, GlobalSeq, Push, SessionId,
    SyncedEvent, UnixMillis,
};
use livestore_wire::{
    AckForm, ClientFrame, Encoding, Endpoint, ErrorAnswer, PageForm, PageHead, PullErrorForm, PullQuery,
    PushErrorForm, PushForm, ServerFrame, StoreForm, decode_page_body,
};
use proptest::prelude::*;

fn args() -> impl Strategy<Value = Args> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        any::<String>().prop_map(|text| serde_json_text(&text)),
        Just("{ \"b\" : [ 1.50 , true ] }".to_owned()),
    ];
    leaf.prop_map(|text| Args::parse(text).unwrap())
}

fn serde_json_text(text: &str) -> String {
    Args::from_value(text).unwrap().as_str().to_owned()
}

fn id() -> impl Strategy<Value = String> {
    "[^\\p{C}]{1,20}"
}

prop_compose! {
    fn event()(
        seq in any::<u64>(),
        parent in any::<u64>(),
        name in id(),
        args in args(),
        ids in (id(), id()),
        commit in proptest::option::of((any::<u64>(), any::<u32>())),
        unit_end in any::<bool>(),
        created_at in proptest::option::of(any::<u64>()),
    ) -> SyncedEvent {
        SyncedEvent {
            seq: GlobalSeq(seq),
            parent: GlobalSeq(parent),
            name: EventName::new(name).unwrap(),
            args,
            client_id: ClientId::new(ids.0).unwrap(),
            session_id: SessionId::new(ids.1).unwrap(),
            commit: commit.map(|(n, index)| CommitRef { n, index }),
            unit_end,
            created_at: created_at.map(UnixMillis),
        }
    }
}

prop_compose! {
    fn push()(
        backend_id in proptest::option::of(id()),
        parent in any::<u64>(),
        proof in proptest::option::of(any::<[u8; 16]>()),
        events in prop::collection::vec(event(), 0..5),
    ) -> Push {
        let backend_id = backend_id.map(|id| BackendId::new(id).unwrap());
        Push::new(backend_id, GlobalSeq(parent), proof.map(ClientSecret), events)
    }
}

proptest! {
    #[test]
    fn pushes_come_back(push in push()) {
        for encoding in [Encoding::Json, Encoding::Postcard] {
            let form = PushForm::from(push.clone());
            let read: PushForm = encoding.decode(&encoding.encode(&form)).unwrap();
            prop_assert_eq!(Push::from(read), push.clone());
        }
    }

    #[test]
    fn queries_come_back(after in any::<u64>(), token in proptest::option::of(any::<Vec<u8>>()), backend in id()) {
        let query = PullQuery {
            backend_id: Some(BackendId::new(backend).unwrap()),
            cursor: Cursor { after: GlobalSeq(after), token: token.map(Bytes::from) },
            wait: std::time::Duration::ZERO,
        };
        prop_assert_eq!(PullQuery::parse(&query.to_text()), Ok(query));
    }

    /// Random bytes, and messages with a few bytes replaced, which come further into the decoders.
    #[test]
    fn no_input_panics(noise in any::<Vec<u8>>(), push in push(), places in any::<Vec<(prop::sample::Index, u8)>>()) {
        let mut inputs = vec![noise];
        for encoding in [Encoding::Json, Encoding::Postcard] {
            let mut bytes = encoding.encode(&PushForm::from(push.clone())).to_vec();
            for (place, byte) in &places {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            inputs.push(bytes);
        }
        inputs.iter().for_each(|input| decode_as_everything(input));
    }

    #[test]
    fn no_path_panics(path in any::<String>()) {
        let _ = Endpoint::parse(&path);
        let _ = Endpoint::parse(&format!("/stores/{path}"));
        let _ = PullQuery::parse(&path);
    }
}

fn decode_as_everything(input: &[u8]) {
    for encoding in [Encoding::Json, Encoding::Postcard] {
        let _ = encoding.decode::<PushForm>(input);
        let _ = encoding.decode::<AckForm>(input);
        let _ = encoding.decode::<PageForm>(input);
        let _ = encoding.decode::<StoreForm>(input);
        let _ = encoding.decode::<ErrorAnswer<PushErrorForm>>(input);
        let _ = encoding.decode::<ErrorAnswer<PullErrorForm>>(input);
    }
    let _ = Encoding::Postcard.decode::<ClientFrame>(input);
    let _ = Encoding::Postcard.decode::<ServerFrame>(input);
    let _ = decode_page_body(PageHead { caught_up: true, remaining: None }, input);
}

#[test]
fn a_cut_message_and_a_longer_one_are_refused() {
    let frame = ClientFrame::Push { id: 1, push: samples::push().into() };
    let bytes = Encoding::Postcard.encode(&frame);
    for len in 0..bytes.len() {
        assert!(
            Encoding::Postcard.decode::<ClientFrame>(&bytes[..len]).is_err(),
            "{len} bytes were accepted"
        );
    }
    let longer = [&bytes[..], b"\0"].concat();
    assert!(Encoding::Postcard.decode::<ClientFrame>(&longer).is_err());
}

#[test]
fn args_that_are_no_json_are_refused() {
    let bytes = Encoding::Postcard.encode(&PushForm::from(samples::push()));
    let place = bytes.windows(4).position(|window| window == b"text").unwrap() - 2;
    let mut broken = bytes.to_vec();
    broken[place] = b'[';
    let error = Encoding::Postcard.decode::<PushForm>(&broken).unwrap_err();
    assert!(error.to_string().starts_with("malformed message"), "{error}");
}

#[test]
fn a_length_that_the_input_does_not_hold_allocates_nothing_of_it() {
    // A push whose list of events claims to have 2^60 of them.
    let mut bytes = vec![0, 0, 0];
    bytes.extend_from_slice(&[0x80; 8]);
    bytes.push(0x10);
    assert!(Encoding::Postcard.decode::<PushForm>(&bytes).is_err());
}

#[test]
fn ids_and_tokens_are_checked() {
    for json in [
        r#"{"backendId":"","parent":0,"events":[]}"#,
        r#"{"backendId":null,"parent":-1,"events":[]}"#,
        r#"{"backendId":null,"parent":0,"proof":"AAAA","events":[]}"#,
        r#"{"parent":0,"events":[{"seq":1,"parent":0,"name":"a\nb","clientId":"c","sessionId":"s"}]}"#,
        r#"{"parent":0}"#,
    ] {
        assert!(Encoding::Json.decode::<PushForm>(json.as_bytes()).is_err(), "{json} was accepted");
    }
}
