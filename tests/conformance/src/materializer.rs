//! The suite for materializers.
//!
//! An implementer declares the events of [`kv`] with materializers that keep a map from keys to numbers, and shows that
//! map to the suite:
//!
//! ```ignore
//! struct MyFixture;
//! impl MaterializerFixture for MyFixture { /* … */ }
//! livestore_conformance::materializer!(MyFixture);
//! ```

use std::collections::BTreeMap;

use livestore_traits::{MaterializeError, Materializer};

mod applying;
mod build;
mod copying;
mod failing;
mod histories;
pub mod kv;
mod undoing;

pub use applying::*;
pub use copying::*;
pub use failing::*;
pub use histories::*;
pub use undoing::*;

/// Makes the materializers under test, each with the definitions of [`kv`].
pub trait MaterializerFixture: Send + Sync {
    /// Where one state is kept: a directory, or nothing.
    type Storage: Send + Sync;
    /// The materializer.
    type Materializer: Materializer;

    /// Whether a state that is dropped and opened again is as it was.
    const REOPENS: bool = true;

    /// A new, empty place.
    fn storage(&self) -> Self::Storage;

    /// Opens the state at a place. All events of [`kv`] but [`kv::Later`] are declared.
    ///
    /// # Errors
    /// What the materializer under test answers.
    fn open(&self, storage: &Self::Storage) -> Result<Self::Materializer, MaterializeError>;

    /// As [`Self::open`], by a later version of the application: [`kv::Later`] is declared, too.
    ///
    /// # Errors
    /// What the materializer under test answers.
    fn open_later(&self, storage: &Self::Storage) -> Result<Self::Materializer, MaterializeError>;

    /// The map that a materializer of this fixture, or a fork of one, holds.
    fn dump(&self, materializer: &dyn Materializer) -> BTreeMap<String, i64>;
}

/// Makes one test of each case of the suite for a [`MaterializerFixture`].
#[macro_export]
macro_rules! materializer {
    ($fixture:expr) => {
        $crate::__cases!(
            materializer,
            $fixture,
            [
                a_new_state_is_at_the_root,
                applied_events_show_at_once,
                events_see_what_earlier_ones_did,
                an_empty_batch_changes_nothing,
                another_base_is_refused,
                another_version_of_the_base_is_refused,
                events_out_of_order_are_refused,
                changes_are_reported,
                unknown_events_only_move_the_head,
                an_unknown_event_cannot_be_committed,
                unknown_events_are_materialized_by_a_later_version,
                reset_empties_everything,
                the_state_survives_reopening,
                undo_restores_what_was_there,
                undo_reaches_into_a_batch,
                undo_and_apply_are_one_step,
                a_rollback_can_rename_the_head,
                client_only_events_roll_back_too,
                settled_events_cannot_be_undone,
                settling_alone_forgets_undo,
                what_is_not_settled_can_still_be_undone,
                a_rollback_beyond_the_head_is_refused,
                undo_survives_reopening,
                a_refused_event_leaves_no_trace,
                a_refused_batch_leaves_no_trace,
                a_refused_batch_does_not_roll_back,
                args_that_do_not_fit_fail_the_event,
                a_quarantined_event_has_no_effect,
                quarantine_keeps_its_order_and_errors,
                a_rollback_takes_quarantine_away,
                quarantine_survives_settling_and_reopening,
                a_fork_is_empty_and_independent,
                a_snapshot_carries_everything,
                undo_goes_on_after_restore,
                a_snapshot_shows_one_moment,
                restore_replaces_what_was_there,
                a_damaged_snapshot_is_refused,
                a_snapshot_of_other_definitions_is_refused,
                random_histories_agree_with_a_model,
                paging_makes_no_difference,
            ]
        );
    };
}
