//! Cases: materializers that fail.

use livestore_traits::{Args, MaterializeBatch, MaterializeError, Materializer, OnFailure, Position};

use super::MaterializerFixture;
use super::build::*;
use super::kv::Change::{Add, Fail, Set};
use super::kv::FAILURE;

const REFUSE: Step<'_> = Step { rollback_to: None, settled: "e0", on_failure: OnFailure::Refuse };

/// An event that is being committed and fails leaves the state as it was.
///
/// Verifies: the error names event and cause, what the event had written is gone, and the state can be used on.
pub async fn a_refused_event_leaves_no_trace<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1))]);
    match REFUSE.run(&mut materializer, [("e2", Fail("a"))]) {
        Err(MaterializeError::Event { num: failed, name, source }) => {
            assert_eq!((failed, name.as_str()), (num("e2"), "kv.Fail"));
            assert!(source.to_string().contains(FAILURE), "the cause is hidden: {source}");
        }
        other => panic!("a failing event was answered with {other:?}"),
    }
    assert_eq!((head(&materializer), fixture.dump(&materializer)), ("e1".to_owned(), map([("a", 1)])));
    assert_eq!(quarantined(&materializer), [""; 0]);
    apply(&mut materializer, [("e2", Add("a", 1))]);
    rebase(&mut materializer, "e1", []);
    assert_eq!(fixture.dump(&materializer), map([("a", 1)]));
}

/// With one event, the whole batch is refused.
///
/// Verifies: events before and after the failing one have no effect.
pub async fn a_refused_batch_leaves_no_trace<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    for place in 0..3 {
        let mut changes = [("e1", Set("a", 1)), ("e2", Set("b", 2)), ("e3", Set("c", 3))];
        changes[place].1 = Fail("d");
        let result = REFUSE.run(&mut materializer, changes);
        assert!(matches!(result, Err(MaterializeError::Event { .. })), "{result:?}");
        assert_eq!((head(&materializer), fixture.dump(&materializer)), ("e0".to_owned(), map([])));
    }
}

/// A refused batch does not do its rollback either.
///
/// Verifies: state, quarantine and undo data are as before.
pub async fn a_refused_batch_does_not_roll_back<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Set("a", 1)), ("e2", Set("a", 2)), ("e3", Fail("a"))]);
    let step = Step { rollback_to: Some("e1"), settled: "e1", ..REFUSE };
    assert!(step.run(&mut materializer, [("e2r1", Fail("a"))]).is_err());
    assert_eq!((head(&materializer), fixture.dump(&materializer)), ("e3".to_owned(), map([("a", 2)])));
    assert_eq!(quarantined(&materializer), ["e3"]);
    rebase(&mut materializer, "e0", []);
    assert_eq!(fixture.dump(&materializer), map([]));
}

/// Args of another shape than the event's type fail the event like any other mistake.
///
/// Verifies: refused at a commit, quarantined when the event is in a log already.
pub async fn args_that_do_not_fit_fail_the_event<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    for args in [
        "null",
        "{}",
        "[1]",
        r#"{"key":1,"value":1}"#,
        r#"{"key":"a","value":"1"}"#,
        r#"{"key":"a","value":1.5}"#,
    ] {
        let mut event = event(num("e1"), &Set("a", 1));
        event.args = Args::parse(args).expect("the text is JSON");
        let batch = |on_failure| MaterializeBatch {
            base: num("e0"),
            rollback_to: None,
            events: std::slice::from_ref(&event),
            settled: Position::ROOT,
            on_failure,
        };
        let result = materializer.apply(batch(OnFailure::Refuse));
        assert!(matches!(result, Err(MaterializeError::Event { .. })), "{args}: {result:?}");
        let applied = materializer.apply(batch(OnFailure::Quarantine)).expect("the event is quarantined");
        assert_eq!(applied.quarantined.len(), 1, "{args} was applied");
        assert_eq!(fixture.dump(&materializer), map([]));
        rebase(&mut materializer, "e0", []);
    }
}

/// An event that is in the log and fails is listed, and the rest is applied.
///
/// Verifies: nothing that it wrote is left, the head passes it, its neighbours are there.
pub async fn a_quarantined_event_has_no_effect<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    let applied = apply(
        &mut materializer,
        [("e1", Set("a", 1)), ("e2", Fail("a")), ("e3", Fail("b")), ("e4", Add("a", 1))],
    );
    assert_eq!(applied.quarantined, materializer.quarantined().expect("the quarantine can be read"));
    assert_eq!((head(&materializer), fixture.dump(&materializer)), ("e4".to_owned(), map([("a", 2)])));
    apply(&mut materializer, [("e5", Fail("a"))]);
    assert_eq!((head(&materializer), fixture.dump(&materializer)), ("e5".to_owned(), map([("a", 2)])));
    assert_eq!(quarantined(&materializer), ["e2", "e3", "e5"]);
}

/// The list tells the application what failed and why.
///
/// Verifies: order by position, client-only events among them, name and message.
pub async fn quarantine_keeps_its_order_and_errors<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(
        &mut materializer,
        [("e9", Fail("a")), ("e9.1", Fail("a")), ("e9.2", Set("a", 1)), ("e10r2", Fail("a"))],
    );
    assert_eq!(quarantined(&materializer), ["e9", "e9.1", "e10r2"]);
    for event in materializer.quarantined().expect("the quarantine can be read") {
        assert_eq!(event.name.as_str(), "kv.Fail");
        assert!(event.error.contains(FAILURE), "the cause is hidden: {}", event.error);
    }
}

/// A rollback takes the entry away with the event.
///
/// Verifies: entries after the target go, the one at the target stays, a new one at the same place is its own.
pub async fn a_rollback_takes_quarantine_away<F: MaterializerFixture>(fixture: &F) {
    let (_storage, mut materializer) = create(fixture);
    apply(&mut materializer, [("e1", Fail("a")), ("e2", Fail("a")), ("e3", Set("a", 3))]);
    rebase(&mut materializer, "e1", [("e2r1", Set("a", 2)), ("e3r1", Fail("a"))]);
    assert_eq!(quarantined(&materializer), ["e1", "e3r1"]);
    rebase(&mut materializer, "e0", []);
    assert_eq!(quarantined(&materializer), [""; 0]);
    assert_eq!(fixture.dump(&materializer), map([]));
}

/// An event stays in quarantine as long as it is in the log.
///
/// Verifies: settled entries are kept, also for the next one who opens the state.
pub async fn quarantine_survives_settling_and_reopening<F: MaterializerFixture>(fixture: &F) {
    let (storage, mut materializer) = create(fixture);
    let step = Step { settled: "e1", ..Step::default() };
    step.run(&mut materializer, [("e1", Fail("a")), ("e2", Fail("a"))]).expect("the batch is applied");
    settle(&mut materializer, "e2");
    assert_eq!(quarantined(&materializer), ["e1", "e2"]);
    if F::REOPENS {
        drop(materializer);
        let materializer = fixture.open(&storage).expect("a state that was dropped can be opened");
        assert_eq!(quarantined(&materializer), ["e1", "e2"]);
    }
}
