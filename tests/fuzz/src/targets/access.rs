//! Who may do what: patterns of stores, and tokens.

use std::sync::OnceLock;

use futures::FutureExt;
use http::{Extensions, HeaderMap, HeaderValue};
use jsonwebtoken::{EncodingKey, Header};
use livestore_auth::{JwtAlgorithm, JwtAuthorizer, JwtConfig, JwtKey, StoreGlob, TokenPlace};
use livestore_server::{AccessDenied, AccessRequest, Authorizer, Principal};
use livestore_traits::StoreId;
use serde_json::{Map, Value};

use super::texts;

const SECRET: &[u8] = b"a secret of thirty-two bytes, or more";

/// Two patterns and the id of a store.
pub(super) fn glob(input: &[u8]) {
    let texts = texts(input);
    let mut texts = texts.into_iter().filter_map(|text| std::str::from_utf8(text).ok());
    let (Some(one), Some(other), store) = (texts.next(), texts.next(), texts.next()) else { return };
    let (Ok(one), Ok(other)) = (one.parse::<StoreGlob>(), other.parse::<StoreGlob>()) else { return };
    assert_eq!(one.to_string().parse(), Ok(one.clone()));
    assert!(one.covers(&one) && StoreGlob::any().covers(&one), "{one}");
    assert!(!one.is_same(&other) || (one.covers(&other) && other.covers(&one)), "{one} and {other}");
    let Some(Ok(store)) = store.map(StoreId::new) else { return };
    for glob in [&one, &other] {
        let expected = matches(glob.to_string().as_bytes(), store.as_str().as_bytes());
        assert_eq!(glob.matches(&store), expected, "{glob} and {store}");
    }
    assert!(!one.covers(&other) || !other.matches(&store) || one.matches(&store), "{one}, {other}, {store}");
}

/// The definition: which beginnings of the pattern match which beginnings of the text, one character after the other.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Whether the pattern so far matches the first n characters, for each n.
    let mut so_far: Vec<bool> = (0..=text.len()).map(|len| len == 0).collect();
    for symbol in pattern {
        let mut next = vec![false; text.len() + 1];
        for len in 0..=text.len() {
            next[len] = match symbol {
                b'*' => so_far[len] || (len > 0 && next[len - 1]),
                b'?' => len > 0 && so_far[len - 1],
                literal => len > 0 && so_far[len - 1] && text[len - 1] == *literal,
            };
        }
        so_far = next;
    }
    so_far[text.len()]
}

/// A token as it comes, the same text as the claims of a token that is signed, and as the place of one.
pub(super) fn token(input: &[u8]) {
    let as_it_is = authorize(input);
    assert!(as_it_is.is_err(), "nobody has signed {:?}", input.escape_ascii().to_string());
    if let Ok(claims) = serde_json::from_slice::<Map<String, Value>>(input) {
        let key = EncodingKey::from_secret(SECRET);
        let token = jsonwebtoken::encode(&Header::default(), &claims, &key).expect("claims can be signed");
        if let Ok(principal) = authorize(token.as_bytes()) {
            assert!(claims.contains_key("stores") && claims.contains_key("exp"), "{claims:?}");
            assert!(principal.expires_at.is_some(), "access without an end");
        }
    }
    if let Some(Ok(place)) = std::str::from_utf8(input).ok().map(str::parse::<TokenPlace>) {
        assert_eq!(place.to_string().parse(), Ok(place));
    }
}

fn authorize(token: &[u8]) -> Result<Principal, AccessDenied> {
    static AUTHORIZER: OnceLock<JwtAuthorizer> = OnceLock::new();
    let authorizer = AUTHORIZER.get_or_init(|| {
        let mut config = JwtConfig::default();
        config.token = TokenPlace::Bearer;
        JwtAuthorizer::new(JwtKey::from_bytes(JwtAlgorithm::Hs256, SECRET).expect("a valid key"), config)
    });
    let store = StoreId::new("todos-1").expect("a valid id");
    let mut headers = HeaderMap::new();
    let header = [b"Bearer ", token].concat();
    let header = HeaderValue::from_bytes(&header).map_err(|_| AccessDenied::unauthenticated("no header"))?;
    headers.insert("authorization", header);
    let extensions = Extensions::new();
    let request = AccessRequest::new(&store, None, &headers, &extensions);
    authorizer.authorize(&request).now_or_never().expect("a token is verified without waiting")
}
