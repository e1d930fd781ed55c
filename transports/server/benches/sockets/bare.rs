//! The ceilings: the same socket library and the same storages, with nothing of ours between them.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_websockets::{ClientBuilder, Message, ServerBuilder, WebSocketStream};

use crate::pull::PAGES;
use crate::serve::Storage;

/// An event as the storages keep it.
pub(crate) const RECORD_BYTES: usize = 204;

/// Pages of a catch-up have about this many bytes.
const PAGE_BYTES: usize = 22_000;

/// Answers each message once it is stored, on any path but these: `/publish` wakes everyone on `/subscribe`, `/pages` is
/// a catch-up.
pub(crate) async fn serve(storage: Storage, dir: &Path, listening: impl FnOnce(SocketAddr)) {
    let stored = Plain::open(storage, dir).map(Plain::start);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listening(listener.local_addr().unwrap());
    let published = watch::Sender::new(());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (published, stored) = (published.clone(), stored.clone());
        tokio::spawn(async move {
            let (request, socket) = ServerBuilder::new().accept(stream).await.unwrap();
            match request.uri().path() {
                "/publish" => publish(socket, published).await,
                "/subscribe" => subscribe(socket, published.subscribe()).await,
                "/pages" => pages(socket).await,
                _ => answer(socket, stored).await,
            }
        });
    }
}

/// A socket of the ceiling.
pub(crate) async fn connect(at: SocketAddr, path: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(at).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let uri = format!("ws://{at}/{path}").parse().unwrap();
    ClientBuilder::from_uri(uri).connect_on(stream).await.unwrap().0
}

async fn publish(mut socket: WebSocketStream<TcpStream>, published: watch::Sender<()>) {
    while let Some(Ok(_)) = socket.next().await {
        published.send_replace(());
    }
}

async fn subscribe(mut socket: WebSocketStream<TcpStream>, mut published: watch::Receiver<()>) {
    while published.changed().await.is_ok() {
        if socket.send(Message::binary(vec![0; 250])).await.is_err() {
            return;
        }
    }
}

async fn pages(mut socket: WebSocketStream<TcpStream>) {
    let page = Bytes::from(vec![0; PAGE_BYTES]);
    for _ in 0..PAGES {
        socket.feed(Message::binary(page.clone())).await.unwrap();
    }
    socket.flush().await.unwrap();
    // The reader hangs up when it has all.
    socket.next().await;
}

type Stored = mpsc::UnboundedSender<(Bytes, oneshot::Sender<()>)>;

async fn answer(mut socket: WebSocketStream<TcpStream>, stored: Option<Stored>) {
    while let Some(Ok(message)) = socket.next().await {
        if !message.is_binary() {
            return;
        }
        if let Some(stored) = &stored {
            let (answer, durable) = oneshot::channel();
            stored.send((message.into_payload().into(), answer)).unwrap();
            durable.await.unwrap();
        }
        if socket.send(Message::binary(vec![0; 64])).await.is_err() {
            return;
        }
    }
}

/// A storage with one table.
enum Plain {
    Redb(redb::Database),
    Sqlite(rusqlite::Connection),
}

const TABLE: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("events");

impl Plain {
    fn open(storage: Storage, dir: &Path) -> Option<Self> {
        match storage {
            Storage::Memory => None,
            Storage::Redb => Some(Self::Redb(redb::Database::create(dir.join("plain.redb")).unwrap())),
            Storage::Sqlite => {
                let connection = rusqlite::Connection::open(dir.join("plain.sqlite")).unwrap();
                let schema = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                    CREATE TABLE events (seq INTEGER PRIMARY KEY, record BLOB);";
                connection.execute_batch(schema).unwrap();
                Some(Self::Sqlite(connection))
            }
        }
    }

    /// Stores on a thread of its own; what arrives while it waits for the disk is stored together.
    fn start(mut self) -> Stored {
        let (stored, mut queue) = mpsc::unbounded_channel::<(Bytes, oneshot::Sender<()>)>();
        thread::spawn(move || {
            let mut next = 0;
            while let Some(first) = queue.blocking_recv() {
                let mut group = vec![first];
                while let Ok(more) = queue.try_recv() {
                    group.push(more);
                }
                let records = group.iter().flat_map(|(message, _)| message.chunks(RECORD_BYTES));
                next = self.commit(next, records);
                for (_, answer) in group {
                    let _ = answer.send(());
                }
            }
        });
        stored
    }

    fn commit<'a>(&mut self, mut next: u64, records: impl Iterator<Item = &'a [u8]>) -> u64 {
        match self {
            Self::Redb(database) => {
                let txn = database.begin_write().unwrap();
                let mut table = txn.open_table(TABLE).unwrap();
                for record in records {
                    table.insert(next, record).unwrap();
                    next += 1;
                }
                drop(table);
                txn.commit().unwrap();
            }
            Self::Sqlite(connection) => {
                let txn = connection.transaction().unwrap();
                let mut insert = txn.prepare_cached("INSERT INTO events VALUES (?1, ?2)").unwrap();
                for record in records {
                    insert.execute((next.cast_signed(), record)).unwrap();
                    next += 1;
                }
                drop(insert);
                txn.commit().unwrap();
            }
        }
        next
    }
}
