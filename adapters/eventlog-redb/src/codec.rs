//! How records look on the disk: a byte for the format, then postcard.
//!
//! Records of released formats are read for ever. A change to a type below, or to one of the contract's types that are
//! written as they are ([`Heads`], [`ArchiveInfo`], [`GoneReason`]), is a new format; the golden bytes in the tests
//! notice it.

use bytes::Bytes;
use livestore_traits::{
    ArchiveInfo, Args, ClientId, CommitRef, Event, EventName, EventlogError, GoneReason, Heads, InvalidId,
    Position, RebaseGeneration, SeqNum, SessionId,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::corrupt;

/// The format of records, and of the file as a whole.
pub(crate) const FORMAT: u8 = 1;

/// An event without its position, which is the key.
#[derive(Serialize, Deserialize)]
struct EventRecord<'a> {
    generation: u64,
    name: &'a str,
    args: &'a str,
    client_id: &'a str,
    session_id: &'a str,
    commit: Option<(u64, u32)>,
    unit_end: bool,
    is_own: bool,
}

/// Types that are written as they are.
pub(crate) trait Record: Serialize + DeserializeOwned {}
impl Record for Heads {}
impl Record for ArchiveInfo {}
impl Record for GoneReason {}

pub(crate) fn encode<T: Record>(record: &T) -> Result<Vec<u8>, EventlogError> {
    encode_any(record)
}

pub(crate) fn decode<T: Record>(bytes: &[u8]) -> Result<T, EventlogError> {
    decode_any(bytes)
}

pub(crate) fn encode_event(event: &Event) -> Result<Vec<u8>, EventlogError> {
    encode_any(&EventRecord {
        generation: event.num.generation.0,
        name: event.name.as_str(),
        args: event.args.as_str(),
        client_id: event.client_id.as_str(),
        session_id: event.session_id.as_str(),
        commit: event.commit.map(|commit| (commit.n, commit.index)),
        unit_end: event.unit_end,
        is_own: event.is_own,
    })
}

/// Reads an event. Texts that are those of `previous` are shared with it, since neighbours mostly have the same client,
/// session and name.
pub(crate) fn decode_event(
    position: Position,
    bytes: &[u8],
    previous: Option<&Event>,
) -> Result<Event, EventlogError> {
    let record: EventRecord<'_> = decode_any(bytes)?;
    let generation = RebaseGeneration(record.generation);
    Ok(Event {
        num: SeqNum::new(position, generation),
        name: share(record.name, previous.map(|event| &event.name), EventName::new)?,
        args: Args::from_stored(Bytes::copy_from_slice(record.args.as_bytes())).map_err(corrupt)?,
        client_id: share(record.client_id, previous.map(|event| &event.client_id), ClientId::new)?,
        session_id: share(record.session_id, previous.map(|event| &event.session_id), SessionId::new)?,
        commit: record.commit.map(|(n, index)| CommitRef { n, index }),
        unit_end: record.unit_end,
        is_own: record.is_own,
    })
}

/// Reads only what tells the versions of a position apart.
pub(crate) fn decode_generation(bytes: &[u8]) -> Result<RebaseGeneration, EventlogError> {
    let (generation, _) = postcard::take_from_bytes(body(bytes)?).map_err(corrupt)?;
    Ok(RebaseGeneration(generation))
}

fn share<'a, T: AsRef<str> + Clone>(
    text: &'a str,
    previous: Option<&T>,
    new: impl FnOnce(&'a str) -> Result<T, InvalidId>,
) -> Result<T, EventlogError> {
    match previous {
        Some(previous) if previous.as_ref() == text => Ok(previous.clone()),
        _ => new(text).map_err(corrupt),
    }
}

fn encode_any(record: &impl Serialize) -> Result<Vec<u8>, EventlogError> {
    postcard::to_extend(record, vec![FORMAT]).map_err(|error| EventlogError::Refused(error.to_string()))
}

fn decode_any<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, EventlogError> {
    let (record, rest) = postcard::take_from_bytes(body(bytes)?).map_err(corrupt)?;
    if !rest.is_empty() {
        return Err(corrupt("a record is longer than its content"));
    }
    Ok(record)
}

fn body(bytes: &[u8]) -> Result<&[u8], EventlogError> {
    match bytes.split_first() {
        Some((&FORMAT, body)) => Ok(body),
        Some((format, _)) => Err(corrupt(format!("a record of format {format}, only {FORMAT} can be read"))),
        None => Err(corrupt("an empty record")),
    }
}

#[cfg(test)]
mod tests {
    use livestore_traits::{BackendId, ClientSecret, Cursor, GlobalSeq, Identity, Term, UpstreamMark};

    use super::*;

    fn event() -> Event {
        Event {
            num: "e3.1r2".parse().unwrap(),
            name: EventName::new("v1.A").unwrap(),
            args: Args::parse(r#"{"a":1}"#).unwrap(),
            client_id: ClientId::new("c1").unwrap(),
            session_id: SessionId::new("s1").unwrap(),
            commit: Some(CommitRef { n: 300, index: 1 }),
            unit_end: true,
            is_own: false,
        }
    }

    fn heads() -> Heads {
        Heads {
            local: "e3.1r2".parse().unwrap(),
            settled: "e2r1".parse().unwrap(),
            upstream: UpstreamMark {
                head: "e1".parse().unwrap(),
                cursor: Cursor { after: GlobalSeq(1), token: Some(Bytes::from_static(b"tok")) },
                backend_id: Some(BackendId::new("b1").unwrap()),
            },
            generation: RebaseGeneration(2),
            term: Term(9),
            identity: Some(Identity {
                client_id: ClientId::new("c1").unwrap(),
                secret: ClientSecret([0xaa; 16]),
            }),
        }
    }

    #[test]
    fn events_are_stored_in_these_bytes() {
        let bytes = encode_event(&event()).unwrap();
        assert_eq!(bytes, b"\x01\x02\x04v1.A\x07{\"a\":1}\x02c1\x02s1\x01\xac\x02\x01\x01\x00");
        assert_eq!(decode_event(event().num.position(), &bytes, None).unwrap(), event());
        assert_eq!(decode_event(event().num.position(), &bytes, Some(&event())).unwrap(), event());
        assert_eq!(decode_generation(&bytes).unwrap(), RebaseGeneration(2));
    }

    #[test]
    fn heads_are_stored_in_these_bytes() {
        let bytes = encode(&heads()).unwrap();
        let mut expected =
            b"\x01\x03\x01\x02\x02\x00\x01\x01\x00\x00\x01\x01\x03tok\x01\x02b1\x02\x09\x01\x02c1".to_vec();
        expected.extend([0xaa; 16]);
        assert_eq!(bytes, expected);
        assert_eq!(decode::<Heads>(&bytes).unwrap(), heads());
    }

    #[test]
    fn archives_and_reasons_are_stored_in_these_bytes() {
        let info = ArchiveInfo {
            id: 1,
            base: "e1".parse().unwrap(),
            head: "e2r1".parse().unwrap(),
            backend_id: None,
            reason: "why".into(),
        };
        let bytes = encode(&info).unwrap();
        assert_eq!(bytes, b"\x01\x01\x01\x00\x00\x02\x00\x01\x00\x03why");
        assert_eq!(decode::<ArchiveInfo>(&bytes).unwrap(), info);
        assert_eq!(encode(&GoneReason::Rejected("no".into())).unwrap(), b"\x01\x00\x02no");
        assert_eq!(encode(&GoneReason::Archived).unwrap(), b"\x01\x01");
    }

    #[test]
    fn bytes_that_are_no_record_are_corrupt() {
        let good = encode_event(&event()).unwrap();
        let position = event().num.position();
        for len in 0..good.len() {
            let cut = decode_event(position, &good[..len], None);
            assert!(matches!(cut, Err(EventlogError::Corrupt(_))), "cut to {len} bytes");
        }
        let longer = [&good[..], b"x"].concat();
        let newer = [b"\x02", &good[1..]].concat();
        let no_utf8 = good.iter().map(|&byte| if byte == b'c' { 0xff } else { byte }).collect();
        let control_characters = good.iter().map(|&byte| if byte == b'c' { 7 } else { byte }).collect();
        for bytes in [longer, newer, no_utf8, control_characters] {
            let read = decode_event(position, &bytes, None);
            assert!(matches!(read, Err(EventlogError::Corrupt(_))), "{bytes:?}");
        }
    }
}
