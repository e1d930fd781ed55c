//! A sync server that verifies tokens, and clients that renew theirs while their store is in use.
//!
//! ```text
//! login ── secret ──▶ sync server ── JwtAuthorizer: who is it, which store, to read or to write, until when
//!   │ token                ▲
//!   ▼                      │ a new token with each connection
//! alice, bob ──── store ───┘
//! ```

mod client;
mod login;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use livestore_auth::{JwtAuthorizer, JwtConfig};
use livestore_backend_memory::MemoryBackends;
use livestore_connect::SyncPayload;
use livestore_server::Server;
use livestore_traits::{BoxError, StoreId};
use serde_json::json;

use client::{Client, tokens_of};
pub use login::{Account, Login};

/// Tells the story, line by line.
///
/// # Errors
/// What went wrong, above all if somebody could do what they may not.
pub async fn tell(mut say: impl FnMut(String)) -> Result<(), BoxError> {
    let login = Login::new();
    let server = serve(&login).await?;
    let at = Place { server: server.local_addr(), store: StoreId::new("team-plans")? };
    let alice = login.account("alice", json!({"team-*": "read-write"}));
    let bob = login.account("bob", json!({"team-*": "read"}));
    say("alice may write the stores team-*, bob may read them; a token lives for 2 seconds".to_owned());
    let first_token = write_and_read(&at, &alice, bob, &mut say).await?;
    try_to_intrude(&at, alice, first_token, &mut say).await?;

    // Whatever the clients believe, the server's log is what counts.
    let carol = login.account("carol", json!({"team-plans": "read"}));
    let of_carol = Client::open(at.server, at.store, Some(tokens_of(carol))).await?;
    let notes = of_carol.caught_up().await?;
    ensure(notes == ["make a plan", "follow the plan"], "somebody could write who may not")?;
    say(format!("the server has: {}", notes.join(", ")));
    server.shutdown().await;
    Ok(())
}

/// The server knows the login's key, and nothing of users.
async fn serve(login: &Login) -> Result<Server, BoxError> {
    let mut config = JwtConfig::default();
    // Login and server are one machine here, so their clocks agree.
    config.leeway = Duration::ZERO;
    let authorizer = JwtAuthorizer::new(login.key()?, config);
    Ok(Server::builder(MemoryBackends::new()).authorizer(authorizer).bind("127.0.0.1:0").await?)
}

/// A store at a server.
struct Place {
    server: SocketAddr,
    store: StoreId,
}

/// Alice writes, bob reads, and her token ends in between. Returns that token.
async fn write_and_read(
    at: &Place,
    alice: &Arc<Account>,
    bob: Arc<Account>,
    say: &mut impl FnMut(String),
) -> Result<String, BoxError> {
    let of_alice = Client::open(at.server, at.store.clone(), Some(tokens_of(alice.clone()))).await?;
    let of_bob = Client::open(at.server, at.store.clone(), Some(tokens_of(bob))).await?;
    let number = of_alice.add_confirmed("make a plan").await?;
    say(format!("alice adds \"make a plan\": confirmed as {number}"));
    of_bob.sees(&["make a plan"]).await?;
    say("bob sees it".to_owned());

    // What bob commits stays with him: his own state has it, and nobody else's.
    of_bob.add("forget the plan")?;
    say(format!("bob adds \"forget the plan\": {}", of_bob.refused("for reading only").await?));

    // The server ends alice's connection with her token. Her client comes back with another one; her store stays open.
    let first_token = alice.first_token_ended().await?;
    say("alice's first token has expired, and her client has fetched another one".to_owned());
    let number = of_alice.add_confirmed("follow the plan").await?;
    say(format!("alice adds \"follow the plan\": confirmed as {number}"));
    of_bob.sees(&["make a plan", "follow the plan", "forget the plan"]).await?;
    ensure(of_bob.has_pending(), "bob's note was taken")?;
    say("bob sees it too, and what he added himself stays pending".to_owned());
    Ok(first_token)
}

/// Those who have no token for the store, or none that is good, see nothing of it.
async fn try_to_intrude(
    at: &Place,
    alice: Arc<Account>,
    first_token: String,
    say: &mut impl FnMut(String),
) -> Result<(), BoxError> {
    // Who has stolen the first token comes too late.
    let stolen = SyncPayload::new(&json!({"authToken": first_token}))?;
    let thief = Client::open(at.server, at.store.clone(), Some(stolen)).await?;
    say(format!("a thief shows alice's first token: {}", thief.refused("status 401").await?));

    // A token that somebody else has signed is worth nothing, whatever it says.
    let mallory = Login::new().account("mallory", json!({"*": "read-write"}));
    let of_mallory = Client::open(at.server, at.store.clone(), Some(tokens_of(mallory))).await?;
    say(format!("mallory signs a token herself: {}", of_mallory.refused("status 401").await?));
    of_mallory.add("sell the plan")?;

    let stranger = Client::open(at.server, at.store.clone(), None::<SyncPayload>).await?;
    say(format!("a stranger has none: {}", stranger.refused("status 401").await?));

    // Rights are for the stores that the token names.
    let elsewhere = Client::open(at.server, StoreId::new("salaries")?, Some(tokens_of(alice))).await?;
    say(format!("alice asks for the store salaries: {}", elsewhere.refused("status 403").await?));

    ensure(thief.notes()?.is_empty() && stranger.notes()?.is_empty(), "somebody could read who may not")?;
    ensure(of_mallory.notes()? == ["sell the plan"], "mallory could read what is not hers")?;
    ensure(of_mallory.has_pending(), "mallory's note was taken")
}

fn ensure(holds: bool, breach: &str) -> Result<(), BoxError> {
    if holds { Ok(()) } else { Err(breach.into()) }
}
