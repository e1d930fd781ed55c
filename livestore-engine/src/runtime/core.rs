//! The leader without a thread: its processor, its log and its state.

use std::time::Instant;

use livestore_traits::{
    Attached, Eventlog, EventlogError, EventlogReader, Identity, LeaderItem, MaterializeBatch,
    MaterializeError, Materializer, OnFailure, Position, Pull, Push, Quarantined, ReadLimit, SeqNum,
    SessionId, SessionRecord, SessionSnapshot, Term, UnknownEvent,
};

use super::recovery::{Recovery, RecoveryError, RecoveryProgress, bring_up, recover};
use crate::processor::{
    AttemptId, Effect, Input, LeaderConfig, LeaderProcessor, LeaderStatus, LinkId, PullId, ReadPurpose,
    StopReason,
};

/// Events per read of the log for a processor.
const READ_EVENTS: usize = 512;

/// An effect that is not about the leader's own storage.
#[derive(Debug)]
pub enum OutwardEffect {
    /// Answer an attaching session.
    Attached(LinkId, Attached),
    /// Send an item to a session.
    Publish(LinkId, LeaderItem),
    /// End an attachment.
    CloseLink(LinkId),
    /// Begin a pull; any other one is to be dropped.
    StartPull(PullId, Pull),
    /// Drop the pull that runs.
    StopPull,
    /// Push to the backend.
    Push(AttemptId, Push),
    /// Make a new client id with its secret.
    NewIdentity,
    /// Tell the application of events that it does not know.
    Unknown(Vec<UnknownEvent>),
    /// Tell the application of events whose materializer failed.
    Quarantined(Vec<Quarantined>),
    /// Tell the application that the backend has own events with other args.
    Adopted(Vec<SeqNum>),
    /// Stop the store.
    Stop(StopReason),
}

/// Why a leader had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaderFailure {
    /// The log failed, or another leader fenced this one.
    #[error("the eventlog failed")]
    Eventlog(#[from] EventlogError),
    /// The state failed in a way that a rebuild does not mend.
    #[error("the state failed")]
    Materialize(#[from] MaterializeError),
    /// The processor decided to stop.
    #[error("the store was stopped")]
    Stopped(#[from] StopReason),
    /// An event that the application does not know came, and the policy is to stop.
    #[error("the event {} is not known to this application", .0.name)]
    Unknown(UnknownEvent),
    /// A part of the application panicked on the leader's thread, for example a materializer.
    #[error("the leader panicked: {0}")]
    Panicked(String),
    /// Leadership was lost.
    #[error(transparent)]
    Lost(#[from] livestore_traits::LostLeadership),
    /// Leadership could not be sought.
    #[error("leadership could not be acquired")]
    Election(#[from] livestore_traits::LeaderError),
}

impl LeaderFailure {
    /// Whether the store may go on under another leader: this one was only replaced.
    pub(super) const fn is_replaced(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Eventlog(EventlogError::Fenced { .. }))
    }
}

impl From<RecoveryError> for LeaderFailure {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Eventlog(error) => Self::Eventlog(error),
            RecoveryError::Materialize(error) => Self::Materialize(error),
        }
    }
}

/// A leader's processor with the storage it decides over.
#[derive(Debug)]
pub struct LeaderCore {
    processor: LeaderProcessor,
    log: Box<dyn Eventlog>,
    state: Box<dyn Materializer>,
    term: Term,
    /// What was replayed at the start but is not known.
    unknown: Vec<UnknownEvent>,
}

impl LeaderCore {
    /// Fences the log, recovers the state, and begins to lead.
    ///
    /// # Errors
    /// [`RecoveryError`] if the log or the state cannot be used.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of a leader; there is one caller per way of running one"
    )]
    pub fn open(
        mut log: Box<dyn Eventlog>,
        mut state: Box<dyn Materializer>,
        term: Term,
        config: LeaderConfig,
        now: Instant,
        has_upstream: bool,
        new_identity: impl FnOnce() -> Identity,
        progress: &mut dyn FnMut(RecoveryProgress),
    ) -> Result<Self, RecoveryError> {
        let Recovery { recovered, unknown } = recover(&mut *log, &mut *state, term, new_identity, progress)?;
        let processor = LeaderProcessor::new(config, term, now, recovered, has_upstream);
        Ok(Self { processor, log, state, term, unknown })
    }

    /// Takes in what happened. Poll effects afterwards.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.processor.handle(now, input);
    }

    /// Takes in that time passed. Poll effects afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.processor.handle_timeout(now);
    }

    /// When to call [`Self::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.processor.poll_timeout()
    }

    /// Performs effects on storage up to the next one that is not about it; `None` when there is nothing more to do.
    ///
    /// # Errors
    /// [`LeaderFailure`] if storage failed. The leader is over then: nothing that came after the failed effect is done.
    pub fn poll(&mut self, now: Instant) -> Result<Option<OutwardEffect>, LeaderFailure> {
        if !self.unknown.is_empty() {
            return Ok(Some(OutwardEffect::Unknown(std::mem::take(&mut self.unknown))));
        }
        while let Some(effect) = self.processor.poll_effect() {
            if let Some(outward) = self.perform(now, effect)? {
                return Ok(Some(outward));
            }
        }
        Ok(None)
    }

    fn perform(&mut self, now: Instant, effect: Effect) -> Result<Option<OutwardEffect>, LeaderFailure> {
        let outward = match effect {
            Effect::CommitLog(commit) => {
                self.log.commit(self.term, commit)?;
                return Ok(None);
            }
            Effect::Materialize { base, rollback_to, events, settled } => {
                return self.materialize(now, base, rollback_to, &events, settled);
            }
            Effect::ReadLog { purpose, version } => {
                self.read_log(now, purpose, version)?;
                return Ok(None);
            }
            Effect::Attached(link, attached) => OutwardEffect::Attached(link, attached),
            Effect::Publish(link, item) => OutwardEffect::Publish(link, item),
            Effect::CloseLink(link) => OutwardEffect::CloseLink(link),
            Effect::StartPull(id, pull) => OutwardEffect::StartPull(id, pull),
            Effect::StopPull => OutwardEffect::StopPull,
            Effect::Push(attempt, push) => OutwardEffect::Push(attempt, push),
            Effect::NewIdentity => OutwardEffect::NewIdentity,
            Effect::ReportUnknown(unknown) => OutwardEffect::Unknown(unknown),
            Effect::ReportAdopted(adopted) => OutwardEffect::Adopted(adopted),
            Effect::Stop(reason) => OutwardEffect::Stop(reason),
        };
        Ok(Some(outward))
    }

    fn materialize(
        &mut self,
        now: Instant,
        base: SeqNum,
        rollback_to: Option<SeqNum>,
        events: &[livestore_traits::Event],
        settled: Position,
    ) -> Result<Option<OutwardEffect>, LeaderFailure> {
        let batch =
            MaterializeBatch { base, rollback_to, events, settled, on_failure: OnFailure::Quarantine };
        match self.state.apply(batch) {
            Ok(applied) => {
                let quarantined = applied.quarantined.clone();
                self.processor.handle(now, Input::Applied(applied));
                Ok((!quarantined.is_empty()).then_some(OutwardEffect::Quarantined(quarantined)))
            }
            // A new history begins before what can be undone: the log has it already, so the state follows from there.
            Err(MaterializeError::NoUndo { .. } | MaterializeError::WrongBase { .. }) => {
                let heads = self.log.heads()?;
                bring_up(&*self.log, &mut *self.state, &heads, &mut |_| {})?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read_log(&mut self, now: Instant, purpose: ReadPurpose, version: SeqNum) -> Result<(), EventlogError> {
        let common = self.log.common(version)?;
        let events = self.log.read(common.position(), ReadLimit::events(READ_EVENTS))?;
        self.processor.handle(now, Input::LogRead { purpose, version, common, events });
        Ok(())
    }

    /// What the log has of a session, for [`Input::Attach`].
    ///
    /// # Errors
    /// [`EventlogError`] if the log cannot be read.
    pub fn session(&self, session_id: &SessionId) -> Result<Option<SessionRecord>, EventlogError> {
        self.log.session(session_id)
    }

    /// A copy of the state for a session. All effects must have been polled.
    ///
    /// # Errors
    /// [`LeaderFailure`] if the log or the state cannot be read.
    pub fn snapshot(&self, session_id: &SessionId) -> Result<SessionSnapshot, LeaderFailure> {
        let record = self.log.session(session_id)?;
        let held = self.processor.held(session_id, record.as_ref());
        Ok(SessionSnapshot { snapshot: self.state.snapshot()?, held })
    }

    /// An independent reader of the log.
    ///
    /// # Errors
    /// [`EventlogError`] if none can be opened.
    pub fn reader(&self) -> Result<Box<dyn EventlogReader>, EventlogError> {
        self.log.reader()
    }

    /// The status now.
    #[must_use]
    pub fn status(&self) -> LeaderStatus {
        self.processor.status()
    }
}
