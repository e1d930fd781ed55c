//! What must hold once faults have ended: one order, every commit once, and nobody was told anything untrue.

use std::collections::BTreeMap;

use futures::StreamExt;
use livestore_engine::{NotConfirmed, Store};
use livestore_integration::{Draft, Line, Notebook, read};
use livestore_traits::{
    Cursor, Event, EventlogReader, Position, Pull, PullMode, ReadLimit, SessionId, SyncBackend, SyncedEvent,
};

use crate::ledger::{Account, Commit, End};
use crate::world::World;

/// Which commit of which session.
type Identity = (SessionId, u64);

/// Checks everything, and that it still holds after a restart.
pub(crate) async fn check(world: &mut World) {
    let backend = in_backend(world).await;
    let mut notebooks = Vec::new();
    for (at, member) in world.members.iter().enumerate() {
        let log = in_log(&member.client.storage.open());
        check_order(&log, &backend);
        let commits = commits_of(&log);
        let accounts: Vec<&Account> = world.accounts.iter().filter(|account| account.client == at).collect();
        check_commits(&commits, &accounts);
        accounts.iter().for_each(|account| check_receipts(account, &commits));
        let notebook = play(&log);
        for open in &member.stores {
            for (session, _) in &open.sessions {
                assert_eq!(read(session), notebook, "{} shows what the log has", session.id());
            }
        }
        notebooks.push(notebook);
    }
    assert!(notebooks.windows(2).all(|pair| pair[0].lines == pair[1].lines), "all clients show one order");
    let reopened: Vec<Store> = world.reopen().await;
    for (store, notebook) in reopened.iter().zip(&notebooks) {
        assert_eq!(&read(store), notebook, "a restart changes nothing");
    }
}

async fn in_backend(world: &World) -> Vec<SyncedEvent> {
    let mut pages = world.backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    let mut events = Vec::new();
    while let Some(page) = pages.next().await {
        events.extend(page.unwrap().events.iter().cloned());
    }
    events
}

fn in_log(log: &impl EventlogReader) -> Vec<Event> {
    let (mut events, mut after) = (Vec::new(), Position::ROOT);
    loop {
        let page = log.read(after, ReadLimit::events(1000)).unwrap();
        let Some(last) = page.last() else { return events };
        after = last.num.position();
        events.extend(page);
    }
}

/// The synced events of a log are those of the backend, and client-only ones are nowhere but in the log.
fn check_order(log: &[Event], backend: &[SyncedEvent]) {
    let synced: Vec<&Event> = log.iter().filter(|event| event.num.is_synced()).collect();
    assert_eq!(synced.len(), backend.len(), "the log has what the backend has");
    for (ours, theirs) in synced.iter().zip(backend) {
        let ours_is =
            (ours.num.global, &ours.name, &ours.args, &ours.client_id, &ours.session_id, ours.commit);
        let theirs_is =
            (theirs.seq, &theirs.name, &theirs.args, &theirs.client_id, &theirs.session_id, theirs.commit);
        assert_eq!(ours_is, theirs_is, "the log has what the backend has");
    }
    assert!(backend.iter().all(|event| event.name.as_str() == "v1.Line"), "drafts stay at home");
    assert!(log.iter().all(|event| event.is_own || event.num.is_synced()), "drafts stay at home");
}

/// The client's own commits, in the log's order. Each is there once, whole and in one piece.
fn commits_of(log: &[Event]) -> BTreeMap<Identity, Vec<Event>> {
    let mut commits: BTreeMap<Identity, Vec<Event>> = BTreeMap::new();
    let mut last_of: BTreeMap<SessionId, u64> = BTreeMap::new();
    for unit in log.split_inclusive(|event| event.unit_end) {
        if !unit[0].is_own {
            continue;
        }
        let n = unit[0].commit.unwrap().n;
        for (index, event) in (0..).zip(unit) {
            let commit = event.commit.unwrap();
            assert_eq!(
                (&event.session_id, commit.n, commit.index),
                (&unit[0].session_id, n, index),
                "{unit:?}"
            );
        }
        let last = last_of.entry(unit[0].session_id.clone()).or_default();
        assert_eq!(n, *last + 1, "the commits of {} are in order", unit[0].session_id);
        *last = n;
        commits.insert((unit[0].session_id.clone(), n), unit.to_vec());
    }
    commits
}

/// Every commit in the log was made by a session, just so.
fn check_commits(commits: &BTreeMap<Identity, Vec<Event>>, accounts: &[&Account]) {
    let is_end = |unit: &[Event]| unit.len() == 1 && unit[0].args.as_str().contains("the end");
    for ((session_id, n), unit) in commits {
        let mut of_session = accounts.iter().filter(|account| account.session_id == *session_id);
        let known = of_session.any(|account| account.commits.iter().any(|made| is_commit(made, *n, unit)));
        assert!(known || is_end(unit), "nobody made commit {n} of {session_id}: {unit:?}");
    }
}

fn is_commit(made: &Commit, n: u64, unit: &[Event]) -> bool {
    let same = |(made, event): (&livestore_traits::NewEvent, &Event)| {
        (&made.name, &made.args, made.kind) == (&event.name, &event.args, event.kind())
    };
    made.receipt.n == n && made.unit.len() == unit.len() && made.unit.iter().zip(unit).all(same)
}

/// What the application was told is true, and it was told all that can be known.
fn check_receipts(account: &Account, commits: &BTreeMap<Identity, Vec<Event>>) {
    for made in &account.commits {
        let n = made.receipt.n;
        let found = commits.get(&(account.session_id.clone(), n)).filter(|unit| is_commit(made, n, unit));
        let (persisted, confirmed) = (made.persisted(), made.confirmed());
        let context = || {
            format!(
                "commit {n} of {} ({:?}) of client {}: {persisted:?}, {confirmed:?}, {found:?}",
                account.session_id, account.end, account.client
            )
        };
        match &persisted {
            Some(Ok(())) => assert!(found.is_some(), "told persisted, but is not there: {}", context()),
            Some(Err(NotConfirmed::Closed)) => {
                assert_eq!(account.end, End::AtOnce, "told closed: {}", context());
                assert!(!made.seen_persisted, "told persisted, then not: {}", context());
            }
            other => panic!("{other:?}: {}", context()),
        }
        match &confirmed {
            Some(Ok(num)) => {
                let last = found.and_then(|unit| unit.last()).map(|event| event.num);
                assert!(last.is_some_and(|last| last.position() <= num.position()), "{}", context());
            }
            Some(Err(NotConfirmed::Closed)) => assert_ne!(account.end, End::None, "{}", context()),
            other => panic!("{other:?}: {}", context()),
        }
    }
}

/// The notebook that a log makes.
fn play(log: &[Event]) -> Notebook {
    let mut notebook = Notebook::default();
    for event in log {
        if event.num.is_synced() {
            let Line { text } = event.args.to_value().unwrap();
            notebook.lines.push(text);
        } else {
            let Draft { text } = event.args.to_value().unwrap();
            notebook.drafts.push((notebook.lines.len(), text));
        }
    }
    notebook
}
