//! Following what others do.

use crate::support::{Client, TestServer};

#[test]
fn changes_of_others_are_shown_as_they_come() {
    for scheme in ["ws", "http"] {
        let server = TestServer::start();
        let (a, b) = (Client::of(server.url(scheme)), Client::of(server.url(scheme)));
        let watching = b.start(&["watch"]);
        watching.read_until("the empty list", |line| line == "nothing to do");

        a.ok(&["add", "buy milk"]);
        let added = watching.read_until("the item", |line| line.ends_with("  buy milk"));
        assert!(added.starts_with("+ [ ] "), "{added}");
        a.ok(&["done", &a.id("buy milk")]);
        watching.read_until("the mark", |line| line.starts_with("~ [x] "));
        a.ok(&["rm", &a.id("buy milk")]);
        watching.read_until("the removal", |line| line.starts_with("- [x] "));
    }
}

#[test]
fn a_lost_connection_is_shown_and_found_again() {
    for scheme in ["ws", "http"] {
        let mut server = TestServer::start();
        let client = Client::of(server.url(scheme));
        let watching = client.start(&["watch"]);
        watching.read_until("the connection", |line| line == "-- connected");
        server.stop();
        watching.read_until("the loss", |line| line.starts_with("-- not connected"));
        server.start_again();
        watching.read_until("the connection again", |line| line == "-- connected");
    }
}

#[test]
fn it_ends_cleanly_when_asked_to() {
    let server = TestServer::start();
    for signal in ["-INT", "-TERM"] {
        let client = Client::of(server.url("ws"));
        let mut watching = client.start(&["watch"]);
        watching.read_until("the connection", |line| line == "-- connected");
        watching.signal(signal);
        assert!(watching.child.wait().unwrap().success());
        // The directory is free again.
        client.ok(&["list"]);
    }
}
