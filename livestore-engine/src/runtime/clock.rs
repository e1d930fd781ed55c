//! The only place of the engine that reads a clock, makes ids, or starts threads.

use std::time::{Duration, Instant};

use livestore_traits::{ClientId, ClientSecret, Identity, SessionId};

/// Now, on the clock that tokio's paused time moves too.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A new client id with the secret that proves it.
#[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
pub(crate) fn new_identity() -> Identity {
    let client_id = ClientId::new(nanoid::nanoid!(6)).expect("a nanoid is a valid id");
    let mut secret = [0; 16];
    secret.copy_from_slice(nanoid::nanoid!(16).as_bytes());
    Identity { client_id, secret: ClientSecret(secret) }
}

/// A new session id.
#[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
pub(crate) fn new_session_id() -> SessionId {
    SessionId::new(nanoid::nanoid!(10)).expect("a nanoid is a valid id")
}

/// A seed for jitter.
#[expect(clippy::disallowed_methods, reason = "the one place that is random")]
pub(crate) fn new_seed() -> u64 {
    fastrand::u64(..)
}

/// Waits some milliseconds of this range: for what other processes do, which tells nobody when it is done.
#[expect(clippy::disallowed_methods, reason = "the one place that is random and waits for time to pass")]
pub(crate) async fn pause(milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(milliseconds))).await;
}

/// Starts a thread.
#[expect(clippy::disallowed_methods, reason = "the one place that starts threads")]
pub(crate) fn spawn_thread(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
}
