//! The native WebSocket transport, client side.
