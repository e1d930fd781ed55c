//! The livestore command: serve, restore, demo.
