//! Rules that say who may do what by the store's id and the sync payload.
//!
//! ```text
//! stores    payload                  access         a client of auth-1   a client of notes
//! auth-*    authToken = "writer"     read-write     … with this token    –
//! auth-*    authToken = "reader"     read           … with this one      –
//! *         –                        read-write     never                everybody
//! ```
//!
//! The first rule that matches a store decides *which pattern* speaks for it: only rules with that same pattern count. Of
//! those, the first whose condition the payload meets gives the access; if there is none, the client is refused. Were a
//! wrong token to fall through to the rules of wider patterns, a rule for everybody else would open the store to everybody.
//!
//! For the same reason a rule that can never be reached is an error: most likely a wider one stands before it by mistake.

use std::fmt;

use async_trait::async_trait;
use livestore_server::{AccessDenied, AccessRequest, Authorizer, Principal, PushDenied};
use livestore_traits::{StoreId, SyncedEvent};
use livestore_wire::SyncPayload;
use serde_json::Value;

use crate::{Access, PayloadCondition, StoreGlob};

/// What those may do with the stores of a pattern who meet a condition, if there is one.
#[derive(Clone, Debug)]
pub struct AccessRule {
    stores: StoreGlob,
    payload: Option<PayloadCondition>,
    access: Access,
}

impl AccessRule {
    /// Everybody may do this with these stores.
    #[must_use]
    pub const fn new(stores: StoreGlob, access: Access) -> Self {
        Self { stores, payload: None, access }
    }

    /// The same, but only for those whose payload meets `condition`.
    #[must_use]
    pub fn with_payload(mut self, condition: PayloadCondition) -> Self {
        self.payload = Some(condition);
        self
    }

    /// Whether `later` can never decide anything after this rule.
    fn shadows(&self, later: &Self) -> bool {
        if !self.stores.covers(&later.stores) {
            return false;
        }
        match (&self.payload, &later.payload) {
            _ if !self.stores.is_same(&later.stores) => true,
            (None, _) => true,
            (Some(_), None) => false,
            (Some(earlier), Some(later)) => earlier.follows_from(later),
        }
    }
}

/// Rules contradict their order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "rule {} for {stores} is never reached, because rule {} for {earlier_stores} comes first and decides all of it; the narrower rule belongs first",
    index + 1,
    earlier + 1
)]
pub struct UnreachableRule {
    /// The rule, counted from 0.
    pub index: usize,
    /// The one that decides in its place, counted likewise.
    pub earlier: usize,
    stores: StoreGlob,
    earlier_stores: StoreGlob,
}

/// Decides by rules, the first match first; what no rule speaks of is refused, or left to what
/// [`otherwise`](Self::otherwise) names.
///
/// The first rule that matches a store decides which pattern speaks for it: of the rules with that same pattern, the
/// first whose condition the payload meets gives the access, and if there is none, the client is refused. Rules of other
/// patterns, and what is otherwise, are for other stores.
///
/// # Example
/// ```
/// use livestore_auth::{Access, AccessRule, PayloadCondition, RuleAuthorizer};
/// use serde_json::json;
///
/// let token = PayloadCondition::new(json!({"authToken": "let-me-in"}))?;
/// let rules = RuleAuthorizer::new([
///     AccessRule::new("auth-*".parse()?, Access::ReadWrite).with_payload(token),
///     AccessRule::new("auth-*".parse()?, Access::Read),
///     AccessRule::new("*".parse()?, Access::ReadWrite),
/// ])?;
/// # let _ = rules;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RuleAuthorizer {
    rules: Vec<AccessRule>,
    otherwise: Option<Box<dyn Authorizer>>,
}

/// Marks the principals that rules have let in: what is otherwise has nothing to say about their pushes.
struct ByRule;

/// What the rules say about a request.
enum Verdict {
    Granted(Access),
    /// There are rules for the store, and the payload meets none of their conditions.
    Unmet,
    /// No rule speaks of the store.
    Silent,
}

impl RuleAuthorizer {
    /// Decides by these rules. Stores that none of them matches are refused.
    ///
    /// # Errors
    /// [`UnreachableRule`] for the first rule that could never decide anything.
    pub fn new(rules: impl IntoIterator<Item = AccessRule>) -> Result<Self, UnreachableRule> {
        let rules: Vec<AccessRule> = rules.into_iter().collect();
        for (index, rule) in rules.iter().enumerate() {
            if let Some(earlier) = rules[..index].iter().position(|earlier| earlier.shadows(rule)) {
                let earlier_stores = rules[earlier].stores.clone();
                return Err(UnreachableRule { index, earlier, stores: rule.stores.clone(), earlier_stores });
            }
        }
        Ok(Self { rules, otherwise: None })
    }

    /// Everybody may do the same with everything; refuses everybody with [`Access::None`].
    #[must_use]
    pub fn everybody(access: Access) -> Self {
        Self { rules: vec![AccessRule::new(StoreGlob::any(), access)], otherwise: None }
    }

    /// Leaves the stores that no rule matches to another authorizer.
    #[must_use]
    pub fn otherwise(mut self, authorizer: impl Authorizer) -> Self {
        self.otherwise = Some(Box::new(authorizer));
        self
    }

    fn verdict(&self, store: &StoreId, payload: Option<&SyncPayload>) -> Verdict {
        let Some(first) = self.rules.iter().position(|rule| rule.stores.matches(store)) else {
            return Verdict::Silent;
        };
        let glob = &self.rules[first].stores;
        // A payload that is nested too deeply to be read holds nothing.
        let payload: Option<Value> = payload.and_then(|payload| serde_json::from_str(payload.as_json()).ok());
        self.rules[first..]
            .iter()
            .filter(|rule| rule.stores.is_same(glob))
            .find(|rule| match (&rule.payload, &payload) {
                (None, _) => true,
                (Some(condition), Some(payload)) => condition.holds(payload),
                (Some(_), None) => false,
            })
            .map_or(Verdict::Unmet, |rule| Verdict::Granted(rule.access))
    }
}

#[async_trait]
impl Authorizer for RuleAuthorizer {
    async fn authorize(&self, request: &AccessRequest<'_>) -> Result<Principal, AccessDenied> {
        match self.verdict(request.store, request.payload) {
            Verdict::Granted(access) => match access.rights() {
                Some(rights) => Ok(Principal::new("by rule", rights).with_extension(ByRule)),
                None => Err(AccessDenied::forbidden("nobody may use this store")),
            },
            Verdict::Unmet if request.payload.is_none() => {
                Err(AccessDenied::unauthenticated("this store takes a sync payload, and none was sent"))
            }
            Verdict::Unmet => {
                Err(AccessDenied::unauthenticated("the sync payload is not one that opens this store"))
            }
            Verdict::Silent => match &self.otherwise {
                Some(otherwise) => otherwise.authorize(request).await,
                None => Err(AccessDenied::forbidden("nobody may use this store")),
            },
        }
    }

    async fn authorize_push(
        &self,
        principal: &Principal,
        store: &StoreId,
        events: &[SyncedEvent],
    ) -> Result<(), PushDenied> {
        match &self.otherwise {
            Some(otherwise) if principal.extension::<ByRule>().is_none() => {
                otherwise.authorize_push(principal, store, events).await
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for RuleAuthorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleAuthorizer").field("rules", &self.rules).finish_non_exhaustive()
    }
}
