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
    // The server knows the login's key, and nothing of users.
    let login = Login::new();
    let mut config = JwtConfig::default();
    // Login and server are one machine here, so their clocks agree.
    config.leeway = Duration::ZERO;
    let server = Server::builder(MemoryBackends::new())
        .authorizer(JwtAuthorizer::new(login.key()?, config))
        .bind("127.0.0.1:0")
        .await?;
    let addr = server.local_addr();
    let store = StoreId::new("team-plans")?;

    let alice = login.account("alice", json!({"team-*": "read-write"}));
    let bob = login.account("bob", json!({"team-*": "read"}));
    say("alice may write the stores team-*, bob may read them; a token lives for 2 seconds".to_owned());
    let of_alice = Client::open(addr, store.clone(), Some(tokens_of(alice.clone()))).await?;
    let of_bob = Client::open(addr, store.clone(), Some(tokens_of(bob))).await?;

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

    // Who has stolen the first token comes too late.
    let stolen = json!({"authToken": first_token});
    let thief = Client::open(addr, store.clone(), Some(SyncPayload::new(&stolen)?)).await?;
    say(format!("a thief shows alice's first token: {}", thief.refused("status 401").await?));
    // A token that somebody else has signed is worth nothing, whatever it says.
    let mallory = Login::new().account("mallory", json!({"*": "read-write"}));
    let of_mallory = Client::open(addr, store.clone(), Some(tokens_of(mallory))).await?;
    of_mallory.add("sell the plan")?;
    say(format!("mallory signs a token herself: {}", of_mallory.refused("status 401").await?));
    let stranger = Client::open(addr, store.clone(), None::<SyncPayload>).await?;
    say(format!("a stranger has none: {}", stranger.refused("status 401").await?));
    // Rights are for the stores that the token names.
    let elsewhere = Client::open(addr, StoreId::new("salaries")?, Some(tokens_of(alice))).await?;
    say(format!("alice asks for the store salaries: {}", elsewhere.refused("status 403").await?));
    for (who, client) in [("the thief", &thief), ("the stranger", &stranger), ("alice", &elsewhere)] {
        ensure(client.notes()?.is_empty(), &format!("{who} could read what they may not"))?;
    }

    // Whatever the clients believe, the server's log is what counts.
    let reader = login.account("carol", json!({"team-plans": "read"}));
    let of_carol = Client::open(addr, store, Some(tokens_of(reader))).await?;
    of_carol.sees(&["make a plan", "follow the plan"]).await?;
    ensure(of_carol.caught_up().await?.len() == 2, "somebody could write who may not")?;
    say("the server has: make a plan, follow the plan".to_owned());
    server.shutdown().await;
    Ok(())
}

fn ensure(holds: bool, breach: &str) -> Result<(), BoxError> {
    if holds { Ok(()) } else { Err(breach.into()) }
}
