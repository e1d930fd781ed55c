//! Over plain HTTP: one request per call, all answers to it in one array.

mod backend;
mod exchange;
mod pull;

pub use backend::LiveStoreHttp;
