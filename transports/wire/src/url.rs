//! The URL of a server, as users write it.

use http::Uri;
use livestore_traits::StoreId;

use crate::Endpoint;

/// A text is not the URL of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid server URL {url:?}: {problem}")]
pub struct InvalidUrl {
    url: String,
    problem: String,
}

/// Where one store is at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl {
    /// Scheme and authority, and the path under which the server is mounted, without a slash at the end.
    base: String,
    store: StoreId,
}

impl StoreUrl {
    /// The store `store` at the server `url`: `{scheme}://host`, `{scheme}://host:port`, or either with a path under
    /// which the server is mounted. `scheme` is one without TLS.
    ///
    /// # Errors
    /// [`InvalidUrl`] if the text is anything else.
    pub fn new(scheme: &'static str, url: &str, store: StoreId) -> Result<Self, InvalidUrl> {
        let invalid = |problem: String| InvalidUrl { url: url.chars().take(256).collect(), problem };
        let parsed: Uri = url.parse().map_err(|error| invalid(format!("{error}")))?;
        match parsed.scheme_str() {
            Some(found) if found == scheme => {}
            Some("wss" | "https") => {
                return Err(invalid(format!("TLS is left to a proxy; use its {scheme}:// address")));
            }
            _ => return Err(invalid(format!("it does not begin with {scheme}://"))),
        }
        let authority = parsed.authority().ok_or_else(|| invalid("it has no host".to_owned()))?;
        if authority.as_str().contains('@') {
            return Err(invalid("it has a user name; credentials belong into a header".to_owned()));
        }
        if parsed.query().is_some() {
            return Err(invalid("it has a query".to_owned()));
        }
        Ok(Self { base: format!("{scheme}://{authority}{}", parsed.path().trim_end_matches('/')), store })
    }

    /// Where `endpoint` is, with a query if there is one.
    #[must_use]
    pub fn endpoint(&self, endpoint: &Endpoint, query: Option<&str>) -> Uri {
        let mut text = format!("{}{}", self.base, endpoint.path(&self.store));
        if let Some(query) = query {
            text.push('?');
            text.push_str(query);
        }
        text.parse().expect("the parts were checked, and the rest is escaped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sync(url: &str) -> Result<String, InvalidUrl> {
        let url = StoreUrl::new("ws", url, StoreId::new("todo").unwrap())?;
        Ok(url.endpoint(&Endpoint::Sync, None).to_string())
    }

    #[test]
    fn the_store_is_found_below_the_server() {
        for url in ["ws://localhost:8787", "ws://localhost:8787/"] {
            assert_eq!(sync(url).unwrap(), "ws://localhost:8787/stores/todo/sync");
        }
        assert_eq!(sync("ws://[::1]/app/").unwrap(), "ws://[::1]/app/stores/todo/sync");
    }

    #[test]
    fn a_query_is_appended() {
        let url = StoreUrl::new("http", "http://a", StoreId::new("todo").unwrap()).unwrap();
        assert_eq!(url.endpoint(&Endpoint::Pull, Some("after=3")), "http://a/stores/todo/pull?after=3");
    }

    #[test]
    fn other_urls_are_refused() {
        for url in
            ["", "localhost:8787", "http://a", "wss://a", "ws://", "ws://a?b=c", "ws://u:p@a", "ws://a b"]
        {
            assert!(sync(url).is_err(), "{url:?} was accepted");
        }
    }
}
