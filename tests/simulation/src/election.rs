//! An election whose leaders learn late that they lead no more, as a process does that was suspended: until then only the
//! log keeps them from writing.

use std::time::Duration;

use async_trait::async_trait;
use livestore_leader_memory::MemoryElection;
use livestore_traits::{LeaderElection, LeaderError, Leadership, LostLeadership, Term};

#[derive(Clone, Debug)]
pub(crate) struct LateElection {
    pub(crate) election: MemoryElection,
    /// How much later leaders learn it.
    pub(crate) late: Duration,
}

#[derive(Debug)]
struct LateLeadership {
    leadership: Box<dyn Leadership>,
    late: Duration,
}

impl LateElection {
    fn late(&self, leadership: Box<dyn Leadership>) -> Box<dyn Leadership> {
        Box::new(LateLeadership { leadership, late: self.late })
    }
}

#[async_trait]
impl LeaderElection for LateElection {
    async fn acquire(&self) -> Result<Box<dyn Leadership>, LeaderError> {
        Ok(self.late(self.election.acquire().await?))
    }
    async fn try_acquire(&self) -> Result<Option<Box<dyn Leadership>>, LeaderError> {
        Ok(self.election.try_acquire().await?.map(|leadership| self.late(leadership)))
    }
    fn led_by(&self) -> Result<Option<String>, LeaderError> {
        self.election.led_by()
    }
}

#[async_trait]
impl Leadership for LateLeadership {
    fn term(&self) -> Term {
        self.leadership.term()
    }
    async fn lost(&self) -> LostLeadership {
        let lost = self.leadership.lost().await;
        tokio::time::sleep(self.late).await;
        lost
    }
}
