//! Finds an order in which a sequential model would have given the same answers, or shows that there is none.
//!
//! The search is that of Wing and Gong (*Testing and verifying concurrent objects*, 1993) with the two improvements of
//! Lowe (*Testing for linearizability*, 2017): calls and answers are one linked list from which what was placed is lifted
//! out and put back, and a configuration (the operations placed, and the state) is never searched twice. A third one
//! makes long reads cheap: an operation that leaves the state as it is may always be placed as soon as it can be, because
//! any order in which it comes later stays one when it is moved there. So that choice is never taken back.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// What operations do when they come one after the other.
pub trait Model {
    /// What they work on.
    type State: Clone + Debug + Default + Eq + Hash;
    /// A call, and its answer if there was one.
    type Operation: Debug;

    /// The state after `operation`; `None` if it would have been answered otherwise in `state`.
    fn step(state: &Self::State, operation: &Self::Operation) -> Option<Self::State>;
}

/// An operation and when it was under way, by a clock that all clients share.
#[derive(Clone, Debug)]
pub struct Timed<O> {
    /// Who called.
    pub client: usize,
    /// What was asked and answered.
    pub operation: O,
    /// When it was called.
    pub called: u64,
    /// When it was answered; `None` if it never was: then it may have any effect later, or none.
    pub answered: Option<u64>,
}

/// What the checker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none.
    Violation(Violation),
    /// The search was given up after this many configurations.
    Undecided(usize),
}

/// How far the search came at best.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Operations in their order, by their places in the history.
    pub longest: Vec<usize>,
    /// The operation that was over before it could be placed.
    pub stuck: usize,
}

/// Configurations after which a search is given up.
pub const DEFAULT_LIMIT: usize = 2_000_000;

/// Checks a history, giving up after `limit` configurations.
pub fn check<M: Model>(history: &[Timed<M::Operation>], limit: usize) -> Verdict {
    Search::<M>::new(history).run(limit)
}

/// The sentinel before the first entry, and the end.
const HEAD: usize = 0;

/// A call or an answer, linked to those beside it that were not lifted out.
struct Entry {
    operation: usize,
    /// For a call, the entry of its answer; `None` for an answer, and for a call without one.
    answer: Option<usize>,
    is_call: bool,
    previous: usize,
    next: usize,
}

/// A choice that can be taken back.
struct Choice<S> {
    entry: usize,
    before: S,
    /// Nothing else needs to be tried in its place.
    is_final: bool,
}

struct Search<'a, M: Model> {
    history: &'a [Timed<M::Operation>],
    entries: Vec<Entry>,
    placed: Vec<u64>,
    state: M::State,
    choices: Vec<Choice<M::State>>,
    seen: HashSet<(Vec<u64>, M::State)>,
    /// Operations with an answer that are not placed yet.
    left: usize,
    best: Option<Violation>,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(history: &'a [Timed<M::Operation>]) -> Self {
        let mut times: Vec<(u64, usize, bool)> = Vec::new();
        for (operation, timed) in history.iter().enumerate() {
            times.push((timed.called, operation, true));
            times.extend(timed.answered.map(|answered| (answered, operation, false)));
        }
        // At one time calls come first: then the two are concurrent.
        times.sort_by_key(|&(time, _, is_call)| (time, !is_call));
        let count = times.len();
        let mut entries =
            vec![Entry { operation: 0, answer: None, is_call: false, previous: count, next: 1 }];
        let mut calls = vec![HEAD; history.len()];
        for (index, (_, operation, is_call)) in (1..).zip(times) {
            let next = if index == count { HEAD } else { index + 1 };
            entries.push(Entry { operation, answer: None, is_call, previous: index - 1, next });
            if is_call {
                calls[operation] = index;
            } else {
                entries[calls[operation]].answer = Some(index);
            }
        }
        entries[HEAD].next = if count == 0 { HEAD } else { 1 };
        Self {
            history,
            entries,
            placed: vec![0; history.len().div_ceil(64)],
            state: M::State::default(),
            choices: Vec::new(),
            seen: HashSet::new(),
            left: history.iter().filter(|timed| timed.answered.is_some()).count(),
            best: None,
        }
    }

    fn run(mut self, limit: usize) -> Verdict {
        let mut entry = self.entries[HEAD].next;
        while self.left > 0 {
            if self.seen.len() > limit {
                return Verdict::Undecided(self.seen.len());
            }
            let Entry { is_call, next, .. } = self.entries[entry];
            if is_call {
                entry = if self.place(entry) { self.entries[HEAD].next } else { next };
                continue;
            }
            // An answer, so its operation should have been placed, and nothing after it may come before.
            self.note_stuck(entry);
            match self.take_back() {
                Some(next) => entry = next,
                None => return Verdict::Violation(self.best.expect("an operation has just been stuck")),
            }
        }
        Verdict::Linearizable
    }

    /// Places the operation that is called here, if the model answers the same and that leads to something new.
    fn place(&mut self, entry: usize) -> bool {
        let operation = self.entries[entry].operation;
        let Some(state) = M::step(&self.state, &self.history[operation].operation) else { return false };
        self.placed[operation / 64] |= 1 << (operation % 64);
        if !self.seen.insert((self.placed.clone(), state.clone())) {
            self.placed[operation / 64] &= !(1 << (operation % 64));
            return false;
        }
        let is_final = state == self.state;
        let before = std::mem::replace(&mut self.state, state);
        self.choices.push(Choice { entry, before, is_final });
        self.unlink(entry);
        if let Some(answer) = self.entries[entry].answer {
            self.unlink(answer);
            self.left -= 1;
        }
        true
    }

    /// Takes choices back up to one that has an alternative; where to go on looking for it.
    fn take_back(&mut self) -> Option<usize> {
        loop {
            let Choice { entry, before, is_final } = self.choices.pop()?;
            let operation = self.entries[entry].operation;
            self.placed[operation / 64] &= !(1 << (operation % 64));
            self.state = before;
            if let Some(answer) = self.entries[entry].answer {
                self.link(answer);
                self.left += 1;
            }
            self.link(entry);
            if !is_final {
                return Some(self.entries[entry].next);
            }
        }
    }

    fn note_stuck(&mut self, entry: usize) {
        if self.best.as_ref().is_none_or(|best| best.longest.len() < self.choices.len()) {
            let longest = self.choices.iter().map(|choice| self.entries[choice.entry].operation).collect();
            self.best = Some(Violation { longest, stuck: self.entries[entry].operation });
        }
    }

    fn unlink(&mut self, entry: usize) {
        let Entry { previous, next, .. } = self.entries[entry];
        self.entries[previous].next = next;
        self.entries[next].previous = previous;
    }

    /// Undoes the last [`Self::unlink`] that was not undone.
    fn link(&mut self, entry: usize) {
        let Entry { previous, next, .. } = self.entries[entry];
        self.entries[previous].next = entry;
        self.entries[next].previous = entry;
    }
}
