//! A program that is killed keeps what it said it has.

use std::io::Write as _;

use crate::support::{Client, TestServer};

#[test]
fn killed_while_adding_it_keeps_every_item_it_named() {
    let server = TestServer::start();
    let client = Client::of(server.url("ws"));
    let mut named = Vec::new();
    for round in 0..5 {
        let mut adding = client.start(&["add", "-"]);
        let mut stdin = adding.child.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || {
            // Ends when the program no longer reads.
            (0..).map(|n| format!("item {round}.{n}\n")).all(|line| stdin.write_all(line.as_bytes()).is_ok())
        });
        for _ in 0..=round * 7 {
            named.push(adding.read_until("an item", |line| line.starts_with("added")));
        }
        // On Unix this is `kill -9`.
        adding.child.kill().unwrap();
        named.extend(adding.rest());
        assert!(!feeder.join().unwrap());
    }
    let items = client.items();
    for line in named {
        let item = line.rsplit_once("  ").unwrap().1;
        assert!(items.contains(&format!("[ ] {item}")), "{item} is lost");
    }

    // What the server has of it is neither lost nor doubled.
    client.ok(&["sync"]);
    let other = Client::of(server.url("http"));
    other.ok(&["sync"]);
    assert_eq!(other.items(), client.items());
    let mut once = items.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), items.len());
}
