//! Refusals that people read: other stores, other definitions, and what the leader itself answers.

use std::sync::Arc;
use std::time::Duration;

use livestore_traits::{LeaderLink, LinkError, Rendezvous as _, StoreId};
use livestore_transport_local::{LocalConfig, LocalRendezvous};

use crate::support::{attach, config, soon, test_link};

fn defined(definitions: Option<&str>) -> LocalConfig {
    let mut config = config();
    config.definitions = definitions.map(Into::into);
    config
}

/// What each method comes to, in the order of the trait.
async fn errors(link: &dyn LeaderLink) -> [Option<LinkError>; 4] {
    [
        soon(link.attach(attach("s1"))).await.err(),
        soon(link.snapshot(&attach("s1").session_id)).await.err(),
        soon(link.sync_now()).await.err(),
        soon(link.reports()).await.err(),
    ]
}

#[tokio::test]
async fn a_leader_of_another_store_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let (link, _sessions) = test_link();
    let _open = LocalRendezvous::new(dir.path(), config()).open(Arc::new(link)).await.unwrap();
    let other = LocalConfig::new(StoreId::new("other").unwrap());
    let link = LocalRendezvous::new(dir.path(), other).connect();
    for error in errors(&*link).await {
        assert_eq!(
            error.unwrap().to_string(),
            "the leader does not fit: the leader, tester (process 7), keeps the store notebook, this program wants other"
        );
    }
}

/// Two programs with different tables on one directory: neither starts from a state it would misread, and the one that
/// does not lead can still say who does.
#[tokio::test]
async fn a_leader_of_other_definitions_refuses_its_state() {
    let dir = tempfile::tempdir().unwrap();
    let (link, _sessions) = test_link();
    let _open = LocalRendezvous::new(dir.path(), defined(Some("v1"))).open(Arc::new(link)).await.unwrap();
    let link = LocalRendezvous::new(dir.path(), defined(Some("v2"))).connect();
    let [attach, snapshot, sync_now, reports] = errors(&*link).await;
    for error in [attach, snapshot] {
        let error = error.unwrap();
        assert!(
            matches!(&error, LinkError::Incompatible(why) if why.contains("other definitions")),
            "{error}"
        );
    }
    assert!(sync_now.is_none() && reports.is_none());
    for same in [Some("v1"), None] {
        let link = LocalRendezvous::new(dir.path(), defined(same)).connect();
        assert!(errors(&*link).await.iter().all(Option::is_none));
    }
}

/// What the leader's own link answers arrives as it is.
#[tokio::test]
async fn errors_of_the_leader_are_carried_over() {
    let failures: [fn() -> LinkError; 4] = [
        || LinkError::Gone,
        || LinkError::Refused("no".into()),
        || LinkError::Incompatible("too old".into()),
        || LinkError::Link(std::io::Error::other("no space left").into()),
    ];
    for failure in failures {
        let dir = tempfile::tempdir().unwrap();
        let (mut link, _sessions) = test_link();
        link.fails = Some(failure);
        let rendezvous = LocalRendezvous::new(dir.path(), config());
        let _open = rendezvous.open(Arc::new(link)).await.unwrap();
        for error in errors(&*rendezvous.connect()).await {
            match (failure(), error.unwrap()) {
                (LinkError::Link(_), LinkError::Link(why)) => {
                    let words = "the leader failed: the link to the leader failed: no space left";
                    assert_eq!(why.to_string(), words);
                }
                (expected, error) => assert_eq!(error.to_string(), expected.to_string()),
            }
        }
    }
}

/// A leader that takes its time is waited for as long as it says that it is there.
#[tokio::test(start_paused = true)]
async fn a_busy_leader_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let (mut link, _sessions) = test_link();
    link.delay = Duration::from_secs(600);
    let rendezvous = LocalRendezvous::new(dir.path(), config());
    let _open = rendezvous.open(Arc::new(link)).await.unwrap();
    let link = rendezvous.connect();
    assert!(link.attach(attach("s1")).await.is_ok());
    assert!(link.snapshot(&attach("s1").session_id).await.is_ok());
    assert!(link.sync_now().await.is_ok());
    assert!(link.reports().await.is_ok());
}
