//! From a URL to the backend behind it.
