//! What a server says of a store.

use livestore_traits::{Capabilities, Durability, Limits};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Limits", rename_all = "camelCase")]
pub(crate) struct LimitsForm {
    max_event_bytes: usize,
    max_batch_events: usize,
    max_batch_bytes: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Durability", rename_all = "camelCase")]
enum DurabilityForm {
    Memory,
    Process,
    Disk,
}

/// The written shape of [`Capabilities`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapabilitiesForm {
    live_pull: bool,
    page_info: bool,
    #[serde(with = "DurabilityForm")]
    durability: Durability,
    #[serde(with = "LimitsForm")]
    limits: Limits,
}

impl From<Capabilities> for CapabilitiesForm {
    fn from(capabilities: Capabilities) -> Self {
        let Capabilities { live_pull, page_info, durability, limits, .. } = capabilities;
        Self { live_pull, page_info, durability, limits }
    }
}

impl From<CapabilitiesForm> for Capabilities {
    fn from(form: CapabilitiesForm) -> Self {
        let mut capabilities = Self::new(form.durability);
        capabilities.live_pull = form.live_pull;
        capabilities.page_info = form.page_info;
        capabilities.limits = form.limits;
        capabilities
    }
}

/// The first thing a server says of a store, over every transport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreForm {
    /// The server and its version, for people and logs.
    pub server: String,
    /// What the store's backend can do through this server.
    pub capabilities: CapabilitiesForm,
}
