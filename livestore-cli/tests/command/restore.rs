//! A restored copy is another history, and clients get over it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use livestore_engine::{Store, StoreBuilder};
use livestore_eventlog_memory::MemoryStorage;
use livestore_materializer_memory::{MemoryMaterializer, MemorySchema};
use livestore_traits::{EventSet, EventlogReader as _, NewEvent, StoreId, TypedEvent};
use livestore_transport_ws::{WsBackend, WsConfig};
use serde::{Deserialize, Serialize};

use crate::support::{Server, path, run, text};

/// Far above what any wait takes.
const HANG: Duration = Duration::from_secs(30);

/// As the pushes over HTTP are called.
#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    text: String,
}

impl TypedEvent for Noted {
    const NAME: &'static str = "v1.Noted";
}

fn noted(text: &str) -> NewEvent {
    NewEvent::from(&Noted { text: text.to_owned() }).unwrap()
}

/// A client whose state is all notes in order.
fn client(log: &MemoryStorage, server: SocketAddr) -> StoreBuilder {
    let events = EventSet::builder().event::<Noted>().build().unwrap();
    let schema = MemorySchema::<Vec<String>>::builder(events)
        .on::<Noted>(|notes: &mut Vec<String>, event, _| {
            notes.push(event.text);
            Ok(())
        })
        .build()
        .unwrap();
    let store_id = StoreId::new("notes").unwrap();
    let ws = WsConfig::new(&format!("ws://{server}"), store_id.clone()).unwrap();
    Store::builder(store_id)
        .eventlog(log.open())
        .materializer(MemoryMaterializer::new(schema))
        .upstream(WsBackend::new(ws))
}

fn notes(store: &Store) -> Vec<String> {
    store.query(|notes: &Vec<String>| notes.clone()).unwrap()
}

/// Commits, and waits until the server has it.
async fn note(store: &Store, text: &str) {
    let receipt = store.commit([noted(text)]).unwrap();
    tokio::time::timeout(HANG, receipt.confirmed()).await.unwrap().unwrap();
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn clients_get_over_a_restored_copy() {
    for kind in ["redb", "sqlite"] {
        let dir = tempfile::tempdir().unwrap();
        let (original, copy, restored) =
            (dir.path().join("data"), dir.path().join("copy"), dir.path().join("new"));

        // The client sees five events; the copy was made after three.
        let log = MemoryStorage::default();
        let server = Server::start(&original, &["--store", kind]);
        let store = client(&log, server.addr).start().await.unwrap();
        for text in ["one", "two", "three"] {
            note(&store, text).await;
        }
        store.shutdown(HANG).await.unwrap();
        server.stop();
        copy_dir(&original, &copy);
        let server = Server::start(&original, &[]);
        let store = client(&log, server.addr).start().await.unwrap();
        note(&store, "four").await;
        note(&store, "five").await;
        let (_, page) = server.get("/stores/notes/pull");
        store.shutdown(HANG).await.unwrap();
        server.stop();

        let output = run(&["restore", "--from", path(&copy), "--data-dir", path(&restored)]);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(
            said.contains("notes  3 events, head e3") && said.contains("1 store with 3 events verified"),
            "{said}"
        );

        // A cursor of the original is not continued, be it beyond the copy or within it.
        let server = Server::start(&restored, &[]);
        let (backend, token) = (page["backendId"].as_str().unwrap(), page["token"].as_str().unwrap());
        for cursor in [format!("after=5&token={token}"), format!("after=2&backend={backend}")] {
            let (status, refusal) = server.get(&format!("/stores/notes/pull?{cursor}"));
            assert_eq!(status, 409, "{refusal}");
            assert!(refusal["error"]["diverged"].is_string(), "{refusal}");
        }

        // The client keeps what both have, archives the rest, and goes on with everybody else.
        let store = client(&log, server.addr).start().await.unwrap();
        note(&store, "six").await;
        assert_eq!(notes(&store), ["one", "two", "three", "six"]);
        let texts: Vec<String> = server.events("notes").into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, notes(&store));
        store.shutdown(HANG).await.unwrap();
        assert_eq!(log.open().archives().unwrap().len(), 1, "what the backend lost was not archived");
    }
}
