//! The two kinds of socket behind one interface, and who is at their other end.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use livestore_traits::LinkError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, tcp};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixSocket, UnixStream, unix};

use crate::address::Place;
#[cfg(unix)]
use crate::error::is_gone;
use crate::{LocalError, Medium};

#[cfg(unix)]
const SOCKET: &str = "leader.sock";

/// Connections that wait to be taken, for example while the leader's process is stopped.
#[cfg(unix)]
const BACKLOG: u32 = 1024;

/// Where a leader takes connections.
#[derive(Debug)]
pub(crate) enum Listener {
    #[cfg(unix)]
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Listens for sessions of a data directory, on what the directory allows.
pub(crate) async fn listen(dir: &Path, medium: Medium) -> Result<(Listener, Place), LocalError> {
    #[cfg(unix)]
    if medium == Medium::Auto {
        match listen_unix(&dir.join(SOCKET)) {
            Ok(listener) => return Ok((Listener::Unix(listener), Place::Unix(SOCKET.to_owned()))),
            // Too long a path, or a file system without sockets. What else may be wrong with the directory shows when
            // the address is written.
            Err(error) => tracing::debug!(%error, dir = %dir.display(), "no Unix socket here; using TCP"),
        }
    }
    #[cfg(not(unix))]
    let _ = (dir, medium);
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((Listener::Tcp(listener), Place::Tcp(address)))
}

#[cfg(unix)]
fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    // What a leader before left, whoever it was: only who leads comes here.
    crate::address::remove(path)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    // Before it listens, so that nobody else gets in while the mode is still what the umask made it.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)
}

impl Listener {
    /// Takes the next connection. Cancel safe.
    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        match self {
            #[cfg(unix)]
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) => Stream::tcp(listener.accept().await?.0),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    #[cfg(unix)]
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    /// Connects to where the leader of a data directory listens.
    pub(crate) async fn connect(dir: &Path, place: &Place) -> Result<Self, LinkError> {
        match place {
            #[cfg(unix)]
            Place::Unix(name) => {
                let path = dir.join(name);
                let connected = UnixStream::connect(&path).await;
                // As a broken connection if nobody is there (any more: one who waits to be taken by a leader that closes is
                // reset), which is `Gone`; with the path if it cannot be used.
                let stream = connected.map_err(|error| match error.kind() {
                    kind if is_gone(kind) => LocalError::Broken(error),
                    _ => LocalError::file("connect to", &path)(error),
                })?;
                Ok(Self::Unix(stream))
            }
            #[cfg(not(unix))]
            Place::Unix(_) => {
                let path = dir.display();
                Err(LinkError::Incompatible(format!("the leader of {path} is reached by a Unix socket")))
            }
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(LocalError::from)?;
                Ok(Self::tcp(stream).map_err(LocalError::from)?)
            }
        }
    }

    fn tcp(stream: TcpStream) -> io::Result<Self> {
        // A message is complete when it is written; nothing follows for which it should wait.
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Checks that a process of the same user is at the other end, where that can be told. Over TCP, knowing the secret
    /// has to do.
    pub(crate) fn check_user(&self) -> Result<(), LinkError> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => {
                let theirs = stream.peer_cred().map_err(LocalError::from)?.uid();
                // The other end of this one is this process, whose user id is asked for nowhere else in safe Rust.
                let (ours, _other) = UnixStream::pair().map_err(LocalError::from)?;
                let ours = ours.peer_cred().map_err(LocalError::from)?.uid();
                if theirs == ours {
                    return Ok(());
                }
                let why = format!("it runs as the user {theirs}, this program as the user {ours}");
                Err(LinkError::Refused(why))
            }
            Self::Tcp(_) => Ok(()),
        }
    }

    /// Both directions.
    pub(crate) fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Unix(read), WriteHalf::Unix(write))
            }
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
        }
    }
}

/// What comes in.
#[derive(Debug)]
pub(crate) enum ReadHalf {
    #[cfg(unix)]
    Unix(unix::OwnedReadHalf),
    Tcp(tcp::OwnedReadHalf),
}

/// What goes out. Dropping it tells the other side that nothing more comes.
#[derive(Debug)]
pub(crate) enum WriteHalf {
    #[cfg(unix)]
    Unix(unix::OwnedWriteHalf),
    Tcp(tcp::OwnedWriteHalf),
}

impl WriteHalf {
    /// Writes what there is room for, without waiting.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            #[cfg(unix)]
            Self::Unix(half) => half.try_write(bytes),
            Self::Tcp(half) => half.try_write(bytes),
        }
    }

    /// Waits until there may be room. Cancel safe.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Self::Unix(half) => half.writable().await,
            Self::Tcp(half) => half.writable().await,
        }
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            #[cfg(unix)]
            Self::Unix(half) => Pin::new(half).poll_read(cx, buf),
            Self::Tcp(half) => Pin::new(half).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            #[cfg(unix)]
            Self::Unix(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Tcp(half) => Pin::new(half).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            #[cfg(unix)]
            Self::Unix(half) => Pin::new(half).poll_flush(cx),
            Self::Tcp(half) => Pin::new(half).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            #[cfg(unix)]
            Self::Unix(half) => Pin::new(half).poll_shutdown(cx),
            Self::Tcp(half) => Pin::new(half).poll_shutdown(cx),
        }
    }
}
