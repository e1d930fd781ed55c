//! Verifies tokens and reads what they grant.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation};
use livestore_server::{AccessDenied, AccessRequest, Authorizer, Principal, PushDenied};
use livestore_traits::{StoreId, SyncedEvent};

use super::claims::JwtClaims;
use super::key::JwtKey;
use super::place::TokenPlace;

/// How long after its end, or before its beginning, a token still counts: clocks differ.
const LEEWAY: Duration = Duration::from_secs(10);
/// Clocks that differ by more are broken.
const MAX_LEEWAY: Duration = Duration::from_secs(3600);

/// What makes a token valid, and where its claims are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JwtConfig {
    /// Where in a request the token is.
    pub token: TokenPlace,
    /// `iss` must be one of these, if there are any.
    pub issuers: Vec<String>,
    /// `aud` must have one of these. If there are none, a token that is meant for an audience is refused.
    pub audiences: Vec<String>,
    /// How far clocks may differ, in whole seconds, at most an hour: tokens count this long before `nbf` and after `exp`.
    pub leeway: Duration,
    /// The claim that names the stores: patterns with rights, as in `{"todos-*": "read-write", "news": "read"}`, or a
    /// pattern or list of patterns, whose rights are in another claim.
    pub stores_claim: String,
    /// The claim that names the rights, `read` or `read-write`, if the other one does not.
    pub rights_claim: String,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            token: TokenPlace::default(),
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: LEEWAY,
            stores_claim: "stores".to_owned(),
            rights_claim: "rights".to_owned(),
        }
    }
}

/// Lets in who shows a JSON web token that names the store.
///
/// A token is valid if its signature is that of the key, its algorithm is the one the key is for, and now is before `exp`,
/// which it must have, and after `nbf`, if it has one; and as [`JwtConfig`] says. Connections end with the token, so that
/// the client comes back with a new one. The principal is called by `sub`, and its extension is the [`JwtClaims`].
pub struct JwtAuthorizer {
    key: DecodingKey,
    validation: Validation,
    config: JwtConfig,
}

impl JwtAuthorizer {
    /// Verifies tokens with `key`.
    #[must_use]
    pub fn new(key: JwtKey, mut config: JwtConfig) -> Self {
        config.leeway = config.leeway.min(MAX_LEEWAY);
        // Without this the library guesses by the features that anybody in the process has enabled, and panics if it
        // cannot. Somebody who was first has made a choice that serves as well.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let mut validation = Validation::new(key.algorithm.as_library());
        validation.leeway = config.leeway.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if !config.issuers.is_empty() {
            validation.set_issuer(&config.issuers);
            required.push("iss");
        }
        if !config.audiences.is_empty() {
            validation.set_audience(&config.audiences);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        Self { key: key.key, validation, config }
    }

    fn verify(&self, token: &str) -> Result<JwtClaims, AccessDenied> {
        let verified = jsonwebtoken::decode(token, &self.key, &self.validation);
        verified.map(|token| JwtClaims(token.claims)).map_err(|error| {
            AccessDenied::unauthenticated(match error.kind() {
                ErrorKind::ExpiredSignature => "the token has expired".to_owned(),
                ErrorKind::ImmatureSignature => "the token is not valid yet".to_owned(),
                ErrorKind::MissingRequiredClaim(claim) => format!("the token has no usable claim {claim}"),
                ErrorKind::InvalidIssuer => "the token is from another issuer".to_owned(),
                ErrorKind::InvalidAudience => "the token is for another audience".to_owned(),
                // Nothing that was not signed is worth a closer look.
                _ => "the token is not valid".to_owned(),
            })
        })
    }
}

#[async_trait]
impl Authorizer for JwtAuthorizer {
    async fn authorize(&self, request: &AccessRequest<'_>) -> Result<Principal, AccessDenied> {
        let token = self.config.token.token(request).ok_or_else(|| {
            AccessDenied::unauthenticated(format!("a token is needed, at {}", self.config.token))
        })?;
        let claims = self.verify(&token)?;
        let expires_at = claims.expires_at() + self.config.leeway;
        // Verified to the second: a connection that ends as it begins would only be opened again.
        if expires_at <= SystemTime::now() {
            return Err(AccessDenied::unauthenticated("the token has expired"));
        }
        let access = claims
            .access(&self.config.stores_claim, &self.config.rights_claim, request.store)
            .map_err(AccessDenied::forbidden)?;
        let rights = access
            .rights()
            .ok_or_else(|| AccessDenied::forbidden("the token does not grant access to this store"))?;
        let name = claims.subject().unwrap_or("by token");
        Ok(Principal::new(name, rights).expiring_at(expires_at).with_extension(claims))
    }

    async fn authorize_push(&self, _: &Principal, _: &StoreId, _: &[SyncedEvent]) -> Result<(), PushDenied> {
        Ok(())
    }
}

impl fmt::Debug for JwtAuthorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuthorizer").field("config", &self.config).finish_non_exhaustive()
    }
}
