//! Cases: events go in, the head follows.

use livestore_traits::{MaterializeError, Materializer, OnFailure};

use super::MaterializerFixture;
use super::build::*;
use super::kv::Change::{Add, Copy, Del, Fail, Later, Set};

/// A state begins empty.
///
/// Verifies: head, content and quarantine before the first batch.
pub async fn a_new_state_is_at_the_root<F: MaterializerFixture>(fixture: &F) {
    let (_storage, materializer) = create(fixture);
    assert_eq!(head(&materializer), "e0");
    assert_eq!(fixture.dump(&materializer), map([]));
    assert_eq!(quarantined(&materializer), [""; 0]);
}

/// After `apply` the state shows the events and the head names the last one, generation included.
///
/// Verifies: the new head is stored with the state.
pub async fn applied_events_show_at_once<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1)), ("e2", Set("b", 2))]);
    assert_eq!(head(&materializer), "e2");
    apply(&mut materializer, [("e3r4", Del("a"))]);
    assert_eq!(head(&materializer), "e3r4");
    assert_eq!(fixture.dump(&materializer), map([("b", 2)]));
}

/// A materializer may read what earlier events, also of its own batch, wrote.
///
/// Verifies: events are applied in order, each on the state the one before left.
pub async fn events_see_what_earlier_ones_did<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1)), ("e2", Copy("a", "b")), ("e3", Add("b", 5))]);
    apply(&mut materializer, [("e4", Copy("b", "c")), ("e5", Set("b", 0))]);
    assert_eq!(fixture.dump(&materializer), map([("a", 1), ("b", 0), ("c", 6)]));
}

/// A batch without events, rollback or anything new to settle is allowed.
///
/// Verifies: it changes nothing.
pub async fn an_empty_batch_changes_nothing<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    assert_eq!(apply(&mut materializer, []), Default::default());
    apply(&mut materializer, [("e1", Set("a", 1))]);
    assert_eq!(apply(&mut materializer, []), Default::default());
    assert_eq!((head(&materializer), fixture.dump(&materializer)), ("e1".to_owned(), map([("a", 1)])));
}

/// A batch that builds on a version before or after the head is refused.
///
/// Verifies: `WrongBase` with both versions, and nothing changed.
pub async fn another_base_is_refused<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1)), ("e2", Set("a", 2))]);
    for base in ["e0", "e1", "e2.1", "e3"] {
        let result = Step::default().run_on(num(base), &mut materializer, [("e4", Set("a", 4))]);
        assert_wrong_base(result, "e2", base);
        assert_eq!(fixture.dump(&materializer), map([("a", 2)]));
    }
    assert_eq!(head(&materializer), "e2");
}

/// The same position in another generation is another version.
///
/// Verifies: the base is compared with its generation.
pub async fn another_version_of_the_base_is_refused<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1r2", Set("a", 1))]);
    for base in ["e1", "e1r1", "e1r3"] {
        let result = Step::default().run_on(num(base), &mut materializer, [("e2r3", Set("a", 2))]);
        assert_wrong_base(result, "e1r2", base);
    }
    assert_eq!(fixture.dump(&materializer), map([("a", 1)]));
}

/// Events come in ascending order, after the head.
///
/// Verifies: a repeated or reordered event is refused and the whole batch with it.
pub async fn events_out_of_order_are_refused<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1)), ("e2", Set("a", 2))]);
    for numbers in [["e2", "e3"], ["e3", "e3"], ["e4", "e3"], ["e1", "e2"]] {
        let changes = numbers.map(|number| (number, Set("a", 9)));
        let result = Step::default().run(&mut materializer, changes);
        assert!(matches!(result, Err(MaterializeError::WrongBase { .. })), "{numbers:?}: {result:?}");
        assert_eq!((head(&materializer), fixture.dump(&materializer)), ("e2".to_owned(), map([("a", 2)])));
    }
}

/// What may read differently is named, so that queries know when to run again.
///
/// Verifies: `changed` after applying and after undoing, and that events without effect change nothing.
pub async fn changes_are_reported<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    assert!(!apply(&mut materializer, [("e1", Set("a", 1))]).changed.is_empty());
    assert!(apply(&mut materializer, [("e2", Later("a", 2))]).changed.is_empty());
    assert!(!rebase(&mut materializer, "e0", []).changed.is_empty());
}

/// An event that no materializer is declared for changes nothing but the head.
///
/// Verifies: it is reported, and what stands around it is applied.
pub async fn unknown_events_only_move_the_head<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    let applied = apply(&mut materializer, [("e1", Set("a", 1)), ("e2", Later("a", 2)), ("e3", Add("a", 3))]);
    let unknown: Vec<_> = applied.unknown.iter().map(|event| (event.num, event.name.as_str())).collect();
    assert_eq!(unknown, [(num("e2"), "kv.Later")]);
    assert_eq!((head(&materializer), fixture.dump(&materializer)), ("e3".to_owned(), map([("a", 4)])));
    let applied = apply(&mut materializer, [("e4", Later("a", 2))]);
    assert_eq!((applied.unknown.len(), head(&materializer)), (1, "e4".to_owned()));
}

/// Committing an event that is not declared is a mistake of the application.
///
/// Verifies: `Undeclared`, and no trace of the batch.
pub async fn an_unknown_event_cannot_be_committed<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    let refuse = Step { on_failure: OnFailure::Refuse, ..Step::default() };
    let result = refuse.run(&mut materializer, [("e1", Set("a", 1)), ("e2", Later("a", 2))]);
    assert!(matches!(result, Err(MaterializeError::Undeclared(name)) if name.as_str() == "kv.Later"));
    assert_eq!((head(&materializer), fixture.dump(&materializer)), ("e0".to_owned(), map([])));
}

/// A later version of the application that knows an event it met before begins at the root, so that the log is replayed.
///
/// Verifies: nothing of the old state shows, and the event has its effect then.
pub async fn unknown_events_are_materialized_by_a_later_version<F: MaterializerFixture>(fixture: &F) {
    if !F::REOPENS {
        return eprintln!("skipped: the state is not kept");
    }
    let (storage, mut materializer) = create(fixture);
    let log = || [("e1", Set("a", 1)), ("e2", Later("b", 2)), ("e3", Fail("c"))];
    apply(&mut materializer, log());
    drop(materializer);
    let mut materializer = fixture.open_later(&storage).expect("a later version opens the state");
    assert_eq!((head(&materializer), fixture.dump(&materializer)), ("e0".to_owned(), map([])));
    assert_eq!(quarantined(&materializer), [""; 0]);
    apply(&mut materializer, log());
    assert_eq!(fixture.dump(&materializer), map([("a", 1), ("b", 2)]));
}

/// `reset` leaves a state like a new one.
///
/// Verifies: content, head, quarantine and undo data are gone, also for the next one who opens it.
pub async fn reset_empties_everything<F: MaterializerFixture>(fixture: &F) {
    let (storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1)), ("e2", Fail("b"))]);
    settle(&mut materializer, "e1");
    materializer.reset().expect("a state can be reset");
    let assert_empty = |materializer: &F::Materializer| {
        assert_eq!((head(materializer), fixture.dump(materializer)), ("e0".to_owned(), map([])));
        assert_eq!(quarantined(materializer), [""; 0]);
    };
    assert_empty(&materializer);
    if F::REOPENS {
        drop(materializer);
        materializer = fixture.open(&storage).expect("a state that was dropped can be opened");
        assert_empty(&materializer);
    }
    apply(&mut materializer, [("e1", Set("z", 1)), ("e2", Add("z", 1))]);
    assert_eq!(fixture.dump(&materializer), map([("z", 2)]));
    rebase(&mut materializer, "e0", []);
    assert_eq!(fixture.dump(&materializer), map([]));
}

/// A state that is dropped and opened again is as it was.
///
/// Verifies: content and head are stored together.
pub async fn the_state_survives_reopening<F: MaterializerFixture>(fixture: &F) {
    if !F::REOPENS {
        return eprintln!("skipped: the state is not kept");
    }
    let (storage, mut materializer) = create(fixture);
    for (number, base) in [("e1", "e0"), ("e1.1r1", "e1"), ("e2r1", "e1.1r1")] {
        Step::default()
            .run_on(num(base), &mut materializer, [(number, Add("a", 1))])
            .expect("the batch is applied");
        let before = fixture.dump(&materializer);
        drop(materializer);
        materializer = fixture.open(&storage).expect("a state that was dropped can be opened");
        assert_eq!((head(&materializer), fixture.dump(&materializer)), (number.to_owned(), before));
    }
}

fn assert_wrong_base<T: std::fmt::Debug>(result: Result<T, MaterializeError>, head: &str, base: &str) {
    match result {
        Err(MaterializeError::WrongBase { head: told_head, base: told_base }) => {
            assert_eq!((told_head, told_base), (num(head), num(base)));
        }
        other => panic!("a batch on {base} was answered with {other:?}"),
    }
}
