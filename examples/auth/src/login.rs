//! The application's login: whoever it knows gets tokens, each for a short time. It shares a secret with the sync server
//! and nothing else; with a key pair (RS256, ES256) it would share the public key only.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use livestore_auth::{InvalidKey, JwtAlgorithm, JwtKey};
use livestore_traits::BoxError;
use serde_json::{Value, json};
use tokio::sync::watch;

/// How long a token lives. Real ones live for minutes; the story does not wait that long.
const LIFETIME: Duration = Duration::from_secs(2);

/// Issues tokens.
#[derive(Debug)]
pub struct Login {
    secret: String,
}

impl Login {
    /// A login with a secret of its own.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { secret: nanoid::nanoid!(64) })
    }

    /// What a server verifies the tokens with.
    ///
    /// # Errors
    /// [`InvalidKey`] if the secret is too short.
    pub fn key(&self) -> Result<JwtKey, InvalidKey> {
        JwtKey::from_bytes(JwtAlgorithm::Hs256, self.secret.as_bytes())
    }

    /// Somebody who has logged in and may do this with these stores, as in `{"team-*": "read"}`.
    #[must_use]
    pub fn account(self: &Arc<Self>, name: &'static str, stores: Value) -> Arc<Account> {
        let (issued, _) = watch::channel(0);
        Arc::new(Account { login: self.clone(), name, stores, issued, first: Mutex::default() })
    }
}

/// Somebody who has logged in.
#[derive(Debug)]
pub struct Account {
    login: Arc<Login>,
    /// Their name.
    pub name: &'static str,
    stores: Value,
    issued: watch::Sender<u32>,
    first: Mutex<Option<(String, SystemTime)>>,
}

impl Account {
    /// A fresh token. An application would ask its login service over the network here.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn token(&self) -> Result<String, BoxError> {
        let ends = SystemTime::now() + LIFETIME;
        let exp = ends.duration_since(UNIX_EPOCH)?.as_secs_f64();
        let claims = json!({"sub": self.name, "exp": exp, "stores": self.stores});
        let key = EncodingKey::from_secret(self.login.secret.as_bytes());
        let token = encode(&Header::default(), &claims, &key)?;
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| (token.clone(), ends));
        self.issued.send_modify(|issued| *issued += 1);
        Ok(token)
    }

    /// The first token, once it has ended and another one was asked for.
    ///
    /// # Errors
    /// If there is no first token.
    pub async fn first_token_ended(&self) -> Result<String, BoxError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (token, ends) = first.ok_or("no token was ever asked for")?;
        while let Ok(left) = ends.duration_since(SystemTime::now()) {
            tokio::time::sleep(left).await;
        }
        self.issued.subscribe().wait_for(|issued| *issued > 1).await?;
        Ok(token)
    }
}
