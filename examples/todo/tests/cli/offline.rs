//! Without a server.

use std::io::Write as _;
use std::process::Stdio;

use crate::support::{Client, sentence, text};

#[test]
fn items_are_added_changed_and_removed() {
    let client = Client::offline();
    assert_eq!(client.ok(&["list"]), "nothing to do\n");
    for item in ["buy milk", "write letter", "water plants"] {
        assert!(client.ok(&["add", item]).ends_with(&format!("  {item}\n")));
    }
    client.ok(&["done", &client.id("write letter")]);
    client.ok(&["edit", &client.id("buy milk"), "buy oat milk"]);
    client.ok(&["rm", &client.id("water plants")]);
    assert_eq!(client.items(), ["[ ] buy oat milk", "[x] write letter"]);
}

#[test]
fn status_tells_what_waits_for_a_server() {
    let client = Client::offline();
    client.ok(&["add", "buy milk"]);
    let status = client.ok(&["status"]);
    for part in ["heads    e1 here, e0 confirmed", "pending  1 event\n", "none given, working offline"] {
        assert!(status.contains(part), "{part:?} is not in {status}");
    }
}

#[test]
fn an_empty_variable_names_no_server() {
    let client = Client::offline();
    let adding = client.command(&["add", "buy milk"]).env("TODO_SERVER", "").status().unwrap();
    assert!(adding.success());
    let failed = client.command(&["sync"]).env("TODO_SERVER", "").output();
    assert!(sentence(&failed.unwrap()).contains("nothing to sync with"));
}

#[test]
fn standard_input_is_an_item_per_line() {
    let client = Client::offline();
    let mut adding = client.command(&["add", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    adding.stdin.take().unwrap().write_all(b"one\n\n  two \nthree").unwrap();
    assert!(adding.wait().unwrap().success());
    assert_eq!(client.items(), ["[ ] one", "[ ] two", "[ ] three"]);
}

#[test]
fn an_id_may_be_short_but_not_ambiguous() {
    let client = Client::offline();
    // Of 33 ids, two begin with the same of 32 characters.
    let mut adding = client.command(&["add", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let lines: String = (0..33).map(|n| format!("item {n}\n")).collect();
    adding.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(adding.wait().unwrap().success());

    let mut ids: Vec<String> = (0..33).map(|n| client.id(&format!("item {n}"))).collect();
    ids.sort();
    let pair = ids.windows(2).find(|pair| pair[0][..1] == pair[1][..1]).unwrap();
    let said = client.fails(&["rm", &pair[0][..1]]);
    assert!(said.contains("ambiguous"), "{said}");
    client.ok(&["rm", &pair[0]]);
    assert_eq!(client.items().len(), 32);
}

#[test]
fn two_directories_are_two_clients() {
    let (a, b) = (Client::offline(), Client::offline());
    a.ok(&["add", "buy milk"]);
    assert_eq!(b.items(), Vec::<String>::new());
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let client = Client::offline();
    client.ok(&["add", "buy milk"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = client.command(&["list"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_lost_or_damaged_state_is_made_again() {
    let client = Client::offline();
    client.ok(&["add", "buy milk"]);
    let state = client.file("state.sqlite");
    std::fs::remove_file(&state).unwrap();
    assert_eq!(client.items(), ["[ ] buy milk"]);
    std::fs::write(&state, "this is no database".repeat(1000)).unwrap();
    assert_eq!(client.items(), ["[ ] buy milk"]);
}

#[test]
fn a_damaged_eventlog_is_told_and_left_alone() {
    let client = Client::offline();
    client.ok(&["add", "buy milk"]);
    let garbage = "this is no database".repeat(1000);
    std::fs::write(client.file("eventlog.redb"), &garbage).unwrap();
    let said = client.fails(&["list"]);
    assert!(said.contains("eventlog.redb") && said.contains("put a copy of it back"), "{said}");
    assert_eq!(std::fs::read_to_string(client.file("eventlog.redb")).unwrap(), garbage);
}

/// The log knows of later terms than the file does then, and fences whoever leads in an earlier one: candidates count on
/// until one gets through.
#[test]
fn a_lost_leader_file_stops_nobody() {
    let client = Client::offline();
    client.ok(&["add", "buy milk"]);
    client.ok(&["list"]);
    std::fs::remove_file(client.file("leader")).unwrap();
    client.ok(&["add", "buy bread"]);
    assert_eq!(client.items(), ["[ ] buy milk", "[ ] buy bread"]);
}

#[test]
fn wrong_input_is_answered_with_a_sentence() {
    let client = Client::offline();
    let long = "x".repeat(2_000_000);
    let file = client.dir().join("file");
    std::fs::write(&file, long).unwrap();
    for (args, expected) in [
        (&["done", "nothing"] as &[&str], "no item begins with \"nothing\""),
        (&["done", ""], "the id is empty"),
        (&["rm", "%"], "no item begins with \"%\""),
        (&["add", "  "], "needs a text"),
        (&["sync"], "nothing to sync with"),
        (&["sync", "--server", "localhost:8787"], "must begin with ws://, wss://, http://"),
        (&["sync", "--server", "wss://localhost", "--ca", "no-such-file"], "no-such-file: No such file"),
        (&["sync", "--server", "wss://localhost", "--ca", "Cargo.toml"], "no PEM certificate"),
        (&["add", "x", "--server", "ws://"], "invalid server URL"),
        (&["add", "x", "--server", "http://a b"], "invalid server URL"),
    ] {
        let said = client.fails(args);
        assert!(said.contains(expected), "{args:?} said {said:?}");
    }
    let too_long = client.command(&["add", "-"]).stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
    assert!(sentence(&too_long).contains("too large"));
    assert_eq!(client.items(), Vec::<String>::new());

    let below_a_file = client.command(&["list"]).arg("--data-dir").arg(&file).output().unwrap();
    assert!(!below_a_file.status.success());
    for args in [
        &["nonsense"] as &[&str],
        &[],
        &["add"],
        &["list", "--store", "../x"],
        &["list", "--payload", "{"],
        &["sync", "--timeout", "-1"],
    ] {
        let output = client.command(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_told() {
    let client = Client::offline();
    let file = client.dir().join("file");
    std::fs::write(&file, "").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_todo"));
    let said = sentence(&command.arg("--data-dir").arg(&file).arg("list").output().unwrap());
    assert!(said.contains("cannot make the directory"), "{said}");
}
