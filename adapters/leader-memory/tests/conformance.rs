//! The suite for leader elections, with and without leases.

use std::time::Duration;

use async_trait::async_trait;
use livestore_conformance::leader::LeaderFixture;
use livestore_leader_memory::MemoryElection;
use livestore_traits::{LeaderElection, LeaderError};

struct Lasting;

#[async_trait]
impl LeaderFixture for Lasting {
    type Place = MemoryElection;
    type Election = MemoryElection;

    fn place(&self) -> MemoryElection {
        MemoryElection::new()
    }

    fn candidate(&self, place: &MemoryElection) -> Result<MemoryElection, LeaderError> {
        Ok(place.clone())
    }

    async fn expire(&self, _: &MemoryElection) -> bool {
        false
    }
}

/// With leases, and behind the forwarding impls.
struct Leased;

#[async_trait]
impl LeaderFixture for Leased {
    type Place = MemoryElection;
    type Election = Box<dyn LeaderElection>;

    fn place(&self) -> MemoryElection {
        MemoryElection::with_lease(Duration::from_millis(5))
    }

    fn candidate(&self, place: &MemoryElection) -> Result<Box<dyn LeaderElection>, LeaderError> {
        Ok(Box::new(place.clone()))
    }

    async fn expire(&self, place: &MemoryElection) -> bool {
        place.stall();
        true
    }
}

mod lasting {
    livestore_conformance::leader!(super::Lasting);
}

mod leased {
    livestore_conformance::leader!(super::Leased);
}
