//! Several clients and a server, over every transport.

use crate::support::{Client, TestServer, text};

const SCHEMES: [&str; 4] = ["ws", "http", "livestore+ws", "livestore+http"];

#[test]
fn two_clients_converge() {
    for scheme in SCHEMES {
        let server = TestServer::start();
        let (a, b) = (Client::of(server.url(scheme)), Client::of(server.url(scheme)));
        assert!(a.ok(&["add", "buy milk"]).ends_with("confirmed as e1\n"));
        assert!(b.ok(&["add", "write letter"]).ends_with("confirmed as e2\n"));
        a.ok(&["sync"]);
        assert_eq!(a.items(), ["[ ] buy milk", "[ ] write letter"]);
        assert_eq!(a.items(), b.items());
        assert!(a.ok(&["done", &a.id("write letter")]).ends_with("confirmed as e3\n"));
        assert_eq!(synced_at(&b), "e3");
        assert_eq!(b.items(), ["[ ] buy milk", "[x] write letter"]);
    }
}

#[test]
fn what_was_done_offline_is_rebased() {
    for scheme in SCHEMES {
        let server = TestServer::start();
        let url = server.url(scheme);
        let (a, b) = (Client::of(&url), Client::of(&url));
        a.ok(&["add", "buy milk"]);
        b.ok(&["sync"]);

        // Both go offline and change the same item.
        let (a, b) = (a.with_server(None), b.with_server(None));
        a.ok(&["edit", &a.id("buy milk"), "buy oat milk"]);
        a.ok(&["add", "call mum"]);
        b.ok(&["add", "water plants"]);
        b.ok(&["edit", &b.id("buy milk"), "buy soy milk"]);
        assert_eq!(b.items(), ["[ ] buy soy milk", "[ ] water plants"]);

        let (a, b) = (a.with_server(Some(url.clone())), b.with_server(Some(url.clone())));
        assert_eq!(synced_at(&a), "e3");
        assert_eq!(synced_at(&b), "e5");
        a.ok(&["sync"]);
        // The later edit in the server's order stays, and so does everything else.
        assert_eq!(b.items(), ["[ ] buy soy milk", "[ ] call mum", "[ ] water plants"]);
        assert_eq!(a.items(), b.items());
        assert!(a.ok(&["status"]).contains("rebases  0\n"));
        assert!(b.ok(&["status"]).contains("rebases  1\n"));
    }
}

#[test]
fn status_shows_server_and_heads() {
    for scheme in SCHEMES {
        let server = TestServer::start();
        let client = Client::of(server.url(scheme));
        client.ok(&["add", "buy milk"]);
        let status = client.ok(&["status"]);
        let connected = format!("server   {}, connected\n", server.url(scheme));
        for part in ["heads    e1 here, e1 confirmed\n", "pending  0 events\n", &connected] {
            assert!(status.contains(part), "{part:?} is not in {status}");
        }
        assert!(!status.contains("not known yet"), "{status}");
    }
}

#[test]
fn without_its_server_a_client_works_on_and_syncs_later() {
    for scheme in SCHEMES {
        let mut server = TestServer::start();
        let client = Client::of(server.url(scheme));
        server.stop();
        let said = client.ok(&["add", "buy milk"]);
        assert!(said.contains("saved; will sync later: ") && said.contains("refused"), "{said}");
        let status = client.ok(&["status"]);
        assert!(status.contains("pending  1 event\n") && status.contains("refused"), "{status}");
        let failed = client.fails(&["sync", "--timeout", "0.3"]);
        assert!(
            failed.contains("not in sync after 0.3 s") && failed.contains("1 change is kept"),
            "{failed}"
        );

        server.start_again();
        assert_eq!(synced_at(&client), "e1");
        let other = Client::of(server.url(scheme));
        other.ok(&["sync"]);
        assert_eq!(other.items(), ["[ ] buy milk"]);
    }
}

#[test]
fn a_server_that_lost_its_data_gets_it_back() {
    for scheme in SCHEMES {
        let mut server = TestServer::start();
        let (a, b) = (Client::of(server.url(scheme)), Client::of(server.url(scheme)));
        a.ok(&["add", "buy milk"]);
        b.ok(&["add", "write letter"]);
        a.ok(&["sync"]);
        server.lose_everything();

        let synced = a.command(&["sync"]).output().unwrap();
        assert!(synced.status.success());
        assert!(
            text(&synced.stderr).contains("the server is not the one it was"),
            "{}",
            text(&synced.stderr)
        );
        a.ok(&["add", "call mum"]);
        b.ok(&["sync"]);
        let c = Client::of(server.url(scheme));
        c.ok(&["sync"]);
        for client in [a, b, c] {
            assert_eq!(client.items(), ["[ ] buy milk", "[ ] write letter", "[ ] call mum"]);
        }
    }
}

#[test]
fn stores_do_not_mix() {
    let server = TestServer::start();
    let (a, b) = (Client::of(server.url("ws")), Client::of(server.url("http")));
    a.ok(&["add", "at home"]);
    a.ok(&["add", "at work", "--store", "work"]);
    b.ok(&["sync", "--store", "work"]);
    assert!(b.ok(&["list", "--store", "work"]).contains("at work"));
    assert_eq!(a.items(), ["[ ] at home"]);
    assert_eq!(b.items(), Vec::<String>::new());
}

/// Both commit at the same time, over and over, and nobody's item is lost or doubled.
#[test]
fn racing_clients_lose_nothing() {
    let server = TestServer::start();
    let clients = [Client::of(server.url("ws")), Client::of(server.url("http"))];
    std::thread::scope(|scope| {
        for (name, client) in ["a", "b"].into_iter().zip(&clients) {
            scope.spawn(move || {
                for n in 0..10 {
                    client.ok(&["add", &format!("{name}{n}")]);
                }
            });
        }
    });
    for client in [&clients[0], &clients[1], &clients[0]] {
        client.ok(&["sync"]);
    }
    assert_eq!(clients[0].items(), clients[1].items());
    let mut items = clients[0].items();
    items.sort();
    let expected: Vec<String> =
        ["a", "b"].iter().flat_map(|name| (0..10).map(move |n| format!("[ ] {name}{n}"))).collect();
    assert_eq!(items, expected);
}

/// Syncs, and tells what the last event is.
fn synced_at(client: &Client) -> String {
    client.ok(&["sync"]).trim_end().rsplit(' ').next().unwrap().to_owned()
}
