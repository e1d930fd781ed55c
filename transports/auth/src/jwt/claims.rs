//! What a verified token says.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use livestore_traits::StoreId;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Access, StoreGlob};

/// The end of the year 9999: later moments are this one, which every clock can hold.
const LATEST_SECS: f64 = 253_402_300_799.0;

/// The claims of a verified token: the extension of the principals that a [`JwtAuthorizer`](crate::JwtAuthorizer) lets in,
/// for authorizers around it. Never printed.
#[derive(Clone)]
pub struct JwtClaims(pub(super) Map<String, Value>);

impl JwtClaims {
    /// The claim called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whom the token is about, if it says so.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.get("sub")?.as_str()
    }

    /// When the token ends. `exp` was checked to be there when the token was verified.
    pub(super) fn expires_at(&self) -> SystemTime {
        let secs = self.get("exp").and_then(Value::as_f64).unwrap_or_default().clamp(0.0, LATEST_SECS);
        UNIX_EPOCH + Duration::from_secs_f64(secs)
    }

    /// What the token grants for `store`.
    ///
    /// # Errors
    /// A sentence, if its claims are not of the form that is expected.
    pub(super) fn access(
        &self,
        stores_claim: &str,
        rights_claim: &str,
        store: &StoreId,
    ) -> Result<Access, String> {
        let stores = self
            .get(stores_claim)
            .ok_or_else(|| format!("the token has no claim {stores_claim}, which names stores"))?;
        let granted = match stores {
            Value::Object(grants) => {
                // A grant never takes away what another one gives: the members of an object have no order.
                let mut granted = Access::None;
                for (glob, access) in grants {
                    let access = access_in(access, stores_claim)?;
                    if glob_in(glob, stores_claim)?.matches(store) {
                        granted = granted.max(access);
                    }
                }
                return Ok(granted);
            }
            Value::String(glob) => glob_in(glob, stores_claim)?.matches(store),
            Value::Array(globs) => {
                let mut is_named = false;
                for glob in globs {
                    let glob = glob.as_str().ok_or_else(|| malformed(stores_claim))?;
                    is_named |= glob_in(glob, stores_claim)?.matches(store);
                }
                is_named
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => return Err(malformed(stores_claim)),
        };
        let rights = self
            .get(rights_claim)
            .ok_or_else(|| format!("the token has no claim {rights_claim}, which names the rights"))?;
        let rights = access_in(rights, rights_claim)?;
        Ok(if granted { rights } else { Access::None })
    }
}

fn glob_in(text: &str, claim: &str) -> Result<StoreGlob, String> {
    text.parse().map_err(|_| malformed(claim))
}

fn access_in(value: &Value, claim: &str) -> Result<Access, String> {
    Access::deserialize(value).map_err(|_| malformed(claim))
}

fn malformed(claim: &str) -> String {
    format!("the token's claim {claim} is not of the form that is expected")
}

impl fmt::Debug for JwtClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}
