//! What the native WebSocket costs, beside a bare echo on the same sockets.
//!
//! `cargo bench -p livestore-server` starts the server over stores in memory in a process of its own and measures from
//! this one; both share the machine. Each figure is one line.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and fails by panicking")]

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{SinkExt, StreamExt};
use http::HeaderValue;
use livestore_backend_memory::MemoryBackends;
use livestore_server::Server;
use livestore_traits::{
    Args, ClientId, Cursor, EventName, GlobalSeq, Pull, PullMode, Push, SessionId, StoreId, SyncBackend,
    SyncedEvent,
};
use livestore_transport_ws::{WsBackend, WsConfig};
use livestore_wire::{ClientFrame, Encoding, SUBPROTOCOL};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_websockets::{ClientBuilder, Message, ServerBuilder, WebSocketStream};

const FOR: Duration = Duration::from_secs(2);
const IDLE: usize = 2000;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if std::env::args().any(|arg| arg == "serve") {
        runtime.block_on(serve());
    } else if std::env::args().any(|arg| arg == "--bench") {
        // `cargo test --all-targets` runs this too, and means it as a test.
        runtime.block_on(measure());
    }
}

/// The server, and the echo, in a process of their own: prints where they listen and stays.
async fn serve() {
    let server = Server::builder(MemoryBackends::new()).bind("127.0.0.1:0").await.unwrap();
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{} {}", server.local_addr(), echo.local_addr().unwrap());
    let published = tokio::sync::watch::Sender::new(());
    loop {
        let (stream, _) = echo.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let published = published.clone();
        tokio::spawn(async move {
            let (request, socket) = ServerBuilder::new().accept(stream).await.unwrap();
            match request.uri().path() {
                "/publish" => publish(socket, published).await,
                "/subscribe" => subscribe(socket, published.subscribe()).await,
                _ => answer(socket).await,
            }
        });
    }
}

async fn answer(mut socket: WebSocketStream<TcpStream>) {
    while let Some(Ok(message)) = socket.next().await {
        if message.is_binary() && socket.send(message).await.is_err() {
            return;
        }
    }
}

async fn publish(mut socket: WebSocketStream<TcpStream>, published: tokio::sync::watch::Sender<()>) {
    while let Some(Ok(_)) = socket.next().await {
        published.send_replace(());
    }
}

async fn subscribe(mut socket: WebSocketStream<TcpStream>, mut published: tokio::sync::watch::Receiver<()>) {
    while published.changed().await.is_ok() {
        if socket.send(Message::binary(vec![0; 250])).await.is_err() {
            return;
        }
    }
}

struct Served {
    process: Child,
    server: SocketAddr,
    echo: SocketAddr,
}

impl Served {
    fn start() -> Self {
        use std::io::{BufRead, BufReader};
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let (server, echo) = line.trim().split_once(' ').unwrap();
        Self { server: server.parse().unwrap(), echo: echo.parse().unwrap(), process }
    }

    /// Resident memory of the server in bytes.
    fn resident_bytes(&self) -> usize {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.process.id())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn measure() {
    for clients in [1, 64] {
        let served = Served::start();
        rate(&format!("echo of 250 bytes, {clients} clients"), clients, |_| async {
            Echo(bare(served.echo, "").await)
        })
        .await;
        rate(&format!("push to ack, {clients} clients, a store each"), clients, |n| {
            pusher(served.server, format!("store-{n}"), n)
        })
        .await;
    }
    for subscribers in [1, 100, 1000] {
        let served = Served::start();
        bare_fan_out(&served, subscribers).await;
        fan_out(&served, subscribers).await;
    }
    idle_memory(&Served::start()).await;
    catch_up(&Served::start()).await;
}

/// Repeats what `client` makes in each of `clients` tasks and prints how often it ended.
async fn rate<F, C>(what: &str, clients: usize, client: impl Fn(usize) -> F)
where
    F: Future<Output = C>,
    C: Turn,
{
    let clients = join_all((0..clients).map(client)).await;
    let started = Instant::now();
    let tasks = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            let mut times = Vec::new();
            while started.elapsed() < FOR {
                let begun = Instant::now();
                client.turn().await;
                times.push(begun.elapsed());
            }
            times
        })
    });
    let mut times: Vec<_> = join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();
    times.sort();
    let per_second = times.len() as f64 / started.elapsed().as_secs_f64();
    println!(
        "{what}: {per_second:.0}/s, p50 {:?}, p99 {:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
}

trait Turn: Send + 'static {
    fn turn(&mut self) -> impl Future<Output = ()> + Send;
}

struct Echo(WebSocketStream<TcpStream>);

/// A WebSocket of the echo.
async fn bare(at: SocketAddr, path: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(at).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let uri = format!("ws://{at}/{path}").parse().unwrap();
    ClientBuilder::from_uri(uri).connect_on(stream).await.unwrap().0
}

impl Turn for Echo {
    async fn turn(&mut self) {
        self.0.send(Message::binary(vec![0; 250])).await.unwrap();
        self.0.next().await.unwrap().unwrap();
    }
}

struct Pusher {
    backend: WsBackend,
    client: ClientId,
    head: u64,
}

async fn pusher(at: SocketAddr, store: String, n: usize) -> Pusher {
    let backend = backend(at, &store);
    let client = ClientId::new(format!("client-{n}")).unwrap();
    let mut pusher = Pusher { backend, client, head: 0 };
    pusher.turn().await;
    pusher
}

impl Pusher {
    async fn push(&mut self, count: u64) {
        let events = (1..=count).map(|n| event(self.head + n, &self.client)).collect();
        self.backend.push(Push::new(None, GlobalSeq(self.head), None, events)).await.unwrap();
        self.head += count;
    }
}

impl Turn for Pusher {
    async fn turn(&mut self) {
        self.push(1).await;
    }
}

fn backend(at: SocketAddr, store: &str) -> WsBackend {
    WsBackend::new(WsConfig::new(&format!("ws://{at}"), StoreId::new(store).unwrap()).unwrap())
}

fn event(seq: u64, client: &ClientId) -> SyncedEvent {
    SyncedEvent {
        seq: GlobalSeq(seq),
        parent: GlobalSeq(seq - 1),
        name: EventName::new("v1.TodoCreated").unwrap(),
        args: Args::parse(format!(r#"{{"id":"{seq:020}","text":"{}"}}"#, "x".repeat(120))).unwrap(),
        client_id: client.clone(),
        session_id: SessionId::new("session").unwrap(),
        commit: None,
        unit_end: true,
        created_at: None,
    }
}

/// A WebSocket that follows a store and decodes nothing: what a subscriber costs at least.
async fn subscriber(at: SocketAddr, store: &str) -> WebSocketStream<TcpStream> {
    let uri = format!("ws://{at}/stores/{store}/sync").parse().unwrap();
    let stream = TcpStream::connect(at).await.unwrap();
    let mut socket = ClientBuilder::from_uri(uri)
        .add_header(http::header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL))
        .unwrap()
        .connect_on(stream)
        .await
        .unwrap()
        .0;
    let pull = ClientFrame::pull(1, Pull::new(None, Cursor::start(), PullMode::Live), u32::MAX);
    socket.send(Message::binary(Encoding::Postcard.encode(&pull))).await.unwrap();
    // Hello, and the first page with its head.
    for _ in 0..3 {
        socket.next().await.unwrap().unwrap();
    }
    socket
}

async fn fan_out(served: &Served, subscribers: usize) {
    let mut sockets = Vec::new();
    for _ in 0..subscribers {
        sockets.push(subscriber(served.server, "shared").await);
    }
    let mut pusher = Pusher {
        backend: backend(served.server, "shared"),
        client: ClientId::new("pusher").unwrap(),
        head: 0,
    };
    // A page is two messages.
    delivery(&format!("push to delivery, the last of {subscribers} subscribers"), sockets, 2, async || {
        pusher.push(1).await;
    })
    .await;
}

async fn bare_fan_out(served: &Served, subscribers: usize) {
    let mut sockets = Vec::new();
    for _ in 0..subscribers {
        sockets.push(bare(served.echo, "subscribe").await);
    }
    let mut publisher = bare(served.echo, "publish").await;
    delivery(&format!("bare broadcast of 250 bytes to {subscribers}"), sockets, 1, async || {
        publisher.send(Message::binary(vec![0])).await.unwrap();
    })
    .await;
}

/// Prints how long it takes from `publish` until the last socket has what it waits for.
async fn delivery(
    what: &str,
    sockets: Vec<WebSocketStream<TcpStream>>,
    messages: usize,
    mut publish: impl AsyncFnMut(),
) {
    const ROUNDS: usize = 100;
    let count = sockets.len();
    let (received, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    for mut socket in sockets {
        let received = received.clone();
        tokio::spawn(async move {
            loop {
                for _ in 0..messages {
                    let Some(Ok(_)) = socket.next().await else { return };
                }
                let _ = received.send(Instant::now());
            }
        });
    }
    let mut last = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        publish().await;
        for arrival in 1..=count {
            let at = timeout(FOR, arrivals.recv()).await.unwrap().unwrap();
            if arrival == count {
                last.push(at - begun);
            }
        }
    }
    last.sort();
    println!("{what}: p50 {:?}, worst {:?}", last[ROUNDS / 2], last[ROUNDS - 1]);
}

async fn idle_memory(served: &Served) {
    // The first connections also pay for the allocator's arenas.
    let _warm = join_all((0..100).map(|_| subscriber(served.server, "idle"))).await;
    let before = served.resident_bytes();
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(subscriber(served.server, "idle").await);
    }
    let bytes = served.resident_bytes().saturating_sub(before) / idle.len();
    println!("an idle WebSocket with a live pull: {bytes} bytes resident in the server");
}

async fn catch_up(served: &Served) {
    const EVENTS: u64 = 100_000;
    let mut pusher = pusher(served.server, "long".to_owned(), 0).await;
    let started = Instant::now();
    while pusher.head < EVENTS {
        pusher.push(100).await;
    }
    println!(
        "pushes of 100 events, 1 client: {:.0} events/s",
        EVENTS as f64 / started.elapsed().as_secs_f64()
    );
    let started = Instant::now();
    let mut pages = pusher.backend.pull(Pull::new(None, Cursor::start(), PullMode::Once));
    let mut events = 0;
    while let Some(page) = pages.next().await {
        events += page.unwrap().events.len();
    }
    println!(
        "catch-up of {events} events, 1 client: {:.0} events/s",
        events as f64 / started.elapsed().as_secs_f64()
    );
}
