//! Checks that what concurrent clients of a backend saw could have happened one operation after the other.
//!
//! ```text
//!   clients ──▶ backend          a history: who asked what and heard what, and when
//!      └──────▶ History ──▶ check ──▶ one order of all operations that a log in memory answers the same, or none
//! ```
//!
//! A history is **linearizable** if there is such an order in which every operation takes effect between its call and
//! its answer (Herlihy and Wing, *Linearizability: a correctness condition for concurrent objects*, 1990). An operation
//! without an answer may take effect at any later time, or never. The checker, [`checker`], knows nothing of this project;
//! [`log`] is what a backend must behave like: one list, [`clients`] make histories on real threads and sockets.
//!
//! A long hunt, from the root of the project:
//!
//! ```text
//! cargo run --release -p livestore-linearizability -- --histories 10000 --backend all --first-seed 1
//! ```

pub mod checker;
pub mod clients;
pub mod log;
mod recorder;
pub mod target;

pub use recorder::{History, Recorder};
