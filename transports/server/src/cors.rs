//! Which web pages may read the answers.
//!
//! Browsers ask before a page may talk to another origin over HTTP; WebSockets are not asked about. The headers go on
//! every answer, errors included: without them a page cannot even learn what went wrong.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use crate::http::empty;
use crate::service::SyncBody;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
/// How long a browser may remember the answer, in seconds. Without it, it asks before nearly every request.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The origins whose pages may use a server over HTTP, none by default, and the headers that their requests may have,
/// by default any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    origins: Origins,
    /// The names, joined; `None` is whatever is asked for.
    headers: Option<HeaderValue>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Origins {
    #[default]
    None,
    Any,
    These(Vec<String>),
}

impl Cors {
    /// No page of another origin.
    #[must_use]
    pub const fn none() -> Self {
        Self { origins: Origins::None, headers: None }
    }

    /// Every page. No credentials of the browser are involved: what a page may do is what anybody may do who can reach
    /// the server.
    #[must_use]
    pub const fn any() -> Self {
        Self { origins: Origins::Any, headers: None }
    }

    /// The pages of these origins, written as browsers send them: `https://app.example`, without a slash at the end.
    pub fn origins(origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { origins: Origins::These(origins.into_iter().map(Into::into).collect()), headers: None }
    }

    /// The same, but their requests may have these headers only, beside those that browsers never ask about. LiveStore's
    /// clients send `content-type`, `x-livestore-store-id`, `b3` and `traceparent`.
    #[must_use]
    pub fn with_headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let names: Vec<HeaderName> = names.into_iter().collect();
        let joined = names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
        self.headers = Some(HeaderValue::try_from(joined).expect("names of headers are fit for one"));
        self
    }

    /// The answer to a preflight, if these rules say anything about pages at all.
    pub(crate) fn preflight<B>(&self, request: &Request<B>) -> Option<Response<SyncBody>> {
        if self.origins == Origins::None || request.method() != Method::OPTIONS {
            return None;
        }
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        self.headers(request.headers()).apply(response.headers_mut());
        Some(response)
    }

    /// What the answer to a request with these headers says.
    pub(crate) fn headers(&self, request: &HeaderMap) -> CorsHeaders {
        let origin = match &self.origins {
            Origins::None => None,
            Origins::Any => Some(ANY),
            Origins::These(origins) => request
                .get(ORIGIN)
                .filter(|origin| origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()))
                .cloned(),
        };
        let headers = self.headers.as_ref().or_else(|| request.get(ACCESS_CONTROL_REQUEST_HEADERS));
        let headers = headers.cloned().unwrap_or(ANY);
        CorsHeaders {
            allowed: origin.map(|origin| (origin, headers)),
            varies: matches!(self.origins, Origins::These(_)),
        }
    }
}

/// What one answer says about who may read it.
pub(crate) struct CorsHeaders {
    /// The origin, and the headers its requests may have.
    allowed: Option<(HeaderValue, HeaderValue)>,
    /// Whether another origin would get another answer.
    varies: bool,
}

impl CorsHeaders {
    pub(crate) fn apply(self, response: &mut HeaderMap) {
        if self.varies {
            response.append(VARY, HeaderValue::from_name(ORIGIN));
        }
        if let Some((origin, headers)) = self.allowed {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            response.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            response.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, CONTENT_TYPE};

    use super::*;

    #[test]
    fn headers_are_those_asked_for_unless_they_are_named() {
        let allowed = |cors: &Cors| {
            let asked =
                HeaderMap::from_iter([(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("b3"))]);
            let mut answer = HeaderMap::new();
            cors.headers(&asked).apply(&mut answer);
            answer.get(ACCESS_CONTROL_ALLOW_HEADERS).unwrap().clone()
        };
        assert_eq!(allowed(&Cors::any()), "b3");
        assert_eq!(
            allowed(&Cors::any().with_headers([CONTENT_TYPE, AUTHORIZATION])),
            "content-type, authorization"
        );
    }
}
