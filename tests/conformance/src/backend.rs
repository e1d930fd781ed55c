//! The suite for this role.
