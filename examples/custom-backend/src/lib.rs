//! A sync backend in one file: each store is a JSON-lines file that any text editor opens.
//!
//! ```text
//! {"backend_id":"qV3…"}                                                        the log's name, chosen once
//! {"tag":"x7Pk2a","claim":["alice",[7,…]],"events":[{"seq":1,…},{"seq":2,…}]}  one line per accepted batch
//! {"tag":"m09QzR","claim":null,"events":[{"seq":3,…}]}
//! ```
//!
//! One batch is one line, so a batch is stored whole or not at all: a line that a crash left without its end was never
//! acknowledged and is cut off when the file is opened. The whole log is kept in memory too, which is fine for logs
//! that fit there. There is no live pull; clients poll. `docs/writing-a-backend.md` walks through this file.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures::stream::{self, StreamExt as _};
use livestore_traits::{
    BackendId, BoxError, BoxStream, Capabilities, ClientId, ClientSecret, ConnectionStatus, Cursor,
    Durability, GlobalSeq, Limits, PageInfo, Pull, PullError, PullPage, Push, PushAck, PushError,
    SyncBackend, SyncedEvent, UnixMillis,
};
use serde::{Deserialize, Serialize};

/// The name of this backend in errors.
const NAME: &str = "json-lines";
const LIMITS: Limits = Limits::DEFAULT;

/// A store in a JSON-lines file. Clones are handles of the same store.
#[derive(Clone, Debug)]
pub struct JsonLinesBackend {
    /// One lock around everything: admission must be one critical section, and so it plainly is.
    log: Arc<Mutex<Log>>,
}

#[derive(Debug)]
struct Log {
    file: File,
    /// Names this history. A restored copy of the file should get another id, so that clients notice.
    backend_id: BackendId,
    /// Event `e<n>` is at index `n - 1`, because numbers have no gaps.
    events: Vec<Stored>,
    /// Who pushes under a client id: bound by its first push with a proof.
    owners: HashMap<ClientId, ClientSecret>,
    /// Set when a write failed: what the file holds is not known any more, so nothing may be built on it.
    is_broken: bool,
}

#[derive(Debug)]
struct Stored {
    event: SyncedEvent,
    /// The tag of the batch it came with.
    tag: Arc<str>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    backend_id: BackendId,
}

/// One accepted batch, as it stands in the file.
#[derive(Serialize, Deserialize)]
struct Batch {
    /// Random, so only this history has it: the token of every cursor into this batch.
    tag: Arc<str>,
    /// Whose the batch is, if it was proven. Whoever reads the file can pose as that client; a backend whose storage
    /// others read keeps a hash.
    claim: Option<(ClientId, ClientSecret)>,
    events: Vec<SyncedEvent>,
}

// Opening: what is in the file becomes the log in memory.
impl JsonLinesBackend {
    /// Opens the store in the file at `path`, which is created if it does not exist.
    ///
    /// # Errors
    /// If the file cannot be read or written, another process has it open, or it is damaged.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        // Two processes that append to one log would both accept an event at the same number.
        file.try_lock().map_err(io::Error::from)?;

        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut lines = bytes[..whole].split_inclusive(|byte| *byte == b'\n').zip(1..);
        let backend_id = match lines.next() {
            Some((line, number)) => {
                let header: Header = serde_json::from_slice(line).map_err(|error| damaged(number, error))?;
                header.backend_id
            }
            None if !bytes.is_empty() => return Err(damaged(1, "it has no end")),
            None => {
                let backend_id = BackendId::new(nanoid::nanoid!()).map_err(io::Error::other)?;
                append_line(&mut file, &Header { backend_id: backend_id.clone() })?;
                // The name of a new file is durable only when its directory is.
                if cfg!(unix) {
                    File::open(path.canonicalize()?.parent().unwrap_or(path))?.sync_all()?;
                }
                backend_id
            }
        };
        let mut log = Log { file, backend_id, events: Vec::new(), owners: HashMap::new(), is_broken: false };
        for (line, number) in lines {
            let batch: Batch = serde_json::from_slice(line).map_err(|error| damaged(number, error))?;
            let follows = Push::new(None, log.head(), None, batch.events.clone()).check_chain();
            follows.map_err(|error| damaged(number, error))?;
            log.take_in(batch);
        }
        // Only now that the file is known to be one of ours. A process that died may have left half a line, or a whole
        // one that is not synced yet, and what is shown must be durable.
        if whole < bytes.len() {
            log.file.set_len(whole as u64)?;
        }
        log.file.sync_all()?;
        Ok(Self { log: Arc::new(Mutex::new(log)) })
    }

    /// Runs `work` on a thread that may block: syncing a file takes long, and so does waiting for one who does. It runs to
    /// its end even if the caller goes away midway, so a dropped future tears nothing apart.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Log) -> T + Send + 'static,
    ) -> Result<T, BoxError> {
        let log = Arc::clone(&self.log);
        let task = tokio::task::spawn_blocking(move || {
            work(&mut log.lock().expect("no code that holds the lock panics"))
        });
        Ok(task.await?)
    }
}

#[async_trait]
impl SyncBackend for JsonLinesBackend {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::new(Durability::Disk);
        capabilities.live_pull = false;
        capabilities.limits = LIMITS;
        capabilities
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        self.run(|log| log.push(push)).await.map_err(failed)?
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        // One page at a time, made when it is asked for: a slow reader holds no lock and no queue.
        stream::unfold((self.clone(), Some(pull)), |(backend, pull)| async move {
            let pull = pull?;
            let asked = pull.clone();
            let page = backend.run(move |log| log.page(&asked)).await;
            let page = page.unwrap_or_else(|source| Err(PullError::Backend { backend: NAME, source }));
            let rest = match &page {
                Ok(page) if page.info != PageInfo::CaughtUp => {
                    Some(Pull::new(pull.backend_id, page.cursor.clone(), pull.mode))
                }
                // A live pull ends here as well: the capabilities say that there are none.
                Ok(_) | Err(_) => None,
            };
            Some((page, (backend, rest)))
        })
        .boxed()
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        // In the same process there is no connection that could break.
        stream::once(async { ConnectionStatus::Connected }).chain(stream::pending()).boxed()
    }
}

// What the contract asks for, all under the one lock.
impl Log {
    fn head(&self) -> GlobalSeq {
        GlobalSeq(self.events.len() as u64)
    }

    /// The event at a number, if it is in the log.
    fn at(&self, seq: GlobalSeq) -> Option<&Stored> {
        self.events.get(usize::try_from(seq.0.checked_sub(1)?).ok()?)
    }

    /// A cursor at `after`, whose token only this history can have. The root is part of every history.
    fn cursor(&self, after: GlobalSeq) -> Cursor {
        Cursor { after, token: self.at(after).map(|stored| stored.tag.as_bytes().to_vec().into()) }
    }

    /// The order of the checks matters: a batch that stands there already is acknowledged wherever the head is.
    fn push(&mut self, push: Push) -> Result<PushAck, PushError> {
        if self.is_broken {
            return Err(failed("an earlier write failed; open the file again"));
        }
        if push.backend_id.as_ref().is_some_and(|id| *id != self.backend_id) {
            return Err(PushError::Diverged(format!("this is the log {}", self.backend_id)));
        }
        let Some(last) = push.events.last().map(|event| event.seq) else {
            return Err(PushError::Invalid("the batch is empty".into()));
        };
        push.check_chain().map_err(PushError::Invalid)?;
        push.check_limits(&LIMITS)?;
        let claim = claim_of(&push);
        if claim.as_ref().is_some_and(|(id, proof)| self.owners.get(id).is_some_and(|owner| owner != proof)) {
            return Err(PushError::ClientIdTaken);
        }
        // The answer to this very batch was lost, so it comes again. Refusing it would block the client for ever.
        if push.events.iter().all(|event| self.at(event.seq).is_some_and(|s| s.event.is_same(event))) {
            let created_at = self.at(last).and_then(|stored| stored.event.created_at).unwrap_or_default();
            return Ok(PushAck::new(self.backend_id.clone(), self.cursor(last), created_at));
        }
        if push.parent != self.head() {
            // What the client lacks goes along and saves it a pull.
            let missing = self.page_after(push.parent).ok().map(Box::new);
            return Err(PushError::UpstreamAhead { head: self.head(), missing });
        }
        self.accept(push.events, claim)
    }

    /// Makes a checked batch durable, and only then visible.
    fn accept(
        &mut self,
        mut events: Vec<SyncedEvent>,
        claim: Option<(ClientId, ClientSecret)>,
    ) -> Result<PushAck, PushError> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let created_at = UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX));
        events.iter_mut().for_each(|event| event.created_at = Some(created_at));
        let batch = Batch { tag: nanoid::nanoid!(10).into(), claim, events };

        // After a failed write or sync the file may hold all of the line, a part, or nothing. Nobody knows, so nothing is
        // written behind it.
        append_line(&mut self.file, &batch).inspect_err(|_| self.is_broken = true).map_err(failed)?;
        self.take_in(batch);
        Ok(PushAck::new(self.backend_id.clone(), self.cursor(self.head()), created_at))
    }

    fn take_in(&mut self, batch: Batch) {
        self.owners.extend(batch.claim);
        let tag = |event| Stored { event, tag: Arc::clone(&batch.tag) };
        self.events.extend(batch.events.into_iter().map(tag));
    }

    /// The next page of `pull`, if its cursor belongs to this history.
    fn page(&self, pull: &Pull) -> Result<PullPage, PullError> {
        if pull.backend_id.as_ref().is_some_and(|id| *id != self.backend_id) {
            return Err(PullError::Diverged(format!("this is the log {}", self.backend_id)));
        }
        let ours = self.cursor(pull.cursor.after);
        if pull.cursor.token.is_some() && pull.cursor.token != ours.token {
            return Err(PullError::Diverged(format!("the cursor at {} is of another history", ours.after)));
        }
        self.page_after(pull.cursor.after)
    }

    /// As many events after `after` as one page may hold, but at least one if there is any.
    fn page_after(&self, after: GlobalSeq) -> Result<PullPage, PullError> {
        if after > self.head() {
            return Err(PullError::Diverged(format!("{after} is beyond the head {}", self.head())));
        }
        let mut bytes = 0;
        let rest = self.events[after.0 as usize..].iter().map(|stored| &stored.event);
        let page: Arc<[SyncedEvent]> = rest
            .take(LIMITS.max_batch_events)
            .take_while(|event| {
                bytes += event.encoded_len();
                bytes <= LIMITS.max_batch_bytes
            })
            .cloned()
            .collect();
        let through = page.last().map_or(after, |event| event.seq);
        let info = match self.head().0 - through.0 {
            0 => PageInfo::CaughtUp,
            remaining => PageInfo::More { remaining: Some(remaining) },
        };
        Ok(PullPage::new(after, page, self.cursor(through).token, self.backend_id.clone(), info))
    }
}

/// Whose events the push proves to bring. A proof is about one client: a batch of several, as when a lost history is
/// pushed again, claims nobody.
fn claim_of(push: &Push) -> Option<(ClientId, ClientSecret)> {
    let client_id = &push.events.first()?.client_id;
    let is_of_one = push.events.iter().all(|event| event.client_id == *client_id);
    push.proof.filter(|_| is_of_one).map(|proof| (client_id.clone(), proof))
}

/// Appends one line and waits until it is on the disk.
fn append_line(file: &mut File, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    // Args are kept as the client wrote them, perhaps over several lines. Line breaks in JSON are only ever white space:
    // inside of strings they are escaped.
    line.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
    line.push(b'\n');
    file.write_all(&line)?;
    file.sync_data()
}

fn damaged(number: usize, why: impl Into<BoxError>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("line {number} is damaged: {}", why.into()))
}

fn failed(source: impl Into<BoxError>) -> PushError {
    PushError::Backend { backend: NAME, source: source.into() }
}

#[cfg(test)]
mod tests;
