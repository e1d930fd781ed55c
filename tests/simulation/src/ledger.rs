//! What the application did, and what it was told about it.

use futures::FutureExt;
use livestore_engine::{NotConfirmed, Receipt, Session};
use livestore_traits::{SeqNum, SessionId};
use tokio::task::unconstrained;

use crate::app::Kind;

/// One session, as the application knows it. Its id may have been that of an earlier one.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) client: usize,
    pub(crate) session_id: SessionId,
    pub(crate) commits: Vec<Commit>,
    /// Its store was shut down and said that everything is persisted.
    pub(crate) ended_in_order: bool,
}

/// One commit.
#[derive(Debug)]
pub(crate) struct Commit {
    /// The events; each text is there once in a run.
    pub(crate) unit: Vec<(Kind, String)>,
    receipt: Receipt,
    pub(crate) persisted: bool,
    pub(crate) confirmed: bool,
    pub(crate) gone: Option<NotConfirmed>,
}

impl Account {
    pub(crate) fn new(client: usize, session_id: SessionId) -> Self {
        Self { client, session_id, commits: Vec::new(), ended_in_order: false }
    }

    /// Commits, if the materializers let it.
    pub(crate) fn commit(&mut self, session: &Session, unit: Vec<(Kind, String)>) -> Result<(), String> {
        let events: Vec<_> = unit.iter().map(|(kind, text)| kind.event(text)).collect();
        let receipt = session.commit(events).map_err(|error| error.to_string())?;
        self.commits.push(Commit { unit, receipt, persisted: false, confirmed: false, gone: None });
        Ok(())
    }

    /// Notes what receipts say now.
    pub(crate) fn look(&mut self) {
        self.commits.iter_mut().for_each(Commit::look);
    }
}

impl Commit {
    fn look(&mut self) {
        if self.is_decided() {
            return;
        }
        self.persisted |= unconstrained(self.receipt.persisted()).now_or_never() == Some(Ok(()));
        match unconstrained(self.receipt.confirmed()).now_or_never() {
            Some(Ok(_)) => self.confirmed = true,
            Some(Err(why)) => self.gone = Some(why),
            None => {}
        }
    }

    /// Whether the application was told what became of it.
    pub(crate) fn is_decided(&self) -> bool {
        self.confirmed || self.gone.is_some()
    }

    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.unit.iter().any(|(is, _)| *is == kind)
    }

    /// The number of its last event when it was committed.
    pub(crate) fn num(&self) -> SeqNum {
        self.receipt.num
    }
}
