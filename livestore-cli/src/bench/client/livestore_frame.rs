//! Reads what a server of LiveStore's protocol says, at the least cost: a chunk is counted when it arrives, and its events
//! are taken apart only when somebody looks at them.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use livestore_wire::livestore::{Defect, Exit, Failure, RpcError, ServerFrame};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Pushed;
use crate::bench::events::Seen;
use crate::error::CommandError;

/// What a server says.
pub(super) enum Answer {
    /// Events of a pull.
    Chunk { events: u64, is_last: bool },
    /// A push was accepted, or a pull is over.
    Success,
    /// A request failed.
    Failure(Failure),
    /// The connection failed.
    Defect(String),
    /// Nothing that concerns this request.
    Other,
}

/// Reads a frame that may be about the request `id`.
pub(super) fn read(frame: &[u8], id: &str) -> Result<Answer, CommandError> {
    let outline: Outline<'_> = serde_json::from_slice(frame).map_err(no_answer)?;
    if outline.tag == "Pong" {
        return Ok(Answer::Other);
    }
    if outline.tag != "Defect" && outline.request_id.is_none_or(|raw| raw.get().trim_matches('"') != id) {
        return Ok(Answer::Other);
    }
    if outline.tag == "Chunk" {
        let events = outline.values.iter().map(|item| item.batch.0).sum();
        let is_last = outline.values.last().is_some_and(|item| item.info.tag == "NoMore");
        return Ok(Answer::Chunk { events, is_last });
    }
    Ok(match ServerFrame::decode(frame).map_err(no_answer)? {
        ServerFrame::Exit { exit: Exit::Failed(failure), .. } => Answer::Failure(failure),
        ServerFrame::Exit { .. } => Answer::Success,
        ServerFrame::Defect(defect) => Answer::Defect(say(&defect)),
        ServerFrame::Chunk { .. } | ServerFrame::Pong => Answer::Other,
    })
}

/// What a failure means to a push.
pub(super) fn pushed(failure: Failure) -> Result<Pushed, CommandError> {
    match failure {
        Failure::Error(RpcError::ServerAhead { minimum_expected_num, .. }) => {
            Ok(Pushed::Ahead { head: minimum_expected_num })
        }
        Failure::Error(RpcError::Unknown { cause, .. }) => Ok(Pushed::Failed(say(&cause))),
        failure => Err(failed("a push failed", &failure)),
    }
}

pub(super) fn failed(what: &str, failure: &Failure) -> CommandError {
    let why = match failure {
        Failure::Error(RpcError::ServerAhead { .. }) => "the head is another one".to_owned(),
        Failure::Error(RpcError::BackendIdMismatch { .. }) => "the backend is another one".to_owned(),
        Failure::Error(RpcError::Unknown { cause, .. }) | Failure::Die(cause) => say(cause),
        Failure::Interrupt => "it was interrupted".to_owned(),
    };
    CommandError::new(format!("{what}: {why}"))
}

/// Shows each event of a chunk, in order.
pub(super) fn for_each(
    frame: &Bytes,
    mut take: impl FnMut(&Seen<'_>) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let chunk: Chunk<'_> = serde_json::from_slice(frame).map_err(no_answer)?;
    for entry in chunk.values.iter().flat_map(|item| &item.batch) {
        let event = &entry.event_encoded;
        take(&Seen {
            seq: event.seq_num,
            parent: event.parent_seq_num,
            name: &event.name,
            args: event.args.map_or("null", RawValue::get),
            client_id: &event.client_id,
            session_id: &event.session_id,
        })?;
    }
    Ok(())
}

fn no_answer(error: impl Into<livestore_traits::BoxError>) -> CommandError {
    CommandError::new("what the server says is not LiveStore's protocol").caused_by(error)
}

fn say(defect: &Defect) -> String {
    match defect {
        Defect::Text(text) => text.clone(),
        Defect::Error { name, message } => format!("{name}: {message}"),
        Defect::Other(value) => value.to_string(),
    }
}

/// As much of a frame as is needed to go on.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(rename = "_tag", borrow)]
    tag: Cow<'a, str>,
    #[serde(rename = "requestId", borrow)]
    request_id: Option<&'a RawValue>,
    #[serde(default, borrow)]
    values: Vec<ItemOutline<'a>>,
}

#[derive(Deserialize)]
struct ItemOutline<'a> {
    batch: Counted,
    #[serde(rename = "pageInfo", borrow)]
    info: Tagged<'a>,
}

#[derive(Deserialize)]
struct Tagged<'a> {
    #[serde(rename = "_tag", borrow)]
    tag: Cow<'a, str>,
}

/// How many elements an array has.
struct Counted(u64);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;

        impl<'de> Visitor<'de> for Elements {
            type Value = Counted;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Counted, A::Error> {
                let mut count = 0;
                while elements.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Counted(count))
            }
        }

        deserializer.deserialize_seq(Elements)
    }
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    values: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    batch: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    event_encoded: EventOutline<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventOutline<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    seq_num: u64,
    parent_seq_num: u64,
    #[serde(borrow)]
    client_id: Cow<'a, str>,
    #[serde(borrow)]
    session_id: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_counted_and_then_taken_apart() {
        let frame = Bytes::from_static(
            br#"{"_tag":"Chunk","requestId":"4","values":[{"batch":[
                {"eventEncoded":{"name":"a","args":{"x":[1,2]},"seqNum":1,"parentSeqNum":0,"clientId":"c","sessionId":"s"},
                 "metadata":{"_tag":"None"}},
                {"eventEncoded":{"name":"b","seqNum":2,"parentSeqNum":1,"clientId":"c","sessionId":"s"},
                 "metadata":{"_tag":"None"}}],
              "pageInfo":{"_tag":"NoMore"},"backendId":"x"}]}"#,
        );
        assert!(matches!(read(&frame, "4"), Ok(Answer::Chunk { events: 2, is_last: true })));
        assert!(matches!(read(&frame, "5"), Ok(Answer::Other)));
        let mut seen = Vec::new();
        let taken = for_each(&frame, |event| {
            seen.push((event.seq, event.name.to_owned(), event.args.to_owned()));
            Ok(())
        });
        assert!(taken.is_ok());
        let expected =
            [(1, "a".to_owned(), r#"{"x":[1,2]}"#.to_owned()), (2, "b".to_owned(), "null".to_owned())];
        assert_eq!(seen, expected);
    }

    #[test]
    fn answers_to_a_push() {
        let ahead = br#"{"_tag":"Exit","requestId":"1","exit":{"_tag":"Failure","cause":{"_tag":"Fail",
            "error":{"minimumExpectedNum":3,"providedNum":2,"_tag":"ServerAheadError"}}}}"#;
        let Ok(Answer::Failure(failure)) = read(ahead, "1") else { panic!("no failure") };
        assert!(matches!(pushed(failure), Ok(Pushed::Ahead { head: 3 })));
        let accepted = br#"{"_tag":"Exit","requestId":"1","exit":{"_tag":"Success","value":{}}}"#;
        assert!(matches!(read(accepted, "1"), Ok(Answer::Success)));
        assert!(matches!(read(br#"{"_tag":"Pong"}"#, "1"), Ok(Answer::Other)));
        assert!(
            matches!(read(br#"{"_tag":"Defect","defect":"no"}"#, "1"), Ok(Answer::Defect(text)) if text == "no")
        );
        assert!(read(b"<html>", "1").is_err());
    }
}
