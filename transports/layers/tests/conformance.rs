//! Each wrapper keeps the contract of the backend in it, and `Retry` restores it over faults.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use livestore_backend_memory::MemoryBackend;
use livestore_conformance::backend::BackendFixture;
use livestore_layers::{FaultRates, Faulty, Retry, RetryConfig};
use livestore_traits::SyncBackend;

/// Memory backends whose handles are wrapped; the function gets another seed for each handle.
struct Wrapped {
    wrap: fn(MemoryBackend, u64) -> Arc<dyn SyncBackend>,
    handles: AtomicU64,
}

impl Wrapped {
    fn new(wrap: fn(MemoryBackend, u64) -> Arc<dyn SyncBackend>) -> Self {
        Self { wrap, handles: AtomicU64::new(0) }
    }
}

#[async_trait]
impl BackendFixture for Wrapped {
    type Store = MemoryBackend;

    async fn create(&self) -> MemoryBackend {
        MemoryBackend::new()
    }
    async fn connect(&self, store: &MemoryBackend) -> Arc<dyn SyncBackend> {
        (self.wrap)(store.clone(), self.handles.fetch_add(1, Ordering::Relaxed))
    }
    async fn reopen(&self, _: MemoryBackend) -> Option<MemoryBackend> {
        None
    }
    async fn replace(&self, _: MemoryBackend) -> Option<MemoryBackend> {
        Some(MemoryBackend::new())
    }
    fn runs_on_virtual_time(&self) -> bool {
        true
    }
}

mod faulty_without_faults {
    use super::*;

    livestore_conformance::backend!(Wrapped::new(|backend, _| Arc::new(Faulty::scripted(backend, []))));
}

mod retry {
    use super::*;

    livestore_conformance::backend!(Wrapped::new(|backend, seed| {
        Arc::new(Retry::new(backend, RetryConfig::new(seed)))
    }));
}

mod retry_over_faults {
    use super::*;

    livestore_conformance::backend!(Wrapped::new(|backend, seed| {
        let faulty = Faulty::seeded(backend, seed, FaultRates::all(0.05, Duration::from_millis(2)));
        let mut config = support::config(seed, 100);
        config.first_delay = Duration::from_millis(1);
        Arc::new(Retry::new(faulty, config))
    }));
}

/// As applications hold them: wrapped, erased, and wrapped again.
mod retry_over_a_boxed_backend {
    use super::*;

    livestore_conformance::backend!(Wrapped::new(|backend, seed| {
        let boxed: Box<dyn SyncBackend> = Box::new(Faulty::scripted(backend, []));
        Arc::new(Retry::new(boxed, RetryConfig::new(seed)))
    }));
}
