//! What must hold in the end: one order, every commit that was persisted once, whole and in its place, and equal states.

use std::collections::{BTreeMap, BTreeSet};

use livestore_engine::NotConfirmed;
use livestore_traits::{Event, EventlogError, EventlogReader, Position, ReadLimit, SyncedEvent};

use crate::app::{self, Kind, Notebook};
use crate::client::Client;
use crate::faults::FaultSet;
use crate::ledger::{Account, Commit};
use crate::log::{read_all, text_of};
use crate::world::World;

/// A client's log in the end.
struct Ending {
    /// The texts of the log, each with its place.
    places: BTreeMap<String, usize>,
    /// The texts of the archives.
    archived: BTreeSet<String>,
}

impl World {
    /// Judges the run.
    pub(crate) fn judge(&self) {
        let log = self.server.log();
        self.judge_order(&log);
        for (at, client) in self.clients.iter().enumerate() {
            let ending = match read(client) {
                Ok((events, archived)) => {
                    self.judge_log(client, &events, &log);
                    let places = events.iter().enumerate().map(|(place, event)| (text_of(event), place));
                    Ending { places: places.collect(), archived: archived.iter().map(text_of).collect() }
                }
                Err(error) => return self.record.violate(format_args!("{}: {error}", client.name)),
            };
            for account in self.accounts.iter().filter(|account| account.client == at) {
                self.judge_account(client, account, &ending, &log);
            }
        }
    }

    /// The backend's log is one chain, in which nothing is twice.
    fn judge_order(&self, log: &[SyncedEvent]) {
        let mut texts = BTreeSet::new();
        for (at, event) in log.iter().enumerate() {
            let is_next = event.seq.0 == at as u64 + 1 && event.parent.0 == at as u64;
            self.record.check(is_next, || format!("the backend has {} at {}", event.seq, at + 1));
            let is_new = texts.insert(event.args.as_str().to_owned());
            self.record.check(is_new, || format!("the backend has {} twice", event.args.as_str()));
            let kind = Kind::of(event.name.as_str());
            self.record.check(!matches!(kind, Some(Kind::Draft | Kind::Banned) | None), || {
                format!("the backend has a {}", event.name)
            });
        }
    }

    /// A client's log has the backend's events in its order, and its state is what a fresh replay makes of them.
    fn judge_log(&self, client: &Client, events: &[Event], log: &[SyncedEvent]) {
        let name = &client.name;
        let mut texts = BTreeSet::new();
        for event in events {
            let is_new = texts.insert(text_of(event));
            self.record.check(is_new, || format!("{name}: the log has {} twice", event.args.as_str()));
        }
        let synced: Vec<_> = events.iter().filter(|event| event.num.is_synced()).collect();
        let same = synced.len() == log.len()
            && synced.iter().zip(log).all(|(ours, theirs)| {
                (ours.num.global, &ours.name, &ours.args, &ours.client_id, &ours.session_id)
                    == (theirs.seq, &theirs.name, &theirs.args, &theirs.client_id, &theirs.session_id)
            });
        self.record.check(same, || format!("{name}: the log has not what the backend has"));
        let mut replay = Notebook::default();
        for event in log {
            let kind = Kind::of(event.name.as_str());
            if let Some(kind) = kind.filter(|kind| client.knows_extra || *kind != Kind::Extra) {
                let text = event.args.to_value::<app::Put>().map(|event| event.text);
                // A failing event leaves no trace.
                let _ = replay.apply(kind, &text.unwrap_or_default());
            }
        }
        let shown = client.model.lock().state();
        self.record.check((shown.shared, shown.count) == (replay.shared, replay.count), || {
            format!("{name} shows {shown:?}, a replay of the backend's log {replay:?}")
        });
        let expected = client.model.lock().state();
        for (session, _) in client.processes.iter().flat_map(|process| &process.sessions) {
            let shown = app::read(session);
            self.record.check(shown.as_ref() == Some(&expected), || {
                format!("{name}.{} shows {shown:?}, not {expected:?}", session.id())
            });
        }
    }

    /// What a session was told is true, and what it committed is there as it was committed.
    fn judge_account(&self, client: &Client, account: &Account, ending: &Ending, log: &[SyncedEvent]) {
        let mut last = None;
        for commit in &account.commits {
            let rule = |holds: bool, what: &str| {
                self.record
                    .check(holds, || format!("{}.{}: {what}: {commit:?}", client.name, account.session_id));
            };
            let places: Vec<_> = commit.unit.iter().map(|(_, text)| ending.places.get(text)).collect();
            let is_archived = |text: &String| ending.archived.contains(text);
            // A reset archives what was confirmed and keeps client-only events; another client may bring the former back.
            let was_reset = !ending.archived.is_empty();
            let is_there = places.iter().all(Option::is_some);
            rule(is_there || was_reset || places.iter().all(Option::is_none), "a unit was torn");
            let is_whole = places.windows(2).all(|pair| pair[1].copied() == pair[0].map(|place| place + 1));
            rule(!is_there || was_reset || is_whole, "a unit is not in one piece");
            if let Some(place) = places.iter().flatten().next() {
                rule(was_reset || last < Some(**place), "the commits of a session are out of order");
                last = Some(**place);
            }
            let is_somewhere = commit
                .unit
                .iter()
                .zip(&places)
                .all(|((_, text), place)| place.is_some() || is_archived(text));
            let was_promised = commit.persisted || account.ended_in_order || commit.confirmed;
            let was_refused =
                commit.has(Kind::Banned) || matches!(commit.gone, Some(NotConfirmed::Rejected(_)));
            rule(!was_promised || is_somewhere || was_refused, "a commit that was persisted is nowhere");
            self.judge_receipt(commit, is_there, is_somewhere, log, &rule);
        }
    }

    fn judge_receipt(
        &self,
        commit: &Commit,
        is_there: bool,
        is_somewhere: bool,
        log: &[SyncedEvent],
        rule: &dyn Fn(bool, &str),
    ) {
        if commit.confirmed && !self.was_replaced {
            rule(is_there, "a commit that was confirmed is gone");
            let shared = commit.unit.iter().filter(|(kind, _)| *kind != Kind::Draft);
            for (_, text) in shared {
                let text = format!("\"{text}\"");
                let found = log.iter().any(|event| event.args.as_str().contains(&text));
                rule(found, "the backend has not what it has confirmed");
            }
        }
        let may_go =
            self.plan.faults != FaultSet::NONE || matches!(commit.gone, None | Some(NotConfirmed::Closed));
        rule(may_go, "a commit is gone without a fault");
        match &commit.gone {
            Some(NotConfirmed::Rejected(_)) => {
                rule(commit.has(Kind::Banned), "a commit was refused that nobody refuses");
                rule(!is_there, "a commit that was refused is there");
            }
            Some(NotConfirmed::Archived) => rule(is_somewhere, "a commit was archived, and is nowhere"),
            Some(NotConfirmed::Lost) => rule(false, "a log that nobody lost has lost a commit"),
            _ => {}
        }
    }
}

/// The events of a client's log and of its archives.
fn read(client: &Client) -> Result<(Vec<Event>, Vec<Event>), EventlogError> {
    let log = client.storage.open_log()?;
    let mut archived = Vec::new();
    for archive in log.archives()? {
        let mut after = Position::ROOT;
        loop {
            let page = log.read_archive(archive.id, after, ReadLimit::events(1000))?;
            let Some(last) = page.last() else { break };
            after = last.num.position();
            archived.extend(page);
        }
    }
    Ok((read_all(&*log)?, archived))
}
