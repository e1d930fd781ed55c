//! A cable between clients and a server: a TCP proxy on the loopback that can be slow, go dead, or break.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// The most bytes that travel as one, like a packet or a few.
const CHUNK_BYTES: usize = 4096;
/// How many chunks may be on the way in one direction; beyond it the sender waits.
const CHUNKS_ON_THE_WAY: usize = 32;

/// How fast a cable is, in each direction of each connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Speed {
    /// How long a byte is on its way.
    pub latency: Duration,
    /// How many bytes pass in a second; `None` for as many as come.
    pub bytes_per_second: Option<u32>,
}

/// What is with the connections of a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plug {
    /// Bytes pass.
    In,
    /// Nothing passes, and neither side is told: a client that fell asleep, or a network that went away.
    Dead,
    /// What clients say passes, and what servers say does not: a client that never reads.
    Deaf,
    /// Both sides see the end.
    Out,
    /// The server's side is reset, as when a process dies.
    Reset,
}

/// A cable to a server. Dropping it ends its connections as [`Plug::Out`] does.
#[derive(Debug)]
pub struct Cable {
    addr: SocketAddr,
    plug: watch::Sender<Plug>,
    carried: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Cable {
    /// A cable to `server`, plugged in.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn new(server: SocketAddr, speed: Speed) -> io::Result<Self> {
        Self::with_budget(server, speed, None).await
    }

    /// A cable of which each connection ends, as `budget` says, once it has carried that many bytes to the server:
    /// in the middle of whatever they are a part of.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn with_budget(server: SocketAddr, speed: Speed, budget: Option<Budget>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let plug = watch::Sender::new(Plug::In);
        let carried = Arc::default();
        let ends = Ends { server, speed, budget, carried: Arc::clone(&carried), plugged: plug.subscribe() };
        let accepting = tokio::spawn(async move {
            // Without its listener a cable has no connections, which is noticed.
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, ends.clone()));
            }
        });
        Ok(Self { addr, plug, carried, accepting })
    }

    /// The end for clients.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of its end over a wire.
    #[must_use]
    pub fn url(&self, wire: &str) -> String {
        format!("{wire}://{}", self.addr)
    }

    /// How many bytes it has brought from the server to clients.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// Changes what is with its connections.
    pub fn set(&self, plug: Plug) {
        self.plug.send_replace(plug);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What a connection may carry to the server before it ends.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// So many bytes.
    pub bytes: usize,
    /// How it ends then.
    pub end: Plug,
}

/// What all connections of a cable share.
#[derive(Clone, Debug)]
struct Ends {
    server: SocketAddr,
    speed: Speed,
    budget: Option<Budget>,
    carried: Arc<AtomicU64>,
    plugged: watch::Receiver<Plug>,
}

async fn carry(mut client: TcpStream, ends: Ends) {
    let Ends { server, speed, budget, carried, mut plugged } = ends;
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let spent = budget.map(|budget| budget.bytes);
        let up = Direction { speed, budget: spent, carried: Arc::default(), held_up_by: [Plug::Dead; 2] };
        let down = Direction { speed, budget: None, carried, held_up_by: [Plug::Dead, Plug::Deaf] };
        let up = up.pass(from_client, to_server, plugged.clone());
        let down = down.pass(from_server, to_client, plugged.clone());
        let is_over = |plug: &Plug| matches!(plug, Plug::Out | Plug::Reset);
        tokio::select! {
            is_spent = up => budget.filter(|_| is_spent).map_or(Plug::Out, |budget| budget.end),
            _ = down => Plug::Out,
            // A cable that was dropped is out.
            plug = plugged.wait_for(is_over) => plug.map_or(Plug::Out, |plug| *plug),
        }
    };
    match end {
        Plug::Dead => {
            // Until the cable is dropped or taken out. Neither side hears anything.
            let _ = plugged.wait_for(|plug| matches!(plug, Plug::Out | Plug::Reset)).await;
        }
        Plug::Reset => {
            let _ = server.set_zero_linger();
        }
        Plug::In | Plug::Deaf | Plug::Out => {}
    }
    // Both sockets are dropped, which closes them.
}

/// One direction of a connection.
struct Direction {
    speed: Speed,
    budget: Option<usize>,
    carried: Arc<AtomicU64>,
    /// While the plug is so, nothing passes.
    held_up_by: [Plug; 2],
}

impl Direction {
    /// Passes bytes until there are no more, or the budget is spent. Returns whether that is why it ended.
    async fn pass(
        self,
        read: ReadHalf<'_>,
        mut write: WriteHalf<'_>,
        plugged: watch::Receiver<Plug>,
    ) -> bool {
        let (sender, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_ON_THE_WAY);
        let writing = async {
            while let Some((at, bytes)) = arriving.recv().await {
                sleep_until(at).await;
                if write.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        let (is_spent, ()) = tokio::join!(self.read(read, sender, plugged), writing);
        is_spent
    }

    async fn read(
        mut self,
        mut read: ReadHalf<'_>,
        sender: mpsc::Sender<(Instant, Vec<u8>)>,
        mut plugged: watch::Receiver<Plug>,
    ) -> bool {
        let mut free_at = Instant::now();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            // An error is a cable that was dropped, which ends this too.
            let _ = plugged.wait_for(|plug| !self.held_up_by.contains(plug)).await;
            let room = self.budget.unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            if room == 0 {
                return true;
            }
            let Ok(count @ 1..) = read.read(&mut chunk[..room]).await else { return false };
            self.carried.fetch_add(count as u64, Ordering::Relaxed);
            if let Some(rate) = self.speed.bytes_per_second {
                free_at =
                    free_at.max(Instant::now()) + Duration::from_secs_f64(count as f64 / f64::from(rate));
                sleep_until(free_at).await;
            }
            self.budget = self.budget.map(|left| left - count);
            let arrives = Instant::now() + self.speed.latency;
            if sender.send((arrives, chunk[..count].to_vec())).await.is_err() {
                return false;
            }
        }
    }
}
