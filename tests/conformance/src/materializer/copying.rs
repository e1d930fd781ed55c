//! Cases: snapshots and forks.

use std::io::{self, Read};

use livestore_traits::{MaterializeError, Materializer, Snapshot};

use super::MaterializerFixture;
use super::build::*;
use super::kv::Change::{Add, Del, Fail, Later, Set};

/// A fork begins empty, with the same definitions, and goes its own way.
///
/// Verifies: neither sees what the other applies.
pub async fn a_fork_is_empty_and_independent<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1)), ("e2", Fail("a"))]);
    let mut fork = materializer.fork().expect("there is room for a fork");
    assert_eq!((head(&fork), fixture.dump(&*fork)), ("e0".to_owned(), map([])));
    apply(&mut fork, [("e1", Set("b", 1))]);
    let mut second = fork.fork().expect("a fork forks");
    apply(&mut second, [("e1", Set("c", 1))]);
    assert_eq!(fixture.dump(&materializer), map([("a", 1)]));
    assert_eq!(fixture.dump(&*fork), map([("b", 1)]));
    assert_eq!(fixture.dump(&*second), map([("c", 1)]));
    drop(materializer);
    apply(&mut fork, [("e2", Add("b", 1))]);
    assert_eq!(fixture.dump(&*fork), map([("b", 2)]));
}

/// A fork that restores a snapshot is where the original was.
///
/// Verifies: content, head and quarantine; the head is also told beside the bytes.
pub async fn a_snapshot_carries_everything<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    for _ in 0..2 {
        let snapshot = materializer.snapshot().expect("a snapshot is made");
        assert_eq!(snapshot.head, materializer.head().expect("the head can be read"));
        let mut fork = materializer.fork().expect("there is room for a fork");
        fork.restore(snapshot).expect("the snapshot is whole");
        assert_same(fixture, &*fork, &materializer);
        if head(&materializer) == "e0" {
            apply(&mut materializer, [("e1", Set("a", 1)), ("e2r1", Fail("a")), ("e2.1r1", Set("b", 2))]);
        }
    }
}

/// Undo data travels with a snapshot.
///
/// Verifies: a restored state rolls back what the original applied, and what it applied itself, and not what is settled.
pub async fn undo_goes_on_after_restore<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1)), ("e2", Set("a", 2)), ("e3", Del("a")), ("e4", Fail("a"))]);
    settle(&mut materializer, "e1");
    let mut fork = materializer.fork().expect("there is room for a fork");
    // Notes of the fork's own must not get in the way of those it is given.
    apply(&mut fork, [("e1", Set("x", 1)), ("e2", Set("x", 2))]);
    fork.restore(materializer.snapshot().expect("a snapshot is made")).expect("the snapshot is whole");
    for state in [&mut fork as &mut dyn Materializer, &mut materializer] {
        apply(state, [("e5", Add("a", 5)), ("e6", Set("b", 6))]);
        rebase(state, "e5", []);
        assert_eq!(fixture.dump(state), map([("a", 5)]));
        rebase(state, "e2", [("e3r1", Add("a", 1))]);
        assert_eq!(fixture.dump(state), map([("a", 3)]));
        assert_eq!(quarantined(state), [""; 0]);
        let to_settled = Step { rollback_to: Some("e0"), ..Step::default() };
        assert!(matches!(to_settled.run(state, []), Err(MaterializeError::NoUndo { .. })));
        rebase(state, "e1", []);
        assert_eq!(fixture.dump(state), map([("a", 1)]));
    }
}

/// A snapshot shows the moment at which it was made, however late it is read.
///
/// Verifies: what is applied or reset afterwards is not in it.
pub async fn a_snapshot_shows_one_moment<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1))]);
    let snapshot = materializer.snapshot().expect("a snapshot is made");
    apply(&mut materializer, [("e2", Set("a", 2))]);
    materializer.reset().expect("a state can be reset");
    materializer.restore(snapshot).expect("the snapshot is whole");
    assert_eq!((head(&materializer), fixture.dump(&materializer)), ("e1".to_owned(), map([("a", 1)])));
}

/// Restoring replaces the whole state.
///
/// Verifies: nothing of the old one is left, and the new one is there for the next one who opens it.
pub async fn restore_replaces_what_was_there<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut source) = create(fixture);
    apply(&mut source, [("e1", Set("a", 1)), ("e2", Set("b", 2))]);
    let (storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("x", 1)), ("e2", Fail("y")), ("e3", Set("z", 3))]);
    materializer.restore(source.snapshot().expect("a snapshot is made")).expect("the snapshot is whole");
    assert_same(fixture, &materializer, &source);
    if F::REOPENS {
        drop(materializer);
        materializer = fixture.open(&storage).expect("a state that was dropped can be opened");
        assert_same(fixture, &materializer, &source);
    }
    apply(&mut materializer, [("e3", Add("a", 1))]);
    rebase(&mut materializer, "e0", []);
    assert_eq!(fixture.dump(&materializer), map([]));
}

/// Bytes that are not a whole snapshot are refused.
///
/// Verifies: `Corrupt` for truncation anywhere, changed bytes, garbage and a stream that breaks; the old state stays.
pub async fn a_damaged_snapshot_is_refused<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut source) = create(fixture);
    apply(&mut source, [("e1", Set("a", 1)), ("e2", Set("b", 2))]);
    let (bytes, source_head) = bytes_of(&source);
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("kept", 1)), ("e2", Add("kept", 1))]);

    let half = bytes.len() / 2;
    let mut damaged: Vec<Vec<u8>> =
        [0, 1, 7, 20, half, bytes.len() - 1].map(|len| bytes[..len].to_vec()).into();
    for at in [0, half, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 0x55;
        damaged.push(changed);
    }
    damaged.push(vec![0xa5; bytes.len()]);
    for bytes in damaged {
        let what = format!("{} bytes that begin with {:?}", bytes.len(), bytes.get(..8));
        let snapshot =
            Snapshot { head: source_head, len: bytes.len() as u64, bytes: Box::new(io::Cursor::new(bytes)) };
        assert_corrupt(fixture, &mut materializer, snapshot, &what);
    }
    let broken = io::Cursor::new(bytes[..half].to_vec()).chain(Broken);
    let snapshot = Snapshot { head: source_head, len: bytes.len() as u64, bytes: Box::new(broken) };
    assert_corrupt(fixture, &mut materializer, snapshot, "a stream that breaks");

    let whole =
        Snapshot { head: source_head, len: bytes.len() as u64, bytes: Box::new(io::Cursor::new(bytes)) };
    rebase(&mut materializer, "e1", []);
    assert_eq!(fixture.dump(&materializer), map([("kept", 1)]));
    materializer.restore(whole).expect("the snapshot is whole");
    assert_same(fixture, &materializer, &source);
}

/// A state made by other definitions is of no use.
///
/// Verifies: `Corrupt`; the old state stays.
pub async fn a_snapshot_of_other_definitions_is_refused<F: MaterializerFixture>(fixture: &F) {
    let storage = fixture.storage();
    let mut later = fixture.open_later(&storage).expect("an empty place can be opened");
    apply(&mut later, [("e1", Later("a", 1))]);
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("kept", 1)), ("e2", Add("kept", 1))]);
    let snapshot = later.snapshot().expect("a snapshot is made");
    assert_corrupt(fixture, &mut materializer, snapshot, "a snapshot of a later version");
}

fn assert_same<F: MaterializerFixture>(fixture: &F, a: &dyn Materializer, b: &dyn Materializer) {
    assert_eq!((head(a), fixture.dump(a)), (head(b), fixture.dump(b)));
    assert_eq!(a.quarantined().expect("it can be read"), b.quarantined().expect("it can be read"));
}

fn assert_corrupt<F: MaterializerFixture>(
    fixture: &F,
    materializer: &mut F::Materializer,
    snapshot: Snapshot,
    what: &str,
) {
    match materializer.restore(snapshot) {
        Err(MaterializeError::Corrupt(_)) => {}
        other => panic!("{what} was answered with {other:?}"),
    }
    assert_eq!(
        (head(materializer), fixture.dump(materializer)),
        ("e2".to_owned(), map([("kept", 2)])),
        "{what}"
    );
}

fn bytes_of(materializer: &impl Materializer) -> (Vec<u8>, livestore_traits::SeqNum) {
    let mut snapshot = materializer.snapshot().expect("a snapshot is made");
    let mut bytes = Vec::new();
    snapshot.bytes.read_to_end(&mut bytes).expect("the stream can be read");
    assert_eq!(bytes.len() as u64, snapshot.len, "the announced length is wrong");
    (bytes, snapshot.head)
}

/// A stream whose source went away.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}
