//! Wrappers that call back at the durable steps of a log, a state and a backend; what is called may crash.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use livestore_traits::{
    Applied, ArchiveInfo, BoxStream, Capabilities, ConnectionStatus, Event, Eventlog, EventlogError,
    EventlogReader, Heads, LogCommit, MaterializeBatch, MaterializeError, Materializer, Position, Pull,
    PullError, PullPage, Push, PushAck, PushError, Quarantined, ReadLimit, SeqNum, SessionId, SessionRecord,
    Snapshot, SyncBackend, Term,
};

/// A place between durable steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before a commit of the log.
    BeforeLog,
    /// The log has committed.
    AfterLog,
    /// The state has applied a batch.
    AfterState,
    /// Before a push to the backend.
    BeforePush,
    /// The backend has answered a push.
    AfterPush,
}

/// Called at each point; an error stands for a crash.
#[derive(Clone)]
pub struct Fuse(pub Arc<dyn Fn(Point) -> Result<(), &'static str> + Send + Sync>);

impl fmt::Debug for Fuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fuse")
    }
}

/// A log or a state that passes points.
#[derive(Debug)]
pub struct Passing<T>(pub T, pub Fuse);

impl<T: Eventlog> EventlogReader for Passing<T> {
    fn heads(&self) -> Result<Heads, EventlogError> {
        self.0.heads()
    }
    fn read(&self, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError> {
        self.0.read(after, limit)
    }
    fn common(&self, version: SeqNum) -> Result<SeqNum, EventlogError> {
        self.0.common(version)
    }
    fn session(&self, session_id: &SessionId) -> Result<Option<SessionRecord>, EventlogError> {
        self.0.session(session_id)
    }
    fn archives(&self) -> Result<Vec<ArchiveInfo>, EventlogError> {
        self.0.archives()
    }
    fn read_archive(&self, id: u64, after: Position, limit: ReadLimit) -> Result<Vec<Event>, EventlogError> {
        self.0.read_archive(id, after, limit)
    }
}

impl<T: Eventlog> Eventlog for Passing<T> {
    fn commit(&mut self, term: Term, commit: LogCommit) -> Result<Heads, EventlogError> {
        let crash = |why: &'static str| EventlogError::Storage(why.into());
        (self.1.0)(Point::BeforeLog).map_err(crash)?;
        let heads = self.0.commit(term, commit)?;
        (self.1.0)(Point::AfterLog).map_err(crash)?;
        Ok(heads)
    }
    fn reader(&self) -> Result<Box<dyn EventlogReader>, EventlogError> {
        self.0.reader()
    }
}

impl<T: Materializer> Materializer for Passing<T> {
    fn head(&self) -> Result<SeqNum, MaterializeError> {
        self.0.head()
    }
    fn apply(&mut self, batch: MaterializeBatch<'_>) -> Result<Applied, MaterializeError> {
        let applied = self.0.apply(batch)?;
        (self.1.0)(Point::AfterState).map_err(|why| MaterializeError::Storage(why.into()))?;
        Ok(applied)
    }
    fn reset(&mut self) -> Result<(), MaterializeError> {
        self.0.reset()
    }
    fn quarantined(&self) -> Result<Vec<Quarantined>, MaterializeError> {
        self.0.quarantined()
    }
    fn snapshot(&self) -> Result<Snapshot, MaterializeError> {
        self.0.snapshot()
    }
    fn restore(&mut self, snapshot: Snapshot) -> Result<(), MaterializeError> {
        self.0.restore(snapshot)
    }
    fn fork(&self) -> Result<Box<dyn Materializer>, MaterializeError> {
        self.0.fork()
    }
    fn view(&self) -> &dyn Any {
        self.0.view()
    }
}

#[async_trait]
impl SyncBackend for Passing<Arc<dyn SyncBackend>> {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        let crash = |why: &'static str| PushError::Unacknowledged(why.into());
        (self.1.0)(Point::BeforePush).map_err(crash)?;
        let ack = self.0.push(push).await;
        (self.1.0)(Point::AfterPush).map_err(crash)?;
        ack
    }
    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        self.0.pull(pull)
    }
    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        self.0.connection()
    }
}
