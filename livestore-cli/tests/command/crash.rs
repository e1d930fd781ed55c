//! What a server acknowledged survives its sudden death.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::support::{Server, try_push};

const CLIENTS: usize = 4;
const ACKNOWLEDGED: u64 = 25;

/// Pushes to a store of its own until the server is gone; counts what was acknowledged.
fn push_until_death(addr: SocketAddr, store: &str, acknowledged: &AtomicU64) {
    loop {
        let parent = acknowledged.load(Ordering::SeqCst);
        match try_push(addr, store, parent, &format!("{store}:{parent}")) {
            Ok((200, _)) => acknowledged.fetch_add(1, Ordering::SeqCst),
            Ok((status, answer)) => panic!("{status}: {answer}"),
            Err(_) => return,
        };
    }
}

#[test]
fn sigkill_takes_no_acknowledged_event() {
    for kind in ["redb", "sqlite"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), &["--store", kind]);
        let acknowledged: [AtomicU64; CLIENTS] = Default::default();
        let addr = server.addr;
        thread::scope(|scope| {
            for (client, acknowledged) in acknowledged.iter().enumerate() {
                scope.spawn(move || push_until_death(addr, &format!("store-{client}"), acknowledged));
            }
            while acknowledged.iter().any(|count| count.load(Ordering::SeqCst) < ACKNOWLEDGED) {
                thread::yield_now();
            }
            server.signal("KILL");
        });
        drop(server);

        let server = Server::start(dir.path(), &[]);
        for (client, acknowledged) in acknowledged.iter().enumerate() {
            let store = format!("store-{client}");
            let (events, acknowledged) = (server.events(&store), acknowledged.load(Ordering::SeqCst));
            // The one push whose answer was lost may be there too.
            let lost_answer = events.len() as u64 - acknowledged;
            assert!(lost_answer <= 1, "{kind}: {lost_answer} events nobody pushed");
            for (parent, event) in (0..).zip(events) {
                assert_eq!(event, (parent + 1, format!("{store}:{parent}")));
            }
        }
    }
}
