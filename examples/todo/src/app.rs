//! Puts the store together from its parts.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use livestore_connect::{Connect, Roots, SyncPayload};
use livestore_data_dir::DataDir;
use livestore_engine::processor::Diverged;
use livestore_engine::{Presence, Store, StoreConfig};
use livestore_eventlog_redb::RedbEventlog;
use livestore_materializer_sqlite::{SqliteView, rusqlite};
use livestore_traits::{BackendId, EventlogReader as _, StoreId, SyncBackend};
use tokio::time::timeout;

use crate::failure::Failure;
use crate::schema::{self, Todo};

/// How long the end may take; all there is to do by then is one write to the disk.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// How long another program on the data directory, which leads, may give no answer when this one starts.
const START_LIMIT: Duration = Duration::from_secs(5);

/// … and later on, beside the seconds after which that is noticed.
const SILENCE_LIMIT: Duration = Duration::from_secs(3);

/// Which list it is, and where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Settings {
    /// Where this client keeps its data. Each directory is a client of its own.
    #[arg(long, global = true, value_name = "DIR", env = "TODO_DATA_DIR", default_value = "todo-data")]
    pub(crate) data_dir: PathBuf,
    /// The server to sync with, for example wss://host or http://host:port; one of LiveStore's own as livestore+wss://host.
    /// Without one everything stays here.
    #[arg(long, global = true, value_name = "URL", env = "TODO_SERVER")]
    pub(crate) server: Option<String>,
    /// What to show to the server, for example {"authToken":"let-me-in"}.
    #[arg(long, global = true, value_name = "JSON", env = "TODO_PAYLOAD", hide_env_values = true, value_parser = payload)]
    pub(crate) payload: Option<SyncPayload>,
    /// A file of certificates, in PEM, of authorities to trust beside the public ones.
    #[arg(long, global = true, value_name = "FILE", env = "TODO_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// The name of the list at the server.
    #[arg(long, global = true, value_name = "ID", env = "TODO_STORE", default_value = "todo")]
    pub(crate) store: StoreId,
    /// How long a change waits for the server to confirm it, in seconds. It is saved either way.
    #[arg(long, global = true, value_name = "SECONDS", env = "TODO_WAIT", default_value = "2", value_parser = seconds)]
    pub(crate) wait: Duration,
}

/// The open application.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) data_dir: DataDir,
    /// The server's URL, if there is one.
    pub(crate) server: Option<String>,
    /// How long the server is waited for where the outcome does not depend on it.
    pub(crate) wait: Duration,
    /// The backend's id at the start, if it was known.
    backend: Option<BackendId>,
}

impl App {
    pub(crate) async fn open(settings: Settings) -> Result<Self, Failure> {
        let Settings { data_dir, server, payload, ca, store, wait } = settings;
        let data_dir = DataDir::new(&data_dir, store.clone());
        let schema = schema::schema().map_err(|error| Failure::new(error.to_string()))?;
        let backend = Arc::new(OnceLock::new());
        let mut builder = data_dir.store(schema).config(config()).open_eventlog({
            let (path, backend) = (data_dir.eventlog(), Arc::clone(&backend));
            move || {
                let log = RedbEventlog::open(&path)?;
                // Read before syncing begins. It stays as it was when this program began to lead for the first time.
                let _ = backend.set(log.heads()?.upstream.backend_id);
                Ok(log)
            }
        });
        // An empty variable is how a shell takes one back for one command.
        let server = server.filter(|url| !url.is_empty());
        if let Some(url) = &server {
            builder = builder.upstream(connect(url, store, payload, ca.as_deref())?);
        }
        let store = builder.start().await.map_err(|error| Failure::start(&error, &data_dir))?;
        // If another program leads, this one has not opened the log.
        let backend = backend.get().cloned().unwrap_or_else(|| store.watch_status().current().backend_id);
        Ok(Self { store, data_dir, server, wait, backend })
    }

    /// Waits until all is durable, and frees the data directory.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        self.tell_if_replaced();
        let limit = match self.store.presence() {
            // It may be stopped for hours, and what is pending is no more durable by then.
            Presence::Silent { .. } => Duration::ZERO,
            _ => SHUTDOWN,
        };
        Ok(self.store.shutdown(limit).await?)
    }

    fn tell_if_replaced(&self) {
        let now = self.store.watch_status().current().backend_id;
        if let (Some(before), Some(now)) = (&self.backend, &now)
            && before != now
        {
            eprintln!(
                "note: the server is not the one it was (its backend id was {before} and is {now}); items that it lacks \
                 were sent to it if it was empty, and are archived in {} otherwise",
                self.data_dir.eventlog().display()
            );
        }
    }

    /// Reads the state.
    pub(crate) fn query<T>(
        &self,
        query: impl FnOnce(&SqliteView) -> rusqlite::Result<T>,
    ) -> Result<T, Failure> {
        self.store.query(query)?.map_err(|error| self.failed(&error))
    }

    pub(crate) fn todos(&self) -> Result<Vec<Todo>, Failure> {
        self.query(schema::all)
    }

    /// Something failed that reads or writes the state.
    pub(crate) fn failed(&self, error: &(dyn Error + 'static)) -> Failure {
        Failure::state(error, &self.data_dir.state())
    }

    /// Resolves if nothing can become durable any more, and says why: the store ended by itself, or another program leads
    /// and does not answer, or does not let this one in.
    pub(crate) async fn lost(&self) -> Failure {
        let mut presence = self.store.watch_presence();
        let presence = tokio::select! {
            presence = presence.unreachable(SILENCE_LIMIT) => presence,
            () = self.shut_out() => return Failure::shut_out(&self.store.watch_status().current().label),
        };
        match presence {
            Presence::Silent { led_by } | Presence::Absent { led_by } => {
                Failure::no_answer(led_by.as_deref(), ", and see with `list` what is saved")
            }
            _ => {
                self.store.stopped().await;
                self.ended()
            }
        }
    }

    /// Resolves when the session has not got to the leader for a while, as happens if that is of another version.
    async fn shut_out(&self) {
        while self.store.wait_for(|session| !session.attached).await.is_ok() {
            let attached = self.store.wait_for(|session| session.attached);
            if timeout(2 * START_LIMIT, attached).await.is_err() {
                return;
            }
        }
        // The session has ended with the store, which says why.
        std::future::pending().await
    }

    /// Why the store ended by itself.
    pub(crate) fn ended(&self) -> Failure {
        match self.store.failure() {
            Some(failure) => self.failed(&*failure),
            None => Failure::new("the store was closed"),
        }
    }
}

fn config() -> StoreConfig {
    let mut config = StoreConfig::default();
    config.leader_limit = Some(START_LIMIT);
    // A server that lost its data gets it back from the first client that comes, rather than taking it from all of them.
    config.leader.diverged = Diverged::Reseed;
    config
}

/// The way to the server. Nothing is sent before the store wants to sync.
fn connect(
    url: &str,
    store: StoreId,
    payload: Option<SyncPayload>,
    ca: Option<&Path>,
) -> Result<Arc<dyn SyncBackend>, Failure> {
    let mut connect = Connect::to(url, store);
    if let Some(payload) = payload {
        connect = connect.payload(payload);
    }
    if let Some(path) = ca {
        let in_file = |error: &dyn Error| Failure::new(format!("{}: {error}", path.display()));
        let pem = fs::read(path).map_err(|error| in_file(&error))?;
        connect = connect.roots(Roots::public().and_pem(&pem).map_err(|error| in_file(&error))?);
    }
    Ok(connect.backend()?)
}

/// Reads what is shown to the server.
fn payload(text: &str) -> Result<SyncPayload, String> {
    // Where it goes wrong is not told: it may hold a password.
    SyncPayload::from_json(text).map_err(|error| error.to_string())
}

/// Reads a number of seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
