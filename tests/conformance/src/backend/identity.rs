//! Cases: which history a client knows, and who a client is.

use bytes::Bytes;
use livestore_traits::{
    BackendId, ClientSecret, Cursor, Durability, GlobalSeq, Pull, PullError, PullMode, Push, PushError,
};

use super::BackendFixture;
use super::client::{Client, pull_error};

/// Clients put a token into the URL of their next pull.
const MAX_TOKEN_BYTES: usize = 4096;

/// A cursor beyond the head is one of another history.
///
/// Verifies: cursors name a history.
pub async fn a_cursor_beyond_the_head_diverged<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    client.fill(GlobalSeq::ROOT, 3).await;
    for after in [4, u64::MAX] {
        let error = client.pull_error(Cursor { after: GlobalSeq(after), token: None }).await;
        assert!(matches!(error, PullError::Diverged(_)), "{error:?}");
    }
}

/// A token that this history never gave is one of another history, whatever its form.
///
/// Verifies: cursors name a history.
pub async fn a_foreign_token_diverged<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let (_other_store, other) = Client::of_new_store(fixture).await;
    client.fill(GlobalSeq::ROOT, 3).await;
    let token = other.push(other.events(GlobalSeq::ROOT, 3)).await.unwrap().cursor.token;
    for token in [token, Some(Bytes::new()), Some(Bytes::from_static(b"x")), Some(Bytes::from(vec![7; 200]))]
    {
        if token.is_none() {
            continue;
        }
        for after in [2, 3] {
            let error = client.pull_error(Cursor { after: GlobalSeq(after), token: token.clone() }).await;
            assert!(matches!(error, PullError::Diverged(_)), "{token:?} at e{after}: {error:?}");
        }
    }
}

/// A token of this history names its own place, not another, and fits a URL.
///
/// Verifies: cursors name a history up to a place; a token has at most 4096 bytes.
pub async fn a_token_at_another_place_diverged<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let first = client.push(client.events(GlobalSeq::ROOT, 2)).await.unwrap().cursor;
    client.push(client.events(GlobalSeq(2), 2)).await.unwrap();
    if let Some(token) = first.token {
        assert!(token.len() <= MAX_TOKEN_BYTES, "a token of {} bytes", token.len());
        let error = client.pull_error(Cursor { after: GlobalSeq(4), token: Some(token) }).await;
        assert!(matches!(error, PullError::Diverged(_)), "{error:?}");
    }
}

/// A push or pull that names another backend id is for another log, and nothing is stored.
///
/// Verifies: a backend id names one incarnation.
pub async fn a_foreign_backend_id_diverged<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let foreign = BackendId::new("not-this-one").unwrap();
    let pull = Pull::new(Some(foreign.clone()), Cursor::start(), PullMode::Once);
    let error = pull_error(&*client.backend, pull).await;
    assert!(matches!(error, PullError::Diverged(_)), "{error:?}");
    let push = Push::new(Some(foreign), GlobalSeq::ROOT, None, client.events(GlobalSeq::ROOT, 1));
    let result = client.backend.push(push).await;
    assert!(matches!(result, Err(PushError::Diverged(_))), "{result:?}");
    assert_eq!(client.log().await, []);
}

/// A client whose backend was replaced by an empty one learns of it, also when the new log has grown past its cursor; a
/// client that begins anew is served.
///
/// Verifies: cursors and backend ids name a history.
pub async fn a_replaced_backend_diverged<F: BackendFixture>(fixture: &F) {
    let (store, client) = Client::of_new_store(fixture).await;
    let old = client.push(client.events(GlobalSeq::ROOT, 3)).await.unwrap();
    drop(client);
    let Some(store) = fixture.replace(store).await else { return };
    let client = Client::connect(fixture, &store, "client").await;
    assert_ne!(client.backend_id, old.backend_id);
    assert_eq!(client.log().await, []);

    let diverged = |error: &PullError| matches!(error, PullError::Diverged(_));
    let known = Pull::new(Some(old.backend_id.clone()), old.cursor.clone(), PullMode::Once);
    assert!(diverged(&pull_error(&*client.backend, known.clone()).await));
    let push = Push::new(Some(old.backend_id), GlobalSeq(3), None, client.events(GlobalSeq(3), 1));
    let result = client.backend.push(push).await;
    assert!(matches!(result, Err(PushError::Diverged(_))), "{result:?}");

    client.fill(GlobalSeq::ROOT, 5).await;
    assert!(diverged(&pull_error(&*client.backend, known).await));
    if old.cursor.token.is_some() {
        let by_token_alone = Pull::new(None, old.cursor, PullMode::Once);
        assert!(diverged(&pull_error(&*client.backend, by_token_alone).await));
    }
    assert_eq!(client.log().await.len(), 5);
}

/// A durable store that is opened again is the same one: log, times, backend id, cursors and owners of client ids.
///
/// Verifies: durable before acknowledged.
pub async fn reopening_keeps_everything<F: BackendFixture>(fixture: &F) {
    let (mut store, mut client) = Client::of_new_store(fixture).await;
    let owner = ClientSecret([1; 16]);
    for round in 0..3 {
        let events = client.events(GlobalSeq(round * 4), 4);
        let ack = client.push_as(Some(owner), events.clone()).await.unwrap();
        let log = client.log().await;
        let durability = client.capabilities().durability;
        drop(client);
        let Some(reopened) = fixture.reopen(store).await else {
            assert_eq!(durability, Durability::Memory, "a durable backend can be reopened");
            return;
        };
        store = reopened;
        client = Client::connect(fixture, &store, "client").await;
        assert_eq!(client.backend_id, ack.backend_id);
        assert_eq!(client.log().await, log);
        assert_eq!(client.pages(ack.cursor.clone()).await[0].cursor, ack.cursor);
        assert_eq!(client.push_as(Some(owner), events).await.unwrap(), ack);
        if !client.carries.proofs {
            continue;
        }
        let impostor = client.events(ack.cursor.after, 1);
        let result = client.push_as(Some(ClientSecret([2; 16])), impostor).await;
        assert!(matches!(result, Err(PushError::ClientIdTaken)), "{result:?}");
    }
}

/// The first proof binds a client id; another proof is refused, none never is, and other ids are not concerned.
///
/// Verifies: client ids have owners.
pub async fn a_client_id_belongs_to_its_first_proof<F: BackendFixture>(fixture: &F) {
    let (store, client) = Client::of_new_store(fixture).await;
    if !client.carries.proofs {
        return;
    }
    let other = Client::connect(fixture, &store, "other").await;
    let (owner, impostor) = (Some(ClientSecret([1; 16])), Some(ClientSecret([2; 16])));
    let at = |after: u64| GlobalSeq(after);
    client.push(client.events(at(0), 1)).await.unwrap();
    client.push_as(owner, client.events(at(1), 1)).await.unwrap();
    let result = client.push_as(impostor, client.events(at(2), 1)).await;
    assert!(matches!(result, Err(PushError::ClientIdTaken)), "{result:?}");
    client.push_as(owner, client.events(at(2), 1)).await.unwrap();
    client.push(client.events(at(3), 1)).await.unwrap();
    other.push_as(impostor, other.events(at(4), 1)).await.unwrap();
    // A repeat with another proof is not its sender's event, equal as it may look.
    let result = client.push_as(impostor, client.events(at(2), 1)).await;
    assert!(matches!(result, Err(PushError::ClientIdTaken)), "{result:?}");
    assert_eq!(client.log().await.len(), 5);
}

/// A client that has never pulled pushes without a backend id.
///
/// Verifies: `backend_id` is optional before the first pull.
pub async fn an_empty_client_log_needs_no_backend_id<F: BackendFixture>(fixture: &F) {
    let (_store, client) = Client::of_new_store(fixture).await;
    let push = Push::new(None, GlobalSeq::ROOT, None, client.events(GlobalSeq::ROOT, 1));
    assert_eq!(client.backend.push(push).await.unwrap().backend_id, client.backend_id);
}
