//! A cable that can be pulled out: a small TCP proxy between one client and the server.

use std::io;
use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards connections as long as it is plugged in. Dropping it cuts everything.
#[derive(Debug)]
pub(super) struct Cable {
    addr: SocketAddr,
    plugged: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Cable {
    /// A cable to `server`, plugged in.
    pub(super) async fn new(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let plugged = watch::Sender::new(true);
        let accepting = tokio::spawn(accept(listener, server, plugged.subscribe()));
        Ok(Self { addr, plugged, accepting })
    }

    /// The end that the client connects to.
    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Breaks every connection, and each new one too.
    pub(super) fn pull_out(&self) {
        self.plugged.send_replace(false);
    }

    /// Lets new connections through again.
    pub(super) fn plug_in(&self) {
        self.plugged.send_replace(true);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, plugged: watch::Receiver<bool>) {
    // The listener is our own and on the loopback: when it fails, the demo fails by what it waits for.
    while let Ok((client, _)) = listener.accept().await {
        if *plugged.borrow() {
            tokio::spawn(forward(client, server, plugged.clone()));
        }
    }
}

async fn forward(mut client: TcpStream, server: SocketAddr, mut plugged: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    tokio::select! {
        // However the connection ends, both sides see it end.
        _ = copy_bidirectional(&mut client, &mut server) => {}
        // Also when the cable was dropped.
        _ = plugged.wait_for(|plugged| !plugged) => {}
    }
}
