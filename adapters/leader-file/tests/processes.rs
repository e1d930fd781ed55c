//! Leaders in other processes, and directories that cannot be used.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use livestore_leader_file::FileElection;
use livestore_traits::{LeaderElection, LeaderError, Leadership, Term};

/// Tells [`child_leads`] where to lead; without it that test does nothing.
const DIR_VARIABLE: &str = "LIVESTORE_TEST_LEADER_DIR";

/// Not a case: the process that the cases below start.
#[tokio::test]
async fn child_leads() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE) else { return };
    let leadership = FileElection::new(dir).acquire().await.unwrap();
    eprintln!("leading {}", leadership.term().0);
    // Until the parent closes the pipe, or ends this process.
    std::io::stdin().lines().for_each(drop);
}

/// A process that leads in `dir`, and its term.
fn start_leader(dir: &Path) -> (Child, Term) {
    let mut child = Command::new(std::env::current_exe().expect("a test has a file"))
        .args(["child_leads", "--exact", "--nocapture"])
        .env(DIR_VARIABLE, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process can be started");
    let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut words =
        lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("leading ")?.parse().ok());
    let term = words.next().expect("the child leads");
    (child, Term(term))
}

/// A leader that is killed has no chance to give anything back, and must not stop the next one.
#[tokio::test]
async fn a_killed_leader_is_succeeded_in_a_higher_term() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, term) = start_leader(dir.path());
    let election = FileElection::new(dir.path());
    assert!(election.try_acquire().await.unwrap().is_none(), "two processes lead");
    let holder = FileElection::holder(dir.path()).unwrap().unwrap();
    assert_eq!((holder.pid, holder.term), (child.id(), term));
    assert!(holder.program.is_some());

    child.kill().unwrap();
    let leadership: Box<dyn Leadership> = election.acquire().await.unwrap();
    assert!(leadership.term() > term);
    child.wait().unwrap();
    assert_eq!(FileElection::holder(dir.path()).unwrap().unwrap().pid, std::process::id());
}

#[tokio::test]
async fn a_process_that_waits_takes_over_from_another() {
    let dir = tempfile::tempdir().unwrap();
    let leadership = FileElection::new(dir.path()).acquire().await.unwrap();
    let path = dir.path().to_owned();
    let starting = tokio::task::spawn_blocking(move || start_leader(&path));
    let term = leadership.term();
    drop(leadership);
    let (mut child, child_term) = starting.await.unwrap();
    assert!(child_term > term);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(FileElection::new(dir.path()).try_acquire().await.unwrap().is_some());
}

/// Many look who leads while candidates try; a look must never pass for a leader.
#[test]
fn looking_who_leads_disturbs_no_candidate() {
    let dir = tempfile::tempdir().unwrap();
    let election = FileElection::new(dir.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = AtomicBool::new(false);
    let attempts: Vec<_> = std::thread::scope(|scope| {
        let look = || {
            while !done.load(Ordering::Relaxed) {
                // What it finds depends on the moment; it is the candidate that must not notice.
                let _ = FileElection::holder(dir.path());
            }
        };
        scope.spawn(look);
        scope.spawn(look);
        let attempt = || Ok::<_, LeaderError>(runtime.block_on(election.try_acquire())?.is_some());
        let attempts = (0..50).map(|_| attempt()).collect();
        done.store(true, Ordering::Relaxed);
        attempts
    });
    for attempt in attempts {
        assert!(attempt.unwrap(), "a look was taken for a leader");
    }
}

#[tokio::test]
async fn directories_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = FileElection::new(&path).acquire().await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(path.to_str().unwrap()), "{source}");
    }
}

#[tokio::test]
async fn a_directory_without_write_permission_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut permissions = std::fs::metadata(dir.path()).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(dir.path(), permissions).unwrap();
    if std::fs::write(dir.path().join("probe"), "").is_ok() {
        return eprintln!("skipped: permissions do not bind this user");
    }
    assert!(FileElection::new(dir.path()).acquire().await.is_err());
    assert_eq!(FileElection::holder(dir.path()).unwrap(), None);
}

/// A damaged record must not begin the terms again: that would fence the client from its own log.
#[tokio::test]
async fn a_damaged_record_is_an_error_and_not_term_one() {
    let dir = tempfile::tempdir().unwrap();
    let election = FileElection::new(dir.path());
    drop(election.acquire().await.unwrap());
    for damaged in ["", "term", "\0\0\0\0", "term 18446744073709551616\npid 1\n"] {
        std::fs::write(dir.path().join("leader"), damaged).unwrap();
        assert!(election.try_acquire().await.is_err(), "{damaged:?} was taken for a record");
    }
    std::fs::write(dir.path().join("leader"), "term 41\npid 1\n").unwrap();
    assert_eq!(election.try_acquire().await.unwrap().unwrap().term(), Term(42));
}

/// Somebody who only asks was outwaited on the executor's thread.
#[tokio::test]
async fn seeking_leadership_blocks_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let election = FileElection::new(dir.path());
    drop(election.acquire().await.unwrap());
    let asking = std::fs::File::open(dir.path().join("leader.lock")).unwrap();
    asking.lock_shared().unwrap();
    let mut attempt = election.try_acquire();
    assert!(attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    asking.unlock().unwrap();
    drop(attempt);
    drop(election.acquire().await.unwrap());
}
