//! Several programs on one data directory: one leads, the others follow, and one of them takes over.

use std::fs;
use std::io::Write as _;

use crate::support::{Client, Running, TestServer};

fn leader_of(status: &str) -> &str {
    status.lines().find_map(|line| line.strip_prefix("leader   ")).unwrap()
}

/// Waits until commands say that it leads.
fn wait_for_leader(client: &Client, running: &Running) {
    while leader_of(&client.ok(&["status"])) != running.name() {}
}

#[test]
fn what_one_adds_another_shows() {
    let client = Client::offline();
    let watching = client.watch();
    std::thread::scope(|scope| {
        for n in 0..5 {
            let client = &client;
            scope.spawn(move || client.ok(&["add", &format!("item {n}")]));
        }
    });
    let mut shown: Vec<String> =
        (0..5).map(|_| watching.read_until("an item", |line| line.starts_with("+ [ ]"))).collect();
    shown.sort_by_key(|line| line.rsplit(' ').next().map(str::to_owned));
    for (n, line) in shown.iter().enumerate() {
        assert!(line.ends_with(&format!("  item {n}")), "{shown:?}");
    }
    client.ok(&["done", &client.id("item 3")]);
    watching.read_until("the mark", |line| line.starts_with("~ [x]") && line.ends_with("  item 3"));
    client.ok(&["rm", &client.id("item 3")]);
    watching.read_until("the removal", |line| line.starts_with("- [x]") && line.ends_with("  item 3"));
}

#[test]
fn status_tells_who_leads_and_all_sessions() {
    let client = Client::offline();
    assert_eq!(leader_of(&client.ok(&["status"])), "this program");
    let watching = client.watch();
    let status = client.ok(&["status"]);
    assert_eq!(leader_of(&status), watching.name(), "{status}");
    let sessions: Vec<&str> = status.lines().filter(|line| line.contains(" in todo (process ")).collect();
    assert_eq!(sessions.len(), 2, "{status}");
    assert!(sessions[0].ends_with(&watching.name()) && sessions[1].ends_with(", this program"), "{status}");
}

#[test]
fn one_that_follows_takes_over_when_the_leader_is_killed() {
    let client = Client::offline();
    let leads = client.watch();
    let follows = client.watch();
    client.ok(&["add", "before"]);
    follows.read_until("the first item", |line| line.ends_with("  before"));
    leads.kill();
    // Nothing is waited for: whoever comes now leads, or finds who does.
    client.ok(&["add", "after"]);
    follows.read_until("the other item", |line| line.ends_with("  after"));
    // A command may have led for a moment; in the end the one that runs on does.
    wait_for_leader(&client, &follows);
    assert_eq!(client.items(), ["[ ] before", "[ ] after"]);
}

#[test]
fn a_change_of_leaders_is_told() {
    let client = Client::offline();
    let first = client.watch();
    let others = [client.watch(), client.watch()];
    first.kill();
    let is_told = |line: &str| line.ends_with(" leads") || line.ends_with(" leads now");
    let told = others.each_ref().map(|running| running.read_until("who leads", is_told));
    let [by_second, by_third] = others.each_ref().map(|running| format!("-- {} leads", running.name()));
    let here = "-- this program leads now".to_owned();
    assert!(told == [here.clone(), by_second] || told == [by_third, here], "{told:?}");
}

/// A command that leads hands over as soon as it ends, so that commands in a row never wait for one another.
#[test]
fn commands_at_once_lose_nothing() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let client = Client::offline();
    let expected = |name: &str| (0..8).map(|n| format!("[ ] {name}{n}")).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        for name in NAMES {
            let client = &client;
            scope.spawn(move || {
                for n in 0..8 {
                    client.ok(&["add", &format!("{name}{n}")]);
                }
            });
        }
    });
    let items = client.items();
    for name in NAMES {
        let own: Vec<_> = items.iter().filter(|item| item[4..].starts_with(name)).cloned().collect();
        assert_eq!(own, expected(name));
    }
    assert_eq!(items.len(), NAMES.len() * 8);
}

/// One that adds while its leader is killed takes over, and goes on where it was.
#[test]
fn a_killed_leader_takes_nothing_with_it() {
    let client = Client::offline();
    let mut expected = Vec::new();
    for round in 0..5 {
        let leads = client.watch();
        let mut adding = client.start(&["add", "-"]);
        let mut stdin = adding.child.stdin.take().unwrap();
        let lines: Vec<String> = (0..30).map(|n| format!("item {round}.{n}")).collect();
        stdin.write_all(lines.join("\n").as_bytes()).unwrap();
        drop(stdin);
        adding.read_until("an item", |line| line.ends_with(&format!("item {round}.{round}")));
        leads.kill();
        adding.rest();
        assert!(adding.child.wait().unwrap().success());
        expected.extend(lines.into_iter().map(|line| format!("[ ] {line}")));
    }
    assert_eq!(client.items(), expected);
}

#[test]
fn the_leader_syncs_for_all() {
    let server = TestServer::start();
    let client = Client::of(server.url("ws"));
    let watching = client.watch();
    // It has no server itself.
    let follower = client.with_server(None);
    assert!(follower.ok(&["add", "buy milk"]).ends_with("confirmed as e1\n"));
    let synced = follower.ok(&["sync"]);
    assert_eq!(synced, format!("in sync through {} at e1\n", watching.name()));
    let status = follower.ok(&["status"]);
    assert!(status.contains(&format!("server   the server of {}, connected\n", watching.name())), "{status}");
}

#[test]
fn a_leader_without_a_server_is_told() {
    let server = TestServer::start();
    let client = Client::offline();
    let watching = client.watch();
    let follower = client.with_server(Some(server.url("ws")));
    let without = format!("{} leads without ", watching.name());
    let said = follower.fails(&["sync"]);
    assert!(said.starts_with(&format!("{without}a server, so ws://")), "{said}");
    let said = follower.ok(&["add", "buy milk"]);
    assert!(said.ends_with(&format!("saved; will sync later: {without}a server\n")), "{said}");
    let status = follower.ok(&["status"]);
    assert!(status.contains(&format!("server   none: {without}one, and ws://")), "{status}");
    // The next one that leads has one.
    watching.kill();
    assert!(follower.ok(&["sync"]).ends_with(" at e1\n"));
}

/// A change waits for the server through a change of leaders.
#[test]
fn one_that_takes_over_syncs() {
    let server = TestServer::start();
    let client = Client::of(server.url("ws"));
    let leads = client.watch();
    let follows = client.watch();
    client.ok(&["add", "before"]);
    leads.kill();
    assert!(client.ok(&["add", "after"]).contains("confirmed as e2\n"));
    follows.read_until("the other item", |line| line.ends_with("  after"));
    let other = Client::of(server.url("http"));
    other.ok(&["sync"]);
    assert_eq!(other.items(), ["[ ] before", "[ ] after"]);
}

/// What a leader that crashed left behind, and what never was one's, stops nobody.
#[test]
fn a_stale_address_stops_nobody() {
    let client = Client::offline();
    client.watch().kill();
    for garbage in ["", "garbage", "unix leader.sock abc", "tcp 127.0.0.1:1 x"] {
        fs::write(client.file("leader.addr"), garbage).unwrap();
        client.ok(&["add", garbage.split(' ').next().filter(|word| !word.is_empty()).unwrap_or("nothing")]);
    }
    fs::remove_file(client.file("leader.sock")).unwrap();
    fs::create_dir(client.file("leader.sock")).unwrap();
    // The socket cannot be made, so others come by another way.
    let watching = client.watch();
    client.ok(&["add", "write letter"]);
    watching.read_until("the item", |line| line.ends_with("  write letter"));
}

#[test]
fn an_address_that_is_damaged_while_somebody_leads_is_told() {
    let client = Client::offline();
    let watching = client.watch();
    fs::write(client.file("leader.addr"), "garbage").unwrap();
    let said = client.fails(&["add", "buy milk"]);
    assert!(said.contains("leader.addr was written by another version, or is damaged"), "{said}");
    watching.kill();
    client.ok(&["add", "buy milk"]);
}
