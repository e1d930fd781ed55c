//! Tokens, good and bad, asked about as a server asks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use livestore_auth::{
    InvalidKey, JwtAlgorithm, JwtAuthorizer, JwtClaims, JwtConfig, JwtKey, RuleAuthorizer, TokenPlace,
};
use livestore_server::{AccessDenied, AccessRequest, Authorizer, Principal, Rights};
use livestore_traits::StoreId;
use livestore_wire::SyncPayload;
use serde_json::{Value, json};

const SECRET: &[u8] = b"a secret of at least 32 bytes, really";

fn key_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name)
}

fn private(name: &str) -> Vec<u8> {
    std::fs::read(key_file(name)).unwrap()
}

/// Seconds since 1970, from now.
fn in_secs(secs: i64) -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap() + secs
}

/// What a token says that is valid for an hour; `changes` replaces claims, `null` removes them.
fn claims(changes: Value) -> Value {
    let mut claims =
        json!({"sub": "alice", "exp": in_secs(3600), "stores": {"todos-*": "read-write", "news": "read"}});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn signed(claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

fn with_secret(config: JwtConfig) -> JwtAuthorizer {
    JwtAuthorizer::new(JwtKey::from_bytes(JwtAlgorithm::Hs256, SECRET).unwrap(), config)
}

fn exact() -> JwtConfig {
    let mut config = JwtConfig::default();
    config.leeway = Duration::ZERO;
    config
}

async fn ask(authorizer: &impl Authorizer, store: &str, payload: Value) -> Result<Principal, AccessDenied> {
    ask_with(authorizer, store, Some(payload), &HeaderMap::new()).await
}

async fn ask_with(
    authorizer: &impl Authorizer,
    store: &str,
    payload: Option<Value>,
    headers: &HeaderMap,
) -> Result<Principal, AccessDenied> {
    let store = StoreId::new(store).unwrap();
    let payload = payload.map(|payload| SyncPayload::new(&payload).unwrap());
    authorizer.authorize(&AccessRequest::new(&store, payload.as_ref(), headers, &Extensions::new())).await
}

/// Asks for `todos-1` with a token of the default place.
async fn show(authorizer: &impl Authorizer, token: &str) -> Result<Principal, AccessDenied> {
    ask(authorizer, "todos-1", json!({"authToken": token})).await
}

#[track_caller]
fn assert_unauthenticated(answer: Result<Principal, AccessDenied>, reason: &str) {
    match answer {
        Err(AccessDenied::Unauthenticated(found)) => {
            assert!(found.contains(reason), "{found:?}, not {reason:?}")
        }
        other => panic!("{other:?} instead of {reason:?}"),
    }
}

#[tokio::test]
async fn a_token_lets_in_until_it_ends() {
    let authorizer = with_secret(exact());
    let claims = claims(json!({}));
    let principal = show(&authorizer, &signed(&claims)).await.unwrap();
    assert_eq!((&*principal.name, principal.rights), ("alice", Rights::ReadWrite));
    let ends = UNIX_EPOCH + Duration::from_secs(claims["exp"].as_u64().unwrap());
    assert_eq!(principal.expires_at, Some(ends));
    let found: &JwtClaims = principal.extension().unwrap();
    assert_eq!((found.subject(), found.get("exp")), (Some("alice"), Some(&claims["exp"])));
    // Connections, too, last for the time that clocks may differ.
    let principal = show(&with_secret(JwtConfig::default()), &signed(&claims)).await.unwrap();
    assert_eq!(principal.expires_at, Some(ends + JwtConfig::default().leeway));
}

#[tokio::test]
async fn claims_name_the_stores_and_the_rights() {
    let authorizer = with_secret(exact());
    let (read, write) = (Ok(Rights::Read), Ok(Rights::ReadWrite));
    for (changes, store, expected) in [
        (json!({}), "todos-1", write),
        (json!({}), "news", read),
        (json!({}), "other", Err(())),
        (json!({"stores": {"todos-*": "none"}}), "todos-1", Err(())),
        // The widest of those that match.
        (json!({"stores": {"*": "read", "todos-*": "read-write", "todos-1": "none"}}), "todos-1", write),
        (json!({"stores": ["a", "todos-*"], "rights": "read"}), "todos-1", read),
        (json!({"stores": ["a", "todos-*"], "rights": "read"}), "b", Err(())),
        (json!({"stores": "todos-?", "rights": "read-write"}), "todos-1", write),
        (json!({"stores": [], "rights": "read-write"}), "todos-1", Err(())),
        // Nothing is guessed.
        (json!({"stores": ["todos-*"]}), "todos-1", Err(())),
        (json!({"stores": ["todos-*"], "rights": "all"}), "todos-1", Err(())),
        (json!({"stores": ["todos-*"], "rights": true}), "todos-1", Err(())),
        (json!({"stores": {"todos-*": "write"}}), "todos-1", Err(())),
        (json!({"stores": {"todos-*": "read", "no glob!": "read"}}), "todos-1", Err(())),
        (json!({"stores": [1, "todos-*"], "rights": "read"}), "todos-1", Err(())),
        (json!({"stores": 7, "rights": "read"}), "todos-1", Err(())),
        (json!({"stores": null, "rights": "read"}), "todos-1", Err(())),
    ] {
        let token = signed(&claims(changes.clone()));
        let answer = ask(&authorizer, store, json!({"authToken": token})).await;
        if let Err(error) = &answer {
            assert!(matches!(error, AccessDenied::Forbidden(_)), "{changes}: {error:?}");
        }
        assert_eq!(answer.map(|principal| principal.rights).map_err(drop), expected, "{changes} for {store}");
    }
}

#[tokio::test]
async fn claims_may_be_called_otherwise() {
    let mut config = exact();
    config.stores_claim = "https://app.example/stores".into();
    config.rights_claim = "https://app.example/rights".into();
    let token = signed(&claims(
        json!({"stores": null, "https://app.example/stores": "todos-1", "https://app.example/rights": "read"}),
    ));
    assert_eq!(show(&with_secret(config), &token).await.unwrap().rights, Rights::Read);
}

#[tokio::test]
async fn times_are_checked() {
    let (exact, lenient) = (with_secret(exact()), with_secret(JwtConfig::default()));
    for (changes, reason) in [
        (json!({"exp": in_secs(-5)}), "expired"),
        (json!({"exp": 0}), "expired"),
        (json!({"nbf": in_secs(60)}), "not valid yet"),
        (json!({"exp": null}), "no usable claim exp"),
        (json!({"exp": "tomorrow"}), "no usable claim exp"),
        (json!({"nbf": "tomorrow"}), "not valid"),
        (json!({"exp": -1}), "no usable claim exp"),
    ] {
        assert_unauthenticated(show(&exact, &signed(&claims(changes))).await, reason);
    }
    assert!(show(&lenient, &signed(&claims(json!({"exp": in_secs(-5)})))).await.is_ok());
    assert!(show(&lenient, &signed(&claims(json!({"nbf": in_secs(5)})))).await.is_ok());
    assert_unauthenticated(show(&lenient, &signed(&claims(json!({"exp": in_secs(-60)})))).await, "expired");
    assert!(show(&exact, &signed(&claims(json!({"exp": u64::MAX})))).await.unwrap().expires_at.is_some());
}

#[tokio::test]
async fn issuer_and_audience_are_checked() {
    let mut config = exact();
    config.issuers = vec!["https://login.example".into()];
    config.audiences = vec!["sync".into(), "sync-test".into()];
    let authorizer = with_secret(config);
    for (changes, reason) in [
        (json!({}), "no usable claim"),
        (json!({"iss": "https://login.example"}), "no usable claim aud"),
        (json!({"aud": "sync"}), "no usable claim iss"),
        (json!({"iss": "https://evil.example", "aud": "sync"}), "issuer"),
        (json!({"iss": "https://login.example", "aud": "mail"}), "audience"),
        (json!({"iss": "https://login.example", "aud": ["mail", "chat"]}), "audience"),
        (json!({"iss": "https://login.example", "aud": 7}), "no usable claim aud"),
    ] {
        assert_unauthenticated(show(&authorizer, &signed(&claims(changes))).await, reason);
    }
    for aud in [json!("sync"), json!(["mail", "sync-test"])] {
        let token = signed(&claims(json!({"iss": "https://login.example", "aud": aud})));
        assert!(show(&authorizer, &token).await.is_ok(), "{aud}");
    }
    let for_others = signed(&claims(json!({"aud": "mail"})));
    assert_unauthenticated(show(&with_secret(exact()), &for_others).await, "audience");
}

#[tokio::test]
async fn what_was_not_signed_by_the_key_is_refused() {
    let authorizer = with_secret(exact());
    let token = signed(&claims(json!({})));
    let parts: Vec<&str> = token.split('.').collect();
    let more = signed(&claims(json!({"stores": {"*": "read-write"}})));
    let more = more.split('.').nth(1).unwrap();
    let none = base64("{\"alg\":\"none\",\"typ\":\"JWT\"}");
    let mut flipped = token.clone().into_bytes();
    let last = flipped.len() - 10;
    flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
    for (what, bad) in [
        ("another signature", String::from_utf8(flipped).unwrap()),
        ("other claims", format!("{}.{more}.{}", parts[0], parts[2])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("alg none", format!("{none}.{}.", parts[1])),
        ("alg none, signed", format!("{none}.{}.{}", parts[1], parts[2])),
        ("a longer token", format!("{token}.x")),
        ("nothing", String::new()),
        ("no token", "let-me-in".to_owned()),
    ] {
        assert!(show(&authorizer, &bad).await.is_err(), "{what} was taken");
        assert_unauthenticated(show(&authorizer, &bad).await, "not valid");
    }
    let other =
        encode(&Header::new(Algorithm::HS256), &claims(json!({})), &EncodingKey::from_secret(&[7; 40]));
    assert_unauthenticated(show(&authorizer, &other.unwrap()).await, "not valid");
    // Of the same family, and signed with the right secret.
    let hs512 = encode(&Header::new(Algorithm::HS512), &claims(json!({})), &EncodingKey::from_secret(SECRET));
    assert_unauthenticated(show(&authorizer, &hs512.unwrap()).await, "not valid");
}

/// As the parts of a token are written.
fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: String = text.bytes().map(|byte| format!("{byte:08b}")).collect();
    bits.as_bytes()
        .chunks(6)
        .map(|chunk| {
            let index = chunk
                .iter()
                .chain(b"00000")
                .take(6)
                .fold(0, |index, bit| index * 2 + usize::from(bit - b'0'));
            char::from(ALPHABET[index])
        })
        .collect()
}

#[tokio::test]
async fn keys_of_all_algorithms_verify_theirs_and_nothing_else() {
    let sign = |algorithm, key| encode(&Header::new(algorithm), &claims(json!({})), &key).unwrap();
    let rsa = sign(Algorithm::RS256, EncodingKey::from_rsa_pem(&private("rsa-private.pem")).unwrap());
    let ec = sign(Algorithm::ES256, EncodingKey::from_ec_pem(&private("ec-private.pem")).unwrap());
    // The classic forgery: the public key, which anybody may have, taken for a shared secret.
    let forged = sign(Algorithm::HS256, EncodingKey::from_secret(&private("rsa-public.pem")));
    let tokens = [("HS256", signed(&claims(json!({})))), ("RS256", rsa), ("ES256", ec), ("forged", forged)];
    let by_file = |algorithm, name| JwtKey::from_file(algorithm, key_file(name)).unwrap();
    for (name, key) in [
        ("HS256", JwtKey::from_bytes(JwtAlgorithm::Hs256, SECRET).unwrap()),
        ("RS256", by_file(JwtAlgorithm::Rs256, "rsa-public.pem")),
        ("ES256", by_file(JwtAlgorithm::Es256, "ec-public.pem")),
    ] {
        let authorizer = JwtAuthorizer::new(key, exact());
        for (kind, token) in &tokens {
            assert_eq!(show(&authorizer, token).await.is_ok(), *kind == name, "{kind} by a key for {name}");
        }
    }
}

#[tokio::test]
async fn tokens_are_found_where_they_should_be() {
    let token = signed(&claims(json!({})));
    let place = |text: &str| {
        let mut config = exact();
        config.token = text.parse().unwrap();
        with_secret(config)
    };
    for (text, payload) in [
        ("payload.authToken", json!({"authToken": token})),
        ("payload.user.jwt", json!({"user": {"jwt": token}})),
        ("payload", json!(token)),
    ] {
        assert!(ask(&place(text), "todos-1", payload).await.is_ok(), "{text}");
        assert_unauthenticated(ask(&place(text), "todos-1", json!({"other": token})).await, text);
        assert_unauthenticated(ask_with(&place(text), "todos-1", None, &HeaderMap::new()).await, text);
    }
    let mut headers = HeaderMap::new();
    let bearer = place("bearer");
    assert_unauthenticated(
        ask_with(&bearer, "todos-1", Some(json!({"authToken": token})), &headers).await,
        "bearer",
    );
    headers.insert(AUTHORIZATION, format!("bearer {token}").parse().unwrap());
    assert!(ask_with(&bearer, "todos-1", None, &headers).await.is_ok());
    headers.insert(AUTHORIZATION, format!("Basic {token}").parse().unwrap());
    assert_unauthenticated(ask_with(&bearer, "todos-1", None, &headers).await, "bearer");
    for text in ["payload.authToken", "payload", "payload.a.b", "bearer"] {
        assert_eq!(text.parse::<TokenPlace>().unwrap().to_string(), text);
    }
    for text in ["", "authToken", "payload.", "payload..a", "bearer.x", "cookie"] {
        assert!(text.parse::<TokenPlace>().is_err(), "{text:?} is a place");
    }
}

#[tokio::test]
async fn rules_leave_what_they_do_not_speak_of_to_tokens() {
    let rules = RuleAuthorizer::new([livestore_auth::AccessRule::new(
        "public-*".parse().unwrap(),
        livestore_auth::Access::Read,
    )])
    .unwrap()
    .otherwise(with_secret(exact()));
    assert_eq!(ask_with(&rules, "public-1", None, &HeaderMap::new()).await.unwrap().rights, Rights::Read);
    assert!(ask_with(&rules, "todos-1", None, &HeaderMap::new()).await.is_err());
    assert!(show(&rules, &signed(&claims(json!({})))).await.is_ok());
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    use JwtAlgorithm::{Es256, Hs256, Rs256};
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, [SECRET, b"\n"].concat()).unwrap();
    assert!(JwtKey::from_file(Hs256, &secret).is_ok());
    let short = dir.path().join("short");
    std::fs::write(&short, "x".repeat(31) + "\n").unwrap();
    for (algorithm, file, reason) in [
        (Hs256, short, "at least 32 bytes"),
        (Hs256, key_file("rsa-public.pem"), "a PEM file, and a secret is expected"),
        (Rs256, secret.clone(), "does not begin with -----BEGIN PUBLIC KEY-----"),
        (Rs256, key_file("rsa-private.pem"), "a private key"),
        (Rs256, key_file("ec-public.pem"), "public RSA key"),
        (Rs256, key_file("rsa-1024-public.pem"), "2048 bits"),
        (Es256, key_file("ec-private.pem"), "a private key"),
        (Es256, key_file("rsa-public.pem"), "public EC key"),
        (Es256, key_file("ec-p384-public.pem"), "P-256"),
    ] {
        let error = JwtKey::from_file(algorithm, &file).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(file.to_str().unwrap()), "{error}");
    }
    let missing = JwtKey::from_file(Hs256, dir.path().join("nowhere")).unwrap_err();
    assert!(matches!(&missing, InvalidKey::Unreadable { .. }), "{missing}");
    let printed = format!("{:?}", JwtKey::from_bytes(Hs256, SECRET).unwrap());
    assert!(!printed.contains("secret of"), "{printed}");
}
