//! Batches in event notation.

use std::collections::BTreeMap;

use livestore_traits::{
    Applied, ClientId, CommitRef, Event, MaterializeBatch, MaterializeError, Materializer, OnFailure, SeqNum,
    SessionId,
};

use super::MaterializerFixture;
use super::kv::Change;

/// Parses a number like `e3.1r2`.
pub(super) fn num(text: &str) -> SeqNum {
    text.parse().expect("a case writes valid numbers")
}

pub(super) fn event(num: SeqNum, change: &Change) -> Event {
    let new = change.to_new_event();
    Event {
        num,
        name: new.name,
        args: new.args,
        client_id: ClientId::new("c1").expect("the id is valid"),
        session_id: SessionId::new("s1").expect("the id is valid"),
        commit: Some(CommitRef { n: 1, index: 0 }),
        unit_end: true,
        is_own: true,
    }
}

pub(super) fn events<const N: usize>(changes: [(&str, Change); N]) -> Vec<Event> {
    changes.iter().map(|(number, change)| event(num(number), change)).collect()
}

/// What stands in the state, by key.
pub(super) fn map<const N: usize>(entries: [(&str, i64); N]) -> BTreeMap<String, i64> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A new materializer with its place.
pub(super) fn create<F: MaterializerFixture>(fixture: &F) -> (F::Storage, F::Materializer) {
    let storage = fixture.storage();
    let materializer = fixture.open(&storage).expect("an empty place can be opened");
    (storage, materializer)
}

/// What a batch is about, beside its events; the rest is what most cases want.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    pub rollback_to: Option<&'a str>,
    pub settled: &'a str,
    pub on_failure: OnFailure,
}

impl Default for Step<'_> {
    fn default() -> Self {
        Self { rollback_to: None, settled: "e0", on_failure: OnFailure::Quarantine }
    }
}

impl Step<'_> {
    /// Runs the step on top of the materializer's head.
    pub(super) fn run<M: Materializer + ?Sized, const N: usize>(
        self,
        materializer: &mut M,
        changes: [(&str, Change); N],
    ) -> Result<Applied, MaterializeError> {
        let base = materializer.head().expect("the head can be read");
        self.run_on(base, materializer, changes)
    }

    pub(super) fn run_on<M: Materializer + ?Sized, const N: usize>(
        self,
        base: SeqNum,
        materializer: &mut M,
        changes: [(&str, Change); N],
    ) -> Result<Applied, MaterializeError> {
        materializer.apply(MaterializeBatch {
            base,
            rollback_to: self.rollback_to.map(num),
            events: &events(changes),
            settled: num(self.settled).position(),
            on_failure: self.on_failure,
        })
    }
}

/// Applies unsettled events.
pub(super) fn apply<M: Materializer + ?Sized, const N: usize>(
    materializer: &mut M,
    changes: [(&str, Change); N],
) -> Applied {
    Step::default().run(materializer, changes).expect("the batch is applied")
}

/// Undoes back to `to` and applies unsettled events.
pub(super) fn rebase<M: Materializer + ?Sized, const N: usize>(
    materializer: &mut M,
    to: &str,
    changes: [(&str, Change); N],
) -> Applied {
    Step { rollback_to: Some(to), ..Step::default() }
        .run(materializer, changes)
        .expect("the batch is applied")
}

/// Settles everything up to `settled`.
pub(super) fn settle<M: Materializer + ?Sized>(materializer: &mut M, settled: &str) {
    Step { settled, ..Step::default() }.run(materializer, []).expect("settling is possible");
}

pub(super) fn head<M: Materializer + ?Sized>(materializer: &M) -> String {
    materializer.head().expect("the head can be read").to_string()
}

/// The events in quarantine, in order.
pub(super) fn quarantined<M: Materializer + ?Sized>(materializer: &M) -> Vec<String> {
    let list = materializer.quarantined().expect("the quarantine can be read");
    list.iter().map(|event| event.num.to_string()).collect()
}
