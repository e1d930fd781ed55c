//! The query of a sync URL: `?storeId=…&payload=…&transport=ws|http`, on any path.

use http::Uri;
use livestore_traits::StoreId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::url::ServerUrl;
use crate::{InvalidUrl, SyncPayload};

/// What JavaScript's `encodeURIComponent` escapes.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// How a client talks to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A WebSocket.
    Ws,
    /// One POST per request.
    Http,
}

impl Transport {
    /// What a query calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Http => "http",
        }
    }

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

/// Where a client finds one store at a server of this protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncUrl {
    server: ServerUrl,
    store: StoreId,
}

impl SyncUrl {
    /// The store `store` at the server `url`, which may have a path and a query of its own. `schemes` are those that may
    /// be used, the one without TLS first.
    ///
    /// # Errors
    /// [`InvalidUrl`] if the text is no URL, has another scheme, or names what this protocol adds.
    pub fn new(schemes: &[&str], url: &str, store: StoreId) -> Result<Self, InvalidUrl> {
        let server = ServerUrl::parse(schemes, url)?;
        let query = server.query.as_deref().unwrap_or_default();
        let is_ours = |name: &str| ["storeId", "payload", "transport"].contains(&name);
        if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| is_ours(&name)) {
            return Err(InvalidUrl::new(url, "storeId, payload and transport are added to it"));
        }
        Ok(Self { server, store })
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &StoreId {
        &self.store
    }

    /// Where a client that shows `payload` connects.
    #[must_use]
    pub fn uri(&self, transport: Transport, payload: Option<&SyncPayload>) -> Uri {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("storeId", self.store.as_str());
        if let Some(payload) = payload {
            let escaped: String = utf8_percent_encode(payload.as_json(), COMPONENT).collect();
            query.append_pair("payload", &escaped);
        }
        query.append_pair("transport", transport.name());
        let ServerUrl { origin, path, query: own } = &self.server;
        let own = own.as_ref().map(|own| format!("{own}&")).unwrap_or_default();
        let text = format!("{origin}{path}?{own}{}", query.finish());
        text.parse().expect("the parts were checked, the rest is escaped, and together they are short enough")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::url::MAX_URL_BYTES;

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

    fn uri(url: &str, payload: Option<&str>) -> Result<String, InvalidUrl> {
        let payload = payload.map(|text| SyncPayload::from_json(text).unwrap());
        let url = SyncUrl::new(&["https"], url, StoreId::new("a-1").unwrap())?;
        Ok(url.uri(Transport::Http, payload.as_ref()).to_string())
    }

    #[test]
    fn a_url_keeps_its_path_and_query() {
        for (url, expected) in [
            ("https://a", "https://a/?storeId=a-1&transport=http"),
            ("https://a:1/sync", "https://a:1/sync?storeId=a-1&transport=http"),
            ("https://a/sync/?key=x%20y", "https://a/sync/?key=x%20y&storeId=a-1&transport=http"),
        ] {
            assert_eq!(uri(url, None).unwrap(), expected);
        }
        for url in ["http://a", "https://a?storeId=b", "https://a?transport=ws", "https://u@a"] {
            assert!(uri(url, None).is_err(), "{url}");
        }
    }

    #[test]
    fn the_longest_payload_fits_into_the_longest_url() {
        let payload = format!("\"{}\"", "%".repeat(SyncPayload::MAX_BYTES - 2));
        let url = format!("https://{:x<1$}", "a/", MAX_URL_BYTES - 8);
        assert!(uri(&url, Some(&payload)).unwrap().len() > 5 * SyncPayload::MAX_BYTES);
        assert!(uri(&format!("{url}x"), None).is_err());
    }
}
