//! What happened in a run: the trace, the counts of faults, and the first rule that was broken.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::faults::Fault;

/// The record of one run. Clones are handles of the same record.
#[derive(Clone, Debug)]
pub(crate) struct Record(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    began: Instant,
    trace: String,
    faults: FaultCounts,
    violation: Option<String>,
}

/// How often each kind of fault happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts(BTreeMap<Fault, u64>);

impl FaultCounts {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (fault, count) in &other.0 {
            self.count(*fault, *count);
        }
    }

    pub(crate) fn count(&mut self, fault: Fault, times: u64) {
        if times > 0 {
            *self.0.entry(fault).or_default() += times;
        }
    }

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (fault, count) in &self.0 {
            write!(f, "{separator}{fault} {count}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl Record {
    /// Begins now.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            began: Instant::now(),
            trace: String::new(),
            faults: FaultCounts::default(),
            violation: None,
        })))
    }

    /// Writes a line into the trace.
    pub(crate) fn tell(&self, what: impl fmt::Display) {
        let mut state = self.state();
        let at = state.began.elapsed().as_secs_f64();
        writeln!(state.trace, "{at:10.3}  {what}").expect("a string takes everything");
    }

    /// Counts a fault and tells it.
    pub(crate) fn fault(&self, fault: Fault, what: impl fmt::Display) {
        self.tell(format_args!("! {fault}: {what}"));
        self.state().faults.count(fault, 1);
    }

    pub(crate) fn count(&self, fault: Fault, times: u64) {
        self.state().faults.count(fault, times);
    }

    /// Notes that a rule was broken; the first one counts.
    pub(crate) fn violate(&self, rule: impl fmt::Display) {
        self.tell(format_args!("VIOLATION {rule}"));
        self.state().violation.get_or_insert_with(|| rule.to_string());
    }

    /// Notes a broken rule unless `holds`.
    pub(crate) fn check(&self, holds: bool, rule: impl FnOnce() -> String) {
        if !holds {
            self.violate(rule());
        }
    }

    pub(crate) fn violation(&self) -> Option<String> {
        self.state().violation.clone()
    }

    pub(crate) fn trace(&self) -> String {
        self.state().trace.clone()
    }

    pub(crate) fn faults(&self) -> FaultCounts {
        self.state().faults.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
