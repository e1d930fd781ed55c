//! The suite for [`LeaderLink`]: the ways between sessions and the leader of their client.
//!
//! A case plays the sessions itself, with [`Probe`]s that check every item they are sent, over a leader that the fixture
//! makes and an [`Upstream`] that the case controls. The events are called `v1.Noted` and have a text as args; the
//! leader's materializer may know them or not.
//!
//! ```ignore
//! struct MyFixture;
//! impl LinkFixture for MyFixture { /* … */ }
//! livestore_conformance::link!(MyFixture);
//! ```

mod attaching;
mod following;
mod probe;
mod pushing;
mod reporting;
mod upstream;

use std::sync::Arc;

use async_trait::async_trait;
use livestore_traits::{LeaderLink, SyncBackend};

pub use attaching::*;
pub use following::*;
pub use probe::Probe;
pub use pushing::*;
pub use reporting::*;
pub use upstream::Upstream;

/// Makes leaders and the ways to them.
#[async_trait]
pub trait LinkFixture: Send + Sync {
    /// A leader that runs until it is stopped or dropped.
    type Leader: Send + Sync;

    /// A leader of an empty log that syncs with `upstream` and tries again at once.
    async fn leader(&self, upstream: Arc<dyn SyncBackend>) -> Self::Leader;

    /// Another way to the leader, as another window or process would have.
    async fn link(&self, leader: &Self::Leader) -> Arc<dyn LeaderLink>;

    /// Stops the leader.
    async fn stop(&self, leader: Self::Leader);
}

/// Makes one test of each case of the suite for a [`LinkFixture`].
#[macro_export]
macro_rules! link {
    ($fixture:expr) => {
        $crate::__cases!(
            link,
            $fixture,
            [
                a_new_session_finds_nothing_of_itself,
                attaching_again_tells_what_was_persisted,
                attaching_again_ends_the_older_attachment,
                the_ended_attachment_pushes_nothing_more,
                an_attach_that_nobody_waits_for_harms_nobody,
                a_session_that_detaches_harms_nobody,
                the_stream_ends_when_the_leader_stops,
                a_snapshot_holds_what_it_says_is_persisted,
                pushes_are_answered_in_order,
                every_session_gets_what_one_pushes,
                a_push_on_another_base_is_refused,
                a_repeated_commit_is_refused,
                a_commit_that_was_dropped_does_not_come_back,
                events_of_another_session_end_the_attachment,
                a_broken_chain_ends_the_attachment,
                half_a_unit_ends_the_attachment,
                a_push_under_an_old_client_id_is_refused_with_the_new_one,
                a_refresh_begins_the_stream_again,
                a_cursor_inside_the_log_gets_what_follows,
                a_rebase_leads_every_session_to_one_log,
                a_version_that_was_rolled_back_is_led_to_the_log,
                the_settled_head_is_told_when_only_it_moves,
                a_dropped_commit_is_told_and_stays_told,
                a_session_that_takes_nothing_holds_nobody_up,
                the_status_is_told_and_followed,
                everybody_is_told_the_status,
                reports_end_when_the_leader_stops,
            ]
        );
    };
}

/// A leader with its upstream.
pub(crate) async fn lead<F: LinkFixture>(fixture: &F) -> (F::Leader, Upstream) {
    let upstream = Upstream::new();
    (fixture.leader(Arc::new(upstream.clone())).await, upstream)
}

/// Attaches a new session that knows nothing yet.
pub(crate) async fn join<F: LinkFixture>(fixture: &F, leader: &F::Leader, session: &str) -> Probe {
    Probe::attach(fixture.link(leader).await, session).await
}
