//! The status of a store as a value that can be watched.

use std::sync::Arc;
use std::time::Duration;

use livestore_traits::LeaderElection;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::processor::{LeaderStatus, SessionStatus};
use crate::runtime::{Member, Role};

/// How a store and one of its sessions are doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStatus {
    /// Where the leader is.
    pub presence: Presence,
    /// The leader: heads, pending events, connection, rebases. The last that was heard of it.
    pub leader: LeaderStatus,
    /// The session that was asked.
    pub session: SessionStatus,
}

/// Where the leader of a client is, as one of its stores knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// In this process.
    Here,
    /// In another process.
    Elsewhere,
    /// In another process that does not say anything, though it lives: it may be stopped or suspended. Sessions go on,
    /// and their commits become durable when it does.
    Silent {
        /// Who it is, as the election knows.
        led_by: Option<String>,
    },
    /// There is none at the moment; one is being found.
    Absent {
        /// Who holds leadership already, as the election knows.
        led_by: Option<String>,
    },
    /// There will be none any more: the store was closed, or has failed.
    Over,
}

impl StoreStatus {
    /// Whether everything committed so far by this client is confirmed.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        self.leader.pending_events == 0
            && self.session.pending_events == 0
            && self.session.unconfirmed_commits == 0
    }
}

/// Follows the leader's status.
#[derive(Clone, Debug)]
pub struct StatusWatch {
    pub(super) leader: watch::Receiver<LeaderStatus>,
}

impl StatusWatch {
    /// The status now.
    #[must_use]
    pub fn current(&mut self) -> LeaderStatus {
        self.leader.borrow_and_update().clone()
    }

    /// Waits for another status than the one last seen; `None` when the store was closed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn changed(&mut self) -> Option<LeaderStatus> {
        self.leader.changed().await.ok()?;
        Some(self.current())
    }

    /// Waits until `condition` holds; `None` when the store was closed before.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait_for(&mut self, condition: impl FnMut(&LeaderStatus) -> bool) -> Option<LeaderStatus> {
        Some(self.leader.wait_for(condition).await.ok()?.clone())
    }
}

/// Follows where the leader of a client is.
#[derive(Clone, Debug)]
pub struct PresenceWatch {
    roles: watch::Receiver<Role>,
    election: Option<Arc<dyn LeaderElection>>,
}

impl PresenceWatch {
    pub(super) fn of(member: &Member) -> Self {
        Self { roles: member.roles(), election: member.election() }
    }

    /// Where it is now.
    #[must_use]
    pub fn current(&mut self) -> Presence {
        let role = self.roles.borrow_and_update().clone();
        let led_by = || self.election.as_ref().and_then(|election| election.led_by().ok().flatten());
        match role {
            Role::Leading(_) => Presence::Here,
            Role::Following { is_silent: false } => Presence::Elsewhere,
            Role::Following { is_silent: true } => Presence::Silent { led_by: led_by() },
            Role::Seeking | Role::Beginning => Presence::Absent { led_by: led_by() },
            Role::Over(_) => Presence::Over,
        }
    }

    /// Waits for a change; `None` after [`Presence::Over`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn changed(&mut self) -> Option<Presence> {
        self.roles.changed().await.ok()?;
        Some(self.current())
    }

    /// Waits until no leader could be reached for `limit` at a stretch, or there will be none any more. A leader that
    /// says nothing is noticed after some seconds, from which `limit` counts.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn unreachable(&mut self, limit: Duration) -> Presence {
        let is_over = |role: &Role| matches!(role, Role::Over(_));
        while self.roles.wait_for(|role| !role.is_reachable()).await.is_ok_and(|role| !is_over(&role)) {
            let answered = self.roles.wait_for(|role| role.is_reachable() || is_over(role));
            match timeout(limit, answered).await.map(|role| role.is_ok()) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return self.current(),
            }
        }
        Presence::Over
    }
}
