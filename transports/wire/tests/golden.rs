//! The bytes of released messages. A test that fails here means that old clients and servers can't read new ones: it is
//! a new subprotocol, not a new line in this file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod samples;

use std::fmt::Debug;

use bytes::Bytes;
use livestore_traits::{
    BackendId, Capabilities, Cursor, Durability, GlobalSeq, Limits, PageInfo, Pull, PullError, PullMode,
    PullPage, Push, PushAck, PushError, RejectCode, Rejection, UnixMillis,
};
use livestore_wire::{
    AckForm, ClientFrame, Encoding, ErrorAnswer, PageForm, PullErrorForm, PushErrorForm, PushForm,
    RequestErrorForm, SUBPROTOCOL, ServerFrame, StoreForm, decode_page_body, encode_page_body,
};
use samples::{backend_id, event, push};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The golden form of a message: printable bytes as they are, others as `\x..`.
fn is_written_as<T>(encoding: Encoding, value: &T, golden: &str)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let bytes = encoding.encode(value);
    assert_eq!(bytes.escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'"), golden);
    assert_eq!(encoding.decode::<T>(&bytes).unwrap(), *value);
}

fn cursor(after: u64) -> Cursor {
    Cursor { after: GlobalSeq(after), token: Some(Bytes::from_static(b"\xff\x00")) }
}

fn page() -> PullPage {
    let events = vec![event(1, "null"), event(2, r#"{"text":"a"}"#)];
    PullPage::new(GlobalSeq(0), events.into(), cursor(2).token, backend_id(), PageInfo::CaughtUp)
}

#[test]
fn the_subprotocol_names_these_bytes() {
    assert_eq!(SUBPROTOCOL, "livestore.v1");
}

#[test]
fn client_frames() {
    let pull = Pull::new(Some(backend_id()), cursor(300), PullMode::Live);
    let first_pull = Pull::new(None, Cursor::start(), PullMode::Once);
    let postcard = |frame, golden| is_written_as(Encoding::Postcard, &frame, golden);
    postcard(ClientFrame::pull(1, pull, 65_536), PULL);
    postcard(ClientFrame::pull(0, first_pull, 1), FIRST_PULL);
    postcard(ClientFrame::Push { id: 2, push: push().into() }, PUSH);
    postcard(ClientFrame::Cancel { id: 1 }, r"\x02\x01");
    postcard(ClientFrame::Credit { id: 1, bytes: 128 }, r"\x03\x01\x80\x01");
}

#[test]
fn server_frames() {
    let postcard = |frame, golden| is_written_as(Encoding::Postcard, &frame, golden);
    postcard(ServerFrame::Hello(store()), HELLO);
    postcard(ServerFrame::Page { id: 1, head: PageInfo::CaughtUp.into() }, r"\x01\x01\x01\x01\x00");
    let more = PageInfo::More { remaining: None };
    postcard(ServerFrame::Page { id: 1, head: more.into() }, r"\x01\x01\x00\x00");
    postcard(ServerFrame::PullEnd { id: 1, error: None }, r"\x02\x01\x00");
    postcard(ServerFrame::PushAck { id: 2, ack: ack() }, r"\x03\x02\x03b-1\x02\x01\x02\xff\x00\xe8\x07");
}

#[test]
fn errors() {
    let upstream_ahead = PushError::UpstreamAhead { head: GlobalSeq(7), missing: None };
    let rejection = Rejection { index: 3, code: RejectCode::Policy("p".into()), message: "m".into() };
    for (error, postcard, json) in [
        (upstream_ahead, r"\x00\x07\x00", r#"{"upstreamAhead":{"head":7,"missing":null}}"#),
        (PushError::Diverged("d".into()), r"\x01\x01d", r#"{"diverged":"d"}"#),
        (PushError::ClientIdTaken, r"\x02", r#""clientIdTaken""#),
        (
            PushError::Rejected(rejection),
            r"\x03\x03\x02\x01p\x01m",
            r#"{"rejected":{"index":3,"code":{"policy":"p"},"message":"m"}}"#,
        ),
        (
            PushError::TooLarge {
                limits: Limits { max_event_bytes: 1, max_batch_events: 2, max_batch_bytes: 3 },
            },
            r"\x04\x01\x02\x03",
            r#"{"tooLarge":{"maxEventBytes":1,"maxBatchEvents":2,"maxBatchBytes":3}}"#,
        ),
        (PushError::Invalid("i".into()), r"\x05\x01i", r#"{"invalid":"i"}"#),
        (PushError::Unauthorized("u".into()), r"\x06\x01u", r#"{"unauthorized":"u"}"#),
        (PushError::Busy("b".into()), r"\x07\x01b", r#"{"busy":"b"}"#),
        (PushError::Offline("o".into()), r"\x08\x01o", r#"{"offline":"o"}"#),
        (PushError::Unacknowledged("u".into()), r"\t\x01u", r#"{"unacknowledged":"u"}"#),
    ] {
        let recovery = error.recovery();
        let form = PushErrorForm::from(error);
        is_written_as(Encoding::Postcard, &form, postcard);
        is_written_as(Encoding::Json, &form, json);
        assert_eq!(PushError::from(form).recovery(), recovery, "{json}");
    }
    for (error, postcard, json) in [
        (PullError::Diverged("d".into()), r"\x00\x01d", r#"{"diverged":"d"}"#),
        (PullError::Trimmed { first: GlobalSeq(9) }, r"\x01\t", r#"{"trimmed":{"first":9}}"#),
        (PullError::Invalid("i".into()), r"\x02\x01i", r#"{"invalid":"i"}"#),
        (PullError::Unauthorized("u".into()), r"\x03\x01u", r#"{"unauthorized":"u"}"#),
        (PullError::Offline("o".into()), r"\x04\x01o", r#"{"offline":"o"}"#),
    ] {
        let recovery = error.recovery();
        let form = PullErrorForm::from(error);
        is_written_as(Encoding::Postcard, &form, postcard);
        is_written_as(Encoding::Json, &form, json);
        assert_eq!(PullError::from(form).recovery(), recovery, "{json}");
    }
}

#[test]
fn a_failed_backend_is_named_and_keeps_its_source_to_itself() {
    let error = PushError::Backend { backend: "redb", source: "/secret/path is full".into() };
    let form = PushErrorForm::from(error);
    is_written_as(Encoding::Json, &form, r#"{"backend":"the redb backend failed"}"#);
}

#[test]
fn http_documents() {
    let json = |value, golden| is_written_as::<PushForm>(Encoding::Json, value, golden);
    json(&push().into(), PUSH_JSON);
    is_written_as(
        Encoding::Json,
        &ack(),
        r#"{"backendId":"b-1","through":2,"token":"_wA","createdAt":1000}"#,
    );
    is_written_as(Encoding::Json, &PageForm::from(page()), PAGE_JSON);
    is_written_as(Encoding::Json, &store(), STORE_JSON);
    let error = ErrorAnswer { error: RequestErrorForm::NotFound, message: "no such path".into() };
    is_written_as(Encoding::Json, &error, r#"{"error":"notFound","message":"no such path"}"#);
}

#[test]
fn what_clients_of_other_libraries_do_not_know_may_be_left_out() {
    let short =
        r#"{"parent":0,"events":[{"seq":1,"parent":0,"name":"v1.A","clientId":"c","sessionId":"s"}]}"#;
    let push = Push::from(Encoding::Json.decode::<PushForm>(short.as_bytes()).unwrap());
    assert_eq!((push.backend_id, push.proof), (None, None));
    let event = &push.events[0];
    assert_eq!((event.args.as_str(), event.commit, event.unit_end), ("null", None, true));
}

/// A page body is shared between the WebSocket, where its head goes before it, and HTTP, where both are one document.
#[test]
fn a_head_and_a_body_are_a_page() {
    let page = page();
    let body = encode_page_body(&page);
    assert_eq!(body.escape_ascii().to_string().replace("\\\"", "\""), PAGE_BODY);
    assert_eq!(decode_page_body(page.info.into(), &body).unwrap(), page);
    let whole = [b"\x01\x01\x00".as_slice(), &body].concat();
    let form: PageForm = Encoding::Postcard.decode(&whole).unwrap();
    assert_eq!(PullPage::try_from(form).unwrap(), page);
}

#[test]
fn a_page_may_have_holes_but_no_disorder() {
    let of = |seqs: &[u64], through| {
        let events: Vec<_> = seqs.iter().map(|seq| event(*seq, "1")).collect();
        let mut page = PullPage::new(GlobalSeq(3), events.into(), None, backend_id(), PageInfo::CaughtUp);
        page.through = GlobalSeq(through);
        page.cursor.after = page.through;
        decode_page_body(page.info.into(), &encode_page_body(&page))
    };
    assert!(of(&[5, 7], 9).is_ok());
    assert!(of(&[], 3).is_ok());
    for (seqs, through) in [(&[4, 4][..], 4), (&[5, 4], 5), (&[3], 4), (&[4, 5], 4), (&[], 2)] {
        assert!(of(seqs, through).is_err(), "{seqs:?} through {through} was accepted");
    }
}

fn store() -> StoreForm {
    StoreForm { server: "s/1".into(), capabilities: Capabilities::new(Durability::Disk).into() }
}

fn ack() -> AckForm {
    PushAck::new(BackendId::new("b-1").unwrap(), cursor(2), UnixMillis(1000)).into()
}

const PULL: &str = r"\x00\x01\x01\x03b-1\xac\x02\x01\x02\xff\x00\x01\x80\x80\x04";
const FIRST_PULL: &str = r"\x00\x00\x00\x00\x00\x00\x01";
const PUSH: &str = concat!(
    r"\x01\x02\x01\x03b-1\x00\x01\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07",
    r#"\x01\x01\x00\x04v1.A\x0c{"text":"a"}\x01c\x01s\x01\x01\x00\x01\x00"#,
);
const HELLO: &str = r"\x00\x03s/1\x01\x01\x02\x98\xd06d\x98\xd06";
const PAGE_BODY: &str = concat!(
    r"\x03b-1\x00\x02\x01\x02\xff\x00\x02",
    r"\x01\x00\x04v1.A\x04null\x01c\x01s\x01\x01\x00\x01\x01\xe8\x07",
    r#"\x02\x01\x04v1.A\x0c{"text":"a"}\x01c\x01s\x01\x02\x00\x01\x01\xe8\x07"#,
);
const PUSH_JSON: &str = concat!(
    r#"{"backendId":"b-1","parent":0,"proof":"BwcHBwcHBwcHBwcHBwcHBw","events":["#,
    r#"{"seq":1,"parent":0,"name":"v1.A","args":{"text":"a"},"clientId":"c","sessionId":"s","#,
    r#""commit":{"n":1,"index":0},"unitEnd":true,"createdAt":null}]}"#,
);
const PAGE_JSON: &str = concat!(
    r#"{"caughtUp":true,"remaining":0,"backendId":"b-1","after":0,"through":2,"token":"_wA","events":["#,
    r#"{"seq":1,"parent":0,"name":"v1.A","args":null,"clientId":"c","sessionId":"s","#,
    r#""commit":{"n":1,"index":0},"unitEnd":true,"createdAt":1000},"#,
    r#"{"seq":2,"parent":1,"name":"v1.A","args":{"text":"a"},"clientId":"c","sessionId":"s","#,
    r#""commit":{"n":2,"index":0},"unitEnd":true,"createdAt":1000}]}"#,
);
const STORE_JSON: &str = concat!(
    r#"{"server":"s/1","capabilities":{"livePull":true,"pageInfo":true,"durability":"disk","#,
    r#""limits":{"maxEventBytes":895000,"maxBatchEvents":100,"maxBatchBytes":895000}}}"#,
);
