//! Every part of livestore chosen by a flag, and the same story whatever is chosen: two clients commit at once, one of
//! them rebases, and both end with the same notes.
//!
//! The parts meet in [`start`]. It takes any eventlog, state and backend: boxes of what was chosen at run time
//! ([`Chosen`]), or concrete types ([`Concrete`]). The store that comes out is the same type for all of them.

mod choice;
mod chosen;
mod concrete;
mod notes;
mod story;

pub use choice::{BackendChoice, Choice, ElectionChoice, EventlogChoice, StateChoice, TransportChoice};
pub use chosen::Chosen;
pub use concrete::Concrete;
pub use story::{Client, Clients, Outcome, start, tell};
