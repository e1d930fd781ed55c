//! Opens connections.

use std::error::Error;
use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tower_service::Service;

use crate::route::Route;
use crate::stream::Inner;
use crate::{Connector, Roots, Stream};

#[cfg(feature = "tls")]
type Secured = hyper_rustls::HttpsConnector<Route>;
#[cfg(not(feature = "tls"))]
type Secured = Route;

/// Opens connections to the hosts of `http`, `https`, `ws` and `wss` URLs.
#[derive(Clone)]
pub struct Dialer {
    connector: Secured,
    timeout: Duration,
}

/// Why there is no connection. Nothing was sent that a server acts on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The host cannot be found, refuses, or its certificate is not trusted; or the connection ended before its turn.
    #[error("the server cannot be reached: {0}")]
    Connect(String),
    /// It took too long.
    #[error("the server did not answer in time")]
    Timeout,
    /// This program was built without TLS.
    #[error("this program was built without TLS")]
    NoTls,
}

impl Dialer {
    /// A dialer that trusts `roots`, and waits for a connection, TLS included, for at most `timeout`. It connects over TCP,
    /// or, if there is one, with `connector`.
    #[must_use]
    pub fn new(roots: &Roots, connector: Option<Arc<dyn Connector>>, timeout: Duration) -> Self {
        let route = connector.map_or_else(|| Route::Tcp(tcp(timeout)), Route::Own);
        Self { connector: secured(route, roots), timeout }
    }

    /// Connects to the host of `uri`.
    ///
    /// # Errors
    /// [`DialError`] if there is no connection in time.
    ///
    /// # Cancel safety
    /// Cancel safe: the connection that was being made is closed.
    pub async fn dial(&self, uri: &Uri) -> Result<TokioIo<Stream>, DialError> {
        self.clone().call(uri.clone()).await.map(TokioIo::new)
    }
}

fn tcp(timeout: Duration) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(timeout));
    tcp
}

#[cfg(feature = "tls")]
fn secured(route: Route, roots: &Roots) -> Secured {
    hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(roots.client_config())
        .https_or_http()
        .enable_http1()
        .wrap_connector(route)
}

#[cfg(not(feature = "tls"))]
fn secured(route: Route, _: &Roots) -> Secured {
    route
}

impl Service<Uri> for Dialer {
    type Response = Stream;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<Stream, DialError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let uri = as_http(uri);
        if !cfg!(feature = "tls") && uri.scheme() == Some(&Scheme::HTTPS) {
            return ready(Err(DialError::NoTls)).boxed();
        }
        let connecting = self.connector.call(uri);
        let patience = self.timeout;
        async move {
            let connected: Result<Inner, _> =
                timeout(patience, connecting).await.map_err(|_| DialError::Timeout)?;
            connected.map(Stream::new).map_err(unreachable)
        }
        .boxed()
    }
}

impl DialError {
    /// Why a request of hyper's client was not sent: there was no connection, or it was closed before its turn. `None`
    /// if the server may have seen it.
    #[must_use]
    pub fn of_request(error: &hyper_util::client::legacy::Error) -> Option<Self> {
        let source = error.source();
        if let Some(dial) = source.and_then(|source| source.downcast_ref::<Self>()) {
            return Some(dial.clone());
        }
        let is_canceled =
            source.and_then(|source| source.downcast_ref()).is_some_and(hyper::Error::is_canceled);
        (error.is_connect() || is_canceled).then(|| Self::connect(error))
    }

    /// The layers between say nothing that the innermost does not.
    fn connect(error: &(dyn Error + 'static)) -> Self {
        let innermost = std::iter::successors(Some(error), |&error| error.source()).last();
        Self::Connect(innermost.unwrap_or(error).to_string())
    }
}

fn unreachable(error: impl Into<Box<dyn Error + Send + Sync>>) -> DialError {
    DialError::connect(&*error.into())
}

/// A WebSocket begins as a request of HTTP.
fn as_http(uri: Uri) -> Uri {
    let scheme = match uri.scheme_str() {
        Some("ws") => Scheme::HTTP,
        Some("wss") => Scheme::HTTPS,
        _ => return uri,
    };
    let mut parts = uri.into_parts();
    parts.scheme = Some(scheme);
    Uri::from_parts(parts).expect("another scheme leaves a URI whole")
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
