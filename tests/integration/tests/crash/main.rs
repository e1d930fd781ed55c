//! Crashes between any two durable steps: no persisted event is lost, none is applied twice, and clients converge.

mod process;
mod recovery;
mod schema;
