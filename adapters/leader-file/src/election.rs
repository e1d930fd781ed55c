//! Candidates for the lock of a directory.
//!
//! A candidate asks for the lock again and again, at short irregular intervals. Waiting *in* the lock would need a thread
//! that cannot be called back: a candidate that stopped waiting would still become the leader for a moment, or for as
//! long as its process is stopped.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use livestore_traits::{LeaderElection, LeaderError, Leadership, LostLeadership, Term};

use crate::error::failed;
use crate::lock::Lock;
use crate::record::Holder;

/// Between two attempts, in milliseconds: soon enough that nobody notices a change of leaders, seldom enough to cost
/// nothing. Irregular, so that many candidates do not keep step.
const INTERVAL_MS: std::ops::Range<u64> = 15..30;

/// An election among all processes that use one directory.
#[derive(Clone, Debug)]
pub struct FileElection {
    dir: PathBuf,
}

impl FileElection {
    /// A candidate for the directory `dir`, which is made when leadership is sought if it is not there.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Who leads in the directory `dir` at the moment, for people: by the time this returns it may be somebody else, and
    /// for the few milliseconds in which a leader takes over, its predecessor is named.
    ///
    /// # Errors
    /// [`LeaderError::Storage`] if the directory's files cannot be read.
    pub fn holder(dir: impl AsRef<Path>) -> Result<Option<Holder>, LeaderError> {
        let dir = dir.as_ref();
        if Lock::is_taken(dir)? { Holder::load(dir) } else { Ok(None) }
    }
}

#[async_trait]
impl LeaderElection for FileElection {
    async fn acquire(&self) -> Result<Box<dyn Leadership>, LeaderError> {
        loop {
            if let Some(leadership) = self.try_acquire().await? {
                return Ok(leadership);
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(INTERVAL_MS))).await;
        }
    }

    async fn try_acquire(&self) -> Result<Option<Box<dyn Leadership>>, LeaderError> {
        // Outwaiting those who only ask, and syncing, take milliseconds. If the caller stops waiting meanwhile, a lock that
        // was taken is given back when it is done, and a term was passed over.
        let dir = self.dir.clone();
        let begin = tokio::task::spawn_blocking(move || FileLeadership::try_begin(&dir));
        match begin.await {
            Ok(leadership) => Ok(leadership?.map(|leadership| Box::new(leadership) as Box<dyn Leadership>)),
            Err(error) => Err(LeaderError::Storage(error.into())),
        }
    }

    fn led_by(&self) -> Result<Option<String>, LeaderError> {
        Ok(Self::holder(&self.dir)?.map(|holder| holder.to_string()))
    }
}

#[derive(Debug)]
struct FileLeadership {
    term: Term,
    /// Held, not used.
    _lock: Lock,
}

impl FileLeadership {
    /// Takes the lock unless somebody holds it, and the next term, durably, before anybody hears of it. Blocks.
    fn try_begin(dir: &Path) -> Result<Option<Self>, LeaderError> {
        std::fs::create_dir_all(dir).map_err(failed("make the directory", dir))?;
        let Some(lock) = Lock::try_take(dir)? else { return Ok(None) };
        let last = Holder::load(dir)?.map_or(Term(0), |holder| holder.term);
        let term = Term(last.0 + 1);
        Holder::this_process(term).store(dir)?;
        Ok(Some(Self { term, _lock: lock }))
    }
}

#[async_trait]
impl Leadership for FileLeadership {
    fn term(&self) -> Term {
        self.term
    }

    /// Never: the system takes no lock from a process that lives.
    async fn lost(&self) -> LostLeadership {
        pending().await
    }
}
