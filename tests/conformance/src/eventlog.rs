//! The suite for eventlogs.
//!
//! ```ignore
//! struct MyFixture;
//! impl EventlogFixture for MyFixture { /* … */ }
//! livestore_conformance::eventlog!(MyFixture);
//! ```

use livestore_traits::{Eventlog, EventlogError};

mod build;
mod commits;
mod fencing;
mod histories;
mod reading;
mod reopening;
mod resets;
mod sessions;

pub use commits::*;
pub use fencing::*;
pub use histories::*;
pub use reading::*;
pub use reopening::*;
pub use resets::*;
pub use sessions::*;

/// Makes the eventlogs under test.
pub trait EventlogFixture: Send + Sync {
    /// Where one log is kept: a directory, a handle on shared memory.
    type Storage: Send + Sync;
    /// The log.
    type Eventlog: Eventlog;

    /// Whether a log that is dropped and opened again finds what was stored.
    const REOPENS: bool = true;

    /// A new, empty place.
    fn storage(&self) -> Self::Storage;

    /// Opens the log at a place.
    ///
    /// # Errors
    /// What the eventlog under test answers.
    fn open(&self, storage: &Self::Storage) -> Result<Self::Eventlog, EventlogError>;

    /// Another handle on an open log that can commit too, or `None` if there is no such thing.
    fn second(&self, storage: &Self::Storage, log: &Self::Eventlog) -> Option<Self::Eventlog>;
}

/// Makes one test of each case of the suite for an [`EventlogFixture`].
#[macro_export]
macro_rules! eventlog {
    ($fixture:expr) => {
        $crate::__cases!(
            eventlog,
            $fixture,
            [
                a_new_log_is_empty,
                appended_events_are_read_back_as_they_were,
                client_only_events_stand_between_synced_ones,
                the_heads_are_stored_with_the_events,
                a_gap_is_refused,
                generations_out_of_order_are_refused,
                a_rollback_replaces_what_was_pending,
                a_rollback_alone_takes_events_away,
                a_rollback_to_a_version_that_is_not_there_is_refused,
                a_rollback_behind_the_settled_head_is_refused,
                the_generation_must_rise_with_a_rollback,
                the_generation_never_falls,
                heads_that_fall_or_float_are_refused,
                confirmed_events_keep_their_stamp_through_a_rollback,
                a_refused_commit_changes_nothing,
                a_leader_begins_with_an_empty_commit,
                an_older_term_is_fenced,
                fencing_holds_across_handles,
                two_handles_see_one_log,
                a_fenced_handle_recovers_with_a_newer_term,
                opening_twice_is_shared_or_refused,
                reads_keep_to_the_limit_of_events,
                reads_keep_to_the_limit_of_bytes,
                reads_begin_after_any_position,
                a_long_log_reads_in_pages,
                large_args_are_kept,
                common_is_the_last_shared_version,
                a_reader_follows_the_log,
                a_reader_never_sees_half_a_commit,
                random_histories_agree_with_a_model,
                random_histories_survive_reopening,
                everything_survives_reopening,
                fencing_survives_reopening,
                refusals_leave_no_trace_after_reopening,
                sessions_never_fall,
                gone_commits_add_up,
                sessions_are_told_apart,
                an_identity_stays_until_it_is_replaced,
                sessions_survive_a_reset,
                a_reset_archives_what_it_takes_away,
                a_reset_keeps_what_is_shared,
                archives_are_kept_side_by_side,
                archives_read_in_pages,
                a_reset_passes_the_settled_head_but_keeps_the_other_rules,
            ]
        );
    };
}
