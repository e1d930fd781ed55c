//! The URL of a server, as users write it.

use http::Uri;
use livestore_traits::StoreId;

use crate::Endpoint;

/// The longest URL of a server, before anything is added. A URI has at most 64 KiB, and escaping a payload twice makes it
/// up to five times as long.
pub(crate) const MAX_URL_BYTES: usize = 8 * 1024;

/// A text is not the URL of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid server URL {url:?}: {problem}")]
pub struct InvalidUrl {
    url: String,
    problem: String,
}

impl InvalidUrl {
    pub(crate) fn new(url: &str, problem: &str) -> Self {
        Self { url: url.chars().take(256).collect(), problem: problem.to_owned() }
    }
}

/// The parts of a server's URL that were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    /// Scheme and authority.
    pub(crate) origin: String,
    /// Begins with a slash.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
}

impl ServerUrl {
    /// `schemes` are those that the caller can speak: one without TLS, then perhaps the same one with it.
    pub(crate) fn parse(schemes: &[&str], url: &str) -> Result<Self, InvalidUrl> {
        let invalid = |problem: String| InvalidUrl::new(url, &problem);
        if url.len() > MAX_URL_BYTES {
            return Err(invalid("it is too long".to_owned()));
        }
        let parsed: Uri = url.parse().map_err(|error| invalid(format!("{error}")))?;
        let scheme = parsed.scheme_str().unwrap_or_default();
        if !schemes.contains(&scheme) {
            let plain = schemes.first().copied().unwrap_or_default();
            return Err(invalid(if scheme.strip_suffix('s') == Some(plain) {
                format!("this program was built without TLS, so it speaks {plain}:// only")
            } else {
                format!("it does not begin with {}://", schemes.join(":// or "))
            }));
        }
        let authority = parsed.authority().ok_or_else(|| invalid("it has no host".to_owned()))?;
        if authority.as_str().contains('@') {
            return Err(invalid("it has a user name; credentials belong into a header".to_owned()));
        }
        let origin = format!("{scheme}://{authority}");
        Ok(Self { origin, path: parsed.path().to_owned(), query: parsed.query().map(str::to_owned) })
    }
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
    /// which the server is mounted. `schemes` are those that may be used, the one without TLS first.
    ///
    /// # Errors
    /// [`InvalidUrl`] if the text is anything else.
    pub fn new(schemes: &[&str], url: &str, store: StoreId) -> Result<Self, InvalidUrl> {
        let ServerUrl { origin, path, query } = ServerUrl::parse(schemes, url)?;
        if query.is_some() {
            return Err(InvalidUrl::new(url, "it has a query"));
        }
        Ok(Self { base: origin + path.trim_end_matches('/'), store })
    }

    /// Where `endpoint` is, with a query if there is one.
    #[must_use]
    pub fn endpoint(&self, endpoint: &Endpoint, query: Option<&str>) -> Uri {
        let mut text = format!("{}{}", self.base, endpoint.path(&self.store));
        if let Some(query) = query {
            text.push('?');
            text.push_str(query);
        }
        text.parse().expect("the parts were checked, the rest is escaped, and together they are short enough")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use livestore_traits::{BackendId, GlobalSeq, PageInfo, PullPage};

    use super::*;
    use crate::{PullQuery, decode_page_body, encode_page_body};

    fn sync(url: &str) -> Result<String, InvalidUrl> {
        let url = StoreUrl::new(&["ws", "wss"], url, StoreId::new("todo").unwrap())?;
        Ok(url.endpoint(&Endpoint::Sync, None).to_string())
    }

    #[test]
    fn the_store_is_found_below_the_server() {
        for url in ["ws://localhost:8787", "ws://localhost:8787/"] {
            assert_eq!(sync(url).unwrap(), "ws://localhost:8787/stores/todo/sync");
        }
        assert_eq!(sync("ws://[::1]/app/").unwrap(), "ws://[::1]/app/stores/todo/sync");
        assert_eq!(sync("wss://example.com").unwrap(), "wss://example.com/stores/todo/sync");
    }

    #[test]
    fn a_query_is_appended() {
        let url = StoreUrl::new(&["http"], "http://a", StoreId::new("todo").unwrap()).unwrap();
        assert_eq!(url.endpoint(&Endpoint::Pull, Some("after=3")), "http://a/stores/todo/pull?after=3");
    }

    /// A server chooses its tokens and its id. They may not make the client's next request impossible, which would panic.
    #[test]
    fn the_longest_token_fits_into_the_longest_url() {
        let page = |token_len: usize| {
            let id = BackendId::new("\u{fc}".repeat(64)).unwrap();
            let token = Some(Bytes::from(vec![0xff; token_len]));
            let page = PullPage::new(GlobalSeq(0), Arc::new([]), token, id, PageInfo::CaughtUp);
            decode_page_body(page.info.into(), &encode_page_body(&page))
        };
        let PullPage { backend_id, cursor, .. } = page(4096).unwrap();
        let query = PullQuery { backend_id: Some(backend_id), cursor, wait: Duration::MAX }.to_text();
        let longest = format!("http://{:x<1$}", "a/", MAX_URL_BYTES - 7);
        let url = |text: &str| StoreUrl::new(&["http"], text, StoreId::new("x".repeat(128)).unwrap());
        let uri = url(&longest).unwrap().endpoint(&Endpoint::Pull, Some(&query));
        assert_eq!(uri.query(), Some(query.as_str()));
        assert!(page(4097).is_err());
        assert!(url(&format!("{longest}x")).is_err());
    }

    #[test]
    fn other_urls_are_refused() {
        for url in
            ["", "localhost:8787", "http://a", "wsss://a", "ws://", "ws://a?b=c", "ws://u:p@a", "ws://a b"]
        {
            assert!(sync(url).is_err(), "{url:?} was accepted");
        }
    }

    #[test]
    fn a_program_without_tls_says_so() {
        let error = StoreUrl::new(&["ws"], "wss://a", StoreId::new("todo").unwrap()).unwrap_err();
        assert!(error.to_string().contains("without TLS"), "{error}");
    }
}
