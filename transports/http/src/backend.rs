//! The handle.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http::Method;
use livestore_traits::{
    BackendId, BoxStream, Capabilities, ConnectionStatus, Cursor, Durability, PageInfo, Pull, PullError,
    PullMode, PullPage, Push, PushAck, PushError, SyncBackend,
};
use livestore_wire::{AckForm, Endpoint, PageForm, PullQuery, PushForm, StoreForm};
use tokio::sync::watch;

use crate::error::{pull_refused, push_refused};
use crate::exchange::{Answer, Connections};
use crate::{HttpConfig, HttpError};

/// A store behind plain HTTP.
///
/// Clones share their connections. Pushes and pulls must be polled within a tokio runtime with time and I/O.
#[derive(Clone, Debug)]
pub struct HttpBackend {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: HttpConfig,
    connections: Connections,
    state: watch::Sender<LinkState>,
}

#[derive(Clone, Copy, Debug)]
struct LinkState {
    status: ConnectionStatus,
    /// As the server said last.
    capabilities: Capabilities,
    /// Whether it said so since it could last not be reached: it may be another one now.
    is_fresh: bool,
}

impl HttpBackend {
    /// A backend that connects when it is first used.
    #[must_use]
    pub fn new(config: HttpConfig) -> Self {
        let state = LinkState {
            status: ConnectionStatus::Offline,
            capabilities: Capabilities::new(Durability::Memory),
            is_fresh: false,
        };
        Self {
            shared: Arc::new(Shared {
                connections: Connections::new(&config),
                config,
                state: watch::Sender::new(state),
            }),
        }
    }
}

impl Shared {
    async fn send(
        &self,
        method: Method,
        endpoint: &Endpoint,
        query: Option<&str>,
        body: Bytes,
        wait: Duration,
    ) -> Result<Answer, HttpError> {
        if self.state.borrow().status == ConnectionStatus::Offline {
            self.set_status(ConnectionStatus::Connecting);
        }
        let uri = self.config.url.endpoint(endpoint, query);
        let patience = self.config.request_timeout + wait;
        let answer = self.connections.send(&self.config, method, uri, body, patience).await;
        match &answer {
            Ok(_) => self.set_status(ConnectionStatus::Connected),
            Err(_) => self.set_status(ConnectionStatus::Offline),
        }
        answer
    }

    fn set_status(&self, status: ConnectionStatus) {
        self.state.send_if_modified(|state| {
            if status == ConnectionStatus::Offline {
                state.is_fresh = false;
            }
            std::mem::replace(&mut state.status, status) != status
        });
    }

    /// What the server can do; asks it unless it has said so. The answer of a server that refuses is returned as it is.
    async fn capabilities(&self) -> Result<Result<Capabilities, Answer>, HttpError> {
        let state = *self.state.borrow();
        if state.is_fresh {
            return Ok(Ok(state.capabilities));
        }
        let answer = self.send(Method::GET, &Endpoint::Store, None, Bytes::new(), Duration::ZERO).await?;
        if !answer.status.is_success() {
            return Ok(Err(answer));
        }
        let store: StoreForm = answer.decode().map_err(HttpError::Malformed)?;
        let capabilities = store.capabilities.into();
        self.state.send_modify(|state| {
            state.capabilities = capabilities;
            state.is_fresh = true;
        });
        Ok(Ok(capabilities))
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        let capabilities = match self.capabilities().await {
            Ok(Ok(capabilities)) => capabilities,
            Ok(Err(refused)) => return Err(push_refused(&refused)),
            // The batch itself was not sent, whatever became of the question.
            Err(error) => return Err(PushError::Offline(error.into())),
        };
        push.check_limits(&capabilities.limits)?;
        let body = self.config.encoding.encode(&PushForm::from(push));
        let answer = self
            .send(Method::POST, &Endpoint::Push, None, body, Duration::ZERO)
            .await
            .map_err(HttpError::push)?;
        if !answer.status.is_success() {
            return Err(push_refused(&answer));
        }
        let ack: AckForm = answer.decode().map_err(|error| HttpError::Malformed(error).push())?;
        Ok(ack.into())
    }

    /// One page after `cursor`; if there is none, the server waits for one for `wait`.
    async fn page(
        &self,
        backend_id: Option<BackendId>,
        cursor: Cursor,
        wait: Duration,
    ) -> Result<PullPage, PullError> {
        let query = PullQuery { backend_id, cursor, wait }.to_text();
        let answer = self
            .send(Method::GET, &Endpoint::Pull, Some(&query), Bytes::new(), wait)
            .await
            .map_err(HttpError::pull)?;
        if !answer.status.is_success() {
            return Err(pull_refused(&answer));
        }
        let form: PageForm = answer.decode().map_err(|error| HttpError::Malformed(error).pull())?;
        form.try_into().map_err(|error| HttpError::Malformed(error).pull())
    }
}

/// A pull between two pages.
struct Poll {
    shared: Arc<Shared>,
    backend_id: Option<BackendId>,
    cursor: Cursor,
    /// What the server waits for once the reader has caught up; nothing if the pull ends there.
    wait: Option<Duration>,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    NotBegun,
    Behind,
    CaughtUp,
    Over,
}

impl Poll {
    async fn next(mut self) -> Option<(Result<PullPage, PullError>, Self)> {
        match self.poll().await {
            Ok(page) => Some((Ok(page?), self)),
            Err(error) => {
                self.progress = Progress::Over;
                Some((Err(error), self))
            }
        }
    }

    /// The next page that says something new; none at the end of the pull.
    async fn poll(&mut self) -> Result<Option<PullPage>, PullError> {
        if self.progress == Progress::NotBegun {
            let capabilities = self.shared.capabilities().await.map_err(HttpError::pull)?;
            let capabilities = capabilities.map_err(|refused| pull_refused(&refused))?;
            if !capabilities.live_pull {
                self.wait = None;
            }
        }
        loop {
            let wait = match (self.progress, self.wait) {
                (Progress::Over, _) | (Progress::CaughtUp, None) => return Ok(None),
                (Progress::CaughtUp, Some(wait)) => wait,
                (Progress::NotBegun | Progress::Behind, _) => Duration::ZERO,
            };
            let page = self.shared.page(self.backend_id.clone(), self.cursor.clone(), wait).await?;
            self.backend_id = Some(page.backend_id.clone());
            self.cursor = page.cursor.clone();
            let is_news = self.progress == Progress::NotBegun || page.after < page.through;
            self.progress =
                if page.info == PageInfo::CaughtUp { Progress::CaughtUp } else { Progress::Behind };
            if is_news {
                return Ok(Some(page));
            }
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SyncBackend for HttpBackend {
    fn capabilities(&self) -> Capabilities {
        self.shared.state.borrow().capabilities
    }

    async fn push(&self, push: Push) -> Result<PushAck, PushError> {
        self.shared.push(push).await
    }

    fn pull(&self, pull: Pull) -> BoxStream<'static, Result<PullPage, PullError>> {
        let Pull { backend_id, cursor, mode, .. } = pull;
        let poll = Poll {
            wait: (mode == PullMode::Live).then_some(self.shared.config.poll_wait),
            shared: self.shared.clone(),
            backend_id,
            cursor,
            progress: Progress::NotBegun,
        };
        stream::unfold(poll, Poll::next).boxed()
    }

    fn connection(&self) -> BoxStream<'static, ConnectionStatus> {
        let states = self.shared.state.subscribe();
        stream::unfold((states, None), |(mut states, last)| async move {
            // Also the capabilities change; only another status is news.
            let status = states.wait_for(|state| Some(state.status) != last).await.ok()?.status;
            Some((status, (states, Some(status))))
        })
        .boxed()
    }
}
