//! JSON web tokens: where they are, what makes them valid, and what they grant.

mod authorizer;
mod claims;
mod key;
mod place;

pub use authorizer::{JwtAuthorizer, JwtConfig};
pub use claims::JwtClaims;
pub use key::{InvalidKey, JwtAlgorithm, JwtKey};
pub use place::{InvalidTokenPlace, TokenPlace};
