//! The native HTTP long-poll transport, client side.
