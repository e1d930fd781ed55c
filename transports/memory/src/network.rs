//! Makes links and reaches all of them at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use livestore_traits::SyncBackend;

use crate::{Link, LinkConfig, MemoryTransport};

/// A network between clients and backends. Clones are handles of the same network.
#[derive(Clone, Debug)]
pub struct Network {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    chance: fastrand::Rng,
    /// What new links start with.
    config: LinkConfig,
    links: Vec<Link>,
}

impl Network {
    /// A network without faults or latency, whose later faults come from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let chance = fastrand::Rng::with_seed(seed);
        let inner = Inner { chance, config: LinkConfig::default(), links: Vec::new() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// A new link between the client called `name` and `backend`.
    ///
    /// Each link draws its faults from a generator of its own, so that what happens on one does not depend on the
    /// traffic of another.
    #[must_use]
    pub fn connect(&self, backend: Arc<dyn SyncBackend>, name: &str) -> MemoryTransport {
        let mut inner = self.lock();
        // A link whose transport is gone is only held here.
        inner.links.retain(Link::is_in_use);
        let link = Link::new(name.into(), inner.config, inner.chance.fork());
        inner.links.push(link.clone());
        MemoryTransport::new(backend, link)
    }

    /// The newest link of the client called `name`.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<Link> {
        self.lock().links.iter().rev().find(|link| link.name() == name).cloned()
    }

    /// Configures all links, also those to come.
    pub fn configure(&self, config: LinkConfig) {
        self.lock().config = config;
        self.each(|link| link.configure(config));
    }

    /// Cuts all links that are there; see [`Link::partition`].
    pub fn partition(&self) {
        self.each(Link::partition);
    }

    /// Heals all links that are there; see [`Link::heal`].
    pub fn heal(&self) {
        self.each(Link::heal);
    }

    fn each(&self, act: impl Fn(&Link)) {
        // Not under the lock: what is woken may call back.
        let links = self.lock().links.clone();
        links.iter().for_each(act);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each step under the lock leaves it whole, so a panic elsewhere does not matter.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
