//! The handle that applications hold.

mod builder;
mod changes;
mod handle;
mod history;
mod receipt;
mod session;
mod sources;
mod status;

pub use self::builder::{InitialSync, OnProgress, StartError, StoreBuilder, StoreConfig};
pub use self::changes::{Changes, ChangesEnded};
pub use self::handle::{ShutdownError, Store};
pub use self::history::{HistoryFilter, HistoryItem};
pub use self::receipt::{NotConfirmed, Receipt};
pub use self::session::{QueryError, Session, SessionEnded, SessionOptions};
pub use self::status::{Presence, PresenceWatch, StatusWatch, StoreStatus};
