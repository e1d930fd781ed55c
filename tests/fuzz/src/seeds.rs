//! What the corpus began with: messages of every kind as they are written today, and what LiveStore's own clients and
//! servers were recorded to say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use livestore_traits::{
    Args, BackendId, Capabilities, ClientId, ClientSecret, CommitRef, Cursor, Durability, EventName,
    GlobalSeq, Limits, PageInfo, Pull, PullError, PullMode, PullPage, Push, PushAck, PushError, RejectCode,
    Rejection, SessionId, SyncedEvent, UnixMillis,
};
use livestore_wire::{
    AckForm, ClientFrame, Encoding, ErrorAnswer, HistoryForm, PageForm, PullErrorForm, PushErrorForm,
    PushForm, ServerFrame, StoreForm, encode_page_body,
};
use serde::Serialize;
use serde_json::Value;

use crate::Target;
use crate::targets::{FRAME_MARK, LOG_ID, SEPARATOR};

/// Recorded messages that are longer say no more.
const MAX_RECORDED_BYTES: usize = 1500;

/// The inputs of each target, in a fixed order.
///
/// # Errors
/// If the recordings cannot be read.
pub fn seeds() -> io::Result<BTreeMap<&'static str, Vec<Vec<u8>>>> {
    let mut seeds = BTreeMap::from([
        ("args", args()),
        ("numbers", of_texts(&["e3.1r2", "todo-1", "v1.TodoCreated", "e18446744073709551615.4294967295r9"])),
        ("native-json", forms(Encoding::Json)),
        ("native-postcard", forms(Encoding::Postcard)),
        ("native-client-frame", client_frames()),
        ("native-server-frame", server_frames()),
        ("native-page-body", vec![encode_page_body(&page()).to_vec()]),
        ("native-url", native_urls()),
        (
            "payload",
            of_texts(&[r#"{"authToken":"let-me-in","n":[1.5]}"#, "eyJhIjoifn5-In0", "eyJhIjoifn5+In0="]),
        ),
        ("livestore-url", livestore_urls()),
        ("access-glob", vec![joined(&["todos-*", "*-?", "todos-1"]), joined(&["a*b*c", "a?*", "abc"])]),
        ("access-token", tokens()),
        ("server-native-ws", vec![conversation(&client_frames())]),
        ("server-http", http_requests()),
        ("client-ws", vec![client_ws()]),
        ("client-http", client_http()),
    ]);
    seeds.extend(recorded()?);
    Ok(seeds)
}

fn of_texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Texts of one input.
fn joined(texts: &[&str]) -> Vec<u8> {
    of_texts(texts).join(&0xff)
}

fn conversation(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.join(SEPARATOR)
}

fn backend_id() -> BackendId {
    BackendId::new(LOG_ID).expect("a valid id")
}

fn event(seq: u64, args: &'static str) -> SyncedEvent {
    SyncedEvent {
        seq: GlobalSeq(seq),
        parent: GlobalSeq(seq.saturating_sub(1)),
        name: EventName::new("v1.A").expect("a valid name"),
        args: Args::parse(args).expect("valid JSON"),
        client_id: ClientId::new("c").expect("a valid id"),
        session_id: SessionId::new("s").expect("a valid id"),
        commit: Some(CommitRef { n: seq, index: 0 }),
        unit_end: true,
        created_at: Some(UnixMillis(1000)),
    }
}

fn push() -> Push {
    let events = [event(1, r#"{"text":"a"}"#), event(2, "[1.5,null]")];
    let events = events.map(|event| SyncedEvent { created_at: None, ..event }).to_vec();
    Push::new(Some(backend_id()), GlobalSeq::ROOT, Some(ClientSecret([7; 16])), events)
}

fn cursor() -> Cursor {
    Cursor { after: GlobalSeq(2), token: Some(Bytes::from_static(b"\xff\x00")) }
}

fn page() -> PullPage {
    let events = vec![event(1, "null"), event(2, r#"{"text":"a"}"#)];
    let info = PageInfo::More { remaining: Some(3) };
    PullPage::new(GlobalSeq::ROOT, events.into(), cursor().token, backend_id(), info)
}

fn ack() -> AckForm {
    PushAck::new(backend_id(), cursor(), UnixMillis(1000)).into()
}

fn store() -> StoreForm {
    StoreForm { server: "s/1".to_owned(), capabilities: Capabilities::new(Durability::Disk).into() }
}

fn push_errors() -> Vec<PushErrorForm> {
    let code = RejectCode::Policy("p".to_owned());
    let errors = vec![
        PushError::UpstreamAhead { head: GlobalSeq(2), missing: Some(Box::new(page())) },
        PushError::Diverged("d".to_owned()),
        PushError::ClientIdTaken,
        PushError::Rejected(Rejection { index: 3, code, message: "m".to_owned() }),
        PushError::TooLarge { limits: Limits::DEFAULT },
        PushError::Unacknowledged("u".into()),
    ];
    errors.into_iter().map(PushErrorForm::from).collect()
}

fn pull_errors() -> Vec<PullErrorForm> {
    let errors = vec![PullError::Trimmed { first: GlobalSeq(9) }, PullError::Offline("o".into())];
    errors.into_iter().map(PullErrorForm::from).collect()
}

fn forms(encoding: Encoding) -> Vec<Vec<u8>> {
    let mut all = vec![
        encoding.encode(&PushForm::from(push())),
        encoding.encode(&ack()),
        encoding.encode(&PageForm::from(page())),
        encoding.encode(&store()),
    ];
    all.extend(push_errors().iter().map(|error| encoding.encode(error)));
    all.extend(pull_errors().iter().map(|error| encoding.encode(error)));
    if encoding == Encoding::Json {
        all.extend(push_errors().into_iter().map(answer));
        all.extend(pull_errors().into_iter().map(answer));
        let PullPage { backend_id, after, through, events, .. } = page();
        all.push(encoding.encode(&HistoryForm { backend_id, after, through, events: events.to_vec() }));
    }
    all.into_iter().map(Vec::from).collect()
}

/// The body of an answer that is an error.
fn answer<E: Serialize>(error: E) -> Bytes {
    Encoding::Json.encode(&ErrorAnswer { error, message: "m".to_owned() })
}

fn client_frames() -> Vec<Vec<u8>> {
    let frames = [
        ClientFrame::pull(1, Pull::new(None, Cursor::start(), PullMode::Live), 65_536),
        ClientFrame::Push { id: 2, push: push().into() },
        ClientFrame::pull(3, Pull::new(Some(backend_id()), cursor(), PullMode::Once), 1),
        ClientFrame::Credit { id: 1, bytes: 128 },
        ClientFrame::Cancel { id: 1 },
    ];
    frames.iter().map(|frame| Encoding::Postcard.encode(frame).to_vec()).collect()
}

fn server_frames() -> Vec<Vec<u8>> {
    let mut frames = vec![
        ServerFrame::Hello(store()),
        ServerFrame::Page { id: 1, head: PageInfo::CaughtUp.into() },
        ServerFrame::PullEnd { id: 1, error: None },
        ServerFrame::PushAck { id: 2, ack: ack() },
    ];
    frames.extend(push_errors().into_iter().map(|error| ServerFrame::PushRefused { id: 2, error }));
    frames.extend(pull_errors().into_iter().map(|error| ServerFrame::PullEnd { id: 1, error: Some(error) }));
    frames.iter().map(|frame| Encoding::Postcard.encode(frame).to_vec()).collect()
}

/// A server that greets, sends a page, acknowledges a push, and ends the pull.
fn client_ws() -> Vec<u8> {
    let [hello, head, end, ack, ..] = &server_frames()[..] else { unreachable!("there are four and more") };
    conversation(&[hello.clone(), head.clone(), encode_page_body(&page()).to_vec(), ack.clone(), end.clone()])
}

/// Servers that say what they can, send a page, acknowledge a push, and refuse, in both encodings.
fn client_http() -> Vec<Vec<u8>> {
    let all = [Encoding::Json, Encoding::Postcard].map(|encoding| {
        let head = |status: &str| format!("{status} {}\n", encoding.content_type()).into_bytes();
        let store = encoding.encode(&store());
        let page = encoding.encode(&PageForm::from(page()));
        let ack = encoding.encode(&ack());
        let refusals = push_errors()
            .into_iter()
            .map(answer)
            .map(|body| [&b"409 application/json\n"[..], &body].concat());
        let said = [&store, &store, &page, &ack, &page].map(|body| [&head("200")[..], body].concat());
        conversation(&said.into_iter().chain(refusals).collect::<Vec<_>>())
    });
    all.to_vec()
}

fn native_urls() -> Vec<Vec<u8>> {
    let mut urls = of_texts(&[
        "/stores/todo/history/a%2Fb/7",
        "/stores/todo/pull?after=31&token=_wA&backend=a%26b&wait=1500ms",
        "http://[::1]:8787/app/",
        "after=0&wait=20s",
    ]);
    urls.push(b"\xff\x00token".to_vec());
    urls
}

fn livestore_urls() -> Vec<Vec<u8>> {
    of_texts(&[
        "storeId=a-1&payload=%257B%2522authToken%2522%253A%2522let-me-in%2522%257D&transport=ws",
        "http://a/sync/?key=x%20y",
        "http://a/?storeId=todo&payload=1.5&transport=http",
    ])
}

fn args() -> Vec<Vec<u8>> {
    vec![
        joined(&[r#"{"a":1,"b":[2.5,"\u0041",null]}"#, r#"{ "b": [25e-1, "A", null], "a": 1e0 }"#, "{}"]),
        joined(&["[1,-0]", "[1.0,0]", "9007199254740993"]),
        joined(&["100000000000000000000000", "1e23", "1.0e+23"]),
        joined(&[r#"{"a":1,"a":2}"#, r#""\ud83d\ude00""#, r#""\ud83d""#]),
    ]
}

fn tokens() -> Vec<Vec<u8>> {
    of_texts(&[
        r#"{"exp":4102444800,"nbf":0,"sub":"a","stores":{"todos-*":"read-write","news":"read"}}"#,
        r#"{"exp":1e300,"stores":["todos-?"],"rights":"read"}"#,
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDB9.AAAA",
        "payload.user.token",
        "bearer",
    ])
}

/// Requests of curl, a native client and LiveStore clients, in one conversation each.
fn http_requests() -> Vec<Vec<u8>> {
    let request = |line: &str, body: &[u8]| [line.as_bytes(), b"\n", body].concat();
    let push = Push::new(None, GlobalSeq::ROOT, None, push().events);
    let json = Encoding::Json.encode(&PushForm::from(push.clone()));
    let postcard = Encoding::Postcard.encode(&PushForm::from(push));
    let kind = "content-type: application/x-livestore-postcard accept: application/x-livestore-postcard";
    let native = [
        request("POST /stores/todo/push", &json),
        request("GET /stores/todo", b""),
        request("GET /stores/todo/pull?after=1&wait=20s", b""),
        request(&format!("POST /stores/todo/push {kind}"), &postcard),
        request(&format!("GET /stores/todo/pull {kind} livestore-payload: {{}}"), b""),
        request(&format!("GET /stores/todo/history/{LOG_ID}/0 if-none-match: *"), b""),
        request("GET /health", b""),
        request("OPTIONS /stores/todo/push origin: http://a access-control-request-method: POST", b""),
    ];
    let event = r#"{"name":"n","args":[1],"seqNum":1,"parentSeqNum":0,"clientId":"c","sessionId":"s"}"#;
    let rpc = |tag: &str, rest: &str| {
        let body = format!(
            r#"{{"_tag":"Request","id":"1","tag":"SyncHttpRpc.{tag}","payload":{{"storeId":"todo"{rest}}},"headers":[]}}"#
        );
        request("POST /?storeId=todo&transport=http", body.as_bytes())
    };
    let livestore = [
        rpc("Push", &format!(r#","batch":[{event}],"backendId":{{"_tag":"None"}}"#)),
        rpc("Pull", r#","cursor":{"_tag":"None"}"#),
        rpc("Ping", ""),
    ];
    vec![conversation(&native), conversation(&livestore)]
}

/// What LiveStore's clients and servers said, each message of another shape once, and each connection.
fn recorded() -> io::Result<BTreeMap<&'static str, Vec<Vec<u8>>>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../transports/wire/tests/captures");
    let mut seeds = BTreeMap::<_, Vec<Vec<u8>>>::new();
    let mut shapes = BTreeSet::new();
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    for file in files {
        let is_ws = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ws"));
        let mut spoken = BTreeMap::<_, Vec<Vec<u8>>>::new();
        for line in fs::read_to_string(&file)?.lines() {
            let line: Value = serde_json::from_str(line)?;
            let Some((by_client, said)) = message(&line, is_ws) else { continue };
            let target = if by_client { "livestore-client-frames" } else { "livestore-server-frame" };
            let answers = said.as_array().filter(|_| !by_client).cloned();
            for frame in answers.clone().unwrap_or_else(|| vec![said.clone()]) {
                if shapes.insert((target, shape(&frame))) {
                    seeds.entry(target).or_default().push(frame.to_string().into_bytes());
                }
            }
            if answers.is_some() && shapes.insert(("livestore-frame-array", shape(&said))) {
                let mut text = said.to_string().into_bytes();
                text.insert(text.len() / 2, FRAME_MARK);
                seeds.entry("livestore-frame-array").or_default().push(text);
            }
            let target = match (by_client, is_ws) {
                (true, true) => "server-livestore-ws",
                (false, true) => "client-livestore-ws",
                (false, false) => "client-livestore-http",
                // One request in one connection says no more than its frame; see `http_requests`.
                (true, false) => continue,
            };
            let head = if is_ws { "" } else { "200 application/json\n" };
            let text = format!("{head}{said}").into_bytes();
            let messages = spoken.entry((target, line["conn"].to_string())).or_default();
            if messages.iter().map(Vec::len).sum::<usize>() + text.len() < Target::MAX_INPUT_BYTES / 2 {
                messages.push(text);
            }
        }
        for ((target, _), messages) in spoken {
            let said: Vec<String> =
                messages.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
            if shapes.insert((target, letters(&said.join("\n")))) {
                seeds.entry(target).or_default().push(conversation(&messages));
            }
        }
    }
    Ok(seeds)
}

/// What was said in a line of a recording, and whether a client said it.
fn message(line: &Value, is_ws: bool) -> Option<(bool, Value)> {
    let key = match line["kind"].as_str()? {
        "ws-text" | "ws-binary" => "data",
        "http-request" | "http-response" if !is_ws => "body",
        _ => return None,
    };
    let said = line[key].clone();
    let is_message = (said.is_object() || said.is_array()) && said.to_string().len() <= MAX_RECORDED_BYTES;
    is_message.then(|| (line["dir"] == "c>s", said))
}

/// What a message is without its values: two of one shape lead to the same places.
fn shape(value: &Value) -> String {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| match value {
                Value::String(tag) if key.contains("tag") => format!("{key}={tag};"),
                value => format!("{key}:{};", shape(value)),
            })
            .collect(),
        Value::Array(elements) => {
            let mut shapes: Vec<String> = elements.iter().map(shape).collect();
            shapes.dedup();
            format!("[{}]", shapes.concat())
        }
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
    }
}

/// A text without its numbers and ids, roughly.
fn letters(text: &str) -> String {
    text.chars().filter(char::is_ascii_punctuation).collect()
}
