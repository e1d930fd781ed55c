//! What a sync payload must hold.

use std::fmt;

use serde_json::Value;
use subtle::{Choice, ConstantTimeEq};

/// What a sync payload must hold for a rule to apply: values at paths.
///
/// Strings are compared in a time that depends on their lengths only, so that nobody can guess a token piece by piece.
/// Never printed.
#[derive(Clone)]
pub struct PayloadCondition {
    /// Sorted by path; at least one.
    wanted: Vec<(Vec<String>, Value)>,
}

/// A value says nothing about a payload, or less than it seems to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCondition {
    /// An object without members: every object would do.
    #[error("{} names no value, so anything would do", path(.0))]
    Empty(String),
    /// An empty text, as where a variable was not set.
    #[error("{} is an empty text, which is no secret", path(.0))]
    EmptyText(String),
}

fn path(path: &str) -> String {
    if path.is_empty() { "payload".to_owned() } else { format!("payload.{path}") }
}

impl PayloadCondition {
    /// The payload must hold `wanted`: an object's members at the same paths, beside whatever else it has; anything else
    /// as it is, arrays included. Numbers are compared as JavaScript reads them.
    ///
    /// # Errors
    /// [`InvalidCondition`] if part of it would not ask for anything.
    ///
    /// # Example
    /// ```
    /// use livestore_auth::PayloadCondition;
    /// use serde_json::json;
    ///
    /// let condition = PayloadCondition::new(json!({"authToken": "let-me-in", "app": {"major": 2}}))?;
    /// assert!(condition.holds(&json!({"authToken": "let-me-in", "app": {"major": 2.0, "minor": 1}})));
    /// assert!(!condition.holds(&json!({"authToken": "let-me-in"})));
    /// # Ok::<(), livestore_auth::InvalidCondition>(())
    /// ```
    pub fn new(wanted: Value) -> Result<Self, InvalidCondition> {
        let mut leaves = Vec::new();
        collect(&mut Vec::new(), wanted, &mut leaves)?;
        leaves.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self { wanted: leaves })
    }

    /// Whether `payload` holds what is wanted.
    #[must_use]
    pub fn holds(&self, payload: &Value) -> bool {
        // All are compared, so that the time does not tell which of several failed.
        let all = self.wanted.iter().fold(Choice::from(1), |all, (path, wanted)| {
            all & at(payload, path).map_or(Choice::from(0), |found| equal(found, wanted))
        });
        all.into()
    }

    /// Whether every payload that holds what `other` wants holds this too.
    pub(crate) fn follows_from(&self, other: &Self) -> bool {
        self.wanted.iter().all(|(path, wanted)| {
            other.wanted.iter().any(|(other_path, other)| path == other_path && equal(wanted, other).into())
        })
    }
}

fn collect(
    path: &mut Vec<String>,
    wanted: Value,
    leaves: &mut Vec<(Vec<String>, Value)>,
) -> Result<(), InvalidCondition> {
    match wanted {
        Value::Object(members) if members.is_empty() => Err(InvalidCondition::Empty(path.join("."))),
        Value::Object(members) => members.into_iter().try_for_each(|(key, value)| {
            path.push(key);
            collect(path, value, leaves)?;
            path.pop();
            Ok(())
        }),
        Value::String(text) if text.is_empty() => Err(InvalidCondition::EmptyText(path.join("."))),
        leaf => {
            leaves.push((path.clone(), leaf));
            Ok(())
        }
    }
}

/// The value at `path`.
pub(crate) fn at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| value.as_object()?.get(key))
}

fn equal(a: &Value, b: &Value) -> Choice {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.as_bytes().ct_eq(b.as_bytes()),
        (Value::Number(a), Value::Number(b)) => Choice::from(u8::from(a.as_f64() == b.as_f64())),
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).fold(Choice::from(1), |all, (a, b)| all & equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => a
            .iter()
            .fold(Choice::from(1), |all, (key, a)| all & b.get(key).map_or(Choice::from(0), |b| equal(a, b))),
        (Value::Bool(a), Value::Bool(b)) => Choice::from(u8::from(a == b)),
        (Value::Null, Value::Null) => Choice::from(1),
        _ => Choice::from(0),
    }
}

impl fmt::Debug for PayloadCondition {
    /// Leaves out the values: credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.wanted.iter().map(|(path, _)| path.join("."))).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_compared_as_json() {
        for (wanted, payload, holds) in [
            (json!({"a": "x"}), json!({"a": "x"}), true),
            (json!({"a": "x"}), json!({"a": "x", "b": 1}), true),
            (json!({"a": "x"}), json!({"a": "y"}), false),
            (json!({"a": "x"}), json!({"a": "xx"}), false),
            (json!({"a": "x"}), json!({"b": "x"}), false),
            (json!({"a": "x"}), json!("x"), false),
            (json!({"a": "1"}), json!({"a": 1}), false),
            (json!({"a": 1}), json!({"a": 1.0}), true),
            (json!({"a": true}), json!({"a": 1}), false),
            (json!({"a": null}), json!({}), false),
            (json!({"a": {"b": "x"}}), json!({"a": {"b": "x", "c": 2}}), true),
            (json!({"a": {"b": "x"}}), json!({"a.b": "x"}), false),
            (json!({"a": ["x", {"b": 1}]}), json!({"a": ["x", {"b": 1}]}), true),
            (json!({"a": ["x"]}), json!({"a": ["x", "y"]}), false),
            (json!({"a": ["x"]}), json!({"a": {"0": "x"}}), false),
            (json!({"a": "x", "b": "y"}), json!({"a": "x", "b": "z"}), false),
            (json!("token"), json!("token"), true),
            (json!("token"), json!({"token": "token"}), false),
        ] {
            let condition = PayloadCondition::new(wanted.clone()).unwrap();
            assert_eq!(condition.holds(&payload), holds, "{wanted} in {payload}");
        }
    }

    #[test]
    fn what_asks_for_nothing_is_refused() {
        for wanted in [json!({}), json!({"a": "x", "b": {"c": {}}}), json!({"a": ""}), json!("")] {
            assert!(PayloadCondition::new(wanted.clone()).is_err(), "{wanted} passed");
        }
    }

    #[test]
    fn secrets_are_never_printed() {
        let condition = PayloadCondition::new(json!({"a": {"b": "secret"}})).unwrap();
        assert_eq!(format!("{condition:?}"), r#"["a.b"]"#);
    }
}
