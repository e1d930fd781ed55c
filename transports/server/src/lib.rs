//! One listener for every transport over a hub of backends.
