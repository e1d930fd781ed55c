//! Files that are no log, and storage that fails.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use livestore_eventlog_redb::RedbEventlog;
use livestore_traits::{
    Args, ClientId, Event, EventName, Eventlog, EventlogError, EventlogReader, Heads, LogCommit, ReadLimit,
    RebaseGeneration, SeqNum, SessionId, Term,
};
use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend, TableDefinition};

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
    let mut log = RedbEventlog::open(path).expect("a new log");
    log.commit(Term(1), append(&Heads::default(), 3_000)).expect("a commit");
}

/// Opens what should be refused as damaged, and checks that it is left as it was.
fn assert_corrupt(path: &Path, what: &str) {
    let before = fs::read(path).expect("the file can be read");
    match RedbEventlog::open(path) {
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
    let path = dir.path().join("eventlog.redb");
    for (what, content) in [
        ("one byte", &b"x"[..]),
        ("text", b"todo: buy milk\n"),
        // Fewer of them may be a new file that was not finished, see `livestore-redb-file`.
        ("zeros", &[0; 100_000]),
        ("noise", &(0..=255).cycle().take(100_000).collect::<Vec<u8>>()),
    ] {
        fs::write(&path, content).unwrap();
        assert_corrupt(&path, what);
    }
}

/// redb makes the length of a file durable before its first word. Whose machine stopped there could never start again.
#[test]
fn a_file_whose_making_was_cut_short_becomes_a_new_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.redb");
    make_log(&path);
    let page_size = fs::read(&path).unwrap()[12..16].to_vec();
    for header in [vec![0; 16], [vec![0; 12], page_size].concat()] {
        fs::write(&path, [header, vec![0; 60_000]].concat()).unwrap();
        assert_eq!(RedbEventlog::open(&path).unwrap().heads().unwrap(), Heads::default());
    }
}

#[test]
fn truncated_logs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.redb");
    make_log(&path);
    let whole = fs::read(&path).unwrap();
    for len in [1, 100, 320, 4_095, 4_096, 10_000, whole.len() / 2, whole.len() - 4_096, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        match RedbEventlog::open(&path) {
            Err(EventlogError::Corrupt(_)) => {}
            other => panic!("cut to {len} of {} bytes: {other:?}", whole.len()),
        }
    }
}

/// redb trusts a file that was closed in order; damage done since must not take the process down.
#[test]
fn logs_with_damaged_pages_are_refused_or_read_with_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.redb");
    make_log(&path);
    let whole = fs::read(&path).unwrap();
    let mut noticed = 0;
    for page in (0..whole.len() / 4_096).step_by(3) {
        let mut bytes = whole.clone();
        bytes[page * 4_096..][..4_096].fill(0xa5);
        fs::write(&path, &bytes).unwrap();
        match RedbEventlog::open(&path) {
            Ok(log) => match log.read(SeqNum::ROOT.position(), ReadLimit::events(3_000)) {
                Ok(events) => assert_eq!(events.len(), 3_000, "page {page}"),
                Err(EventlogError::Corrupt(_)) => noticed += 1,
                Err(error) => panic!("page {page}: {error:?}"),
            },
            Err(EventlogError::Corrupt(_)) => noticed += 1,
            Err(error) => panic!("page {page}: {error:?}"),
        }
    }
    assert!(noticed > 50, "most pages hold events, and only {noticed} were missed");
}

#[test]
fn an_empty_file_becomes_a_new_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.redb");
    fs::write(&path, "").unwrap();
    assert_eq!(RedbEventlog::open(&path).unwrap().heads().unwrap(), Heads::default());
}

#[test]
fn databases_of_other_programs_and_formats_are_refused() {
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    const OTHER: TableDefinition<'_, u64, u64> = TableDefinition::new("other");
    let dir = tempfile::tempdir().unwrap();
    let change = |path: &Path, change: &dyn Fn(&redb::WriteTransaction)| {
        let database = Database::create(path).unwrap();
        let tx = database.begin_write().unwrap();
        change(&tx);
        tx.commit().unwrap();
    };
    let refused = |path: &Path, what: &str| match RedbEventlog::open(path) {
        Err(EventlogError::Corrupt(_)) => {}
        other => panic!("{what}: {other:?}"),
    };

    let path = dir.path().join("foreign.redb");
    change(&path, &|tx| drop(tx.open_table(OTHER).unwrap().insert(1, 1).unwrap()));
    refused(&path, "another program's tables");

    let path = dir.path().join("newer.redb");
    make_log(&path);
    change(&path, &|tx| drop(tx.open_table(META).unwrap().insert("format", &[2][..]).unwrap()));
    refused(&path, "a newer format");

    let path = dir.path().join("unversioned.redb");
    make_log(&path);
    change(&path, &|tx| drop(tx.open_table(META).unwrap().remove("format").unwrap()));
    refused(&path, "no format");

    let path = dir.path().join("mixed.redb");
    make_log(&path);
    change(&path, &|tx| {
        tx.delete_table(TableDefinition::<(u64, u32), &[u8]>::new("events")).unwrap();
        tx.open_table(TableDefinition::<u64, u64>::new("events")).unwrap();
    });
    refused(&path, "tables of other types");

    let path = dir.path().join("headless.redb");
    make_log(&path);
    change(&path, &|tx| drop(tx.open_table(META).unwrap().insert("heads", &[1, 255][..]).unwrap()));
    refused(&path, "heads that cannot be read");
}

#[test]
fn a_record_that_cannot_be_read_is_corrupt_and_the_rest_is_not() {
    const EVENTS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("events");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.redb");
    make_log(&path);
    let database = Database::create(&path).unwrap();
    let tx = database.begin_write().unwrap();
    tx.open_table(EVENTS).unwrap().insert((2_000, 0), &[1, 0, 200, 200][..]).unwrap();
    tx.commit().unwrap();
    drop(database);
    let log = RedbEventlog::open(&path).unwrap();
    let read =
        |after: &str, limit| log.read(after.parse::<SeqNum>().unwrap().position(), ReadLimit::events(limit));
    assert_eq!(read("e1000", 999).unwrap().len(), 999);
    assert!(matches!(read("e1000", 1_000), Err(EventlogError::Corrupt(_))));
    assert_eq!(read("e2000", 1_000).unwrap().len(), 1_000);
}

#[test]
fn paths_that_hold_no_file_are_errors_that_name_them() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("missing/eventlog.redb")] {
        match RedbEventlog::open(&path) {
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
    let path = dir.path().join("eventlog.redb");
    make_log(&path);
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).unwrap();
    if fs::OpenOptions::new().write(true).open(&path).is_ok() {
        return eprintln!("skipped: permissions do not bind this user");
    }
    assert!(matches!(RedbEventlog::open(&path), Err(EventlogError::Storage(_))));
}

/// A reader that lives on must not keep the next leader from opening the log.
#[test]
fn a_log_is_in_use_until_its_last_handle_is_dropped_whoever_still_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("eventlog.redb");
    make_log(&path);
    let log = RedbEventlog::open(&path).unwrap();
    let (second, reader) = (log.handle(), log.reader().unwrap());
    assert!(matches!(RedbEventlog::open(&path), Err(EventlogError::InUse)));
    drop(log);
    assert!(matches!(RedbEventlog::open(&path), Err(EventlogError::InUse)));
    assert_eq!(reader.heads().unwrap().local.global.0, 3_000);
    drop(second);
    assert!(matches!(reader.heads(), Err(EventlogError::Closed)));
    RedbEventlog::open(&path).unwrap();
}

/// Storage in memory that fails from a certain write or sync on.
#[derive(Debug)]
struct Failing {
    inner: InMemoryBackend,
    countdown: Arc<AtomicU64>,
    kind: ErrorKind,
}

impl Failing {
    fn step(&self) -> io::Result<()> {
        let left =
            self.countdown.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| self.kind.into())
    }
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step()?;
        self.inner.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.step()?;
        self.inner.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step()?;
        self.inner.write(offset, data)
    }
}

/// Commits until the storage fails after `steps` more steps, and returns what the failing commit said.
fn fail_after(steps: u64, kind: ErrorKind) -> EventlogError {
    let countdown = Arc::new(AtomicU64::new(u64::MAX));
    let backend = Failing { inner: InMemoryBackend::new(), countdown: Arc::clone(&countdown), kind };
    let mut log = RedbEventlog::with_backend(backend).expect("a new log");
    let reader = log.reader().expect("a reader");
    let mut second = log.handle();
    let mut heads = log.heads().expect("heads");
    countdown.store(steps, Ordering::SeqCst);
    let error = loop {
        match log.commit(Term(1), append(&heads, 10)) {
            Ok(after) => heads = after,
            Err(error) => break error,
        }
    };
    // The storage works again, but what it holds is not known any more.
    countdown.store(u64::MAX, Ordering::SeqCst);
    assert!(matches!(log.heads(), Err(EventlogError::Closed)));
    assert!(matches!(log.commit(Term(1), append(&heads, 1)), Err(EventlogError::Closed)));
    assert!(matches!(log.reader(), Err(EventlogError::Closed)));
    assert!(matches!(second.commit(Term(2), LogCommit::new(&heads)), Err(EventlogError::Closed)));
    assert!(matches!(reader.heads(), Err(EventlogError::Closed)));
    error
}

#[test]
fn a_disk_that_fails_at_any_step_closes_the_log() {
    for steps in 0..40 {
        let error = fail_after(steps, ErrorKind::Other);
        assert!(matches!(error, EventlogError::Storage(_)), "after {steps} steps: {error:?}");
    }
}

#[test]
fn a_full_disk_is_told_apart() {
    for steps in 0..40 {
        let error = fail_after(steps, ErrorKind::StorageFull);
        assert!(matches!(error, EventlogError::Full(_)), "after {steps} steps: {error:?}");
    }
}

#[test]
fn storage_that_fails_while_a_log_is_made_is_an_error() {
    for steps in 0..10 {
        let countdown = Arc::new(AtomicU64::new(steps));
        let backend = Failing { inner: InMemoryBackend::new(), countdown, kind: ErrorKind::StorageFull };
        assert!(matches!(RedbEventlog::with_backend(backend), Err(EventlogError::Full(_))), "after {steps}");
    }
}
