//! How an event is stored: small, and read without parsing its args.
//!
//! ```text
//!  u8 version = 1 │ u8 flags │ 8 bytes tag │ varint created_at │ [varint commit n │ varint commit index]
//!  varint length, name │ varint length, client id │ varint length, session id │ args to the end
//!
//!  flags: 1 the event ends its unit, 2 a commit follows; others are refused
//! ```
//!
//! The number is the key and the parent the number before it, so neither is stored.

use bytes::Bytes;
use livestore_backend_log::{Recall, Tag};
use livestore_traits::{Args, BoxError, CommitRef, GlobalSeq, SyncedEvent, UnixMillis};

const VERSION: u8 = 1;
const UNIT_END: u8 = 1;
const HAS_COMMIT: u8 = 2;

/// Appends the record of `event` to `out`.
pub(crate) fn encode(event: &SyncedEvent, tag: Tag, out: &mut Vec<u8>) {
    let unit_end = if event.unit_end { UNIT_END } else { 0 };
    let has_commit = if event.commit.is_some() { HAS_COMMIT } else { 0 };
    out.extend([VERSION, unit_end | has_commit]);
    out.extend(tag.0);
    put_varint(event.created_at.unwrap_or_default().0, out);
    if let Some(commit) = event.commit {
        put_varint(commit.n, out);
        put_varint(u64::from(commit.index), out);
    }
    for text in [event.name.as_str(), event.client_id.as_str(), event.session_id.as_str()] {
        put_varint(text.len() as u64, out);
        out.extend(text.as_bytes());
    }
    out.extend(event.args.as_bytes());
}

/// Reads the record of the event at `seq`.
pub(crate) fn decode(
    seq: GlobalSeq,
    record: &[u8],
    recall: &mut Recall,
) -> Result<(SyncedEvent, Tag), BoxError> {
    let mut record = Record(record);
    let [version, flags] = record.array()?;
    if version != VERSION || flags & !(UNIT_END | HAS_COMMIT) != 0 {
        return Err(format!("the record of {seq} has version {version} and flags {flags}").into());
    }
    let tag = Tag(record.array()?);
    let created_at = UnixMillis(record.varint()?);
    let commit = if flags & HAS_COMMIT != 0 {
        Some(CommitRef { n: record.varint()?, index: record.varint()?.try_into()? })
    } else {
        None
    };
    let event = SyncedEvent {
        seq,
        parent: GlobalSeq(seq.0.checked_sub(1).ok_or("an event has the number of the root")?),
        name: recall.name(record.text()?)?,
        client_id: recall.client_id(record.text()?)?,
        session_id: recall.session_id(record.text()?)?,
        args: Args::from_stored(Bytes::copy_from_slice(record.0))?,
        commit,
        unit_end: flags & UNIT_END != 0,
        created_at: Some(created_at),
    };
    Ok((event, tag))
}

/// Reads only the tag of a record.
pub(crate) fn decode_tag(record: &[u8]) -> Result<Tag, BoxError> {
    let mut record = Record(record);
    let [version, _flags] = record.array()?;
    if version != VERSION {
        return Err(format!("a record has version {version}").into());
    }
    record.array().map(Tag)
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What is still to be read of a record.
struct Record<'a>(&'a [u8]);

impl<'a> Record<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], BoxError> {
        let (head, rest) = self.0.split_first_chunk().ok_or("a record is cut off")?;
        self.0 = rest;
        Ok(*head)
    }

    fn varint(&mut self) -> Result<u64, BoxError> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number in a record is too large".into())
    }

    fn text(&mut self) -> Result<&'a str, BoxError> {
        let len = usize::try_from(self.varint()?)?;
        let (text, rest) = self.0.split_at_checked(len).ok_or("a record is cut off")?;
        self.0 = rest;
        Ok(std::str::from_utf8(text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(commit: Option<CommitRef>, unit_end: bool) -> SyncedEvent {
        SyncedEvent {
            seq: GlobalSeq(300),
            parent: GlobalSeq(299),
            name: "v1.A".parse().unwrap(),
            args: Args::parse(r#"{"a":"ü"}"#).unwrap(),
            client_id: "c1".parse().unwrap(),
            session_id: "s".parse().unwrap(),
            commit,
            unit_end,
            created_at: Some(UnixMillis(1_700_000_000_000)),
        }
    }

    fn encoded(event: &SyncedEvent) -> Vec<u8> {
        let mut record = Vec::new();
        encode(event, Tag(*b"tagtagta"), &mut record);
        record
    }

    /// Data that was written must stay readable: a change here needs a new version beside the old one.
    #[test]
    fn format_1_is_these_bytes() {
        let with_commit =
            b"\x01\x03tagtagta\x80\xd0\x95\xff\xbc\x31\xac\x02\x07\x04v1.A\x02c1\x01s{\"a\":\"\xc3\xbc\"}";
        assert_eq!(encoded(&event(Some(CommitRef { n: 300, index: 7 }), true)), with_commit);
        let without = b"\x01\x00tagtagta\x80\xd0\x95\xff\xbc\x31\x04v1.A\x02c1\x01s{\"a\":\"\xc3\xbc\"}";
        assert_eq!(encoded(&event(None, false)), without);
    }

    #[test]
    fn records_come_back() {
        for commit in [None, Some(CommitRef { n: u64::MAX, index: u32::MAX })] {
            for unit_end in [true, false] {
                let event = event(commit, unit_end);
                let record = encoded(&event);
                let decoded = decode(event.seq, &record, &mut Recall::default()).unwrap();
                assert_eq!(decoded, (event, Tag(*b"tagtagta")));
                assert_eq!(decode_tag(&record).unwrap(), Tag(*b"tagtagta"));
            }
        }
    }

    #[test]
    fn damaged_records_are_errors() {
        let record = encoded(&event(Some(CommitRef { n: 300, index: 7 }), true));
        let args_at = record.len() - event(None, true).args.len();
        for len in 0..args_at {
            assert!(decode(GlobalSeq(1), &record[..len], &mut Recall::default()).is_err(), "cut at {len}");
        }
        for (at, byte) in [(0, 2), (1, 0x83), (19, 0), (args_at, 0xff)] {
            let mut damaged = record.clone();
            damaged[at] = byte;
            assert!(decode(GlobalSeq(1), &damaged, &mut Recall::default()).is_err(), "{byte} at {at}");
        }
        assert!(decode(GlobalSeq::ROOT, &record, &mut Recall::default()).is_err());
        let mut overflow = record[..10].to_vec();
        overflow.extend([0xff; 12]);
        assert!(decode(GlobalSeq(1), &overflow, &mut Recall::default()).is_err());
    }
}
