//! The args of an event: JSON text, checked once and then carried uninterpreted.

use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The args of an event as JSON text.
///
/// Absent args are `null`. `PartialEq` compares bytes; [`Args::js_eq`] compares as JavaScript reads the values, which
/// is what decides whether two events are the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Args(Bytes);

/// Text or a value cannot be the args of an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// The text is not one JSON value.
    #[error("args are not valid JSON")]
    Syntax(#[source] serde_json::Error),
    /// JavaScript would read another value than was written: a number that no double holds, or a repeated key.
    #[error("args would be read differently by JavaScript: {0}")]
    NotJavaScript(String),
}

impl Args {
    /// The args of an event that has none.
    #[must_use]
    pub const fn null() -> Self {
        Self(Bytes::from_static(b"null"))
    }

    /// Takes JSON text after checking its syntax.
    ///
    /// # Errors
    /// [`ArgsError::Syntax`] if the text is not exactly one JSON value.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, ArgsError> {
        let text = text.into();
        serde_json::from_slice::<&RawValue>(&text).map_err(ArgsError::Syntax)?;
        Ok(Self(text))
    }

    /// Takes text that was checked before, for example what a log reads back from its own storage.
    ///
    /// # Errors
    /// [`ArgsError::Syntax`] if the text is not UTF-8; its JSON syntax is not checked again.
    pub fn from_stored(text: Bytes) -> Result<Self, ArgsError> {
        std::str::from_utf8(&text).map_err(|error| ArgsError::Syntax(serde_json::Error::custom(error)))?;
        Ok(Self(text))
    }

    /// Writes `value` as JSON.
    ///
    /// # Errors
    /// [`ArgsError::Syntax`] if the value has no JSON form, [`ArgsError::NotJavaScript`] if it does not survive being
    /// read by JavaScript.
    pub fn from_value<T: Serialize + ?Sized>(value: &T) -> Result<Self, ArgsError> {
        let args = Self(serde_json::to_vec(value).map_err(ArgsError::Syntax)?.into());
        args.check_js()?;
        Ok(args)
    }

    /// Reads the text as `T`.
    ///
    /// # Errors
    /// [`ArgsError::Syntax`] if the text does not fit `T`.
    pub fn to_value<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        serde_json::from_slice(&self.0).map_err(ArgsError::Syntax)
    }

    /// Checks that JavaScript reads what is written: every number survives as a double, and no key is repeated.
    ///
    /// # Errors
    /// [`ArgsError::NotJavaScript`] with the first value that would change.
    pub fn check_js(&self) -> Result<(), ArgsError> {
        let mut deserializer = serde_json::Deserializer::from_slice(&self.0);
        <JsValue as Deserialize>::deserialize(&mut deserializer).map(drop).map_err(|error| {
            if error.is_data() {
                ArgsError::NotJavaScript(error.to_string())
            } else {
                ArgsError::Syntax(error)
            }
        })
    }

    /// Whether JavaScript reads both as the same value: numbers as doubles, the order of keys ignored.
    #[must_use]
    pub fn js_eq(&self, other: &Self) -> bool {
        if self.0 == other.0 {
            return true;
        }
        let read = |args: &Self| serde_json::from_slice::<serde_json::Value>(&args.0);
        matches!((read(self), read(other)), (Ok(a), Ok(b)) if js_eq_values(&a, &b))
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("every constructor checks for UTF-8")
    }

    /// The JSON text as bytes that can be shared.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The length of the text in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "JSON text is never empty")]
    pub const fn len(&self) -> usize {
        self.0.len()
    }
}

impl Default for Args {
    fn default() -> Self {
        Self::null()
    }
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Args {
    /// As JSON inside JSON, as text in any binary format.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serde_json::from_slice::<&RawValue>(&self.0)
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer)
        } else {
            serializer.serialize_str(self.as_str())
        }
    }
}

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let raw = Box::<RawValue>::deserialize(deserializer)?;
            Ok(Self(String::from(Box::<str>::from(raw)).into()))
        } else {
            Self::parse(String::deserialize(deserializer)?).map_err(D::Error::custom)
        }
    }
}

fn js_eq_values(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (a, b) {
        (Number(a), Number(b)) => a.as_f64() == b.as_f64(),
        (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| js_eq_values(a, b)),
        (Object(a), Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| js_eq_values(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Reads any JSON value and fails at the first part that JavaScript would change.
struct JsValue;

impl<'de> Deserialize<'de> for JsValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> DeserializeSeed<'de> for JsValue {
    type Value = Self;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsValue {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self, E> {
        self.check_integer(number, &number)
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self, E> {
        self.check_integer(number.unsigned_abs(), &number)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element_seed(Self)?.is_some() {}
        Ok(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(Self)?;
            if let Some(repeated) = keys.replace(key) {
                return Err(A::Error::custom(format!("the key {repeated:?} is repeated")));
            }
        }
        Ok(self)
    }
}

impl JsValue {
    fn check_integer<E: serde::de::Error>(
        self,
        magnitude: u64,
        number: &dyn fmt::Display,
    ) -> Result<Self, E> {
        if survives_as_double(magnitude) {
            Ok(self)
        } else {
            Err(E::custom(format!("no double holds the number {number}")))
        }
    }
}

/// Whether a double holds this integer exactly, or is written as it: JavaScript writes the shortest digits that lead back
/// to the double, such as 12345678901234567000 for 12345678901234567168.
fn survives_as_double(magnitude: u64) -> bool {
    if magnitude == 0 || 64 - magnitude.leading_zeros() - magnitude.trailing_zeros() <= 53 {
        return true;
    }
    #[expect(clippy::cast_precision_loss, reason = "whether precision is lost is the question")]
    let double = magnitude as f64;
    double.to_string() == magnitude.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &'static str) -> Args {
        Args::parse(text).unwrap()
    }

    #[test]
    fn equality_is_that_of_javascript() {
        for (a, b) in [
            (r#"{"a":1,"b":2}"#, r#"{ "b": 2.0, "a": 1e0 }"#),
            (r#""\u0041""#, r#""A""#),
            ("[1,-0]", "[1.0,0]"),
            ("9007199254740993", "9007199254740992"),
            ("10100000000000000000000000000000", "1.01e31"),
        ] {
            assert!(args(a).js_eq(&args(b)), "{a} and {b} should be equal");
        }
        for (a, b) in
            [("[1,2]", "[2,1]"), (r#"{"a":null}"#, "{}"), ("1", "\"1\""), ("0", "null"), ("[1]", "[1,1]")]
        {
            assert!(!args(a).js_eq(&args(b)), "{a} and {b} should differ");
        }
    }

    #[test]
    fn what_javascript_would_change_is_refused() {
        for text in ["9007199254740993", "[18446744073709551615]", r#"{"a":1,"a":2}"#, "-9007199254740993"] {
            assert!(matches!(args(text).check_js(), Err(ArgsError::NotJavaScript(_))), "{text} passed");
        }
        for text in [
            "9007199254740992",
            "18446744073709549568",
            "12345678901234567000",
            "-12345678901234567000",
            "1e308",
            r#"{"a":{"a":1}}"#,
            "null",
            "0.1",
        ] {
            assert!(args(text).check_js().is_ok(), "{text} was refused");
        }
    }

    /// A parser that is a bit off reads another double than JavaScript does, and than was committed.
    #[test]
    fn every_double_is_read_as_it_was_written() {
        for double in [1.01e31, 1e23, 0.1 + 0.2, f64::MIN_POSITIVE, f64::MAX, 5e-324, -123_456_789.123_456_7]
        {
            let read: f64 = Args::from_value(&double).unwrap().to_value().unwrap();
            assert_eq!(read.to_bits(), double.to_bits(), "{double}");
        }
    }

    #[test]
    fn text_that_is_not_one_json_value_is_refused() {
        for text in ["", "{", "1 2", "{'a':1}", "\"\\ud800\"x", "nul", "\u{7f}"] {
            assert!(matches!(Args::parse(text), Err(ArgsError::Syntax(_))), "{text} was accepted");
        }
        assert!(Args::parse(&b"\"\xff\""[..]).is_err());
    }
}
