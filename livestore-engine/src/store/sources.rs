//! Where states come from when an application names a state rather than a source of them.

use std::fmt;
use std::sync::Mutex;

use livestore_traits::{MaterializeError, Materializer, MaterializerSource};

use crate::runtime::unpoisoned;

/// One state, for one leader.
#[derive(Debug)]
pub(super) struct OneState(Mutex<Single>);

#[derive(Debug)]
struct Single {
    /// Until the leader takes it.
    state: Option<Box<dyn Materializer>>,
    /// From then on.
    template: Option<Box<dyn Materializer>>,
}

impl OneState {
    pub(super) fn new(state: impl Materializer) -> Self {
        Self(Mutex::new(Single { state: Some(Box::new(state)), template: None }))
    }
}

impl MaterializerSource for OneState {
    fn open(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        let mut single = unpoisoned(&self.0);
        let state =
            single.state.take().ok_or_else(|| no_state("the state was given to an earlier leader"))?;
        single.template = Some(state.fork()?);
        Ok(state)
    }

    fn scratch(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        let single = unpoisoned(&self.0);
        let template = single.state.as_ref().or(single.template.as_ref());
        template.ok_or_else(|| no_state("the state could not be forked"))?.fork()
    }
}

/// States that are opened when this process leads.
pub(super) struct OpenedStates<F> {
    open: Mutex<F>,
    /// A fork of the first one.
    template: Mutex<Option<Box<dyn Materializer>>>,
}

impl<F> OpenedStates<F> {
    pub(super) const fn new(open: F) -> Self {
        Self { open: Mutex::new(open), template: Mutex::new(None) }
    }
}

impl<F> fmt::Debug for OpenedStates<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedStates").finish_non_exhaustive()
    }
}

impl<M, F> MaterializerSource for OpenedStates<F>
where
    M: Materializer,
    F: FnMut() -> Result<M, MaterializeError> + Send + 'static,
{
    fn open(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        let state = unpoisoned(&self.open)()?;
        *unpoisoned(&self.template) = Some(state.fork()?);
        Ok(Box::new(state))
    }

    fn scratch(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        let template = unpoisoned(&self.template);
        template
            .as_ref()
            .ok_or_else(|| no_state("a process that does not lead needs a source of states"))?
            .fork()
    }
}

fn no_state(why: &str) -> MaterializeError {
    MaterializeError::Storage(why.into())
}
