//! The life of a data dir: opened, pushed to by the clients of several stores until something fails, and opened again.

use std::sync::Arc;

use fastrand::Rng;
use futures::StreamExt;
use futures::future::join_all;
use livestore_backend_redb::{OpenError, RedbBackends, RedbConfig};
use livestore_conformance::backend::sample_event;
use livestore_disk::{DiskStats, Fate, SimDisk};
use livestore_traits::{
    BackendId, BackendProvider, ClientSecret, Cursor, GlobalSeq, Pull, PullError, PullMode, Push, PushAck,
    PushError, StoreId, SyncBackend, SyncedEvent,
};

/// How often a data dir is opened.
const LIVES: u64 = 6;
/// Enough for a group of pushes to be scattered over logs.
const STORES: u64 = 6;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Disk {
    Honest,
    Lying,
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) disk: DiskStats,
    pub(crate) pushes: u64,
    pub(crate) failed_pushes: u64,
    /// Pushes that failed and that were there when the data dir was opened again.
    pub(crate) late_pushes: u64,
    /// Pushes that failed and were pushed again.
    pub(crate) repeated_pushes: u64,
    /// The most events of a life.
    pub(crate) longest: usize,
}

/// One process, as its clients see it.
struct Process {
    backends: RedbBackends,
    fate: Fate,
    /// Pushes of each client.
    rounds: usize,
}

/// What the client of one store knows.
#[derive(Debug)]
struct Client {
    store: StoreId,
    rng: Rng,
    /// Whether it only pushes little at once.
    is_small: bool,
    /// What was acknowledged, or shown.
    log: Vec<SyncedEvent>,
    /// A push of which nobody knows what became of it.
    open: Vec<SyncedEvent>,
    /// The last cursor that an acknowledgement or a page named, and the incarnation it is of.
    cursor: Cursor,
    backend_id: Option<BackendId>,
}

/// One seed of so many leads a life of many small pushes, after which the journal of the backend is sorted in.
const LONG_LIVES: u64 = 12;
/// How much more happens in such a life.
const LONG: usize = 14;

/// Leads the life that `seed` names. The error tells which promise was broken.
pub(crate) async fn live(seed: u64, kind: Disk, tally: &mut Tally) -> Result<(), String> {
    let disk = SimDisk::new(seed);
    disk.set_lying(kind == Disk::Lying);
    let mut rng = Rng::with_seed(seed);
    let pace = if seed % LONG_LIVES == 1 { LONG } else { 1 };
    let mut clients: Vec<Client> = (0..STORES).map(|number| Client::new(number, seed, pace > 1)).collect();
    let mut zombie = None;
    for life in 0..LIVES {
        // The last process finds out what there is.
        let fate = if life + 1 == LIVES { Fate::Fine } else { Fate::draw(&mut rng) };
        let left = process(&disk, (fate, pace), &mut rng, &mut clients, tally).await;
        let left = left.map_err(|why| format!("life {life}, {fate:?}: {why}"))?;
        // Gone only now that its successor has worked.
        drop(zombie.take());
        zombie = end(&disk, left, &mut rng);
    }
    tally.disk = tally.disk.plus(disk.stats());
    tally.longest = tally.longest.max(clients.iter().map(|client| client.log.len()).sum());
    Ok(())
}

/// One process: opens the data dir, shows every log to its client, and takes pushes.
async fn process(
    disk: &SimDisk,
    (fate, pace): (Fate, usize),
    rng: &mut Rng,
    clients: &mut [Client],
    tally: &mut Tally,
) -> Result<Option<RedbBackends>, String> {
    let file = disk.open();
    fate.strike(disk, pace as u64, rng);
    // Each process as its operator likes it: the file is the same.
    let config = RedbConfig { fast_restart: rng.bool(), ..RedbConfig::default() };
    let backends = match RedbBackends::open_device(file, config) {
        Ok(backends) => backends,
        Err(OpenError::Storage { .. }) if fate != Fate::Fine => return Ok(None),
        Err(error) => return Err(format!("the data dir said {error:?}")),
    };
    let process = Process { backends, fate, rounds: rng.usize(1..12 * pace) };
    let results = join_all(clients.iter_mut().map(|client| client.session(&process))).await;
    for result in results {
        let told = result?;
        tally.pushes += told.pushes;
        tally.failed_pushes += told.failed_pushes;
        tally.late_pushes += told.late_pushes;
        tally.repeated_pushes += told.repeated_pushes;
    }
    Ok(Some(process.backends))
}

/// The process ends in one of the ways in which processes end. Those that were not asked leave something behind.
fn end(disk: &SimDisk, backends: Option<RedbBackends>, rng: &mut Rng) -> Option<RedbBackends> {
    let left = match rng.u8(..3) {
        0 => {
            drop(backends);
            None
        }
        1 => {
            disk.kill();
            backends
        }
        _ => {
            disk.crash();
            backends
        }
    };
    disk.heal();
    left
}

impl Client {
    fn new(number: u64, seed: u64, is_small: bool) -> Self {
        Self {
            store: StoreId::new(format!("store-{number}")).expect("a valid id"),
            rng: Rng::with_seed(seed * STORES + number),
            is_small,
            log: Vec::new(),
            open: Vec::new(),
            cursor: Cursor::start(),
            backend_id: None,
        }
    }

    fn head(&self) -> GlobalSeq {
        GlobalSeq(self.log.len() as u64)
    }

    /// What the client does while the process lives.
    async fn session(&mut self, process: &Process) -> Result<Tally, String> {
        let fate = process.fate;
        let mut told = Tally::default();
        let backend = match BackendProvider::open(&process.backends, &self.store).await {
            Ok(backend) => backend,
            Err(_) if fate != Fate::Fine => return Ok(told),
            Err(error) => return Err(format!("{} cannot be opened: {error:?}", self.store)),
        };
        let found = match pull(&backend, Pull::new(None, Cursor::start(), PullMode::Once)).await {
            Ok((found, _)) => found,
            Err(error) => return failed(error, fate).map(|()| told),
        };
        self.check_found(found, &mut told)?;
        let resumed = Pull::new(self.backend_id.clone(), self.cursor.clone(), PullMode::Once);
        match pull(&backend, resumed).await {
            Ok((rest, cursor)) => {
                let known = usize::try_from(self.cursor.after.0).unwrap_or(usize::MAX);
                if self.log.get(known..).is_none_or(|expected| !same(expected, &rest)) {
                    return Err(format!("{}: the log after {:?} is another one", self.store, self.cursor));
                }
                self.cursor = cursor;
            }
            // A cursor and an id that were acknowledged stay good.
            Err(error) => return failed(error, fate).map(|()| told),
        }
        self.work(process, &backend, &mut told).await?;
        Ok(told)
    }

    /// What a new process shows is what was acknowledged, and perhaps the push that was under way, whole.
    fn check_found(&mut self, found: Vec<SyncedEvent>, told: &mut Tally) -> Result<(), String> {
        let with_open: Vec<_> = self.log.iter().chain(&self.open).cloned().collect();
        if !self.open.is_empty() && same(&found, &with_open) {
            told.late_pushes += 1;
            self.open.clear();
        } else if !same(&found, &self.log) {
            let (found, log, open) = (found.len(), self.log.len(), self.open.len());
            return Err(format!("{}: {found} events instead of {log} or {open} more", self.store));
        }
        // What was shown must stay, as clients build on it.
        self.log = found;
        Ok(())
    }

    async fn work(
        &mut self,
        process: &Process,
        backend: &Arc<dyn SyncBackend>,
        told: &mut Tally,
    ) -> Result<(), String> {
        let fate = process.fate;
        for _ in 0..process.rounds {
            let events = if self.open.is_empty() {
                self.invent()
            } else {
                told.repeated_pushes += 1;
                std::mem::take(&mut self.open)
            };
            match self.push(backend, events.clone()).await {
                Ok(ack) => {
                    told.pushes += 1;
                    self.log.extend(events);
                    if ack.cursor.after != self.head() {
                        return Err(format!("{} was acknowledged at {}", self.head(), ack.cursor.after));
                    }
                    self.cursor = ack.cursor;
                    self.backend_id = Some(ack.backend_id);
                }
                Err(PushError::Backend { backend: "redb", .. }) if fate != Fate::Fine => {
                    told.failed_pushes += 1;
                    self.open = events;
                    let write_failed = process.backends.stats().failure.is_some();
                    return self.must_be_closed(backend, write_failed).await;
                }
                Err(error) => return Err(format!("{}: the push was answered by {error:?}", self.store)),
            }
        }
        self.check_owner(backend, fate).await
    }

    async fn push(
        &self,
        backend: &Arc<dyn SyncBackend>,
        events: Vec<SyncedEvent>,
    ) -> Result<PushAck, PushError> {
        backend
            .push(Push::new(self.backend_id.clone(), self.head(), Some(ClientSecret([1; 16])), events))
            .await
    }

    fn invent(&mut self) -> Vec<SyncedEvent> {
        let (count, bytes) = match self.is_small {
            true => (7, 30),
            false if self.rng.u8(..4) == 0 => (60, 2_000),
            false => (3, 100),
        };
        let count = self.rng.u64(1..=count);
        let after = self.head().0;
        (after..after + count)
            .map(|parent| {
                let text = format!("\"{}{}\"", self.rng.u64(..), "x".repeat(self.rng.usize(..bytes)));
                sample_event("client", GlobalSeq(parent), &text)
            })
            .collect()
    }

    /// The first push made the client the owner of its id, and so it is after every restart.
    async fn check_owner(&self, backend: &Arc<dyn SyncBackend>, fate: Fate) -> Result<(), String> {
        let thief = Push::new(
            None,
            self.head(),
            Some(ClientSecret([2; 16])),
            vec![sample_event("client", self.head(), "1")],
        );
        match backend.push(thief).await {
            Err(PushError::ClientIdTaken) => Ok(()),
            Err(PushError::Backend { .. }) if fate != Fate::Fine => Ok(()),
            answer => Err(format!("{}: a thief of the client id was answered by {answer:?}", self.store)),
        }
    }

    /// After a failure nothing more is taken, and after one of a write nothing is shown: who knows what is on the disk.
    /// What was shown before a read failed may be shown on.
    async fn must_be_closed(&self, backend: &Arc<dyn SyncBackend>, write_failed: bool) -> Result<(), String> {
        let again = self.push(backend, self.open.clone()).await;
        let shown = pull(backend, Pull::new(None, Cursor::start(), PullMode::Once)).await;
        let is_silent = match &shown {
            Ok((shown, _)) => !write_failed && same(shown, &self.log),
            Err(error) => matches!(error, PullError::Backend { .. }),
        };
        match again {
            Err(PushError::Backend { .. }) if is_silent => Ok(()),
            _ => Err(format!("after a failure: {again:?}, {:?}", shown.map(|(log, _)| log.len()))),
        }
    }
}

/// Whether the disk gave reason for the error.
fn failed(error: PullError, fate: Fate) -> Result<(), String> {
    match error {
        PullError::Backend { backend: "redb", .. } if fate != Fate::Fine => Ok(()),
        error => Err(format!("the pull ended with {error:?}")),
    }
}

/// All events of a pull, and where it ended.
async fn pull(backend: &Arc<dyn SyncBackend>, pull: Pull) -> Result<(Vec<SyncedEvent>, Cursor), PullError> {
    let mut cursor = pull.cursor.clone();
    let mut events = Vec::new();
    let mut pages = backend.pull(pull);
    while let Some(page) = pages.next().await {
        let page = page?;
        events.extend(page.events.iter().cloned());
        cursor = page.cursor;
    }
    Ok((events, cursor))
}

/// Whether these are the same events: all of each but the time of its acceptance.
fn same(a: &[SyncedEvent], b: &[SyncedEvent]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            let unstamped = |event: &SyncedEvent| SyncedEvent { created_at: None, ..event.clone() };
            unstamped(a) == unstamped(b)
        })
}
