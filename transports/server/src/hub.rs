//! The stores of a server: opened on demand, shared, closed when nobody has used them for a while.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use livestore_traits::{BackendProvider, Capabilities, ProviderError, StoreId, SyncBackend};
use livestore_wire::encode_page_body;
use livestore_wire::livestore::encode_item_body;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::pages::PageCache;
use crate::turns::Turns;

/// What a frame needs beside the events of a batch.
const FRAME_OVERHEAD_BYTES: usize = 4096;

/// The bounds that a hub keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HubLimits {
    pub(crate) max_open_stores: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_frame_bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Hub {
    provider: Box<dyn BackendProvider>,
    limits: HubLimits,
    stores: Mutex<BTreeMap<StoreId, Arc<Slot>>>,
    started: Instant,
    has_sweeper: AtomicBool,
}

/// A store that is open or being opened. The map holds one reference, each user another one.
#[derive(Debug)]
struct Slot {
    backend: OnceCell<Arc<dyn SyncBackend>>,
    /// Pages as native clients get them.
    pages: PageCache,
    /// Pages as LiveStore's clients get them.
    items: PageCache,
    /// When the last user left, in milliseconds since the hub started.
    left_ms: AtomicU64,
}

impl Hub {
    pub(crate) fn new(provider: Box<dyn BackendProvider>, limits: HubLimits) -> Arc<Self> {
        Arc::new(Self {
            provider,
            limits,
            stores: Mutex::default(),
            started: Instant::now(),
            has_sweeper: AtomicBool::new(false),
        })
    }

    /// Opens a store, or joins those who have it open.
    pub(crate) async fn open(self: &Arc<Self>, id: &StoreId) -> Result<Store, ProviderError> {
        if !self.has_sweeper.swap(true, Ordering::Relaxed) {
            tokio::spawn(sweep(Arc::downgrade(self), self.limits.idle_timeout));
        }
        let store = Store { slot: self.slot(id)?, hub: self.clone() };
        let opening = async || {
            let backend: Arc<dyn SyncBackend> = Arc::new(Turns::over(self.provider.open(id).await?));
            Ok::<_, ProviderError>(backend)
        };
        store.slot.backend.get_or_try_init(opening).await?;
        Ok(store)
    }

    fn slot(&self, id: &StoreId) -> Result<Arc<Slot>, ProviderError> {
        let mut stores = self.stores();
        if let Some(slot) = stores.get(id) {
            return Ok(slot.clone());
        }
        if stores.len() >= self.limits.max_open_stores {
            let longest_idle = stores
                .iter()
                .filter(|(_, slot)| slot.is_unused())
                .min_by_key(|(_, slot)| slot.left_ms.load(Ordering::Relaxed))
                .map(|(id, _)| id.clone())
                .ok_or(ProviderError::TooManyStores { limit: self.limits.max_open_stores })?;
            stores.remove(&longest_idle);
        }
        Ok(stores.entry(id.clone()).or_insert_with(Slot::new).clone())
    }

    fn close_idle(&self) {
        let now_ms = self.now_ms();
        let idle_ms = u64::try_from(self.limits.idle_timeout.as_millis()).unwrap_or(u64::MAX);
        self.stores().retain(|_, slot| {
            slot.pages.clear();
            slot.items.clear();
            !slot.is_unused() || now_ms.saturating_sub(slot.left_ms.load(Ordering::Relaxed)) < idle_ms
        });
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn stores(&self) -> MutexGuard<'_, BTreeMap<StoreId, Arc<Slot>>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            backend: OnceCell::new(),
            pages: PageCache::new(encode_page_body),
            items: PageCache::new(encode_item_body),
            left_ms: AtomicU64::new(0),
        })
    }

    /// Only meaningful under the lock of the map, where no new user can appear.
    fn is_unused(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }
}

/// Closes idle stores for as long as the hub exists.
async fn sweep(hub: std::sync::Weak<Hub>, idle_timeout: Duration) {
    loop {
        tokio::time::sleep(idle_timeout / 2).await;
        let Some(hub) = hub.upgrade() else { return };
        hub.close_idle();
    }
}

/// An open store in use. It stays open at least until this is dropped.
#[derive(Debug)]
pub(crate) struct Store {
    slot: Arc<Slot>,
    hub: Arc<Hub>,
}

impl Store {
    pub(crate) fn backend(&self) -> &Arc<dyn SyncBackend> {
        self.slot.backend.get().expect("a store is handed out once it is open")
    }

    pub(crate) fn pages(&self) -> &PageCache {
        &self.slot.pages
    }

    pub(crate) fn items(&self) -> &PageCache {
        &self.slot.items
    }

    /// What the backend can do through this server.
    pub(crate) fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.backend().capabilities();
        let fits = self.hub.limits.max_frame_bytes.saturating_sub(FRAME_OVERHEAD_BYTES);
        let limits = &mut capabilities.limits;
        limits.max_event_bytes = limits.max_event_bytes.min(fits);
        limits.max_batch_bytes = limits.max_batch_bytes.min(fits);
        capabilities
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.slot.left_ms.store(self.hub.now_ms(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use livestore_backend_memory::MemoryBackends;

    use super::*;

    const LIMITS: HubLimits =
        HubLimits { max_open_stores: 2, idle_timeout: Duration::from_secs(60), max_frame_bytes: 10_000 };

    fn id(text: &str) -> StoreId {
        StoreId::new(text).unwrap()
    }

    fn open_ids(hub: &Hub) -> Vec<String> {
        hub.stores().keys().map(ToString::to_string).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn stores_that_nobody_uses_are_closed_after_a_while() {
        let hub = Hub::new(Box::new(MemoryBackends::new()), LIMITS);
        let used = hub.open(&id("used")).await.unwrap();
        drop(hub.open(&id("idle")).await.unwrap());
        assert_eq!(open_ids(&hub), ["idle", "used"]);
        tokio::time::sleep(LIMITS.idle_timeout * 2).await;
        assert_eq!(open_ids(&hub), ["used"]);
        drop(used);
    }

    #[tokio::test(start_paused = true)]
    async fn the_store_that_is_idle_for_longest_makes_room() {
        let hub = Hub::new(Box::new(MemoryBackends::new()), LIMITS);
        for name in ["a", "b", "a"] {
            drop(hub.open(&id(name)).await.unwrap());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let c = hub.open(&id("c")).await.unwrap();
        assert_eq!(open_ids(&hub), ["a", "c"]);
        let d = hub.open(&id("d")).await.unwrap();
        assert!(matches!(hub.open(&id("e")).await, Err(ProviderError::TooManyStores { limit: 2 })));
        drop((c, d));
        assert!(hub.open(&id("e")).await.is_ok());
    }

    /// Fails to open a store until it has failed once.
    #[derive(Debug, Default)]
    struct FailsOnce(AtomicBool);

    #[async_trait]
    impl BackendProvider for FailsOnce {
        async fn open(&self, store: &StoreId) -> Result<Arc<dyn SyncBackend>, ProviderError> {
            if self.0.swap(true, Ordering::Relaxed) {
                MemoryBackends::new().open(store).await
            } else {
                Err(ProviderError::Storage("no disk".into()))
            }
        }
    }

    #[tokio::test]
    async fn a_store_that_failed_to_open_is_tried_again() {
        let hub = Hub::new(Box::new(FailsOnce::default()), LIMITS);
        assert!(matches!(hub.open(&id("a")).await, Err(ProviderError::Storage(_))));
        assert!(hub.open(&id("a")).await.is_ok());
    }

    #[tokio::test]
    async fn no_event_is_offered_that_fits_no_frame() {
        let hub = Hub::new(Box::new(MemoryBackends::new()), LIMITS);
        let limits = hub.open(&id("a")).await.unwrap().capabilities().limits;
        assert_eq!((limits.max_event_bytes, limits.max_batch_bytes), (5904, 5904));
    }
}
