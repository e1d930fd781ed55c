//! A transport inside one process over a controllable network.
