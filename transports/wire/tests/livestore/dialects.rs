//! What differs between 0.4.0 and main, and how pages are cut.

use std::sync::Arc;

use livestore_traits::{
    Args, BackendId, ClientId, EventName, GlobalSeq, PageInfo, PullPage, SessionId, SyncedEvent, UnixMillis,
};
use livestore_wire::livestore::{
    Call, ClientFrame, Defect, Exit, Failure, MAX_ITEM_BYTES, Malformed, Request, RequestId, RpcError,
    ServerFrame, Transport, cut, decode_client_frames, encode_chunk, encode_item_body,
};
use serde_json::{Value, json};

fn written(frame: &ServerFrame) -> Value {
    let value = serde_json::from_slice(&frame.encode()).unwrap();
    assert_eq!(ServerFrame::decode(&frame.encode()).unwrap(), *frame);
    value
}

#[test]
fn exits_are_written_as_their_reader_expects() {
    let error = RpcError::ServerAhead { minimum_expected_num: 3, provided_num: 2 };
    let fail = json!({"_tag": "Fail", "error": {"_tag": "ServerAheadError", "minimumExpectedNum": 3, "providedNum": 2}});
    let die = json!({"_tag": "Die", "defect": "no"});
    let failed = |cause| json!({"_tag": "Failure", "cause": cause});
    for (exit, v04, main) in [
        (Exit::Ended, json!({"_tag": "Success"}), json!({"_tag": "Success", "value": null})),
        (Exit::Accepted, json!({"_tag": "Success", "value": {}}), json!({"_tag": "Success", "value": {}})),
        (Exit::Failed(Failure::Error(error)), failed(fail.clone()), failed(json!([fail]))),
        (Exit::Failed(Failure::Die(Defect::Text("no".into()))), failed(die.clone()), failed(json!([die]))),
        (
            Exit::Failed(Failure::Interrupt),
            failed(json!({"_tag": "Interrupt", "fiberId": {"_tag": "None"}})),
            failed(json!([{"_tag": "Interrupt", "fiberId": 0}])),
        ),
    ] {
        for (request_id, expected) in [(RequestId::Text("7".into()), v04), (RequestId::Number(7), main)] {
            let id = if matches!(request_id, RequestId::Number(_)) { json!(7) } else { json!("7") };
            let frame = ServerFrame::Exit { request_id, exit: exit.clone() };
            assert_eq!(written(&frame), json!({"_tag": "Exit", "requestId": id, "exit": expected}));
        }
    }
}

#[test]
fn an_unknown_procedure_fails_a_connection_or_a_request() {
    for (id, expected) in [
        (json!("1"), json!({"_tag": "Defect", "defect": "Unknown request tag: Nope"})),
        (
            json!(1),
            json!({"_tag": "Exit", "requestId": 1, "exit": {"_tag": "Failure", "cause": [{"_tag": "Die", "defect": "Unknown request tag: Nope"}]}}),
        ),
    ] {
        let text = json!({"_tag": "Request", "id": id, "tag": "Nope", "payload": {}}).to_string();
        let frames = decode_client_frames(text.as_bytes(), Transport::Ws);
        let [Err(malformed)] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!(written(&malformed.answer().unwrap()), expected);
    }
}

#[test]
fn only_main_sends_arrays() {
    let ping = |id: Value| json!({"_tag": "Request", "id": id, "tag": "SyncHttpRpc.Ping", "payload": {"storeId": "a"}});
    let decode = |text: Value| decode_client_frames(text.to_string().as_bytes(), Transport::Http);
    let request = |id| Ok(ClientFrame::Request(Request { id: RequestId::Number(id), call: Call::Ping }));
    assert_eq!(
        decode(json!([ping(json!(1)), {"_tag": "Ping"}, ping(json!(2)), 3])),
        [request(1), Ok(ClientFrame::Ping), request(2), Err(Malformed::Tag("undefined".into()))]
    );
    let mut long = vec![ping(json!(1))];
    long.resize(2000, json!(1));
    assert!(matches!(decode(long.into())[..], [Err(Malformed::Unanswerable(_))]));
    for refused in
        [json!([ping(json!("1"))]), json!([{"_tag": "Ping"}]), json!([]), json!([[ping(json!(1))]])]
    {
        assert_eq!(decode(refused.clone()), [Err(Malformed::Tag("undefined".into()))], "{refused}");
    }
}

#[test]
fn ids_are_integers() {
    for id in [
        "1.5",
        "-1",
        "1e30",
        "9007199254740992",
        "true",
        "null",
        "{}",
        r#""""#,
        r#""abc""#,
        r#""1.5""#,
        r#"" 1""#,
        r#""-""#,
        r#""123456789012345678901""#,
    ] {
        for text in [
            format!(r#"{{"_tag":"Request","id":{id},"tag":"SyncWsRpc.Pull","payload":{{}}}}"#),
            format!(r#"{{"_tag":"Ack","requestId":{id}}}"#),
        ] {
            let frames = decode_client_frames(text.as_bytes(), Transport::Ws);
            assert!(matches!(frames[..], [Err(Malformed::Unanswerable(_))]), "{text}: {frames:?}");
        }
    }
    for id in ["0", "9007199254740991", r#""0""#, r#""18446744073709551615""#, r#""-3""#] {
        let text = format!(r#"{{"_tag":"Ack","requestId":{id}}}"#);
        let frames = decode_client_frames(text.as_bytes(), Transport::Ws);
        let [Ok(ClientFrame::Ack(read))] = &frames[..] else { panic!("{text}: {frames:?}") };
        assert_eq!(serde_json::to_string(read).unwrap(), id);
    }
}

fn event(seq: u64, args_len: usize) -> SyncedEvent {
    SyncedEvent {
        seq: GlobalSeq(seq),
        parent: GlobalSeq(seq - 1),
        name: EventName::new("v1.\"Quoted\\\"").unwrap(),
        args: Args::parse(format!("\"{}\"", "x".repeat(args_len))).unwrap(),
        client_id: ClientId::new("c").unwrap(),
        session_id: SessionId::new("s").unwrap(),
        commit: None,
        unit_end: true,
        created_at: Some(UnixMillis(1_795_409_837_674)),
    }
}

fn page(events: Vec<SyncedEvent>, info: PageInfo) -> PullPage {
    let events: Arc<[_]> = events.into();
    PullPage::new(GlobalSeq(0), events, None, BackendId::new("b").unwrap(), info)
}

#[test]
fn pages_are_cut_to_what_clients_take() {
    for (count, args_len, expected) in [
        (0, 0, vec![0]),
        (100, 10, vec![100]),
        (250, 10, vec![100, 100, 50]),
        (5, 400_000, vec![2, 2, 1]),
        (3, 895_000, vec![1, 1, 1]),
        (100, 8_690, vec![100]),
        (100, 8_900, vec![97, 3]),
    ] {
        let whole = page((1..=count).map(|seq| event(seq, args_len)).collect(), PageInfo::CaughtUp);
        let pieces = cut(whole.clone());
        assert_eq!(pieces.iter().map(|piece| piece.events.len()).collect::<Vec<_>>(), expected);
        let mut after = GlobalSeq(0);
        let mut left = count;
        for piece in &pieces {
            assert_eq!(piece.after, after);
            after = piece.through;
            left -= piece.events.len() as u64;
            let info = if left == 0 { PageInfo::CaughtUp } else { PageInfo::More { remaining: Some(left) } };
            assert_eq!(piece.info, info);
            let chunk = encode_chunk(&RequestId::Text("1".into()), &encode_item_body(piece), piece.info);
            assert!(chunk.len() <= MAX_ITEM_BYTES, "{} bytes", chunk.len());
        }
        let events: Vec<_> = pieces.iter().flat_map(|piece| piece.events.iter().cloned()).collect();
        assert_eq!(events[..], whole.events[..]);
    }
}

#[test]
fn what_follows_a_cut_page_follows_its_pieces() {
    let infos = |info| {
        let whole = page((1..=150).map(|seq| event(seq, 0)).collect(), info);
        cut(whole).iter().map(|piece| piece.info).collect::<Vec<_>>()
    };
    let more = |remaining| PageInfo::More { remaining };
    assert_eq!(infos(more(Some(7))), [more(Some(57)), more(Some(7))]);
    assert_eq!(infos(more(None)), [more(None), more(None)]);
}

#[test]
fn every_kind_of_what_follows_is_read_back() {
    for info in
        [PageInfo::CaughtUp, PageInfo::More { remaining: Some(3) }, PageInfo::More { remaining: None }]
    {
        let page = page(vec![event(1, 3), SyncedEvent { created_at: None, ..event(2, 3) }], info);
        let chunk = encode_chunk(&RequestId::Number(1), &encode_item_body(&page), info);
        let ServerFrame::Chunk { items, .. } = ServerFrame::decode(&chunk).unwrap() else { panic!() };
        assert_eq!((items.len(), items[0].info, &items[0].events[..]), (1, info, &page.events[..]));
    }
}
