//! Tests across the crates of the workspace.
