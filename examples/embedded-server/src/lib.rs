//! Sync mounted in a plain hyper server.
