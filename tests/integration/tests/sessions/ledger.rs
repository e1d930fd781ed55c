//! What the application knows of its commits: when each was made, and what it was told about it.

use futures::FutureExt;
use livestore_engine::{NotConfirmed, Receipt, Session};
use livestore_integration::read;
use livestore_traits::{NewEvent, SeqNum, SessionId};
use tokio::task::unconstrained;

/// How a session ended, if it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It lives.
    None,
    /// At once: what was not known to be persisted may be lost.
    AtOnce,
    /// Its store was shut down, which said that everything is persisted.
    InOrder,
}

/// One session as the application holds it. Its id may have been that of an earlier one.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) client: usize,
    pub(crate) session_id: SessionId,
    pub(crate) commits: Vec<Commit>,
    pub(crate) end: End,
}

#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) unit: Vec<NewEvent>,
    pub(crate) receipt: Receipt,
    /// The application has seen that it is persisted.
    pub(crate) seen_persisted: bool,
}

impl Account {
    pub(crate) fn new(client: usize, session: &Session) -> Self {
        Self { client, session_id: session.id().clone(), commits: Vec::new(), end: End::None }
    }

    /// Commits, and checks that a read right after shows it.
    pub(crate) fn commit(&mut self, session: &Session, unit: Vec<NewEvent>) {
        let before = read(session);
        let receipt = session.commit(unit.clone()).expect("a session that lives takes commits");
        let after = read(session);
        let added = (after.lines.len() + after.drafts.len()) - (before.lines.len() + before.drafts.len());
        // What others commit may come in between.
        assert!(added >= unit.len(), "a read right after a commit shows it");
        if let Some(last) = self.commits.last() {
            assert_eq!(receipt.n, last.receipt.n + 1, "commits are counted without gaps");
        }
        self.commits.push(Commit { unit, receipt, seen_persisted: false });
    }

    /// Notes what receipts say now.
    pub(crate) fn look(&mut self) {
        for commit in &mut self.commits {
            commit.seen_persisted |= commit.persisted() == Some(Ok(()));
        }
    }
}

impl Commit {
    /// What is known about it now.
    pub(crate) fn persisted(&self) -> Option<Result<(), NotConfirmed>> {
        unconstrained(self.receipt.persisted()).now_or_never()
    }

    /// What is known about it now.
    pub(crate) fn confirmed(&self) -> Option<Result<SeqNum, NotConfirmed>> {
        unconstrained(self.receipt.confirmed()).now_or_never()
    }
}
