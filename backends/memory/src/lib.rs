//! A sync backend in memory: for tests, for simulations, and for servers whose log need not outlive them.
//!
//! It follows the same rules as the durable backends, because it shares their code; only the storage differs. It has no
//! thread and no timer, so it runs on any runtime and on virtual time.
//!
//! ```
//! # use livestore_backend_memory::MemoryBackend;
//! # use livestore_traits::{Cursor, Pull, PullMode, SyncBackend};
//! # use futures::StreamExt;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let backend = MemoryBackend::new();
//! let pages: Vec<_> = backend.pull(Pull::new(None, Cursor::start(), PullMode::Once)).collect().await;
//! assert_eq!(pages.len(), 1);
//! assert!(pages[0].as_ref().is_ok_and(|page| page.events.is_empty()));
//! # }
//! ```

mod memory;
mod storage;

pub use livestore_backend_log::{Clock, LogConfig, Stats};
pub use memory::{MemoryBackend, MemoryBackends};
