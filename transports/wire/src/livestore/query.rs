//! The query of a sync URL: `?storeId=…&payload=…&transport=ws|http`, on any path.

use livestore_traits::StoreId;
use percent_encoding::percent_decode_str;

/// How a client talks to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A WebSocket.
    Ws,
    /// One POST per request.
    Http,
}

impl Transport {
    /// What the names of this transport's procedures begin with.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Ws => "SyncWsRpc.",
            Self::Http => "SyncHttpRpc.",
        }
    }
}

/// What a sync URL asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncQuery {
    /// The store.
    pub store: StoreId,
    /// What the application says of its user.
    pub payload: Option<serde_json::Value>,
    /// How it talks.
    pub transport: Transport,
}

/// A query that means to be a sync URL's is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("storeId or transport is missing or invalid, or payload is not JSON")]
pub struct InvalidQuery;

impl SyncQuery {
    /// Reads a query; `None` if it is no sync URL's at all, having neither a store nor a transport.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self, InvalidQuery>> {
        let (mut store, mut payload, mut transport) = (None, None, None);
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match name.as_ref() {
                "storeId" => store = Some(value),
                "payload" => payload = Some(value),
                "transport" => transport = Some(value),
                _ => {}
            }
        }
        if store.is_none() && transport.is_none() {
            return None;
        }
        let read = || {
            let store = StoreId::new(store?.as_ref()).ok()?;
            let transport = match transport?.as_ref() {
                "ws" => Transport::Ws,
                "http" => Transport::Http,
                _ => return None,
            };
            let payload = match payload {
                // Clients escape it twice.
                Some(text) => {
                    let text = percent_decode_str(&text).decode_utf8().ok()?;
                    Some(serde_json::from_str(&text).ok()?)
                }
                None => None,
            };
            Some(Self { store, payload, transport })
        };
        Some(read().ok_or(InvalidQuery))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_escaped_twice() {
        let text = "storeId=a-1&payload=%257B%2522authToken%2522%253A%2522let-me-in%2522%252C%2522note%2522%253A%2522a%2520b%2526c%253D%25C3%25BC%2522%257D&transport=ws";
        let query = SyncQuery::parse(text).unwrap().unwrap();
        assert_eq!((query.store.as_str(), query.transport), ("a-1", Transport::Ws));
        assert_eq!(query.payload, Some(serde_json::json!({"authToken": "let-me-in", "note": "a b&c=ü"})));
    }

    #[test]
    fn queries_of_others_are_told_from_bad_ones() {
        for text in ["", "after=3&wait=20s", "payload=1"] {
            assert_eq!(SyncQuery::parse(text), None, "{text}");
        }
        for text in [
            "storeId=a",
            "transport=ws",
            "storeId=a&transport=carrier-pigeon",
            "storeId=..&transport=ws",
            "storeId=&transport=ws",
            "storeId=a&transport=http&payload=nope",
            "storeId=a&transport=http&payload=%25ff",
        ] {
            assert_eq!(SyncQuery::parse(text), Some(Err(InvalidQuery)), "{text}");
        }
    }
}
