//! An election as one value that all candidates watch.
//!
//! ```text
//!             front of the queue                 dropped
//!   waiting ─────────────────────▶ leading ─────────────────▶ over
//!      │                            │    ▲
//!      │ dropped              stall │    │ resume, within the lease
//!      ▼                            ▼    │
//!     gone                        stalled ──────────────────▶ lost, at the end of the lease
//! ```
//!
//! No task renews leases and none ends them: a lease that is renewed all the time ends one lease after its holder was
//! stalled, and whoever looks after that (a waiting candidate, the leader itself) finds it ended.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use livestore_traits::{LeaderElection, LeaderError, Leadership, LostLeadership, Term};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// An election among the clones of one value; candidates lead in the order in which they came.
#[derive(Clone, Debug)]
pub struct MemoryElection {
    state: Arc<watch::Sender<State>>,
    lease: Option<Duration>,
}

#[derive(Debug, Default)]
struct State {
    last_term: Term,
    leader: Option<Leader>,
    last_ticket: u64,
    /// The tickets of those who wait, in the order in which they came.
    queue: VecDeque<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Leader {
    term: Term,
    /// When the lease ends, if it is not being renewed.
    ends: Option<Instant>,
}

impl MemoryElection {
    /// An election whose leaders lead until they give up.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Arc::default(), lease: None }
    }

    /// An election whose leaders hold a lease that they renew all the time, unless they are [stalled](Self::stall).
    #[must_use]
    pub fn with_lease(lease: Duration) -> Self {
        Self { lease: Some(lease), ..Self::new() }
    }

    /// Stops the present leader's renewals, as suspending its process would: unless [`Self::resume`] comes in time, its
    /// leadership is lost when the lease ends. Does nothing if nobody leads, or without a lease.
    pub fn stall(&self) {
        let ends = self.lease.map(|lease| Instant::now() + lease);
        self.renew_until(ends);
    }

    /// Lets the present leader renew again, if its lease has not ended.
    pub fn resume(&self) {
        self.renew_until(None);
    }

    fn renew_until(&self, ends: Option<Instant>) {
        self.state.send_modify(|state| {
            state.end_lease();
            if let Some(leader) = &mut state.leader {
                leader.ends = ends;
            }
        });
    }

    /// Leads, if nobody does and whoever came earlier than `ticket` has led.
    fn take(&self, ticket: Option<u64>) -> Option<Box<dyn Leadership>> {
        let mut taken = None;
        self.state.send_if_modified(|state| {
            state.end_lease();
            if state.leader.is_some() || state.queue.front().copied() != ticket {
                return false;
            }
            state.queue.pop_front();
            state.last_term = Term(state.last_term.0 + 1);
            state.leader = Some(Leader { term: state.last_term, ends: None });
            taken = Some(state.last_term);
            true
        });
        let state = Arc::clone(&self.state);
        taken.map(|term| Box::new(MemoryLeadership { term, state }) as Box<dyn Leadership>)
    }
}

impl Default for MemoryElection {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// Takes leadership from a leader whose lease has ended.
    fn end_lease(&mut self) {
        let now = Instant::now();
        self.leader = self.leader.filter(|leader| leader.ends.is_none_or(|ends| now < ends));
    }

    fn is_led_by(&self, term: Term) -> bool {
        self.leader.is_some_and(|leader| leader.term == term)
    }
}

#[async_trait]
impl LeaderElection for MemoryElection {
    async fn acquire(&self) -> Result<Box<dyn Leadership>, LeaderError> {
        let mut changes = self.state.subscribe();
        let ticket = Ticket::draw(&self.state);
        loop {
            if let Some(leadership) = self.take(Some(ticket.number)) {
                return Ok(leadership);
            }
            let ends = changes.borrow_and_update().leader.and_then(|leader| leader.ends);
            change_or(&mut changes, ends).await;
        }
    }

    async fn try_acquire(&self) -> Result<Option<Box<dyn Leadership>>, LeaderError> {
        Ok(self.take(None))
    }

    fn led_by(&self) -> Result<Option<String>, LeaderError> {
        Ok(self.state.borrow().leader.map(|leader| format!("the leader of term {}", leader.term.0)))
    }
}

/// Waits for a change of the state, or for a moment if there is one to wait for.
async fn change_or(changes: &mut watch::Receiver<State>, moment: Option<Instant>) {
    let at_moment = async {
        match moment {
            Some(moment) => sleep_until(moment).await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        // The sender is held by whoever waits, so it is never gone.
        _ = changes.changed() => {}
        () = at_moment => {}
    }
}

/// A place in the queue, given back if the candidate stops waiting.
struct Ticket<'a> {
    number: u64,
    state: &'a watch::Sender<State>,
}

impl<'a> Ticket<'a> {
    fn draw(state: &'a watch::Sender<State>) -> Self {
        let mut number = 0;
        state.send_if_modified(|state| {
            state.last_ticket += 1;
            number = state.last_ticket;
            state.queue.push_back(number);
            // Nobody waits for somebody to come.
            false
        });
        Self { number, state }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.state.send_if_modified(|state| {
            let waiting = state.queue.len();
            state.queue.retain(|ticket| *ticket != self.number);
            state.queue.len() < waiting
        });
    }
}

#[derive(Debug)]
struct MemoryLeadership {
    term: Term,
    state: Arc<watch::Sender<State>>,
}

#[async_trait]
impl Leadership for MemoryLeadership {
    fn term(&self) -> Term {
        self.term
    }

    async fn lost(&self) -> LostLeadership {
        let mut changes = self.state.subscribe();
        loop {
            self.state.send_if_modified(|state| {
                let led = state.leader.is_some();
                state.end_lease();
                led && state.leader.is_none()
            });
            let leader = changes.borrow_and_update().leader;
            match leader.filter(|leader| leader.term == self.term) {
                None => return LostLeadership::Expired,
                Some(leader) => change_or(&mut changes, leader.ends).await,
            }
        }
    }
}

impl Drop for MemoryLeadership {
    fn drop(&mut self) {
        self.state.send_if_modified(|state| {
            let held = state.is_led_by(self.term);
            if held {
                state.leader = None;
            }
            held
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_renewed_does_not_end() {
        let election = MemoryElection::with_lease(LEASE);
        let leadership = election.acquire().await.unwrap();
        let waited = tokio::time::timeout(LEASE * 100, leadership.lost()).await;
        assert!(waited.is_err(), "lost without being stalled");
        assert!(election.try_acquire().await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_leader_loses_at_the_end_of_its_lease_and_not_before() {
        let election = MemoryElection::with_lease(LEASE);
        let start = Instant::now();
        let old = election.acquire().await.unwrap();
        election.stall();
        let new = election.acquire().await.unwrap();
        assert_eq!((start.elapsed(), new.term()), (LEASE, Term(2)));
        assert_eq!(old.lost().await, LostLeadership::Expired);
        election.resume();
        assert_eq!(old.lost().await, LostLeadership::Expired, "what is lost does not come back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_goes_on_in_time_stays_the_leader() {
        let election = MemoryElection::with_lease(LEASE);
        let leadership = election.acquire().await.unwrap();
        election.stall();
        tokio::time::advance(LEASE - Duration::from_millis(1)).await;
        election.resume();
        assert!(tokio::time::timeout(LEASE * 3, leadership.lost()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_also_when_nobody_waits_for_it() {
        let election = MemoryElection::with_lease(LEASE);
        let leadership = election.acquire().await.unwrap();
        election.stall();
        assert_eq!(leadership.lost().await, LostLeadership::Expired);
        assert_eq!(election.try_acquire().await.unwrap().unwrap().term(), Term(2));
    }

    #[tokio::test]
    async fn without_a_lease_nothing_ends() {
        let election = MemoryElection::new();
        let _leadership = election.acquire().await.unwrap();
        election.stall();
        assert!(election.try_acquire().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn candidates_lead_in_the_order_in_which_they_came() {
        let election = MemoryElection::new();
        let leadership = election.acquire().await.unwrap();
        let (mut first, mut second) = (election.acquire(), election.acquire());
        assert!(futures_pending(&mut first).await && futures_pending(&mut second).await);
        drop(leadership);
        assert!(election.try_acquire().await.unwrap().is_none(), "others came earlier");
        assert!(futures_pending(&mut second).await, "the first came earlier");
        drop(first.await.unwrap());
        second.await.unwrap();
    }

    async fn futures_pending<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
        })
        .await
    }
}
