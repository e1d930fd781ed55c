//! The tables of a config file that say who may do what.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use livestore_auth::{
    Access, AccessRule, JwtAlgorithm, JwtAuthorizer, JwtConfig, JwtKey, PayloadCondition, RuleAuthorizer,
    StoreGlob,
};
use livestore_server::Authorizer;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::de::{DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

use super::file::beside;
use super::position::Source;
use crate::error::{CommandError, chain};
use crate::units::Time;

const RULES: &str = "access";
const JWT: &str = "jwt";
/// Printed in place of what a payload must hold.
const HIDDEN: &str = "(hidden)";

/// `[[access]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RuleForm {
    stores: Spanned<String>,
    payload: Option<Spanned<Value>>,
    allow: Access,
}

/// `[jwt]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct JwtForm {
    algorithm: JwtAlgorithm,
    key_file: Spanned<PathBuf>,
    token: Option<Spanned<String>>,
    issuers: Option<Vec<String>>,
    audiences: Option<Vec<String>>,
    leeway: Option<Spanned<String>>,
    stores_claim: Option<String>,
    rights_claim: Option<String>,
}

/// The tables as they were read.
#[derive(Debug, Default)]
pub(super) struct Tables {
    rules: Vec<Spanned<RuleForm>>,
    jwt: Option<JwtForm>,
    printed: Table,
}

impl Tables {
    /// Takes the value of a key, if it is one of these tables. Returns whether it was.
    pub(super) fn take(
        &mut self,
        source: Source<'_>,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<bool, CommandError> {
        match key {
            RULES => self.rules = read(source, value)?,
            JWT => self.jwt = Some(read(source, value)?),
            _ => return Ok(false),
        }
        self.printed.insert(key.to_owned(), read(source, value)?);
        Ok(true)
    }

    pub(super) fn check(self, source: Source<'_>) -> Result<AccessConfig, CommandError> {
        let places: Vec<_> = self.rules.iter().map(Spanned::span).collect();
        let rules: Vec<AccessRule> =
            self.rules.into_iter().map(|form| rule(source, form.into_inner())).collect::<Result<_, _>>()?;
        RuleAuthorizer::new(rules.iter().cloned())
            .map_err(|error| source.error(places[error.index].clone(), error))?;
        let jwt = self.jwt.map(|form| jwt(source, form)).transpose()?;
        let mut printed = self.printed;
        hide_payloads(&mut printed);
        Ok(AccessConfig { rules, jwt, printed })
    }
}

fn read<T: DeserializeOwned>(source: Source<'_>, value: &Spanned<DeValue<'_>>) -> Result<T, CommandError> {
    T::deserialize(ValueDeserializer::from(value.clone())).map_err(|error| source.toml_error(&error))
}

/// Reads a text at its place in the file.
fn parse<T: FromStr<Err: std::fmt::Display>>(
    source: Source<'_>,
    key: &str,
    text: &Spanned<String>,
) -> Result<T, CommandError> {
    text.as_ref().parse().map_err(|error| source.error(text.span(), format_args!("{key}: {error}")))
}

fn rule(source: Source<'_>, form: RuleForm) -> Result<AccessRule, CommandError> {
    let stores: StoreGlob = parse(source, "stores", &form.stores)?;
    let rule = AccessRule::new(stores, form.allow);
    let Some(payload) = form.payload else { return Ok(rule) };
    let at = payload.span();
    let condition = json(payload.into_inner())
        .and_then(|wanted| PayloadCondition::new(wanted).map_err(|error| error.to_string()))
        .map_err(|problem| source.error(at, problem))?;
    Ok(rule.with_payload(condition))
}

/// The value as JSON, which is what payloads are.
fn json(value: Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        Value::String(text) => text.into(),
        Value::Integer(number) => number.into(),
        Value::Boolean(value) => value.into(),
        Value::Float(number) if number.is_finite() => number.into(),
        Value::Float(number) => return Err(format!("no payload holds the number {number}")),
        Value::Datetime(time) => return Err(format!("no payload holds a time; write \"{time}\"")),
        Value::Array(values) => values.into_iter().map(json).collect::<Result<Vec<_>, _>>()?.into(),
        Value::Table(members) => serde_json::Value::Object(
            members.into_iter().map(|(key, value)| Ok((key, json(value)?))).collect::<Result<_, String>>()?,
        ),
    })
}

fn jwt(source: Source<'_>, form: JwtForm) -> Result<Jwt, CommandError> {
    let defaults = JwtConfig::default();
    let mut config = JwtConfig::default();
    config.token = form.token.map_or(Ok(defaults.token), |token| parse(source, "token", &token))?;
    config.issuers = form.issuers.unwrap_or(defaults.issuers);
    config.audiences = form.audiences.unwrap_or(defaults.audiences);
    config.leeway = form.leeway.map_or(Ok(defaults.leeway), |leeway| {
        parse::<Time>(source, "leeway", &leeway).map(|leeway| leeway.0)
    })?;
    config.stores_claim = form.stores_claim.unwrap_or(defaults.stores_claim);
    config.rights_claim = form.rights_claim.unwrap_or(defaults.rights_claim);
    let key_file = beside(source.path, form.key_file.as_ref());
    let key = JwtKey::from_file(form.algorithm, &key_file)
        .map_err(|error| source.error(form.key_file.span(), chain(&error)))?;
    Ok(Jwt { key, config, description: format!("{} with {}", form.algorithm, key_file.display()) })
}

fn hide_payloads(tables: &mut Table) {
    let Some(Value::Array(rules)) = tables.get_mut(RULES) else { return };
    for payload in rules.iter_mut().filter_map(|rule| rule.get_mut("payload")) {
        hide(payload);
    }
}

fn hide(value: &mut Value) {
    match value {
        Value::Table(members) => members.iter_mut().for_each(|(_, value)| hide(value)),
        leaf => *leaf = Value::from(HIDDEN),
    }
}

/// What a config file says about access.
#[derive(Clone, Debug, Default)]
pub(in crate::serve) struct AccessConfig {
    rules: Vec<AccessRule>,
    jwt: Option<Jwt>,
    /// The tables, without secrets.
    printed: Table,
}

/// How tokens are verified.
#[derive(Clone, Debug)]
struct Jwt {
    key: JwtKey,
    config: JwtConfig,
    description: String,
}

/// Who guards the stores, and how, in words.
pub(in crate::serve) struct Guarding {
    pub(in crate::serve) authorizer: Arc<dyn Authorizer>,
    pub(in crate::serve) description: String,
    /// Whether whoever reaches the server may write every store.
    pub(in crate::serve) is_open: bool,
    /// Whether whoever reaches the server may read every store.
    pub(in crate::serve) is_readable: bool,
}

impl AccessConfig {
    /// The authorizer of a server; `default` is for stores that no rule speaks of.
    ///
    /// Without any rules, as for a first try on one's own machine, everybody may do everything. Once something is said
    /// about access, what is not said is refused.
    pub(in crate::serve) fn guarding(&self, default: Option<Access>) -> Result<Guarding, CommandError> {
        let rules = RuleAuthorizer::new(self.rules.iter().cloned())
            .map_err(|error| CommandError::new("the access rules contradict each other").caused_by(error))?;
        let (by_rules, stores) = match self.rules.len() {
            0 => (String::new(), "every store"),
            1 => ("by 1 rule; ".to_owned(), "every other store"),
            rules => (format!("by {rules} rules; "), "every other store"),
        };
        let (authorizer, others, access) = match (&self.jwt, default) {
            (Some(_), Some(_)) => {
                return Err(CommandError::new(
                    "`default-access` and `[jwt]` both speak of the stores without a rule",
                )
                .hint("leave one of them out"));
            }
            (Some(jwt), None) => {
                let tokens = JwtAuthorizer::new(jwt.key.clone(), jwt.config.clone());
                (rules.otherwise(tokens), format!("{stores} by token ({})", jwt.description), None)
            }
            (None, default) => {
                let access =
                    default.unwrap_or(if self.rules.is_empty() { Access::ReadWrite } else { Access::None });
                let others = match access {
                    Access::None => format!("nobody may use {}", stores.replace("every", "any")),
                    Access::Read => format!("anyone may read {stores}"),
                    Access::ReadWrite => format!("anyone may read and write {stores}"),
                };
                (rules.otherwise(RuleAuthorizer::everybody(access)), others, Some(access))
            }
        };
        let to_all = access.filter(|_| self.rules.is_empty());
        Ok(Guarding {
            authorizer: Arc::new(authorizer),
            description: by_rules + &others,
            is_open: to_all == Some(Access::ReadWrite),
            is_readable: to_all.is_some_and(|access| access >= Access::Read),
        })
    }

    /// The tables as a config file has them, without secrets.
    pub(super) fn print(&self) -> String {
        if self.printed.is_empty() { String::new() } else { format!("\n{}", self.printed) }
    }
}
