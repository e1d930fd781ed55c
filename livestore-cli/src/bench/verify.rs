//! Reads a store back and compares it with what was acknowledged.

use livestore_traits::PullMode;

use super::Bench;
use super::client::Client;
use super::events::Author;
use super::ledger::Ledger;
use crate::error::CommandError;

/// Reads a store through a client of its own. Says how many events it has.
pub(super) async fn store(
    bench: &Bench,
    name: &str,
    ledger: Ledger,
    authors: &[Author],
) -> Result<u64, CommandError> {
    let mut client = bench.target.connect(name).await?;
    through(&mut *client, name, ledger, authors).await
}

/// Reads a store from its first event to its head.
pub(super) async fn through(
    client: &mut dyn Client,
    name: &str,
    ledger: Ledger,
    authors: &[Author],
) -> Result<u64, CommandError> {
    client.pull(PullMode::Once).await?;
    let mut audit = ledger.audit(authors);
    let failed = |error| {
        CommandError::new(format!("the server lost or changed events of store {name}")).caused_by(error)
    };
    while let Some(page) = client.page().await? {
        page.for_each(|seen| audit.take(seen)).map_err(|error| failed(error.to_string()))?;
    }
    audit.finish().map_err(|error| failed(error.to_string()))
}
