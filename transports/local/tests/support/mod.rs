//! What the tests share.

use std::time::Duration;

use livestore_traits::StoreId;
use livestore_transport_local::LocalConfig;

/// Longer than anything takes: reaching it is a hang.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn store_id() -> StoreId {
    StoreId::new("notebook").unwrap()
}

pub(crate) fn config() -> LocalConfig {
    LocalConfig::new(store_id())
}
