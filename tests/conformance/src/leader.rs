//! The suite for leader elections.
//!
//! ```ignore
//! struct MyFixture;
//! impl LeaderFixture for MyFixture { /* … */ }
//! livestore_conformance::leader!(MyFixture);
//! ```

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::join_all;
use futures::{FutureExt, poll};
use livestore_traits::{LeaderElection, LeaderError, Leadership, Term};

/// Makes the elections under test.
#[async_trait]
pub trait LeaderFixture: Send + Sync {
    /// What the candidates compete for: a directory, a handle on shared memory.
    type Place: Send + Sync;
    /// One candidate.
    type Election: LeaderElection;

    /// A new place, where nobody has led yet.
    fn place(&self) -> Self::Place;

    /// Another candidate, as another process would be.
    ///
    /// # Errors
    /// What the election under test answers.
    fn candidate(&self, place: &Self::Place) -> Result<Self::Election, LeaderError>;

    /// Makes the present leader lose its leadership, as one that is suspended for too long would. False if leadership
    /// cannot be lost.
    async fn expire(&self, place: &Self::Place) -> bool;
}

/// Makes one test of each case of the suite for a [`LeaderFixture`].
#[macro_export]
macro_rules! leader {
    ($fixture:expr) => {
        $crate::__cases!(
            leader,
            $fixture,
            [
                the_first_candidate_leads,
                only_one_leads_at_a_time,
                two_attempts_of_one_candidate_exclude_each_other,
                terms_grow,
                terms_grow_when_every_candidate_is_new,
                dropping_leadership_hands_it_over,
                every_waiting_candidate_leads_once,
                a_candidate_that_stops_waiting_is_none,
                a_candidate_that_stops_waiting_delays_nobody,
                leadership_is_not_lost_while_it_is_held,
                expired_leadership_is_lost_and_taken_over,
                dropping_lost_leadership_harms_nobody,
                places_are_independent,
            ]
        );
    };
}

fn candidate<F: LeaderFixture>(fixture: &F, place: &F::Place) -> F::Election {
    fixture.candidate(place).expect("a candidate can be made")
}

async fn lead(election: &impl LeaderElection) -> Box<dyn Leadership> {
    election.acquire().await.expect("leadership can be sought")
}

async fn try_lead(election: &impl LeaderElection) -> Option<Box<dyn Leadership>> {
    election.try_acquire().await.expect("leadership can be sought")
}

/// Where nobody leads, leadership is there for the taking, with a term above 0.
///
/// Verifies: `acquire` and `try_acquire` without competition.
pub async fn the_first_candidate_leads<F: LeaderFixture>(fixture: &F) {
    let place = fixture.place();
    assert!(lead(&candidate(fixture, &place)).await.term() > Term(0), "logs begin with term 0");
    let place = fixture.place();
    assert!(try_lead(&candidate(fixture, &place)).await.is_some());
}

/// While one leads, no other candidate does.
///
/// Verifies: "At most one leadership that has not been lost exists at a time".
pub async fn only_one_leads_at_a_time<F: LeaderFixture>(fixture: &F) {
    let place = fixture.place();
    let (one, two) = (candidate(fixture, &place), candidate(fixture, &place));
    let leadership = lead(&one).await;
    for _ in 0..3 {
        assert!(try_lead(&two).await.is_none(), "two lead at once");
    }
    let mut waiting = two.acquire();
    assert!(poll!(&mut waiting).is_pending(), "two lead at once");
    drop(leadership);
    waiting.await.expect("leadership can be sought");
}

/// A candidate that leads does not get leadership a second time.
///
/// Verifies: exclusion does not depend on whose election object is asked.
pub async fn two_attempts_of_one_candidate_exclude_each_other<F: LeaderFixture>(fixture: &F) {
    let place = fixture.place();
    let election = candidate(fixture, &place);
    let leadership = lead(&election).await;
    assert!(try_lead(&election).await.is_none(), "one candidate leads twice");
    drop(leadership);
    assert!(try_lead(&election).await.is_some());
}

/// Each leadership has a higher term than every one before, however it was taken.
///
/// Verifies: "Terms grow", between candidates and for one that leads again.
pub async fn terms_grow<F: LeaderFixture>(fixture: &F) {
    let place = fixture.place();
    let candidates = [candidate(fixture, &place), candidate(fixture, &place)];
    let mut last = Term(0);
    for turn in 0..6 {
        let election = &candidates[turn / 2 % 2];
        let leadership = if turn % 3 == 0 {
            try_lead(election).await.expect("nobody leads")
        } else {
            lead(election).await
        };
        assert!(leadership.term() > last, "{} came after {last}", leadership.term());
        last = leadership.term();
    }
}

/// A restart of everything does not make terms begin again.
///
/// Verifies: terms grow "also across restarts".
pub async fn terms_grow_when_every_candidate_is_new<F: LeaderFixture>(fixture: &F) {
    let place = fixture.place();
    let mut last = Term(0);
    for _ in 0..5 {
        let term = lead(&candidate(fixture, &place)).await.term();
        assert!(term > last, "{term} came after {last}");
        last = term;
    }
}

/// A candidate that waits leads as soon as the leader gives leadership up.
///
/// Verifies: dropping a `Leadership` gives it up; the next one has a higher term.
pub async fn dropping_leadership_hands_it_over<F: LeaderFixture>(fixture: &F) {
    let place = fixture.place();
    let (one, two) = (candidate(fixture, &place), candidate(fixture, &place));
    let first = lead(&one).await;
    let first_term = first.term();
    let mut waiting = two.acquire();
    assert!(poll!(&mut waiting).is_pending());
    drop(first);
    let second = waiting.await.expect("leadership can be sought");
    assert!(second.term() > first_term);
    assert!(try_lead(&one).await.is_none());
}

/// Of many candidates each gets its turn, and never two at once.
///
/// Verifies: exclusion and progress with a queue of candidates.
pub async fn every_waiting_candidate_leads_once<F: LeaderFixture>(fixture: &F) {
    const CANDIDATES: usize = 8;
    let place = fixture.place();
    let leading = AtomicUsize::new(0);
    let turns = (0..CANDIDATES).map(|_| async {
        let leadership = lead(&candidate(fixture, &place)).await;
        assert_eq!(leading.fetch_add(1, Ordering::SeqCst), 0, "two lead at once");
        // Gives the others a chance to take what they must not.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        leading.fetch_sub(1, Ordering::SeqCst);
        leadership.term()
    });
    let mut terms = join_all(turns).await;
    terms.sort();
    terms.dedup();
    assert_eq!(terms.len(), CANDIDATES, "two leaders had one term: {terms:?}");
}

/// A candidate that gave up does not become the leader later.
///
/// Verifies: `acquire` is cancel safe.
pub async fn a_candidate_that_stops_waiting_is_none<F: LeaderFixture>(fixture: &F) {
    let place = fixture.place();
    let (one, two) = (candidate(fixture, &place), candidate(fixture, &place));
    let leadership = lead(&one).await;
    for _ in 0..3 {
        assert!(two.acquire().now_or_never().is_none());
    }
    drop(leadership);
    let leadership = lead(&one).await;
    assert!(try_lead(&two).await.is_none());
    drop(leadership);
    assert!(try_lead(&one).await.is_some(), "a candidate that gave up holds leadership");
}

/// Those behind a candidate that gave up do not wait for it.
///
/// Verifies: a cancelled `acquire` leaves the queue.
pub async fn a_candidate_that_stops_waiting_delays_nobody<F: LeaderFixture>(fixture: &F) {
    let place = fixture.place();
    let [one, two, three] = [(); 3].map(|()| candidate(fixture, &place));
    let leadership = lead(&one).await;
    let mut second = two.acquire();
    let mut third = three.acquire();
    assert!(poll!(&mut second).is_pending());
    assert!(poll!(&mut third).is_pending());
    drop(second);
    drop(leadership);
    third.await.expect("leadership can be sought");
}

/// Nothing tells a leader that it lost what it holds, also when others ask for it.
///
/// Verifies: `lost` stays pending; waiting for it can be cancelled.
pub async fn leadership_is_not_lost_while_it_is_held<F: LeaderFixture>(fixture: &F) {
    let place = fixture.place();
    let (one, two) = (candidate(fixture, &place), candidate(fixture, &place));
    let leadership = lead(&one).await;
    assert!(leadership.lost().now_or_never().is_none());
    assert!(try_lead(&two).await.is_none());
    assert!(two.acquire().now_or_never().is_none());
    assert!(leadership.lost().now_or_never().is_none());
}

/// A leader that is not heard of for too long learns that it lost; the next one leads with a higher term.
///
/// Verifies: `lost` resolves, again and again; a waiting candidate takes over.
pub async fn expired_leadership_is_lost_and_taken_over<F: LeaderFixture>(fixture: &F) {
    let place = fixture.place();
    let (one, two) = (candidate(fixture, &place), candidate(fixture, &place));
    let old = lead(&one).await;
    let mut waiting = two.acquire();
    assert!(poll!(&mut waiting).is_pending());
    if !fixture.expire(&place).await {
        return eprintln!("skipped: leadership cannot be lost");
    }
    old.lost().await;
    let new = waiting.await.expect("leadership can be sought");
    assert!(new.term() > old.term());
    old.lost().await;
    assert!(new.lost().now_or_never().is_none(), "the new leader lost with the old one");
    assert!(try_lead(&one).await.is_none());
}

/// A leader that lost, and drops its guard late, does not take leadership from its successor.
///
/// Verifies: dropping gives up one's own leadership only.
pub async fn dropping_lost_leadership_harms_nobody<F: LeaderFixture>(fixture: &F) {
    let place = fixture.place();
    let (one, two) = (candidate(fixture, &place), candidate(fixture, &place));
    let old = lead(&one).await;
    if !fixture.expire(&place).await {
        return eprintln!("skipped: leadership cannot be lost");
    }
    let new = lead(&two).await;
    drop(old);
    assert!(try_lead(&one).await.is_none(), "two lead at once");
    assert!(new.lost().now_or_never().is_none());
    drop(new);
    assert!(try_lead(&one).await.is_some());
}

/// Candidates at different places do not know of each other.
///
/// Verifies: each place has a leader of its own.
pub async fn places_are_independent<F: LeaderFixture>(fixture: &F) {
    let (here, there) = (fixture.place(), fixture.place());
    let _leadership = lead(&candidate(fixture, &here)).await;
    assert!(try_lead(&candidate(fixture, &there)).await.is_some());
}
