//! The generic sync engine: pure merge, sans-io processors, tokio runtime, and the store handle.
