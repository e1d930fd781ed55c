//! What a client says, and what is wrong with what is no message.

use bytes::Bytes;
use livestore_traits::{BackendId, Cursor, GlobalSeq, Push, StoreId, SyncedEvent};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::item::{CursorForm, EventForm, EventRef, OptionForm};
use super::{Defect, Dialect, Exit, Failure, RequestId, ServerFrame, Transport};
use crate::SyncPayload;

/// How much of a text is repeated in an answer, in characters.
const MAX_QUOTED_CHARS: usize = 100;
/// The most messages of one array; a message that was read takes far more room than the shortest text of one.
const MAX_BATCH_MESSAGES: usize = 1024;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    /// Starts a request.
    Request(Request),
    /// A chunk of this pull was taken.
    Ack(RequestId),
    /// Ends a request.
    Interrupt(RequestId),
    /// Asks for a sign of life.
    Ping,
    /// No further requests come.
    Eof,
}

/// What every request of a client repeats.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// How the client talks.
    pub transport: Transport,
    /// The store, as the URL names it.
    pub store: &'a StoreId,
    /// What the client shows, as the URL does.
    pub payload: Option<&'a SyncPayload>,
}

impl ClientFrame {
    /// The frame as JSON text, as 0.4.0 writes it but for its traces.
    #[must_use]
    pub fn encode(&self, context: RequestContext<'_>) -> Bytes {
        match self {
            Self::Request(request) => request.encode(context),
            Self::Ack(id) => to_bytes(&AboutRequest { tag: "Ack", request_id: id }),
            Self::Interrupt(id) => to_bytes(&AboutRequest { tag: "Interrupt", request_id: id }),
            // A Durable Object answers these very bytes without waking up.
            Self::Ping => Bytes::from_static(br#"{"_tag":"Ping"}"#),
            Self::Eof => Bytes::from_static(br#"{"_tag":"Eof"}"#),
        }
    }
}

#[derive(Serialize)]
struct AboutRequest<'a> {
    #[serde(rename = "_tag")]
    tag: &'static str,
    #[serde(rename = "requestId")]
    request_id: &'a RequestId,
}

fn to_bytes<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("these values have string keys and valid args").into()
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names it in all that follows.
    pub id: RequestId,
    /// What is asked.
    pub call: Call,
}

impl Request {
    fn encode(&self, context: RequestContext<'_>) -> Bytes {
        #[derive(Serialize)]
        struct Envelope<'a> {
            #[serde(rename = "_tag")]
            kind: &'static str,
            id: &'a RequestId,
            tag: String,
            payload: PayloadForm<'a>,
            headers: [(); 0],
        }
        let prefix = context.transport.prefix();
        to_bytes(&Envelope {
            kind: "Request",
            id: &self.id,
            tag: format!("{prefix}{}", self.call.name()),
            payload: PayloadForm::new(&self.call, context),
            headers: [],
        })
    }
}

/// The payload of any request; each has some of these.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PayloadForm<'a> {
    store_id: &'a StoreId,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<OptionForm<CursorForm>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<Vec<EventRef<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_id: Option<OptionForm<&'a BackendId>>,
}

impl<'a> PayloadForm<'a> {
    fn new(call: &'a Call, RequestContext { transport, store, payload }: RequestContext<'a>) -> Self {
        let payload = payload.map(SyncPayload::as_raw);
        let mut form =
            Self { store_id: store, payload, live: None, cursor: None, batch: None, backend_id: None };
        match call {
            Call::Pull(call) => {
                form.live = (transport == Transport::Ws).then_some(call.live);
                let cursor = call
                    .backend_id
                    .clone()
                    .map(|backend_id| CursorForm { backend_id, event_sequence_number: call.cursor.after });
                form.cursor = Some(cursor.into());
            }
            Call::Push(call) => {
                form.batch = Some(call.events.iter().map(EventRef::from).collect());
                form.backend_id = Some(call.backend_id.as_ref().into());
            }
            Call::Ping => {}
        }
        form
    }
}

/// What a request asks. The store is the URL's, whatever the request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// For events.
    Pull(PullCall),
    /// To append events.
    Push(PushCall),
    /// For a sign of life; over HTTP only.
    Ping,
}

impl Call {
    const fn name(&self) -> &'static str {
        match self {
            Self::Pull(_) => "Pull",
            Self::Push(_) => "Push",
            Self::Ping => "Ping",
        }
    }
}

/// Asks for the events after a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullCall {
    /// The incarnation the cursor belongs to; `None` from the start.
    pub backend_id: Option<BackendId>,
    /// Where to go on. Without a backend id a client begins at the start, whatever this says.
    pub cursor: Cursor,
    /// Whether to stay after catching up.
    pub live: bool,
}

/// Asks to append events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushCall {
    /// The incarnation the client knows.
    pub backend_id: Option<BackendId>,
    /// The events, as they are.
    pub events: Vec<SyncedEvent>,
}

impl PushCall {
    /// The push that is asked for; `None` if it is one of no events, which succeeds.
    #[must_use]
    pub fn into_push(self) -> Option<Push> {
        let parent = self.events.first()?.parent;
        Some(Push::new(self.backend_id, parent, None, self.events))
    }
}

/// A text is no message of a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is not JSON.
    #[error("{0}")]
    Syntax(String),
    /// It is no kind of message.
    #[error("Unknown request tag: {0}")]
    Tag(String),
    /// It asks for what this transport does not have.
    #[error("Unknown request tag: {tag}")]
    Procedure {
        /// Which request.
        id: RequestId,
        /// What it asks for.
        tag: String,
    },
    /// What it asks for lacks something, or has something of another type.
    #[error("{reason}")]
    Payload {
        /// Which request.
        id: RequestId,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be answered, having no id that an answer could name.
    #[error("{0}")]
    Unanswerable(&'static str),
}

impl Malformed {
    /// What to answer, if there is an answer. If there is none, the sender has to go: it waits for one.
    #[must_use]
    pub fn answer(&self) -> Option<ServerFrame> {
        let message = self.to_string();
        let died = |id: &RequestId, message| {
            let exit = Exit::Failed(Failure::Die(Defect::Text(message)));
            ServerFrame::Exit { request_id: id.clone(), exit }
        };
        match self {
            Self::Syntax(_) => {
                Some(ServerFrame::Defect(Defect::Error { name: "SyntaxError".to_owned(), message }))
            }
            Self::Tag(_) => Some(ServerFrame::Defect(Defect::Text(message))),
            Self::Procedure { id, .. } => Some(match id.dialect() {
                Dialect::V04 => ServerFrame::Defect(Defect::Text(message)),
                Dialect::Main => died(id, message),
            }),
            Self::Payload { id, .. } => Some(died(id, message)),
            Self::Unanswerable(_) => None,
        }
    }
}

/// Reads what arrived in one WebSocket message or HTTP body: one message, or in the main dialect an array of them.
#[must_use]
pub fn decode_client_frames(text: &[u8], transport: Transport) -> Vec<Result<ClientFrame, Malformed>> {
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => vec![decode_object(text, transport)],
        Some(b'[') => decode_array(text, transport),
        _ => vec![Err(match serde_json::from_slice(text) {
            Ok(Some(IgnoredAny)) => Malformed::Tag("undefined".to_owned()),
            Ok(None) => Malformed::Unanswerable("null is no message"),
            Err(error) => Malformed::Syntax(error.to_string()),
        })],
    }
}

/// 0.4.0 knows no arrays. One is a batch if it has a request of the other dialect.
fn decode_array(text: &[u8], transport: Transport) -> Vec<Result<ClientFrame, Malformed>> {
    let elements: Vec<&RawValue> = match serde_json::from_slice(text) {
        Ok(elements) => elements,
        Err(error) => return vec![Err(Malformed::Syntax(error.to_string()))],
    };
    if elements.len() > MAX_BATCH_MESSAGES {
        return vec![Err(Malformed::Unanswerable("too many messages in one"))];
    }
    let decode = |element: &&RawValue| match element.get().as_bytes() {
        object @ [b'{', ..] => decode_object(object, transport),
        _ => Err(Malformed::Tag("undefined".to_owned())),
    };
    let frames: Vec<_> = elements.iter().map(decode).collect();
    let is_main = |frame: &Result<ClientFrame, Malformed>| {
        let id = match frame {
            Ok(ClientFrame::Request(request)) => &request.id,
            Ok(ClientFrame::Ack(id) | ClientFrame::Interrupt(id)) => id,
            Err(Malformed::Procedure { id, .. } | Malformed::Payload { id, .. }) => id,
            _ => return false,
        };
        id.dialect() == Dialect::Main
    };
    if frames.iter().any(is_main) { frames } else { vec![Err(Malformed::Tag("undefined".to_owned()))] }
}

/// The parts of a message that matter here; headers and tracing do not.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "_tag", borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(rename = "requestId", borrow)]
    request_id: Option<&'a RawValue>,
    #[serde(borrow)]
    tag: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

fn decode_object(text: &[u8], transport: Transport) -> Result<ClientFrame, Malformed> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(text).map_err(|error| Malformed::Syntax(error.to_string()))?;
    match name(envelope.kind).as_str() {
        "Request" => {
            let id = id(envelope.id)?;
            let call = decode_call(&id, &name(envelope.tag), envelope.payload, transport)?;
            Ok(ClientFrame::Request(Request { id, call }))
        }
        "Ack" => id(envelope.request_id).map(ClientFrame::Ack),
        "Interrupt" => id(envelope.request_id).map(ClientFrame::Interrupt),
        "Ping" => Ok(ClientFrame::Ping),
        "Eof" => Ok(ClientFrame::Eof),
        kind => Err(Malformed::Tag(kind.to_owned())),
    }
}

/// A name, as JavaScript would print it.
fn name(raw: Option<&RawValue>) -> String {
    let Some(raw) = raw else { return "undefined".to_owned() };
    let text: String = serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
    text.chars().take(MAX_QUOTED_CHARS).collect()
}

fn id(raw: Option<&RawValue>) -> Result<RequestId, Malformed> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
        .ok_or(Malformed::Unanswerable("a request id is an integer, or one as text"))
}

fn decode_call(
    id: &RequestId,
    tag: &str,
    payload: Option<&RawValue>,
    transport: Transport,
) -> Result<Call, Malformed> {
    match (tag.strip_prefix(transport.prefix()), transport) {
        (Some("Pull"), Transport::Ws) => {
            let PullForm { live, cursor, .. } = read(id, payload)?;
            Ok(Call::Pull(pull(cursor, live)))
        }
        (Some("Pull"), Transport::Http) => {
            let PollForm { cursor, .. } = read(id, payload)?;
            Ok(Call::Pull(pull(cursor, false)))
        }
        (Some("Push"), _) => {
            let PushForm { batch, backend_id, .. } = read(id, payload)?;
            let events = batch.into_iter().map(SyncedEvent::from).collect();
            Ok(Call::Push(PushCall { backend_id: backend_id.into(), events }))
        }
        (Some("Ping"), Transport::Http) => read(id, payload).map(|PingForm { .. }| Call::Ping),
        _ => Err(Malformed::Procedure { id: id.clone(), tag: tag.to_owned() }),
    }
}

fn read<'a, T: Deserialize<'a>>(id: &RequestId, payload: Option<&'a RawValue>) -> Result<T, Malformed> {
    let refused = |reason| Malformed::Payload { id: id.clone(), reason };
    let payload = payload.ok_or_else(|| refused("payload is missing".to_owned()))?;
    serde_json::from_str(payload.get())
        .map_err(|error| refused(error.to_string().chars().take(2 * MAX_QUOTED_CHARS).collect()))
}

fn pull(cursor: OptionForm<CursorForm>, live: bool) -> PullCall {
    let cursor: Option<CursorForm> = cursor.into();
    let after = cursor.as_ref().map_or(GlobalSeq::ROOT, |cursor| cursor.event_sequence_number);
    let backend_id = cursor.map(|cursor| cursor.backend_id);
    PullCall { backend_id, cursor: Cursor { after, token: None }, live }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullForm {
    #[serde(rename = "storeId")]
    _store_id: String,
    live: bool,
    cursor: OptionForm<CursorForm>,
}

#[derive(Deserialize)]
struct PollForm {
    #[serde(rename = "storeId")]
    _store_id: String,
    cursor: OptionForm<CursorForm>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PushForm {
    #[serde(rename = "storeId")]
    _store_id: String,
    batch: Vec<EventForm>,
    backend_id: OptionForm<BackendId>,
}

#[derive(Deserialize)]
struct PingForm {
    #[serde(rename = "storeId")]
    _store_id: String,
}
