//! Places that cannot be used, and programs that do not fit.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use livestore_data_dir::DataDir;
use livestore_engine::{Presence, StartError};
use livestore_materializer_sqlite::SqliteSchema;
use livestore_traits::{EventSet, LinkError};
use tokio::runtime::Runtime;

use crate::app::{self, LIMIT, Written};
use crate::worker::Worker;

/// An error with its sources.
fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let chain: Vec<_> =
        std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    chain.join(": ")
}

/// Another version of the application, whose table has one more column.
fn other_schema() -> SqliteSchema {
    SqliteSchema::builder(EventSet::builder().event::<Written>().build().unwrap())
        .table("CREATE TABLE written (writer TEXT, run INTEGER, number INTEGER, extra TEXT)")
        .on::<Written>(|state, written, _| {
            let row = (&written.writer, written.run, written.number);
            state.execute("INSERT INTO written VALUES (?1, ?2, ?3, 'extra')", row)?;
            Ok(())
        })
        .build()
        .unwrap()
}

#[test]
fn programs_with_different_tables_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let (mut leader, mut answers) = Worker::start(dir.path(), "leader", None);
    leader.tell("write 0 10");
    assert_eq!(answers.by_ref().nth(10).as_deref(), Some("kept 10"));
    Runtime::new().unwrap().block_on(async {
        let error = app::data(dir.path()).store(other_schema()).start().await.unwrap_err();
        assert!(matches!(&error, StartError::Leader(LinkError::Incompatible(_))), "{error:?}");
        let said = in_words(&error);
        assert!(
            said.contains(&format!("process {}", leader.child.id())) && said.contains("other definitions"),
            "{said}"
        );
        // The one that leads goes on.
        leader.tell("write 1 10");
        assert_eq!(answers.by_ref().nth(9).as_deref(), Some("kept 10"));
        leader.end();
        // On its own the other version makes its state from the same log, and so does the first one again.
        let store = app::data(dir.path()).store(other_schema()).start().await.unwrap();
        assert_eq!(app::all(&store).len(), 20);
        store.shutdown(LIMIT).await.unwrap();
        let store = app::open(dir.path(), None).await;
        assert_eq!(app::all(&store).len(), 20);
        store.shutdown(LIMIT).await.unwrap();
    });
}

#[test]
fn stores_of_one_directory_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    Runtime::new().unwrap().block_on(async {
        let store = app::open(dir.path(), None).await;
        store.commit_event(&Written { writer: "test".into(), run: 0, number: 1 }).unwrap();
        let other =
            DataDir::new(dir.path(), "other".parse().unwrap()).store(app::schema()).start().await.unwrap();
        assert_eq!((store.presence(), other.presence()), (Presence::Here, Presence::Here));
        assert_eq!(app::all(&other).len(), 0);
        for store in [store, other] {
            store.shutdown(LIMIT).await.unwrap();
        }
    });
}

#[test]
fn a_file_in_place_of_the_directory_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    Runtime::new().unwrap().block_on(async {
        let error = app::builder(file.path(), None).start().await.unwrap_err();
        let said = in_words(&error);
        assert!(said.contains("cannot make the directory") && said.contains("lines"), "{said}");
        let error = app::data(file.path()).session("main".parse().unwrap()).unwrap_err();
        assert!(error.to_string().ends_with("sessions"), "{error}");
    });
}

#[test]
fn a_directory_that_may_not_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(dir.path().join("probe"), "").is_ok() {
        println!("skipped: this user may write everywhere");
        return;
    }
    Runtime::new().unwrap().block_on(async {
        let error = app::builder(dir.path(), None).start().await.unwrap_err();
        let said = in_words(&error);
        assert!(said.contains("ermission denied") && said.contains("lines"), "{said}");
    });
}

/// Longer than the name of a socket may be, and as deep as a user's directories are.
#[test]
fn a_very_long_path_is_no_hindrance() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("d".repeat(120)).join("e".repeat(120));
    let (mut leader, mut answers) = Worker::start(&dir, "leader", None);
    leader.tell("write 0 1");
    assert_eq!(answers.by_ref().nth(1).as_deref(), Some("kept 1"));
    Runtime::new().unwrap().block_on(async {
        let store = app::open(&dir, None).await;
        assert_eq!(store.presence(), Presence::Elsewhere);
        assert_eq!(app::all(&store).len(), 1);
        leader.kill();
        app::until_leading(&store).await;
        store.shutdown(LIMIT).await.unwrap();
    });
}

/// What a leader that was killed left behind, damaged in any way, stops nobody.
#[test]
fn what_a_crash_leaves_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| app::data(dir.path()).path().join(name);
    for (round, damage) in
        ["leader.addr", "leader.sock", "leader.new", "leader.addr.new"].into_iter().enumerate()
    {
        let (mut leader, mut answers) = Worker::start(dir.path(), "leader", None);
        leader.tell(&format!("write {round} 1"));
        assert_eq!(answers.by_ref().nth(1).as_deref(), Some("kept 1"));
        leader.kill();
        let _ = fs::remove_file(path(damage));
        fs::write(path(damage), "half of some").unwrap();
        Runtime::new().unwrap().block_on(async {
            let store = app::open(dir.path(), None).await;
            assert_eq!(app::all(&store).len(), round + 1, "after {damage}");
            store.shutdown(LIMIT).await.unwrap();
        });
    }
}
