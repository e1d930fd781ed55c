//! Files that are no log, and storage that fails.

use std::fs;
use std::path::Path;

use livestore_eventlog_sqlite::SqliteEventlog;
use livestore_traits::{
    Args, ClientId, Event, EventName, Eventlog, EventlogError, EventlogReader, Heads, LogCommit, ReadLimit,
    RebaseGeneration, SeqNum, SessionId, Term,
};
use rusqlite::Connection;

/// A commit that appends `count` events after `heads`.
fn append(heads: &Heads, count: usize) -> LogCommit {
    let mut commit = LogCommit::new(heads);
    let mut num = heads.local;
    for _ in 0..count {
        num = num.next_synced(RebaseGeneration(0));
        commit.append.push(Event {
            num,
            name: EventName::new("v1.Noted").expect("a valid name"),
            args: Args::from_value(&"x".repeat(200)).expect("text is JSON"),
            client_id: ClientId::new("c1").expect("a valid id"),
            session_id: SessionId::new("s1").expect("a valid id"),
            commit: None,
            unit_end: true,
            is_own: true,
        });
    }
    commit
}

/// Makes a log of some pages at `path` and closes it.
fn make_log(path: &Path) {
    let mut log = SqliteEventlog::open(path).expect("a new log");
    log.commit(Term(1), append(&Heads::default(), 3_000)).expect("a commit");
}

/// Opens what should be refused as damaged, and checks that it is left as it was.
fn assert_corrupt(path: &Path, what: &str) {
    let before = fs::read(path).expect("the file can be read");
    match SqliteEventlog::open(path) {
        Err(EventlogError::Corrupt(source)) => {
            assert!(
                source.to_string().contains(path.to_str().expect("UTF-8")),
                "{what}: {source} names no file"
            );
        }
        other => panic!("{what}: {other:?}"),
    }
    assert!(before == fs::read(path).expect("the file can be read"), "{what}: the file was written to");
}

#[test]
fn files_that_are_something_else_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.sqlite");
    for (what, content) in [
        ("one byte", &b"x"[..]),
        ("text", b"todo: buy milk\n"),
        ("zeros", &[0; 8192]),
        ("noise", &(0..=255).cycle().take(100_000).collect::<Vec<u8>>()),
    ] {
        fs::write(&path, content).unwrap();
        assert_corrupt(&path, what);
    }
}

#[test]
fn truncated_logs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.sqlite");
    make_log(&path);
    let whole = fs::read(&path).unwrap();
    for len in [1, 50, 100, 4_095, 4_096, 10_000, whole.len() / 2, whole.len() - 4_096] {
        fs::write(&path, &whole[..len]).unwrap();
        assert_corrupt(&path, &format!("cut to {len} of {} bytes", whole.len()));
    }
}

#[test]
fn an_empty_file_becomes_a_new_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.sqlite");
    fs::write(&path, "").unwrap();
    assert_eq!(SqliteEventlog::open(&path).unwrap().heads().unwrap(), Heads::default());
}

#[test]
fn databases_of_other_programs_and_formats_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("foreign.sqlite");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE todo (id)").unwrap();
    assert_corrupt(&foreign, "another program's tables");
    let marked = dir.path().join("marked.sqlite");
    Connection::open(&marked).unwrap().execute_batch("PRAGMA application_id = 7").unwrap();
    assert_corrupt(&marked, "another program's empty database");

    for (what, change) in [
        ("a newer format", "PRAGMA user_version = 2"),
        ("no format", "PRAGMA user_version = 0"),
        ("another application", "PRAGMA application_id = 7"),
        ("no heads", "DELETE FROM head"),
        ("heads that are no numbers", "UPDATE head SET local = 'here'"),
        ("a secret of another length", "UPDATE head SET client_id = 'c', secret = x'00'"),
        ("a negative term", "UPDATE head SET term = -1"),
        ("no table of heads", "DROP TABLE head"),
    ] {
        let path = dir.path().join("changed.sqlite");
        let _ = fs::remove_file(&path);
        make_log(&path);
        Connection::open(&path).unwrap().execute_batch(change).unwrap();
        assert_corrupt(&path, what);
    }
}

#[test]
fn a_record_that_cannot_be_read_is_corrupt_and_the_rest_is_not() {
    let dir = tempfile::tempdir().unwrap();
    for change in [
        "UPDATE event SET name = '' WHERE global = 2000",
        "UPDATE event SET client_id = char(7) WHERE global = 2000",
        "UPDATE event SET commit_n = -1, commit_index = 0 WHERE global = 2000",
        "UPDATE event SET generation = -1 WHERE global = 2000",
        "UPDATE event SET args = CAST(x'ff' AS TEXT) WHERE global = 2000",
    ] {
        let path = dir.path().join("eventlog.sqlite");
        let _ = fs::remove_file(&path);
        make_log(&path);
        Connection::open(&path).unwrap().execute_batch(change).unwrap();
        let log = SqliteEventlog::open(&path).unwrap();
        let read = |after: &str, limit| {
            log.read(after.parse::<SeqNum>().unwrap().position(), ReadLimit::events(limit))
        };
        assert_eq!(read("e1000", 999).unwrap().len(), 999);
        assert!(matches!(read("e1000", 1_000), Err(EventlogError::Corrupt(_))), "{change}");
        assert_eq!(read("e2000", 1_000).unwrap().len(), 1_000);
    }
}

#[test]
fn logs_with_damaged_pages_are_refused_or_read_with_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.sqlite");
    make_log(&path);
    let whole = fs::read(&path).unwrap();
    let mut noticed = 0;
    for page in 0..whole.len() / 4_096 {
        let mut bytes = whole.clone();
        bytes[page * 4_096..][..4_096].fill(0xa5);
        fs::write(&path, &bytes).unwrap();
        let read = SqliteEventlog::open(&path)
            .and_then(|log| log.read(SeqNum::ROOT.position(), ReadLimit::events(3_000)));
        match read {
            Ok(events) => assert_eq!(events.len(), 3_000, "page {page}"),
            Err(EventlogError::Corrupt(_)) => noticed += 1,
            Err(error) => panic!("page {page}: {error:?}"),
        }
    }
    assert!(noticed > 100, "most pages hold events, and only {noticed} were missed");
}

#[test]
fn paths_that_hold_no_file_are_errors_that_name_them() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("missing/eventlog.sqlite")] {
        match SqliteEventlog::open(&path) {
            Err(EventlogError::Storage(source)) => {
                assert!(source.to_string().contains(path.to_str().unwrap()), "{source}");
            }
            other => panic!("{}: {other:?}", path.display()),
        }
    }
}

#[test]
fn a_file_without_write_permission_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.sqlite");
    make_log(&path);
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).unwrap();
    if fs::OpenOptions::new().write(true).open(&path).is_ok() {
        return eprintln!("skipped: permissions do not bind this user");
    }
    assert!(matches!(SqliteEventlog::open(&path), Err(EventlogError::Storage(_))));
}

/// A log whose file loses its tables under it fails in the middle of a commit, and must not be used any further.
#[test]
fn a_commit_that_fails_closes_the_log_and_its_readers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.sqlite");
    make_log(&path);
    let mut log = SqliteEventlog::open(&path).unwrap();
    let reader = log.reader().unwrap();
    let heads = log.heads().unwrap();
    Connection::open(&path).unwrap().execute_batch("ALTER TABLE session RENAME TO elsewhere").unwrap();
    let mut commit = append(&heads, 1);
    commit.sessions.push(livestore_traits::SessionRecord::new(SessionId::new("s1").unwrap()));
    assert!(matches!(log.commit(Term(1), commit), Err(EventlogError::Corrupt(_))));
    Connection::open(&path).unwrap().execute_batch("ALTER TABLE elsewhere RENAME TO session").unwrap();

    assert!(matches!(log.heads(), Err(EventlogError::Closed)));
    assert!(matches!(log.commit(Term(1), append(&heads, 1)), Err(EventlogError::Closed)));
    assert!(matches!(log.reader(), Err(EventlogError::Closed)));
    assert!(matches!(reader.heads(), Err(EventlogError::Closed)));
    assert_eq!(
        SqliteEventlog::open(&path).unwrap().heads().unwrap(),
        heads,
        "nothing of the commit is there"
    );
}

/// SQLite's integers are signed, so half of the numbers that a term can have do not fit.
#[test]
fn numbers_that_sqlite_cannot_hold_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = SqliteEventlog::open(dir.path().join("eventlog.sqlite")).unwrap();
    let beyond = log.commit(Term(u64::MAX), LogCommit::new(&Heads::default()));
    assert!(matches!(beyond, Err(EventlogError::Refused(_))));
    assert_eq!(log.heads().unwrap(), Heads::default());
    log.commit(Term(i64::MAX as u64), append(&Heads::default(), 1)).unwrap();
}

/// A reader outlives its log: it has a connection of its own.
#[test]
fn a_reader_goes_on_when_its_log_is_closed_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.sqlite");
    make_log(&path);
    let log = SqliteEventlog::open(&path).unwrap();
    let reader = log.reader().unwrap();
    drop(log);
    let mut next = SqliteEventlog::open(&path).unwrap();
    let heads = next.heads().unwrap();
    let heads = next.commit(Term(2), append(&heads, 1)).unwrap();
    assert_eq!(reader.heads().unwrap(), heads);
}
