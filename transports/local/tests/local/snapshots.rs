//! States arrive whole or not at all.

use std::io::Read as _;
use std::sync::Arc;

use livestore_traits::{LinkError, Rendezvous as _, SessionSnapshot};
use livestore_transport_local::{LocalConfig, LocalRendezvous, Medium};

use crate::support::{State, attach, config, soon, test_link};

async fn snapshot(state: State, config: LocalConfig) -> Result<SessionSnapshot, LinkError> {
    let dir = tempfile::tempdir().unwrap();
    let (mut link, _sessions) = test_link();
    link.state = state;
    let rendezvous = LocalRendezvous::new(dir.path(), config);
    let _open = rendezvous.open(Arc::new(link)).await.unwrap();
    soon(rendezvous.connect().snapshot(&attach("s1").session_id)).await
}

fn state(len: usize) -> State {
    let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
    State { bytes, len: len as u64, is_broken: false }
}

#[tokio::test]
async fn a_state_arrives_as_it_is() {
    const MIB: usize = 1024 * 1024;
    for medium in [Medium::Auto, Medium::Tcp] {
        for len in [0, 1, MIB - 1, MIB, MIB + 1, 10 * MIB + 7] {
            let mut config = config();
            config.medium = medium;
            let mut taken = snapshot(state(len), config).await.unwrap();
            assert_eq!((taken.held.persisted, taken.snapshot.len), (3, len as u64));
            let mut bytes = Vec::new();
            taken.snapshot.bytes.read_to_end(&mut bytes).unwrap();
            assert!(bytes == state(len).bytes, "{len} bytes over {medium:?}");
        }
    }
}

/// Its pieces were larger than the frames that were taken in.
#[tokio::test]
async fn a_bound_that_is_too_small_for_its_pieces_is_raised() {
    let mut small = config();
    small.max_frame_bytes = 1000;
    assert_eq!(snapshot(state(3_000_000), small).await.unwrap().snapshot.len, 3_000_000);
}

/// Many sessions that start at once get their turns.
#[tokio::test]
async fn many_states_are_asked_for_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut link, _sessions) = test_link();
    link.state = state(1_000_000);
    let rendezvous = LocalRendezvous::new(dir.path(), config());
    let _open = rendezvous.open(Arc::new(link)).await.unwrap();
    let (link, session_id) = (rendezvous.connect(), attach("s1").session_id);
    let taken = futures::future::join_all((0..20).map(|_| link.snapshot(&session_id)));
    for taken in soon(taken).await {
        assert_eq!(taken.unwrap().snapshot.len, 1_000_000);
    }
}

/// Also when the leader's copy fails in the middle, or is not as long as it says.
#[tokio::test]
async fn an_incomplete_state_is_an_error() {
    let whole = state(3_000_000);
    for (state, words) in [
        (State { is_broken: true, ..whole.clone() }, "the disk is on fire"),
        (State { len: 3_000_001, ..whole.clone() }, "1 of 3000001 bytes are missing"),
        (State { len: 2_999_999, ..whole.clone() }, "more bytes than announced"),
        (State { len: 0, ..whole }, "more bytes than announced"),
    ] {
        let LinkError::Link(error) = snapshot(state, config()).await.unwrap_err() else { panic!("{words}") };
        assert!(error.to_string().contains(words), "{error} instead of {words}");
    }
}

#[tokio::test]
async fn a_state_beyond_the_bound_is_refused() {
    let mut limited = config();
    limited.max_snapshot_bytes = 1000;
    assert!(snapshot(state(1000), limited.clone()).await.is_ok());
    let error = snapshot(state(1001), limited).await.unwrap_err();
    assert!(matches!(error, LinkError::Link(_)), "{error}");
}

/// A snapshot that nobody waits for any more costs nobody anything.
#[tokio::test]
async fn a_snapshot_may_be_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (mut link, _sessions) = test_link();
    link.state = state(10_000_000);
    let mut limited = config();
    limited.max_connections = 3;
    let rendezvous = LocalRendezvous::new(dir.path(), limited);
    let _open = rendezvous.open(Arc::new(link)).await.unwrap();
    let link = rendezvous.connect();
    let session_id = attach("s1").session_id;
    for polls in 0..40 {
        let mut given_up = link.snapshot(&session_id);
        for _ in 0..polls {
            if futures::poll!(given_up.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    soon(async { while link.snapshot(&session_id).await.is_err() {} }).await;
}
