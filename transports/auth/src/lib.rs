//! Who may read and write which stores of a `livestore-server`.
//!
//! | authorizer | decides by |
//! | --- | --- |
//! | [`RuleAuthorizer`] | a list of rules over the store's id and the sync payload, for tokens that are agreed upon |
//! | [`JwtAuthorizer`] | a JSON web token, which names the stores and the rights, for tokens that somebody else issues |
//!
//! Both are an [`Authorizer`](livestore_server::Authorizer) of the server, and [`RuleAuthorizer::otherwise`] puts one on top
//! of another one. `livestore serve` configures them by its config file.

mod access;
mod glob;
mod jwt;
mod payload;
mod rules;

pub use access::{Access, InvalidAccess};
pub use glob::{InvalidGlob, StoreGlob};
pub use jwt::{
    InvalidKey, InvalidTokenPlace, JwtAlgorithm, JwtAuthorizer, JwtClaims, JwtConfig, JwtKey, TokenPlace,
};
pub use payload::{InvalidCondition, PayloadCondition};
pub use rules::{AccessRule, RuleAuthorizer, UnreachableRule};
