//! A storage that cannot be written refuses pushes, and nothing else.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Server, path, try_get};

/// Far above what reopening takes.
const HANG: Duration = Duration::from_secs(20);
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// Pushes until one is refused. Returns how many were accepted, and the refusal.
fn fill(server: &Server) -> (u64, (u16, Value)) {
    let text = "x".repeat(100_000);
    (0..1000)
        .map(|parent| (parent, server.push("notes", parent, &text)))
        .find(|(_, (status, _))| *status != 200)
        .expect("the storage never became full")
}

/// Waits for a server that opens its data again. Until it begins to, requests fail; then they wait.
fn wait_until_readable(server: &Server) {
    let give_up = Instant::now() + HANG;
    while !matches!(try_get(server.addr, "/stores/notes/pull"), Ok((200, _))) {
        assert!(Instant::now() < give_up, "the data was not opened again");
        thread::sleep(BETWEEN_TRIES);
    }
}

/// How often the log tells of an outage.
fn times_told(stderr: &str) -> usize {
    stderr.matches("cannot be written; pushes are refused").count()
}

#[test]
fn a_full_sqlite_file_stays_readable() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--store", "sqlite", "--max-file-bytes", "1MiB"]);
    assert_eq!(server.push("other", 0, "small").0, 200);
    let (accepted, (status, refusal)) = fill(&server);
    assert_eq!((status, refusal["message"].as_str()), (500, Some("the sqlite backend failed")));
    assert_eq!(server.push("other", 1, "small").0, 200, "a store was paused for what failed in another");
    for _ in 0..3 {
        let (status, refusal) = server.push("notes", accepted, &"x".repeat(100_000));
        assert!(matches!(status, 500 | 503), "{refusal}");
        assert_eq!(server.events("notes").len() as u64, accepted);
    }
    assert_eq!(server.get("/health").0, 200);
    let ended = server.stop();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(times_told(&ended.stderr), 1, "{}", ended.stderr);
}

#[test]
fn a_redb_file_that_cannot_grow_is_opened_again_and_stays_readable() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    // Writes beyond the limit fail, as on a full disk, once the signal that they would raise is ignored.
    let limited = r#"trap '' XFSZ; ulimit -f 4096; exec "$0" serve --listen 127.0.0.1:0 --data-dir "$1""#;
    command.args(["-c", limited, env!("CARGO_BIN_EXE_livestore"), path(dir.path())]).env_remove("RUST_LOG");
    let server = Server::spawn(command);
    let (accepted, (status, refusal)) = fill(&server);
    assert_eq!((status, refusal["message"].as_str()), (500, Some("the redb backend failed")));
    wait_until_readable(&server);
    assert_eq!(server.events("notes").len() as u64, accepted);
    let (status, refusal) = server.push("notes", accepted, &"x".repeat(100_000));
    assert!(matches!(status, 500 | 503), "{refusal}");
    wait_until_readable(&server);
    assert_eq!(server.events("notes").len() as u64, accepted);
    let ended = server.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(times_told(&ended.stderr), 1, "{}", ended.stderr);
}
