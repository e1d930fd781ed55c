//! Where a store's endpoints are, and the query of a pull: written by clients, read by the server.
//!
//! ```text
//! /stores/{store}                               what the store's backend can do
//! /stores/{store}/sync                          WebSocket
//! /stores/{store}/push                          POST
//! /stores/{store}/pull?after&token&backend&wait GET
//! /stores/{store}/history/{backend}/{page}      GET, immutable
//! ```

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use livestore_traits::{BackendId, Cursor, GlobalSeq, InvalidId, StoreId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::bytes_form;

/// What stays as it is in a path segment and in a query value.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// What the store's backend can do.
    Store,
    /// The WebSocket.
    Sync,
    /// Takes pushes.
    Push,
    /// Answers pulls.
    Pull,
    /// A page of immutable history.
    History {
        /// The incarnation it belongs to.
        backend_id: BackendId,
        /// Counted from 0.
        page: u64,
    },
}

/// A path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It is none of the paths above.
    #[error("no such path")]
    Unknown,
    /// It names something that cannot exist.
    #[error(transparent)]
    Id(#[from] InvalidId),
}

impl Endpoint {
    /// The path of this endpoint of `store`.
    #[must_use]
    pub fn path(&self, store: &StoreId) -> String {
        match self {
            Self::Store => format!("/stores/{store}"),
            Self::Sync => format!("/stores/{store}/sync"),
            Self::Push => format!("/stores/{store}/push"),
            Self::Pull => format!("/stores/{store}/pull"),
            Self::History { backend_id, page } => {
                let backend_id = utf8_percent_encode(backend_id.as_str(), ESCAPED);
                format!("/stores/{store}/history/{backend_id}/{page}")
            }
        }
    }

    /// The store and the endpoint that `path` leads to.
    ///
    /// # Errors
    /// [`PathError`] if it leads nowhere.
    pub fn parse(path: &str) -> Result<(StoreId, Self), PathError> {
        let mut segments = path.strip_prefix("/stores/").ok_or(PathError::Unknown)?.split('/');
        let store = StoreId::new(segments.next().unwrap_or_default())?;
        let endpoint = match (segments.next(), segments.next(), segments.next(), segments.next()) {
            (None, ..) => Self::Store,
            (Some("sync"), None, ..) => Self::Sync,
            (Some("push"), None, ..) => Self::Push,
            (Some("pull"), None, ..) => Self::Pull,
            (Some("history"), Some(backend_id), Some(page), None) => {
                let backend_id =
                    percent_decode_str(backend_id).decode_utf8().map_err(|_| PathError::Unknown)?;
                let page = page.parse().map_err(|_| PathError::Unknown)?;
                Self::History { backend_id: BackendId::new(backend_id.as_ref())?, page }
            }
            _ => return Err(PathError::Unknown),
        };
        Ok((store, endpoint))
    }
}

/// The query of a pull over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullQuery {
    /// `backend`: the incarnation the cursor belongs to.
    pub backend_id: Option<BackendId>,
    /// `after` and `token`: where to go on. From the start if absent.
    pub cursor: Cursor,
    /// `wait`: how long to wait for an event if there is none, as `20s`, `500ms` or a number of seconds. Not at all if
    /// absent.
    pub wait: Duration,
}

/// A query cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the query parameter {parameter:?} {problem}")]
pub struct QueryError {
    parameter: String,
    problem: &'static str,
}

impl PullQuery {
    /// The query as text, without the question mark.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("after={}", self.cursor.after.0);
        // Writing to a string cannot fail.
        if let Some(token) = &self.cursor.token {
            let _ = write!(text, "&token={}", bytes_form::to_text(token));
        }
        if let Some(backend_id) = &self.backend_id {
            let _ = write!(text, "&backend={}", utf8_percent_encode(backend_id.as_str(), ESCAPED));
        }
        if !self.wait.is_zero() {
            let _ = write!(text, "&wait={}ms", self.wait.as_millis());
        }
        text
    }

    /// Reads a query.
    ///
    /// # Errors
    /// [`QueryError`] for the first parameter that is unknown or cannot be read.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (parameter, value) in form_urlencoded::parse(text.as_bytes()) {
            let fail = |problem| QueryError { parameter: parameter.chars().take(32).collect(), problem };
            match parameter.as_ref() {
                "after" => {
                    query.cursor.after =
                        GlobalSeq(value.parse().map_err(|_| fail("is not the number of an event"))?);
                }
                "token" => {
                    let token = bytes_form::from_text(&value).ok_or_else(|| fail("is not base64url"))?;
                    query.cursor.token = Some(Bytes::from(token));
                }
                "backend" => {
                    let id = BackendId::new(value.as_ref()).map_err(|_| fail("is not a backend id"))?;
                    query.backend_id = Some(id);
                }
                "wait" => query.wait = parse_wait(&value).ok_or_else(|| fail("is not a time like 20s"))?,
                _ => return Err(fail("is unknown")),
            }
        }
        Ok(query)
    }
}

fn parse_wait(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse().ok().map(Duration::from_millis);
    }
    let seconds: u64 = text.strip_suffix('s').unwrap_or(text).parse().ok()?;
    // More than this cannot be written in milliseconds, as clients do.
    seconds.checked_mul(1000).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back_as_they_were_written() {
        let store = StoreId::new("todo-1").unwrap();
        let backend_id = BackendId::new("a/b c%2f?ü").unwrap();
        let history = Endpoint::History { backend_id, page: 7 };
        for endpoint in [Endpoint::Store, Endpoint::Sync, Endpoint::Push, Endpoint::Pull, history] {
            assert_eq!(Endpoint::parse(&endpoint.path(&store)), Ok((store.clone(), endpoint)));
        }
    }

    #[test]
    fn paths_that_lead_nowhere_are_refused() {
        for path in
            ["", "/", "/stores", "/stores/a/", "/stores/a/push/", "/stores/a/sync/x", "/stores/a/nope"]
        {
            assert_eq!(Endpoint::parse(path), Err(PathError::Unknown), "{path}");
        }
        for path in ["/stores/a/history/b", "/stores/a/history/b/-1", "/stores/a/history/b/1/2"] {
            assert_eq!(Endpoint::parse(path), Err(PathError::Unknown), "{path}");
        }
        for path in ["/stores/", "/stores//push", "/stores/../push", "/stores/%2e%2e", "/stores/a%2fb/pull"] {
            assert!(matches!(Endpoint::parse(path), Err(PathError::Id(_))), "{path}");
        }
        assert!(matches!(Endpoint::parse(&format!("/stores/{}", "x".repeat(10_240))), Err(PathError::Id(_))));
    }

    #[test]
    fn queries_read_back_as_they_were_written() {
        let query = PullQuery {
            backend_id: Some(BackendId::new("a&b=c d+ü").unwrap()),
            cursor: Cursor { after: GlobalSeq(31), token: Some(Bytes::from_static(b"\xff\x00?")) },
            wait: Duration::from_millis(1500),
        };
        for query in [query, PullQuery::default()] {
            assert_eq!(PullQuery::parse(&query.to_text()), Ok(query));
        }
    }

    #[test]
    fn waits_have_units() {
        for (text, wait) in [("20s", 20_000), ("500ms", 500), ("3", 3000), ("0", 0)] {
            assert_eq!(parse_wait(text), Some(Duration::from_millis(wait)), "{text}");
        }
        for text in ["", "s", "-1s", "1m", "1.5s", "900719925474099393s"] {
            assert_eq!(parse_wait(text), None, "{text}");
        }
    }

    #[test]
    fn bad_queries_name_the_parameter() {
        for query in ["after=-1", "after=x", "token=%21", "backend=", "wait=soon", "limit=1"] {
            let error = PullQuery::parse(query).unwrap_err();
            assert_eq!(error.parameter, query.split('=').next().unwrap());
        }
    }
}
