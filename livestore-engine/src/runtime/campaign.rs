//! A process's part in leading: it leads when it is elected, and follows whoever leads otherwise.
//!
//! ```text
//!             elected ┌─▶ Beginning ─▶ Leading ── the leader failed ─▶ Over
//!   Seeking ──────────┤                   └────── it was replaced ───▶ Seeking
//!       ▲             └─▶ Following ─┐ another process leads
//!       └────────── that one is gone ┘
//! ```

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use livestore_traits::{
    BoxStream, EventlogError, LeaderElection, LeaderError, LeaderReport, LeaderStatus, Leadership, LinkError,
    OpenRendezvous, Rendezvous,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::clock;
use super::core::LeaderFailure;
use super::leader_handle::{LeaderHandle, LoopHandle, Tenure};
use super::leader_host::{Started, StartingLeader, spawn_leader};
use super::leader_loop::{LeaderSettings, StatusBoard};
use super::link::LocalLink;
use super::recovery::RecoveryError;

/// Between two looks for a leader, in milliseconds: irregular, so that many processes do not keep step.
pub(super) const LOOK_AGAIN_MS: std::ops::Range<u64> = 5..25;

/// … and after a leader that this program does not fit, or a rendezvous that cannot be opened.
const MISFIT_PAUSE_MS: std::ops::Range<u64> = 500..1000;

/// Who leads, as this process knows.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Nobody yet.
    Seeking,
    /// This process, once it has its log and its state.
    Beginning,
    /// This process.
    Leading(LeaderHandle),
    /// Another process.
    Following {
        /// Nothing is heard of it, though it is there.
        is_silent: bool,
    },
    /// The store was shut down, or its leader failed for good.
    Over(Option<Arc<LeaderFailure>>),
}

/// How leaders are found.
#[derive(Debug, Default)]
pub(crate) struct Campaigning {
    /// Without one this process leads, and fences whoever else has the log open.
    pub(crate) election: Option<Arc<dyn LeaderElection>>,
    /// Without one this process waits until it leads.
    pub(crate) rendezvous: Option<Arc<dyn Rendezvous>>,
}

/// Why no leader was found, nor could this process be one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeekError {
    #[error(transparent)]
    Election(#[from] LeaderError),
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error(transparent)]
    Link(LinkError),
}

/// Who leads, or is to.
enum Found {
    /// This process, from now on.
    Elected(Option<Arc<dyn Leadership>>),
    /// Another one.
    Led(BoxStream<'static, LeaderReport>),
}

/// What a process does once it has found its part.
pub(super) enum Part {
    Leading {
        handle: LeaderHandle,
        /// Sessions of other processes come in while it is held.
        door: Option<Box<dyn OpenRendezvous>>,
        /// It leads while this is held.
        tenure: Tenure,
    },
    Following(BoxStream<'static, LeaderReport>),
}

/// Asks for the end; answered when log, state and leadership were given up.
pub(super) type Close = oneshot::Sender<()>;

pub(super) struct Campaign {
    pub(super) settings: LeaderSettings,
    pub(super) ways: Campaigning,
    pub(super) board: Option<StatusBoard>,
    /// A leader that is being started: it has the log, though it does not lead yet.
    starting: Option<(LoopHandle, Tenure)>,
}

impl Campaign {
    pub(super) const fn new(settings: LeaderSettings, ways: Campaigning) -> Self {
        Self { settings, ways, board: None, starting: None }
    }

    /// Looks for a leader until there is one, be it this process; `None` if another one does not answer within `limit`.
    /// What this process takes to begin is not limited: it gets on with that.
    ///
    /// # Cancel safety
    /// Cancel safe: what was started ends by itself.
    pub(super) async fn seek(
        &mut self,
        limit: Duration,
        roles: &watch::Sender<Role>,
    ) -> Result<Option<Part>, SeekError> {
        loop {
            let Ok(found) = timeout(limit, self.find()).await else { return Ok(None) };
            let leadership = match found? {
                Found::Elected(leadership) => leadership,
                Found::Led(reports) => return Ok(Some(Part::Following(reports))),
            };
            let is_elected = leadership.is_some();
            roles.send_replace(Role::Beginning);
            let led = self.lead(leadership).await;
            if led.is_err() {
                roles.send_replace(Role::Seeking);
            }
            match led {
                // It was lost before it was used, and somebody leads already.
                Err(SeekError::Recovery(RecoveryError::Eventlog(EventlogError::Fenced { .. })))
                    if is_elected =>
                {
                    clock::pause(LOOK_AGAIN_MS).await;
                }
                part => return part.map(Some),
            }
        }
    }

    async fn find(&mut self) -> Result<Found, SeekError> {
        loop {
            if let Some(found) = self.look().await? {
                return Ok(found);
            }
            clock::pause(LOOK_AGAIN_MS).await;
        }
    }

    async fn look(&mut self) -> Result<Option<Found>, SeekError> {
        let Some(election) = &self.ways.election else {
            return Ok(Some(Found::Elected(None)));
        };
        let elected = match &self.ways.rendezvous {
            Some(_) => election.try_acquire().await?,
            None => Some(election.acquire().await?),
        };
        if let Some(leadership) = elected {
            return Ok(Some(Found::Elected(Some(leadership.into()))));
        }
        let Some(rendezvous) = &self.ways.rendezvous else { return Ok(None) };
        match rendezvous.connect().reports().await {
            Ok(mut reports) => match reports.next().await {
                Some(LeaderReport::Status(status)) => {
                    self.post(*status);
                    Ok(Some(Found::Led(reports)))
                }
                Some(LeaderReport::Silent) | None => Ok(None),
            },
            Err(error @ LinkError::Incompatible(_)) => Err(SeekError::Link(error)),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "no leader to follow");
                Ok(None)
            }
        }
    }

    async fn lead(&mut self, leadership: Option<Arc<dyn Leadership>>) -> Result<Part, SeekError> {
        let StartingLeader { leader, tenure, started } =
            spawn_leader(self.settings.clone(), leadership, self.board.clone())?;
        // Where a shutdown finds it, should one come meanwhile.
        self.starting = Some((leader.clone(), tenure));
        let begun = self.begin(leader.clone(), started).await;
        if begun.is_err() {
            // Whoever looks next finds the log closed.
            leader.shut_down().await;
        }
        let (_, tenure) = self.starting.take().expect("only a shutdown takes it, and ends this");
        let (handle, door) = begun?;
        Ok(Part::Leading { handle, door, tenure })
    }

    /// Waits until the leader leads, and lets sessions of other processes in.
    async fn begin(
        &mut self,
        leader: LoopHandle,
        started: Started,
    ) -> Result<(LeaderHandle, Option<Box<dyn OpenRendezvous>>), SeekError> {
        let board = started.await.map_err(|_| RecoveryError::Eventlog(EventlogError::Closed))??;
        let handle = LeaderHandle { leader, status: board.subscribe() };
        self.board = Some(board);
        let door = match &self.ways.rendezvous {
            Some(rendezvous) => {
                let opened = rendezvous.open(Arc::new(LocalLink::new(handle.clone()))).await;
                Some(opened.map_err(SeekError::Link)?)
            }
            None => None,
        };
        Ok((handle, door))
    }

    fn post(&mut self, status: LeaderStatus) {
        match &self.board {
            Some(board) => {
                board.send_replace(status);
            }
            None => self.board = Some(Arc::new(watch::Sender::new(status))),
        }
    }

    /// Plays `part`, and whichever comes after it, until the end.
    pub(super) async fn run(
        mut self,
        part: Part,
        roles: watch::Sender<Role>,
        mut close: mpsc::Receiver<Close>,
    ) {
        let mut playing = Some(part);
        let (failure, closed) = loop {
            tokio::select! {
                biased;
                closed = close.recv() => break (None, closed),
                next = self.go_on(&mut playing, &roles) => {
                    if let Err(failure) = next {
                        break (failure, None);
                    }
                }
            }
        };
        shut_down(playing).await;
        if let Some((starting, _tenure)) = self.starting.take() {
            starting.shut_down().await;
        }
        roles.send_replace(Role::Over(failure));
        // Whoever asked may have stopped waiting.
        let _ = closed.map(|closed| closed.send(()));
    }

    /// Plays the part to its end, or finds the next one; an error is the end of all.
    async fn go_on(
        &mut self,
        playing: &mut Option<Part>,
        roles: &watch::Sender<Role>,
    ) -> Result<(), Option<Arc<LeaderFailure>>> {
        roles.send_replace(playing.as_ref().map_or(Role::Seeking, Role::of));
        match playing {
            Some(Part::Leading { handle, .. }) => {
                let failure = handle.stopped().await;
                if !failure.as_ref().is_some_and(|failure| failure.is_replaced()) || self.ways.is_alone() {
                    return Err(failure);
                }
                tracing::info!("another leader took over");
            }
            Some(Part::Following(reports)) => {
                while let Some(report) = reports.next().await {
                    roles.send_if_modified(|role| role.hear(&report));
                    if let LeaderReport::Status(status) = report {
                        self.post(*status);
                    }
                }
            }
            None => {
                *playing = Some(self.seek_on(roles).await.map_err(Some)?);
                return Ok(());
            }
        }
        *playing = None;
        Ok(())
    }

    /// As [`Self::seek`], but a leader that does not fit is waited out, and so is a rendezvous that cannot be opened: what
    /// is pending here must not be lost for it.
    async fn seek_on(&mut self, roles: &watch::Sender<Role>) -> Result<Part, Arc<LeaderFailure>> {
        loop {
            match self.seek(Duration::MAX, roles).await {
                Ok(Some(part)) => return Ok(part),
                Ok(None) => {}
                Err(SeekError::Election(error)) => return Err(Arc::new(error.into())),
                Err(SeekError::Recovery(error)) => return Err(Arc::new(error.into())),
                Err(SeekError::Link(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "can neither lead nor follow yet"
                    );
                    clock::pause(MISFIT_PAUSE_MS).await;
                }
            }
        }
    }
}

impl Role {
    /// The role that goes with a part.
    pub(super) fn of(part: &Part) -> Self {
        match part {
            Part::Leading { handle, .. } => Self::Leading(handle.clone()),
            Part::Following(_) => Self::Following { is_silent: false },
        }
    }

    /// Whether nobody is waited for who does not answer: what this process takes to begin, it takes.
    pub(crate) const fn is_reachable(&self) -> bool {
        match self {
            Self::Beginning | Self::Leading(_) => true,
            Self::Following { is_silent } => !*is_silent,
            Self::Seeking | Self::Over(_) => false,
        }
    }

    /// Notes whether the leader that is followed says anything; tells whether that is new.
    fn hear(&mut self, report: &LeaderReport) -> bool {
        let Self::Following { is_silent } = self else { return false };
        std::mem::replace(is_silent, *report == LeaderReport::Silent) != *is_silent
    }
}

impl Campaigning {
    /// Whether there is nobody else to go on.
    fn is_alone(&self) -> bool {
        self.rendezvous.is_none()
    }
}

/// Closes what a part holds, so that it may be opened again at once.
async fn shut_down(part: Option<Part>) {
    let Some(Part::Leading { handle, door, tenure: _tenure }) = part else { return };
    // First, so that sessions of other processes push to the next leader what this one does not take any more.
    drop(door);
    handle.leader.shut_down().await;
}
