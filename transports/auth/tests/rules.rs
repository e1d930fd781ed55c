//! Rules, asked as a server asks them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use http::{Extensions, HeaderMap};
use livestore_auth::{Access, AccessRule, PayloadCondition, RuleAuthorizer, UnreachableRule};
use livestore_server::{AccessDenied, AccessRequest, Authorizer, Rights};
use livestore_traits::StoreId;
use livestore_wire::SyncPayload;
use serde_json::{Value, json};

fn rule(stores: &str, access: Access) -> AccessRule {
    AccessRule::new(stores.parse().unwrap(), access)
}

fn with_token(stores: &str, token: &str, access: Access) -> AccessRule {
    rule(stores, access).with_payload(PayloadCondition::new(json!({"authToken": token})).unwrap())
}

/// What somebody with this token, if any, may do with `store`; or the refusal's kind.
async fn ask(authorizer: &impl Authorizer, store: &str, token: Option<&str>) -> Result<Rights, u16> {
    let payload = token.map(|token| json!({"authToken": token, "device": "phone"}));
    ask_with(authorizer, store, payload).await
}

async fn ask_with(authorizer: &impl Authorizer, store: &str, payload: Option<Value>) -> Result<Rights, u16> {
    let store = StoreId::new(store).unwrap();
    let payload = payload.map(|payload| SyncPayload::new(&payload).unwrap());
    let (headers, extensions) = (HeaderMap::new(), Extensions::new());
    let request = AccessRequest::new(&store, payload.as_ref(), &headers, &extensions);
    match authorizer.authorize(&request).await {
        Ok(principal) => {
            authorizer.authorize_push(&principal, &store, &[]).await.unwrap();
            Ok(principal.rights)
        }
        Err(AccessDenied::Unauthenticated(_)) => Err(401),
        Err(AccessDenied::Forbidden(_)) => Err(403),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_first_rule_that_matches_wins() {
    let rules = RuleAuthorizer::new([
        with_token("auth-*", "writer", Access::ReadWrite),
        with_token("auth-*", "reader", Access::Read),
        rule("news", Access::Read),
        rule("closed-*", Access::None),
        rule("*", Access::ReadWrite),
    ])
    .unwrap();
    for (store, token, expected) in [
        ("auth-1", Some("writer"), Ok(Rights::ReadWrite)),
        ("auth-1", Some("reader"), Ok(Rights::Read)),
        ("auth-1", Some("guess"), Err(401)),
        ("auth-1", None, Err(401)),
        ("news", None, Ok(Rights::Read)),
        ("news", Some("writer"), Ok(Rights::Read)),
        ("closed-1", Some("writer"), Err(403)),
        ("notes", None, Ok(Rights::ReadWrite)),
        ("notes", Some("guess"), Ok(Rights::ReadWrite)),
    ] {
        assert_eq!(ask(&rules, store, token).await, expected, "{store} with {token:?}");
    }
}

#[tokio::test]
async fn a_payload_of_any_form_opens_nothing_by_itself() {
    let rules = RuleAuthorizer::new([with_token("*", "secret", Access::ReadWrite)]).unwrap();
    for payload in
        [json!(null), json!("secret"), json!(["secret"]), json!({"authToken": ["secret"]}), json!({})]
    {
        assert_eq!(ask_with(&rules, "notes", Some(payload.clone())).await, Err(401), "{payload}");
    }
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    let store = StoreId::new("notes").unwrap();
    let (headers, extensions) = (HeaderMap::new(), Extensions::new());
    // Whether such a text is taken for a payload at all is for others to decide.
    if let Ok(payload) = SyncPayload::from_json(&deep) {
        let request = AccessRequest::new(&store, Some(&payload), &headers, &extensions);
        assert!(rules.authorize(&request).await.is_err());
    }
}

/// A rule for everybody that stands behind one with a token looks like "everything else", and must not open its stores.
#[tokio::test]
async fn a_wrong_token_falls_through_to_no_wider_rule() {
    let rules = RuleAuthorizer::new([
        with_token("auth-*", "let-me-in", Access::ReadWrite),
        with_token("*-shared", "shared", Access::Read),
    ])
    .unwrap()
    .otherwise(RuleAuthorizer::everybody(Access::ReadWrite));
    assert_eq!(ask(&rules, "auth-1", Some("wrong")).await, Err(401));
    assert_eq!(ask(&rules, "auth-shared", Some("shared")).await, Err(401));
    assert_eq!(ask(&rules, "x-shared", Some("shared")).await, Ok(Rights::Read));
    assert_eq!(ask(&rules, "notes", None).await, Ok(Rights::ReadWrite));
}

#[tokio::test]
async fn a_store_may_be_opened_to_everybody_beside_a_token_by_name() {
    let rules = RuleAuthorizer::new([
        with_token("blog-*", "author", Access::ReadWrite),
        rule("blog-*", Access::Read),
    ])
    .unwrap();
    assert_eq!(ask(&rules, "blog-1", Some("author")).await, Ok(Rights::ReadWrite));
    assert_eq!(ask(&rules, "blog-1", None).await, Ok(Rights::Read));
}

#[tokio::test]
async fn what_no_rule_speaks_of_is_refused() {
    let rules = RuleAuthorizer::new([rule("news", Access::Read)]).unwrap();
    assert_eq!(ask(&rules, "notes", None).await, Err(403));
    assert_eq!(ask(&RuleAuthorizer::new([]).unwrap(), "notes", None).await, Err(403));
    assert_eq!(ask(&RuleAuthorizer::everybody(Access::None), "notes", None).await, Err(403));
}

#[test]
fn rules_that_are_never_reached_are_refused() {
    let rules = |rules: Vec<AccessRule>| RuleAuthorizer::new(rules).err();
    for (list, expected) in [
        // The mistake that opens a store: a rule for everybody before the one with the token.
        (vec![rule("*", Access::ReadWrite), with_token("auth-*", "a", Access::ReadWrite)], Some((1, 0))),
        (vec![rule("auth-*", Access::Read), with_token("auth-*", "a", Access::ReadWrite)], Some((1, 0))),
        (
            vec![with_token("*", "a", Access::ReadWrite), with_token("auth-*", "b", Access::Read)],
            Some((1, 0)),
        ),
        (vec![rule("a", Access::Read), rule("b", Access::Read), rule("a", Access::None)], Some((2, 0))),
        (vec![with_token("a", "x", Access::Read), with_token("a", "x", Access::ReadWrite)], Some((1, 0))),
        (vec![with_token("a", "x", Access::Read), with_token("a", "y", Access::ReadWrite)], None),
        (vec![with_token("auth-*", "a", Access::ReadWrite), rule("*", Access::Read)], None),
        (vec![rule("a*", Access::Read), rule("*b", Access::Read)], None),
    ] {
        let found = rules(list.clone()).map(|UnreachableRule { index, earlier, .. }| (index, earlier));
        assert_eq!(found, expected, "{list:?}");
    }
    let error = rules(vec![rule("*", Access::Read), rule("auth-*", Access::None)]).unwrap();
    assert_eq!(
        error.to_string(),
        "rule 2 for auth-* is never reached, because rule 1 for * comes first and decides all of it; the narrower rule \
         belongs first"
    );
}
