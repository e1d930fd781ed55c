//! The suite for [`SyncBackend`](livestore_traits::SyncBackend): backends, transports over a backend, wrappers.
//!
//! It branches on [`Capabilities`](livestore_traits::Capabilities): where a backend has no live pull, the cases that
//! follow a log poll it. What a remote backend can do is asked after the first answer, when it is connected. What a wire
//! cannot carry ([`Carries`]) is not asked of it.
//!
//! ```ignore
//! livestore_conformance::backend!(MyFixture::new());
//! ```

#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod client;
mod fixture;
mod identity;
mod live;
mod pull;
mod push;
mod repeat;

pub use fixture::{BackendFixture, Carries, sample_event, sample_events};
pub use identity::*;
pub use live::*;
pub use pull::*;
pub use push::*;
pub use repeat::*;

/// Runs every case of the [`backend`](mod@crate::backend) suite over a fixture, each as a test of its own with a fixture of
/// its own.
#[macro_export]
macro_rules! backend {
    ($fixture:expr) => {
        $crate::__cases!(
            backend,
            $fixture,
            [
                pushed_events_come_back_as_they_were,
                args_come_back_byte_by_byte,
                a_push_without_a_backend_id_is_acknowledged_with_it,
                a_batch_follows_another,
                a_stale_parent_is_told_the_head_and_what_is_missing,
                a_parent_beyond_the_head_is_told_the_head,
                a_broken_chain_is_invalid_and_stores_nothing,
                an_empty_batch_is_invalid,
                batches_are_accepted_up_to_the_limit,
                an_event_is_accepted_up_to_the_limit,
                a_batch_of_too_many_bytes_is_refused,
                racing_pushers_build_one_chain,
                a_dropped_push_happened_whole_or_not_at_all,
                a_repeated_push_is_acknowledged_again,
                a_repeat_is_recognised_as_javascript_reads_it,
                a_partial_overlap_is_no_repeat,
                other_content_at_the_same_numbers_is_no_repeat,
                racing_repeats_are_stored_once,
                an_empty_store_gives_one_empty_page_at_once,
                a_pull_at_the_head_gives_one_empty_page,
                a_pull_goes_on_from_its_cursor,
                pages_are_cut_at_the_limit_of_events,
                pages_are_cut_at_the_limit_of_bytes,
                page_info_tells_what_follows,
                handles_of_one_store_share_its_log,
                stores_are_apart,
                the_connection_is_reported,
                a_follower_catches_up_and_then_follows,
                a_follower_misses_nothing_while_pushes_race,
                several_followers_see_the_same,
                a_follower_waits_through_an_idle_hour,
                a_dropped_pull_harms_nobody,
                a_reader_that_never_reads_harms_nobody,
                a_time_is_the_same_wherever_it_is_told,
                a_cursor_beyond_the_head_diverged,
                a_foreign_token_diverged,
                a_token_at_another_place_diverged,
                a_foreign_backend_id_diverged,
                a_replaced_backend_diverged,
                reopening_keeps_everything,
                a_client_id_belongs_to_its_first_proof,
                an_empty_client_log_needs_no_backend_id,
            ]
        );
    };
}
