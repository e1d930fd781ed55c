//! Logs of released formats are read for ever.

use bytes::Bytes;
use livestore_eventlog_sqlite::SqliteEventlog;
use livestore_traits::{
    ArchiveInfo, Args, BackendId, ClientId, ClientSecret, CommitRef, Cursor, Event, EventName, Eventlog,
    EventlogReader, GlobalSeq, GoneCommit, GoneReason, Heads, Identity, LogCommit, Position, ReadLimit,
    RebaseGeneration, SeqNum, SessionId, SessionRecord, Term, UpstreamMark,
};
use rusqlite::Connection;

fn num(text: &str) -> SeqNum {
    text.parse().expect("a valid number")
}

fn event(number: &str, name: &str, args: &'static str) -> Event {
    Event {
        num: num(number),
        name: EventName::new(name).expect("a valid name"),
        args: Args::parse(args).expect("valid JSON"),
        client_id: ClientId::new("c1").expect("a valid id"),
        session_id: SessionId::new("s1").expect("a valid id"),
        commit: Some(CommitRef { n: 1, index: 0 }),
        unit_end: true,
        is_own: true,
    }
}

#[test]
fn a_log_of_format_1_is_read_and_written_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.sqlite");
    Connection::open(&path).unwrap().execute_batch(include_str!("format_1.sql")).unwrap();
    let mut log = SqliteEventlog::open(&path).unwrap();

    let heads = Heads {
        local: num("e1.1r2"),
        settled: num("e1"),
        upstream: UpstreamMark {
            head: num("e1"),
            cursor: Cursor { after: GlobalSeq(1), token: Some(Bytes::from_static(b"\x00\xff")) },
            backend_id: Some(BackendId::new("b1").unwrap()),
        },
        generation: RebaseGeneration(2),
        term: Term(9),
        identity: Some(Identity {
            client_id: ClientId::new("c1").unwrap(),
            secret: ClientSecret([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
        }),
    };
    assert_eq!(log.heads().unwrap(), heads);
    let pulled = Event {
        client_id: ClientId::new("c2").unwrap(),
        session_id: SessionId::new("s9").unwrap(),
        commit: None,
        is_own: false,
        ..event("e1", "v1.A", r#"{"a":1}"#)
    };
    let own = Event {
        commit: Some(CommitRef { n: 3, index: 1 }),
        unit_end: false,
        ..event("e1.1r2", "v1.B", "null")
    };
    assert_eq!(log.read(Position::ROOT, ReadLimit::events(9)).unwrap(), [pulled, own]);
    let session_id = SessionId::new("s1").unwrap();
    let gone = vec![
        GoneCommit { n: 1, reason: GoneReason::Archived },
        GoneCommit { n: 2, reason: GoneReason::Rejected("no".into()) },
    ];
    let record = SessionRecord { session_id: session_id.clone(), persisted: 3, gone };
    assert_eq!(log.session(&session_id).unwrap(), Some(record));
    let info =
        ArchiveInfo { id: 1, base: num("e1"), head: num("e2"), backend_id: None, reason: "replaced".into() };
    assert_eq!(log.archives().unwrap(), [info]);
    let archived = log.read_archive(1, Position::ROOT, ReadLimit::events(9)).unwrap();
    assert_eq!(archived, [event("e2", "v1.A", "[]")]);

    let mut commit = LogCommit::new(&heads);
    commit.append.push(event("e2r2", "v1.A", "1"));
    assert_eq!(log.commit(Term(9), commit).unwrap().local, num("e2r2"));
}
