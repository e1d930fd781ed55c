//! What a server says.

use bytes::{BufMut, Bytes, BytesMut};
use livestore_traits::PageInfo;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::item::{self, PullItem};
use super::{Defect, Exit, RequestId};
use crate::DecodeError;

/// What a server says.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerFrame {
    /// Items of a pull.
    Chunk {
        /// Which pull.
        request_id: RequestId,
        /// The items, at least one.
        items: Vec<PullItem>,
    },
    /// A request is over.
    Exit {
        /// Which.
        request_id: RequestId,
        /// How.
        exit: Exit,
    },
    /// The connection failed, and every request on it.
    Defect(Defect),
    /// The answer to a ping.
    Pong,
}

impl ServerFrame {
    /// The frame as JSON text.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Chunk { request_id, items } => {
                let bodies = items.iter().map(|item| (item.encode_body(), item.info));
                encode_items(request_id, bodies.collect::<Vec<_>>().as_slice())
            }
            Self::Exit { request_id, exit } => {
                let exit = exit.to_value(request_id.dialect());
                to_bytes(&json!({"_tag": "Exit", "requestId": request_id, "exit": exit}))
            }
            Self::Defect(defect) => to_bytes(&json!({"_tag": "Defect", "defect": defect})),
            Self::Pong => Bytes::from_static(br#"{"_tag":"Pong"}"#),
        }
    }

    /// Reads one frame.
    ///
    /// # Errors
    /// [`DecodeError`] if the text is anything else.
    pub fn decode(text: &[u8]) -> Result<Self, DecodeError> {
        let malformed = |error: serde_json::Error| DecodeError::new(error.to_string());
        let form: Form<'_> = serde_json::from_slice(text).map_err(malformed)?;
        let missing = |what: &str| DecodeError::new(format!("a {} has no {what}", form.tag));
        let request_id = || form.request_id.clone().ok_or_else(|| missing("requestId"));
        match form.tag.as_str() {
            "Chunk" => {
                let values = form.values.ok_or_else(|| missing("values"))?;
                let items = serde_json::from_str(values.get()).map_err(malformed)?;
                Ok(Self::Chunk { request_id: request_id()?, items })
            }
            "Exit" => {
                let exit = form.exit.as_ref().and_then(Exit::from_value).ok_or_else(|| missing("exit"))?;
                Ok(Self::Exit { request_id: request_id()?, exit })
            }
            "Defect" => form.defect.clone().map(Self::Defect).ok_or_else(|| missing("defect")),
            "Pong" => Ok(Self::Pong),
            tag => Err(DecodeError::new(format!("a server says no {tag:.32}"))),
        }
    }
}

#[derive(Deserialize)]
struct Form<'a> {
    #[serde(rename = "_tag")]
    tag: String,
    #[serde(rename = "requestId")]
    request_id: Option<RequestId>,
    #[serde(borrow)]
    values: Option<&'a RawValue>,
    exit: Option<Value>,
    defect: Option<Defect>,
}

/// A chunk with one item: a body that all readers share ([`encode_item_body`](super::encode_item_body)), and what
/// differs from reader to reader.
#[must_use]
pub fn encode_chunk(request_id: &RequestId, body: &Bytes, info: PageInfo) -> Bytes {
    encode_items(request_id, &[(body.clone(), info)])
}

/// What a chunk needs beside the bodies of its items, roughly.
const CHUNK_OVERHEAD_BYTES: usize = 160;

fn encode_items(request_id: &RequestId, items: &[(Bytes, PageInfo)]) -> Bytes {
    let bodies: usize = items.iter().map(|(body, _)| body.len() + CHUNK_OVERHEAD_BYTES).sum();
    let mut chunk = BytesMut::with_capacity(bodies + CHUNK_OVERHEAD_BYTES);
    chunk.put_slice(br#"{"_tag":"Chunk","requestId":"#);
    chunk.put_slice(&to_bytes(request_id));
    chunk.put_slice(br#","values":["#);
    for (index, (body, info)) in items.iter().enumerate() {
        if index > 0 {
            chunk.put_u8(b',');
        }
        item::write(&mut chunk, body, *info);
    }
    chunk.put_slice(b"]}");
    chunk.freeze()
}

fn to_bytes<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("these values have string keys").into()
}
