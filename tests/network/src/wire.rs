//! The wires that the real clients speak.

/// How a client speaks to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// The native WebSocket.
    Ws,
    /// Native HTTP.
    Http,
    /// LiveStore's protocol over a WebSocket.
    LiveStoreWs,
    /// LiveStore's protocol over HTTP.
    LiveStoreHttp,
}

impl Wire {
    /// Those that tell a client why an event is refused.
    pub const NATIVE: [Self; 2] = [Self::Ws, Self::Http];
    /// Every wire.
    pub const ALL: [Self; 4] = [Self::Ws, Self::Http, Self::LiveStoreWs, Self::LiveStoreHttp];

    /// The URL of the server on `host`.
    #[must_use]
    pub fn url(self, host: &str) -> String {
        let scheme = match self {
            Self::Ws => "ws",
            Self::Http => "http",
            Self::LiveStoreWs => "livestore+ws",
            Self::LiveStoreHttp => "livestore+http",
        };
        format!("{scheme}://{host}")
    }
}
