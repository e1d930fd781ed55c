//! Cases: events are taken back.

use livestore_traits::MaterializeError;

use super::MaterializerFixture;
use super::build::*;
use super::kv::Change::{Add, Copy, Del, Set};

/// Applying and rolling back leaves the state as it was.
///
/// Verifies: inserted, changed and removed keys, each touched several times.
pub async fn undo_restores_what_was_there<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("kept", 1)), ("e2", Set("changed", 2)), ("e3", Set("removed", 3))]);
    let before = fixture.dump(&materializer);
    apply(&mut materializer, [("e4", Set("new", 4)), ("e5", Set("changed", 5)), ("e6", Del("removed"))]);
    apply(&mut materializer, [("e7", Del("new")), ("e8", Add("changed", 5)), ("e9", Set("removed", 6))]);
    apply(&mut materializer, [("e10", Copy("changed", "new")), ("e11", Del("changed"))]);
    rebase(&mut materializer, "e3", []);
    assert_eq!((head(&materializer), fixture.dump(&materializer)), ("e3".to_owned(), before));
}

/// The target of a rollback may be any unsettled event, also one inside a former batch.
///
/// Verifies: each position of a batch, one after the other.
pub async fn undo_reaches_into_a_batch<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(
        &mut materializer,
        [("e1", Add("a", 1)), ("e2", Add("a", 1)), ("e3", Add("a", 1)), ("e4", Add("a", 1))],
    );
    for (to, value) in [("e3", 3), ("e2", 2), ("e1", 1)] {
        rebase(&mut materializer, to, []);
        assert_eq!((head(&materializer), fixture.dump(&materializer)), (to.to_owned(), map([("a", value)])));
    }
    rebase(&mut materializer, "e0", []);
    assert_eq!(fixture.dump(&materializer), map([]));
}

/// One batch rolls back and applies, as a rebase does.
///
/// Verifies: the result is that of replaying the new history, repeatedly.
pub async fn undo_and_apply_are_one_step<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1)), ("e2", Add("a", 10)), ("e3", Copy("a", "b"))]);
    rebase(
        &mut materializer,
        "e1",
        [("e2r1", Add("a", 5)), ("e3r1", Add("a", 10)), ("e4r1", Copy("a", "b"))],
    );
    assert_eq!(fixture.dump(&materializer), map([("a", 16), ("b", 16)]));
    rebase(&mut materializer, "e2r1", [("e3r2", Del("a")), ("e4r2", Add("a", 10)), ("e5r2", Copy("a", "b"))]);
    assert_eq!(
        (head(&materializer), fixture.dump(&materializer)),
        ("e5r2".to_owned(), map([("a", 10), ("b", 10)]))
    );
}

/// The head after a rollback is the version the batch names: its generation may be another one than before.
///
/// Verifies: also when there is nothing to undo.
pub async fn a_rollback_can_rename_the_head<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1))]);
    rebase(&mut materializer, "e1r3", []);
    assert_eq!((head(&materializer), fixture.dump(&materializer)), ("e1r3".to_owned(), map([("a", 1)])));
}

/// Client-only events have places between the synced ones and roll back by place.
///
/// Verifies: targets before, at and after client-only events.
pub async fn client_only_events_roll_back_too<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    let log =
        || [("e1", Add("a", 1)), ("e1.1", Add("a", 10)), ("e1.2", Add("a", 100)), ("e2", Add("a", 1000))];
    for (to, value) in [("e1.2", 111), ("e1.1", 11), ("e1", 1)] {
        apply(&mut materializer, log());
        rebase(&mut materializer, to, []);
        assert_eq!(fixture.dump(&materializer), map([("a", value)]), "rolled back to {to}");
        rebase(&mut materializer, "e0", []);
        assert_eq!(fixture.dump(&materializer), map([]));
    }
}

/// Undo data of settled events is forgotten, or not even made.
///
/// Verifies: `NoUndo` for targets before the settled position, with nothing changed; the position itself is a target.
pub async fn settled_events_cannot_be_undone<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    let step = Step { settled: "e2", ..Step::default() };
    step.run(&mut materializer, [("e1", Add("a", 1)), ("e2", Add("a", 1)), ("e3", Add("a", 1))])
        .expect("the batch is applied");
    assert_no_undo(fixture, &mut materializer, &["e0", "e1"]);
    assert_eq!(fixture.dump(&materializer), map([("a", 3)]));
    rebase(&mut materializer, "e2", []);
    assert_eq!(fixture.dump(&materializer), map([("a", 2)]));
}

/// A batch that only moves the settled position makes events final.
///
/// Verifies: `NoUndo` afterwards, although undo data had been made.
pub async fn settling_alone_forgets_undo<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Add("a", 1)), ("e2", Add("a", 1)), ("e2.1", Add("a", 1))]);
    settle(&mut materializer, "e2");
    assert_no_undo(fixture, &mut materializer, &["e0", "e1"]);
    settle(&mut materializer, "e2.1");
    assert_no_undo(fixture, &mut materializer, &["e2"]);
    // The settled position never falls, so a batch that names an earlier one brings nothing back.
    settle(&mut materializer, "e1");
    assert_no_undo(fixture, &mut materializer, &["e1", "e2"]);
}

/// Forgetting stops at the settled position.
///
/// Verifies: later events still roll back, exactly.
pub async fn what_is_not_settled_can_still_be_undone<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(
        &mut materializer,
        [("e1", Set("a", 1)), ("e2", Set("a", 2)), ("e3", Del("a")), ("e4", Set("b", 4))],
    );
    settle(&mut materializer, "e2");
    rebase(&mut materializer, "e3", []);
    assert_eq!(fixture.dump(&materializer), map([]));
    rebase(&mut materializer, "e2", []);
    assert_eq!(fixture.dump(&materializer), map([("a", 2)]));
}

/// A state is never ahead of what was applied.
///
/// Verifies: a target after the head is refused.
pub async fn a_rollback_beyond_the_head_is_refused<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1))]);
    assert_no_undo(fixture, &mut materializer, &["e1.1", "e2"]);
}

/// Undo data is part of the state.
///
/// Verifies: a state that is opened again rolls back what was applied before.
pub async fn undo_survives_reopening<F: MaterializerFixture>(fixture: &F) {
    if !F::REOPENS {
        return eprintln!("skipped: the state is not kept");
    }
    let (storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1)), ("e2", Set("a", 2))]);
    settle(&mut materializer, "e1");
    apply(&mut materializer, [("e3", Del("a"))]);
    drop(materializer);
    let mut materializer = fixture.open(&storage).expect("a state that was dropped can be opened");
    apply(&mut materializer, [("e4", Set("b", 4))]);
    rebase(&mut materializer, "e2", []);
    assert_eq!(fixture.dump(&materializer), map([("a", 2)]));
    assert_no_undo(fixture, &mut materializer, &["e0"]);
    rebase(&mut materializer, "e1", []);
    assert_eq!(fixture.dump(&materializer), map([("a", 1)]));
}

fn assert_no_undo<F: MaterializerFixture>(fixture: &F, materializer: &mut F::Materializer, targets: &[&str]) {
    let before = (head(materializer), fixture.dump(materializer));
    for target in targets {
        let step = Step { rollback_to: Some(target), ..Step::default() };
        match step.run(materializer, [("e9", Set("a", 9))]) {
            Err(MaterializeError::NoUndo { to }) => assert_eq!(to, num(target)),
            other => panic!("a rollback to {target} was answered with {other:?}"),
        }
        assert_eq!((head(materializer), fixture.dump(materializer)), before);
    }
}
