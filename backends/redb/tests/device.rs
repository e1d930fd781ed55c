//! Devices that fail and lose power: what was acknowledged is there, what was not is not made up.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in what its cases share")]

use std::io;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use futures::future::join_all;
use livestore_backend_redb::{OpenError, RedbBackends, RedbConfig};
use livestore_conformance::backend::sample_events;
use livestore_traits::{
    BackendProvider, Cursor, GlobalSeq, Pull, PullMode, Push, PushError, StoreId, SyncBackend, SyncedEvent,
};
use redb::StorageBackend;

/// A disk in memory. What was not synced is lost when the power goes.
#[derive(Debug, Default)]
struct Disk {
    content: Vec<u8>,
    synced: Vec<u8>,
    /// Writes and syncs that still succeed; `None` is for ever.
    healthy_calls: Option<u32>,
    max_len: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Device(Arc<Mutex<Disk>>);

impl Device {
    /// The disk after the power went.
    fn after_power_cut(&self) -> Self {
        let synced = self.0.lock().unwrap().synced.clone();
        Self::with(synced)
    }

    /// The disk after the process went: the machine still has what was written.
    fn after_process_end(&self) -> Self {
        let content = self.0.lock().unwrap().content.clone();
        Self::with(content)
    }

    fn with(content: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Disk { synced: content.clone(), content, ..Disk::default() })))
    }

    fn call<T>(&self, call: impl FnOnce(&mut Disk) -> T) -> io::Result<T> {
        let mut disk = self.0.lock().unwrap();
        match &mut disk.healthy_calls {
            Some(0) => return Err(io::Error::other("the device fails")),
            Some(calls) => *calls -= 1,
            None => {}
        }
        Ok(call(&mut disk))
    }
}

impl StorageBackend for Device {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().content.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        let start = offset as usize;
        let bytes = disk.content.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.0.lock().unwrap().max_len.is_some_and(|max| len > max) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.call(|disk| disk.content.resize(len as usize, 0))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.call(|disk| disk.synced = disk.content.clone())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = offset as usize;
        self.call(|disk| disk.content[start..start + data.len()].copy_from_slice(data))
    }
}

fn open(device: &Device) -> RedbBackends {
    RedbBackends::open_device(device.clone(), RedbConfig::default()).unwrap()
}

async fn store(backends: &RedbBackends) -> Arc<dyn SyncBackend> {
    store_named(backends, "todo").await
}

async fn store_named(backends: &RedbBackends, name: &str) -> Arc<dyn SyncBackend> {
    backends.open(&StoreId::new(name).unwrap()).await.unwrap()
}

async fn push(backend: &dyn SyncBackend, parent: u64) -> Result<(), PushError> {
    let parent = GlobalSeq(parent);
    backend.push(Push::new(None, parent, None, sample_events("client", parent, 3))).await.map(drop)
}

async fn log(backend: &dyn SyncBackend) -> Vec<SyncedEvent> {
    let pages = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    pages.flat_map(|page| futures::stream::iter(page.unwrap().events.to_vec())).collect().await
}

/// Pushes until the device fails; the events that were acknowledged.
async fn push_until_failure(backend: &dyn SyncBackend) -> u64 {
    let mut acknowledged = 0;
    loop {
        match push(backend, acknowledged).await {
            Ok(()) => acknowledged += 3,
            Err(PushError::Backend { backend: "redb", .. }) => return acknowledged,
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn whichever_write_fails_nothing_acknowledged_is_lost() {
    for healthy_calls in 0..40 {
        let device = Device::default();
        let backends = open(&device);
        let backend = store(&backends).await;
        device.0.lock().unwrap().healthy_calls = Some(healthy_calls);
        let acknowledged = push_until_failure(&*backend).await;
        assert!(backends.stats().failure.is_some(), "the failure is told");
        let again = push(&*backend, acknowledged).await;
        assert!(matches!(again, Err(PushError::Backend { .. })), "a failed sync is never retried: {again:?}");
        let mut pull = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
        assert!(pull.next().await.unwrap().is_err());
        drop((pull, backend, backends));

        for device in [device.after_power_cut(), device.after_process_end()] {
            let backends = open(&device);
            let backend = store(&backends).await;
            let found = log(&*backend).await.len() as u64;
            // The push that failed may have reached the disk, whole.
            assert!(
                found == acknowledged || found == acknowledged + 3,
                "{acknowledged} events were acknowledged, {found} are there after {healthy_calls} calls"
            );
            push(&*backend, found).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_power_cut_at_any_time_keeps_what_was_acknowledged() {
    let device = Device::default();
    let backends = open(&device);
    let backend = store(&backends).await;
    for batch in 0..10 {
        push(&*backend, batch * 3).await.unwrap();
        let backends = open(&device.after_power_cut());
        let survived = store(&backends).await;
        assert_eq!(log(&*survived).await, log(&*backend).await);
    }
}

/// Pushes to many stores share commits, and wait in one place before they are sorted into their logs.
#[tokio::test]
async fn a_power_cut_keeps_what_many_stores_acknowledged() {
    let device = Device::default();
    let backends = open(&device);
    let names: Vec<_> = (0..16).map(|n| format!("store-{n}")).collect();
    let stores = join_all(names.iter().map(|name| store_named(&backends, name))).await;
    for round in 0..10 {
        join_all(stores.iter().map(async |store| push(&**store, round * 3).await.unwrap())).await;
        let backends = open(&device.after_power_cut());
        for (name, store) in names.iter().zip(&stores) {
            let survived = store_named(&backends, name).await;
            assert_eq!(log(&*survived).await, log(&**store).await);
        }
        push(&*store_named(&backends, &names[0]).await, round * 3 + 3).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_what_was_acknowledged_stays() {
    let device = Device::default();
    let backends = open(&device);
    let backend = store(&backends).await;
    let len = device.len().unwrap();
    device.0.lock().unwrap().max_len = Some(len);
    let acknowledged = push_until_failure(&*backend).await;
    assert!(acknowledged > 0);
    drop((backend, backends));
    device.0.lock().unwrap().max_len = None;
    let backend = store(&open(&device)).await;
    assert_eq!(log(&*backend).await.len() as u64, acknowledged);
    push(&*backend, acknowledged).await.unwrap();
}

/// A disk that fails while a data dir is opened is no reason to call its file damaged: it may be fine again tomorrow.
#[test]
fn a_disk_that_fails_while_a_data_dir_is_made_is_told_apart_from_damage() {
    let mut failed = 0;
    for healthy_calls in 0..12 {
        let device = Device::default();
        device.0.lock().unwrap().healthy_calls = Some(healthy_calls);
        match RedbBackends::open_device(device, RedbConfig::default()) {
            Ok(_) => {}
            Err(OpenError::Storage { .. }) => failed += 1,
            Err(error) => panic!("after {healthy_calls} calls: {error:?}"),
        }
    }
    assert!(failed > 5, "{failed}");
}
