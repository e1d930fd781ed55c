//! The events that are pushed, made so that each one read back tells which one it has to be.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use livestore_traits::{Args, ClientId, EventName, GlobalSeq, SessionId, SyncedEvent};

use crate::error::CommandError;

const NAME: &str = "v1.BenchNoted";
const SESSION: &str = "bench";
const LETTERS: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";

/// Makes the events of one client. The n-th one is always the same, whatever number it gets in the log.
#[derive(Clone, Debug)]
pub(super) struct Author {
    client: usize,
    id: ClientId,
    name: EventName,
    session: SessionId,
    /// The alphabet again and again; each event's text is a stretch of it.
    letters: Arc<str>,
    text_bytes: usize,
}

/// Consecutive events of one client, at a place in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    pub(super) author: &'a Author,
    /// The first one, counted from 0 in all that its author makes.
    pub(super) first: u64,
    pub(super) count: u64,
    /// The event in the log that they follow.
    pub(super) parent: u64,
}

/// An event as it was read back.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) seq: u64,
    pub(super) parent: u64,
    pub(super) name: &'a str,
    pub(super) args: &'a str,
    pub(super) client_id: &'a str,
    pub(super) session_id: &'a str,
}

impl Author {
    /// The `client`-th client, whose events carry a text of `text_bytes`.
    pub(super) fn new(client: usize, text_bytes: usize) -> Self {
        let letters = LETTERS.iter().cycle().take(text_bytes + LETTERS.len());
        let letters: String = letters.map(|letter| char::from(*letter)).collect();
        Self {
            client,
            id: ClientId::new(client_id(client)).expect("letters and digits are a client id"),
            name: EventName::new(NAME).expect("the name is valid"),
            session: SessionId::new(SESSION).expect("the id is valid"),
            letters: letters.into(),
            text_bytes,
        }
    }

    pub(super) fn batch(&self, first: u64, count: u64, parent: u64) -> Batch<'_> {
        Batch { author: self, first, count, parent }
    }

    fn write_args(&self, out: &mut String, n: u64) {
        let from = usize::try_from(n % LETTERS.len() as u64).expect("a small remainder");
        let text = &self.letters[from..from + self.text_bytes];
        let _ = write!(out, r#"{{"id":"{}-{n}","text":"{text}"}}"#, self.client);
    }

    fn args(&self, n: u64) -> Args {
        let mut text = String::with_capacity(self.text_bytes + 48);
        self.write_args(&mut text, n);
        Args::from_stored(Bytes::from(text)).expect("text is UTF-8")
    }

    /// Checks that `seen` is the `n`-th event of this author.
    pub(super) fn check(&self, n: u64, seen: &Seen<'_>) -> Result<(), CommandError> {
        let same_ids = seen.name == NAME && seen.client_id == self.id.as_str() && seen.session_id == SESSION;
        if same_ids && seen.parent + 1 == seen.seq {
            let args = self.args(n);
            let same_args = args.as_str() == seen.args
                || Args::parse(seen.args.to_owned()).is_ok_and(|seen| args.js_eq(&seen));
            if same_args {
                return Ok(());
            }
        }
        Err(CommandError::new(format!(
            "event {} read back is not event {n} of client {} that was pushed there",
            seen.seq, self.client
        )))
    }
}

impl Batch<'_> {
    /// The number of the last event.
    pub(super) const fn last(&self) -> u64 {
        self.parent + self.count
    }

    pub(super) fn events(&self) -> Vec<SyncedEvent> {
        let author = self.author;
        let event = |offset| SyncedEvent {
            seq: GlobalSeq(self.parent + offset + 1),
            parent: GlobalSeq(self.parent + offset),
            name: author.name.clone(),
            args: author.args(self.first + offset),
            client_id: author.id.clone(),
            session_id: author.session.clone(),
            commit: None,
            unit_end: true,
            created_at: None,
        };
        (0..self.count).map(event).collect()
    }

    /// The events as LiveStore's clients write them, in an array.
    pub(super) fn write_json(&self, out: &mut String) {
        let author = self.author;
        out.push('[');
        for offset in 0..self.count {
            if offset > 0 {
                out.push(',');
            }
            let _ = write!(out, r#"{{"name":"{NAME}","args":"#);
            author.write_args(out, self.first + offset);
            let _ = write!(
                out,
                r#","seqNum":{},"parentSeqNum":{},"clientId":"{}","sessionId":"{SESSION}"}}"#,
                self.parent + offset + 1,
                self.parent + offset,
                author.id,
            );
        }
        out.push(']');
    }
}

/// Which event of which client the args belong to.
pub(super) fn identify(seen: &Seen<'_>) -> Option<(usize, u64)> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: String,
    }
    let named: Named = serde_json::from_str(seen.args).ok()?;
    let (client, n) = named.id.split_once('-')?;
    Some((client.parse().ok()?, n.parse().ok()?))
}

fn client_id(client: usize) -> String {
    format!("bench{client}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(event: &SyncedEvent) -> Seen<'_> {
        Seen {
            seq: event.seq.0,
            parent: event.parent.0,
            name: event.name.as_str(),
            args: event.args.as_str(),
            client_id: event.client_id.as_str(),
            session_id: event.session_id.as_str(),
        }
    }

    #[test]
    fn an_event_is_recognised_and_no_other_passes_for_it() {
        let author = Author::new(3, 40);
        let events = author.batch(7, 2, 20).events();
        assert_eq!(identify(&seen(&events[1])), Some((3, 8)));
        assert!(author.check(7, &seen(&events[0])).is_ok());
        assert!(author.check(8, &seen(&events[0])).is_err());
        assert!(Author::new(4, 40).check(7, &seen(&events[0])).is_err());
        let spaced = events[0].args.as_str().replace(':', " : ");
        assert!(author.check(7, &Seen { args: &spaced, ..seen(&events[0]) }).is_ok());
        let cut = events[0].args.as_str().replace("ghi", "gh");
        assert!(author.check(7, &Seen { args: &cut, ..seen(&events[0]) }).is_err());
        assert!(author.check(7, &Seen { parent: 3, ..seen(&events[0]) }).is_err());
    }

    #[test]
    fn both_forms_of_a_batch_say_the_same() {
        let author = Author::new(0, 10);
        let batch = author.batch(5, 3, 12);
        let mut text = String::new();
        batch.write_json(&mut text);
        let json: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let events = batch.events();
        assert_eq!(json.len(), events.len());
        for (json, event) in json.iter().zip(&events) {
            assert_eq!(json["seqNum"], event.seq.0);
            assert_eq!(json["parentSeqNum"], event.parent.0);
            assert_eq!(json["clientId"], event.client_id.as_str());
            assert_eq!(json["sessionId"], event.session_id.as_str());
            assert_eq!(json["name"], event.name.as_str());
            assert_eq!(json["args"], event.args.to_value::<serde_json::Value>().unwrap());
        }
        assert_eq!(batch.last(), events[2].seq.0);
    }
}
