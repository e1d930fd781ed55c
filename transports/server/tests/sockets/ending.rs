//! What is left of a server that was shut down.

use std::sync::Arc;

use livestore_backend_memory::MemoryBackends;
use livestore_server::Server;
use tokio::net::TcpStream;

/// The task that accepts connections dropped its service after it had said that it was done: who closed the data next, and
/// ended the process, could be quicker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_shut_down_holds_nothing() {
    for _ in 0..1000 {
        let backends = Arc::new(MemoryBackends::new());
        let held = Arc::downgrade(&backends);
        let server = Server::builder(backends).bind("127.0.0.1:0").await.unwrap();
        let _connected = TcpStream::connect(server.local_addr()).await.unwrap();
        assert!(server.shutdown().await);
        drop(server);
        assert_eq!(held.strong_count(), 0);
    }
}
