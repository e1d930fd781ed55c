//! A client of LiveStore's own sync backend.
