//! What processes of `todo` said is saved, and the comparison with the server's log.

use std::collections::{BTreeMap, HashMap};

use livestore_traits::{GlobalSeq, SyncedEvent};
use serde_json::Value;

/// What a process printed: that this is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// An item with this text was added.
    Added(String),
    /// An item got this text.
    Edited(String),
    /// The item that was added with this text is done.
    Done(String),
}

/// The promises of all processes on one data dir. Every text is used once, so that it names a commit.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// How its texts begin.
    name: String,
    texts: u64,
    /// Ids as they were shown, with the texts that the items were added with.
    items: Vec<(String, String)>,
    tried_done: HashMap<String, u64>,
    said: Vec<Said>,
    confirmed: BTreeMap<GlobalSeq, Said>,
}

impl Promises {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// A text that was never used.
    pub fn new_text(&mut self) -> String {
        self.texts += 1;
        format!("{} {}", self.name, self.texts)
    }

    /// A text that was never used, of about so many bytes.
    pub fn new_long_text(&mut self, bytes: usize) -> String {
        format!("{} {}", self.new_text(), "=".repeat(bytes))
    }

    /// An item that was added here, by its shown id and the text it was added with.
    #[must_use]
    pub fn any_item(&self) -> Option<(String, String)> {
        fastrand::choice(&self.items).cloned()
    }

    /// Somebody tries to mark the item done.
    pub fn try_done(&mut self, added_as: &str) {
        *self.tried_done.entry(added_as.to_owned()).or_default() += 1;
    }

    /// Something is saved.
    pub fn said(&mut self, said: Said, shown_id: &str) {
        if let Said::Added(text) = &said {
            self.items.push((shown_id.to_owned(), text.clone()));
        }
        self.said.push(said);
    }

    /// It is confirmed under this number.
    pub fn confirmed(&mut self, seq: GlobalSeq, said: Said) {
        self.confirmed.insert(seq, said);
    }

    /// How many commits were promised, and how many of them were confirmed at once.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.said.len(), self.confirmed.len())
    }

    /// Compares with the server's events, in order; a sentence for each promise that was not kept.
    #[must_use]
    pub fn check(&self, log: &[SyncedEvent]) -> Vec<String> {
        let found = Found::in_log(log);
        let times = |said: &Said| match said {
            Said::Added(text) => found.added.get(text),
            Said::Edited(text) => found.edited.get(text),
            Said::Done(text) => found.done.get(text),
        };
        let mut violations = Vec::new();
        // Marking twice is two commits; everything else was tried once.
        let mut expected_done: HashMap<&str, u64> = HashMap::new();
        for said in &self.said {
            let count = times(said).copied().unwrap_or_default();
            match said {
                Said::Done(text) => *expected_done.entry(text).or_default() += 1,
                _ if count == 0 => violations.push(format!("{said:?} was saved, and is lost")),
                _ => {}
            }
        }
        for (text, expected) in expected_done {
            let count = found.done.get(text).copied().unwrap_or_default();
            if count < expected {
                violations.push(format!("{text:?} was marked {expected} times, and {count} are there"));
            }
        }
        violations.extend(self.repeats(&found));
        for (seq, said) in &self.confirmed {
            if found.at.get(seq) != Some(said) {
                let instead = found.at.get(seq);
                violations.push(format!("{said:?} was confirmed as {seq}, where {instead:?} is"));
            }
        }
        violations
    }

    /// What is there more often than it was tried.
    fn repeats(&self, found: &Found) -> Vec<String> {
        let beginning = format!("{} ", self.name);
        let mine = |text: &&String| text.starts_with(&beginning);
        let mut violations = Vec::new();
        for (what, texts) in [("added", &found.added), ("edited", &found.edited)] {
            for (text, count) in texts.iter().filter(|(text, _)| mine(text)) {
                let number = text[beginning.len()..].split(' ').next().and_then(|number| number.parse().ok());
                if *count > 1 {
                    violations.push(format!("{text:?} was {what} {count} times"));
                }
                if number.is_none_or(|number: u64| number > self.texts) {
                    violations.push(format!("{text:?} was {what} by nobody"));
                }
            }
        }
        for (text, count) in found.done.iter().filter(|(text, _)| mine(text)) {
            let tried = self.tried_done.get(text).copied().unwrap_or_default();
            if *count > tried {
                violations.push(format!("{text:?} was marked {count} times, but {tried} tried"));
            }
        }
        violations
    }
}

/// How often things happened in a log, and what is where.
#[derive(Debug, Default)]
struct Found {
    added: HashMap<String, u64>,
    edited: HashMap<String, u64>,
    /// By the text that the item was added with.
    done: HashMap<String, u64>,
    at: HashMap<GlobalSeq, Said>,
}

impl Found {
    fn in_log(log: &[SyncedEvent]) -> Self {
        let mut found = Self::default();
        let mut text_of = HashMap::new();
        for event in log {
            let args: Value = serde_json::from_str(event.args.as_str()).unwrap_or_default();
            let arg = |key: &str| args[key].as_str().unwrap_or_default().to_owned();
            let (said, counts) = match event.name.as_str() {
                "v1.TodoAdded" => {
                    text_of.insert(arg("id"), arg("text"));
                    (Said::Added(arg("text")), &mut found.added)
                }
                "v1.TodoTextEdited" => (Said::Edited(arg("text")), &mut found.edited),
                "v1.TodoDone" => {
                    (Said::Done(text_of.get(&arg("id")).cloned().unwrap_or_default()), &mut found.done)
                }
                _ => continue,
            };
            let (Said::Added(text) | Said::Edited(text) | Said::Done(text)) = &said;
            *counts.entry(text.clone()).or_default() += 1;
            found.at.insert(event.seq, said);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use livestore_traits::{Args, ClientId, EventName, SessionId};
    use serde_json::json;

    use super::*;

    fn event(seq: u64, name: &str, args: &Value) -> SyncedEvent {
        SyncedEvent {
            seq: GlobalSeq(seq),
            parent: GlobalSeq(seq - 1),
            name: EventName::new(name).unwrap(),
            args: Args::from_value(args).unwrap(),
            client_id: ClientId::new("a").unwrap(),
            session_id: SessionId::new("a").unwrap(),
            commit: None,
            unit_end: true,
            created_at: None,
        }
    }

    fn promises() -> Promises {
        let mut promises = Promises::new("a");
        let (first, second) = (promises.new_text(), promises.new_text());
        promises.said(Said::Added(first.clone()), "abc");
        promises.confirmed(GlobalSeq(1), Said::Added(first.clone()));
        promises.said(Said::Edited(second), "abc");
        promises.try_done(&first);
        promises.said(Said::Done(first), "abc");
        promises
    }

    #[test]
    fn kept_promises_pass_and_broken_ones_are_found() {
        let added = |seq| event(seq, "v1.TodoAdded", &json!({"id": "abcd", "text": "a 1"}));
        let edited = |seq| event(seq, "v1.TodoTextEdited", &json!({"id": "abcd", "text": "a 2"}));
        let done = |seq| event(seq, "v1.TodoDone", &json!({"id": "abcd"}));
        let strange = event(4, "v1.TodoAdded", &json!({"id": "x", "text": "a 9"}));
        assert_eq!(promises().check(&[added(1), edited(2), done(3)]), [""; 0]);
        let broken = [
            vec![added(1), edited(2)],
            vec![added(1), done(2)],
            vec![added(1), edited(2), done(3), done(4)],
            vec![added(1), edited(2), done(3), edited(4)],
            vec![added(1), edited(2), done(3), strange],
            vec![edited(1), added(2), done(3)],
        ];
        for log in broken {
            assert!(!promises().check(&log).is_empty(), "nothing was found in {log:?}");
        }
    }
}
