//! Which web pages may read the answers.
//!
//! Browsers ask before a page may talk to another origin over HTTP; WebSockets are not asked about. The headers go on
//! every answer, errors included: without them a page cannot even learn what went wrong.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::http::empty;
use crate::service::SyncBody;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The origins whose pages may use a server over HTTP. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors(Origins);

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
        Self(Origins::None)
    }

    /// Every page. No credentials of the browser are involved: what a page may do is what anybody may do who can reach
    /// the server.
    #[must_use]
    pub const fn any() -> Self {
        Self(Origins::Any)
    }

    /// The pages of these origins, written as browsers send them: `https://app.example`, without a slash at the end.
    pub fn origins(origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(Origins::These(origins.into_iter().map(Into::into).collect()))
    }

    /// The answer to a preflight, if these rules say anything about pages at all.
    pub(crate) fn preflight<B>(&self, request: &Request<B>) -> Option<Response<SyncBody>> {
        if self.0 == Origins::None || request.method() != Method::OPTIONS {
            return None;
        }
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        self.headers(request.headers()).apply(response.headers_mut());
        Some(response)
    }

    /// What the answer to a request with these headers says.
    pub(crate) fn headers(&self, request: &HeaderMap) -> CorsHeaders {
        let origin = match &self.0 {
            Origins::None => None,
            Origins::Any => Some(ANY),
            Origins::These(origins) => request
                .get(ORIGIN)
                .filter(|origin| origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()))
                .cloned(),
        };
        let headers = request.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned().unwrap_or(ANY);
        CorsHeaders {
            allowed: origin.map(|origin| (origin, headers)),
            varies: matches!(self.0, Origins::These(_)),
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
