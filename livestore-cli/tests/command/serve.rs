//! A server from its first line to its last.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Server, connect, livestore, one_event, path, read_answer, run, text};

#[test]
fn it_says_where_it_is_and_what_it_suggests_works() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let server = Server::start(&data_dir, &[]);
    assert!(server.introduction.contains(&format!("ws://{}", server.addr)), "{}", server.introduction);
    assert!(server.introduction.contains(path(&data_dir.join("livestore.redb"))), "{}", server.introduction);
    assert!(data_dir.join("livestore.redb").is_file());
    let (_, curl) = server.introduction.split_once(&format!("curl http://{}", server.addr)).unwrap();
    let (status, page) = server.get(curl.trim());
    assert_eq!((status, &page["caughtUp"]), (200, &true.into()));
    assert_eq!(server.get("/health").0, 200);
    assert_eq!(server.stop().status.code(), Some(0));
}

#[test]
fn what_is_pushed_is_pulled_also_after_a_restart() {
    for kind in ["redb", "sqlite"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), &["--store", kind]);
        let (status, ack) = server.push("notes", 0, "one");
        assert_eq!((status, &ack["through"]), (200, &1.into()));
        let (status, refusal) = server.push("notes", 0, "other");
        assert_eq!(status, 409, "{refusal}");
        assert_eq!(server.push("notes", 1, "two").0, 200);
        assert_eq!(server.events("other"), []);
        assert_eq!(server.stop().status.code(), Some(0));
        // What is there decides what is served.
        let server = Server::start(dir.path(), &[]);
        assert_eq!(server.events("notes"), [(1, "one".to_owned()), (2, "two".to_owned())]);
    }
}

#[test]
fn memory_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = livestore(&["serve", "--memory", "--listen", "127.0.0.1:0"]);
    command.current_dir(dir.path());
    let server = Server::spawn(command);
    assert_eq!(server.push("notes", 0, "one").0, 200);
    assert_eq!(server.stop().status.code(), Some(0));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// A push whose request is being read by the server, and the rest of it.
fn half_a_push(server: &Server) -> (TcpStream, String) {
    let body = one_event(0, "in flight").to_string();
    let (first, rest) = body.split_at(10);
    let mut stream = connect(server.addr).unwrap();
    let head = format!(
        "POST /stores/notes/push HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\
         connection: close\r\n\r\n{first}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The server says this once it reads the body.
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).unwrap();
    assert!(text(&go_on).contains("100 Continue"));
    (stream, rest.to_owned())
}

#[test]
fn a_signal_lets_a_push_in_flight_finish() {
    for signal in ["TERM", "INT"] {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Server::start(dir.path(), &[]);
        let (mut stream, rest) = half_a_push(&server);
        server.signal(signal);
        assert!(server.line().contains("finishing what is in flight"));
        stream.write_all(rest.as_bytes()).unwrap();
        let (status, ack) = read_answer(&mut stream).unwrap();
        assert_eq!(status, 200, "{ack}");
        let ended = server.wait();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        assert_eq!(ended.stdout, "stopped\n");
        let server = Server::start(dir.path(), &[]);
        assert_eq!(server.events("notes"), [(1, "in flight".to_owned())]);
    }
}

#[test]
fn what_does_not_finish_in_time_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["--shutdown-timeout", "50ms"]);
    let _open = half_a_push(&server);
    server.signal("TERM");
    server.line();
    let ended = server.wait();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stdout.contains("after 50ms, what was still in flight was dropped"), "{}", ended.stdout);
}

#[test]
fn a_second_signal_stops_at_once() {
    let dir = tempfile::tempdir().unwrap();
    // Without the second signal the test would hang here for an hour.
    let mut server = Server::start(dir.path(), &["--shutdown-timeout", "1h", "--body-timeout", "1h"]);
    let _open = half_a_push(&server);
    server.signal("TERM");
    server.line();
    server.signal("INT");
    let ended = server.wait();
    assert_eq!(ended.status.code(), Some(130));
    assert!(ended.stdout.contains("stopped at once"), "{}", ended.stdout);
}

#[test]
fn a_bound_that_is_set_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--max-event-bytes", "1KiB", "--max-frame-bytes", "16KiB"]);
    let (status, store) = server.get("/stores/notes");
    assert_eq!((status, &store["capabilities"]["limits"]["maxEventBytes"]), (200, &1024.into()), "{store}");
    assert_eq!(server.push("notes", 0, &"x".repeat(2000)).0, 422);
    assert_eq!(server.push("notes", 0, &"x".repeat(20_000)).0, 413);
    assert_eq!(server.push("notes", 0, "x").0, 200);
}

#[test]
fn it_tells_its_version_and_its_options() {
    assert_eq!(text(&run(&["--version"]).stdout), format!("livestore {}\n", env!("CARGO_PKG_VERSION")));
    let help = text(&run(&["serve", "--help"]).stdout);
    for option in
        ["--listen", "--data-dir", "--memory", "--store", "--max-open-stores", "--cache-bytes", "--log"]
    {
        assert!(help.contains(option), "{option} is not in the help");
    }
}

/// A LiveStore client posts `{ … }` to any path with its store in the query, from a page of another origin.
#[test]
fn livestore_clients_of_allowed_origins_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--allow-origin", "https://app.example"]);
    assert_eq!(server.push("notes", 0, "one").0, 200);
    let body = r#"{"_tag":"Request","id":"1","tag":"SyncHttpRpc.Pull","payload":{"storeId":"notes","cursor":{"_tag":"None"}},"headers":[]}"#;
    let mut stream = connect(server.addr).unwrap();
    write!(
        stream,
        "POST /any/path?storeId=notes&transport=http HTTP/1.1\r\nhost: x\r\norigin: https://app.example\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_lowercase().contains("access-control-allow-origin: https://app.example"), "{answer}");
    assert!(answer.contains(r#""_tag":"Chunk""#) && answer.contains("SyncMessage.SyncMetadata"), "{answer}");
    assert_eq!(server.stop().status.code(), Some(0));
}
