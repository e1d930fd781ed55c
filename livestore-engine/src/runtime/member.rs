//! What the rest of a store knows of its leader, whichever process that is in.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use livestore_traits::{
    Attach, Attachment, BoxStream, EventlogError, EventlogReader, LeaderElection, LeaderLink, LeaderReport,
    LeaderStatus, LinkError, MaterializeError, Materializer, MaterializerSource, Rendezvous, SessionId,
    SessionSnapshot,
};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::campaign::{Campaign, Campaigning, Close, LOOK_AGAIN_MS, Role, SeekError};
use super::clock;
use super::core::LeaderFailure;
use super::leader_handle::LeaderMessage;
use super::leader_loop::LeaderSettings;
use super::link::LocalLink;

/// A store's part in its client. Dropping it ends a leader in this process.
#[derive(Debug)]
pub(crate) struct Member {
    roles: watch::Receiver<Role>,
    /// Sessions that wait for a leader reach it in the order in which they came, the same in each run of a simulation.
    turn: Mutex<watch::Receiver<Role>>,
    status: watch::Receiver<LeaderStatus>,
    close: mpsc::Sender<Close>,
    states: Arc<dyn MaterializerSource>,
    election: Option<Arc<dyn LeaderElection>>,
    rendezvous: Option<Arc<dyn Rendezvous>>,
    campaign: AbortHandle,
}

/// Why a member could not begin.
#[derive(Debug)]
pub(crate) enum BeginError {
    Seek(SeekError),
    /// Nobody answered in time.
    NoLeader,
}

impl Member {
    /// Finds a leader within `limit`, or becomes one, and goes on doing so.
    pub(crate) async fn begin(
        settings: LeaderSettings,
        ways: Campaigning,
        limit: Duration,
    ) -> Result<Self, BeginError> {
        let (states, election, rendezvous) =
            (settings.states.clone(), ways.election.clone(), ways.rendezvous.clone());
        let mut campaign = Campaign::new(settings, ways);
        let (role_sender, roles) = watch::channel(Role::Seeking);
        let found = campaign.seek(limit, &role_sender).await.map_err(BeginError::Seek)?;
        let part = found.ok_or(BeginError::NoLeader)?;
        let board = campaign.board.as_ref().expect("a part that was found has told its status");
        let status = board.subscribe();
        role_sender.send_replace(Role::of(&part));
        let (close, closes) = mpsc::channel(1);
        let campaign = tokio::spawn(campaign.run(part, role_sender, closes)).abort_handle();
        let turn = Mutex::new(roles.clone());
        Ok(Self { roles, turn, status, close, states, election, rendezvous, campaign })
    }

    pub(crate) fn status(&self) -> watch::Receiver<LeaderStatus> {
        self.status.clone()
    }

    pub(crate) fn roles(&self) -> watch::Receiver<Role> {
        self.roles.clone()
    }

    pub(crate) fn election(&self) -> Option<Arc<dyn LeaderElection>> {
        self.election.clone()
    }

    /// An empty state for a session.
    pub(crate) fn session_state(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        self.states.scratch()
    }

    /// Why the store is over, if a failure ended it.
    pub(crate) fn failure(&self) -> Option<Arc<LeaderFailure>> {
        match &*self.roles.borrow() {
            Role::Over(failure) => failure.clone(),
            Role::Seeking | Role::Beginning | Role::Leading(_) | Role::Following { .. } => None,
        }
    }

    /// Waits until the store is over and returns why, if a failure ended it.
    pub(crate) async fn stopped(&self) -> Option<Arc<LeaderFailure>> {
        let mut roles = self.roles.clone();
        // An error means that the runtime is going away.
        let _ = roles.wait_for(|role| matches!(role, Role::Over(_))).await;
        self.failure()
    }

    /// Closes log and state and gives leadership up, if it is here. Returns the failure that had ended the store before.
    pub(crate) async fn shut_down(&self) -> Option<Arc<LeaderFailure>> {
        let (closed, is_closed) = oneshot::channel();
        // It may be over already.
        if self.close.send(closed).await.is_ok() {
            let _ = is_closed.await;
        }
        self.failure()
    }

    /// A reader of the log, which only the process that leads has open.
    pub(crate) async fn reader(&self) -> Result<Box<dyn EventlogReader>, EventlogError> {
        let role = self.roles.borrow().clone();
        match role {
            Role::Leading(handle) => {
                handle.ask(LeaderMessage::Reader).await.map_err(|_| EventlogError::Closed)?
            }
            Role::Over(_) => Err(EventlogError::Closed),
            Role::Seeking | Role::Beginning | Role::Following { .. } => {
                Err(EventlogError::Refused("another process leads, and has the log open".to_owned()))
            }
        }
    }

    /// The way to whoever leads; waits for it to be known.
    async fn link(&self) -> Result<Arc<dyn LeaderLink>, LinkError> {
        let over = || LinkError::Refused("the store is closed".to_owned());
        let mut roles = self.turn.lock().await;
        let is_known = |role: &Role| !matches!(role, Role::Seeking | Role::Beginning);
        let role = roles.wait_for(is_known).await.map_err(|_| over())?.clone();
        match (role, &self.rendezvous) {
            (Role::Leading(handle), _) => Ok(Arc::new(LocalLink::new(handle))),
            (Role::Following { .. }, Some(rendezvous)) => Ok(rendezvous.connect()),
            _ => Err(over()),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.campaign.abort();
    }
}

/// Leads to whoever leads when it is used. What can be asked of any leader is asked again while they change.
#[derive(Clone, Debug)]
pub(crate) struct RelayLink(Arc<Member>);

impl RelayLink {
    pub(crate) const fn new(member: Arc<Member>) -> Self {
        Self(member)
    }
}

/// A leader that refuses is not the last one: only the store says when it is over.
fn passing(error: LinkError) -> LinkError {
    match error {
        LinkError::Refused(why) => LinkError::Link(why.into()),
        error => error,
    }
}

#[async_trait]
impl LeaderLink for RelayLink {
    async fn attach(&self, attach: Attach) -> Result<Attachment, LinkError> {
        loop {
            match self.0.link().await?.attach(attach.clone()).await {
                // The next leader is a matter of milliseconds, for which a session's pauses are too long.
                Err(LinkError::Gone) => clock::pause(LOOK_AGAIN_MS).await,
                attached => return attached.map_err(passing),
            }
        }
    }

    async fn snapshot(&self, session_id: &SessionId) -> Result<SessionSnapshot, LinkError> {
        loop {
            match self.0.link().await?.snapshot(session_id).await.map_err(passing) {
                // The next leader has one, too.
                Err(LinkError::Gone) => clock::pause(LOOK_AGAIN_MS).await,
                snapshot => return snapshot,
            }
        }
    }

    async fn sync_now(&self) -> Result<LeaderStatus, LinkError> {
        loop {
            match self.0.link().await?.sync_now().await.map_err(passing) {
                Err(LinkError::Gone) => clock::pause(LOOK_AGAIN_MS).await,
                status => return status,
            }
        }
    }

    async fn reports(&self) -> Result<BoxStream<'static, LeaderReport>, LinkError> {
        self.0.link().await?.reports().await.map_err(passing)
    }
}
