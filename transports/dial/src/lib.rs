//! How network clients reach a server, in one place: TCP with happy eyeballs and without delay, TLS, and coming back
//! when a connection breaks. A [`Connector`] takes the place of TCP.
//!
//! ```no_run
//! use std::time::Duration;
//! use livestore_dial::{Dialer, Roots};
//!
//! # async fn dial() -> Result<(), livestore_dial::DialError> {
//! let dialer = Dialer::new(&Roots::public(), None, Duration::from_secs(10));
//! let stream = dialer.dial(&"wss://example.com".parse().expect("a URL")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! TLS is rustls with the certificate authorities of Mozilla's list, and those that [`Roots`] adds. It is behind the
//! feature `tls`; a program without it has [`HTTP_SCHEMES`] and [`WS_SCHEMES`] without the secure ones, and dialing one
//! is [`DialError::NoTls`].
//!
//! A [`Dialer`] is a connector for hyper's clients too.

mod connector;
mod dialer;
mod heard;
mod keep;
mod roots;
mod route;
mod stream;

pub use connector::{ByteStream, Connector};
pub use dialer::{DialError, Dialer};
pub use heard::Heard;
pub use keep::{Abandoned, Commands, Ended, Pace, Protocol, keep_connected};
pub use roots::{InvalidRoot, Roots};
pub use stream::Stream;

/// The schemes of HTTP that this program can speak, the one without TLS first.
pub const HTTP_SCHEMES: &[&str] = if cfg!(feature = "tls") { &["http", "https"] } else { &["http"] };
/// The schemes of WebSockets that this program can speak, the one without TLS first.
pub const WS_SCHEMES: &[&str] = if cfg!(feature = "tls") { &["ws", "wss"] } else { &["ws"] };
