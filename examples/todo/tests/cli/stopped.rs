//! A program that leads and is stopped, but not dead: it keeps the files, and nobody takes over until it runs or ends.

use std::io::Write as _;

use crate::support::Client;

#[test]
fn commands_say_that_it_does_not_answer() {
    let client = Client::offline();
    client.ok(&["add", "before"]);
    let leads = client.watch();
    leads.signal("-STOP");
    for args in [&["add", "while it is stopped"] as &[&str], &["list"], &["status"]] {
        let said = client.fails(args);
        let expected =
            format!("{} leads on this data directory and does not answer: it may be stopped", leads.name());
        assert!(said.starts_with(&expected), "{said}");
    }
    leads.signal("-CONT");
    client.ok(&["add", "after"]);
    leads.read_until("the item", |line| line.ends_with("  after"));
    assert_eq!(client.items(), ["[ ] before", "[ ] after"]);
}

#[test]
fn one_that_runs_on_tells_it_and_goes_on() {
    let client = Client::offline();
    let leads = client.watch();
    let follows = client.watch();
    leads.signal("-STOP");
    let silent = format!("-- {} does not answer: it may be stopped", leads.name());
    follows.read_until("the silence", |line| line == silent);
    leads.signal("-CONT");
    let answers = format!("-- {} leads", leads.name());
    follows.read_until("the answer", |line| line == answers);
    client.ok(&["add", "after"]);
    follows.read_until("the item", |line| line.ends_with("  after"));
}

/// The change is on its way to the leader when that is stopped: it is not said to be saved, and it is not lost either.
#[test]
fn a_change_under_way_is_not_said_to_be_saved() {
    let client = Client::offline();
    let leads = client.watch();
    let mut adding = client.start(&["add", "-"]);
    let mut stdin = adding.child.stdin.take().unwrap();
    stdin.write_all(b"first\n").unwrap();
    adding.read_until("the first item", |line| line.ends_with("  first"));
    leads.signal("-STOP");
    stdin.write_all(b"second\n").unwrap();
    drop(stdin);
    assert_eq!(adding.rest(), Vec::<String>::new());
    assert_eq!(adding.child.wait().unwrap().code(), Some(1));
    leads.signal("-CONT");
    leads.read_until("the item", |line| line.ends_with("  second"));
    assert_eq!(client.items(), ["[ ] first", "[ ] second"]);
}

#[test]
fn one_that_is_killed_while_it_is_stopped_is_followed_by_another() {
    let client = Client::offline();
    let leads = client.watch();
    leads.signal("-STOP");
    let adding = client.start(&["add", "meanwhile"]);
    leads.kill();
    adding.read_until("the item", |line| line.ends_with("  meanwhile"));
    drop(adding);
    assert_eq!(client.items(), ["[ ] meanwhile"]);
}
