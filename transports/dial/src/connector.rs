//! Other ways to a server than TCP.

use std::io;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite};

/// Anything that bytes can be read from and written to, in order.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for S {}

/// Opens the byte streams that connections run over, in place of TCP: through a proxy, over a Unix socket, to a server
/// in the same process, over a simulated network.
///
/// TLS, HTTP and WebSocket come on top of it, so a connector that is given `https` or `wss` opens a plain stream too. An
/// async closure is a connector:
///
/// ```
/// # use std::sync::Arc;
/// use livestore_dial::{Connector, Dialer, Roots};
/// # #[cfg(unix)]
/// use tokio::net::UnixStream;
///
/// # #[cfg(unix)]
/// let connector: Arc<dyn Connector> = Arc::new(|_| UnixStream::connect("/run/livestore.sock"));
/// # #[cfg(not(unix))]
/// # let connector: Arc<dyn Connector> = Arc::new(|_| tokio::net::TcpStream::connect("[::1]:8787"));
/// let dialer = Dialer::new(&Roots::public(), Some(connector), std::time::Duration::from_secs(10));
/// ```
pub trait Connector: Send + Sync + 'static {
    /// Opens a stream to the host and port of `to`.
    ///
    /// # Errors
    /// Why there is none. It counts as being offline: nothing was sent, and the client tries again after its backoff.
    ///
    /// # Cancel safety
    /// Clients drop the future when they have stopped waiting for the connection.
    fn connect(&self, to: Uri) -> BoxFuture<'static, io::Result<Box<dyn ByteStream>>>;
}

impl<F, Fut, S> Connector for F
where
    F: Fn(Uri) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<S>> + Send + 'static,
    S: ByteStream,
{
    fn connect(&self, to: Uri) -> BoxFuture<'static, io::Result<Box<dyn ByteStream>>> {
        self(to).map(|stream| stream.map(|stream| Box::new(stream) as Box<dyn ByteStream>)).boxed()
    }
}
