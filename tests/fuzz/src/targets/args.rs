//! Args: what is JSON, what JavaScript reads, and when two are the same.

use std::collections::BTreeMap;

use livestore_traits::{Args, ArgsError};
use livestore_wire::Encoding;
use serde_json::Value;
use serde_json::value::RawValue;

use super::texts;

/// Up to three texts. Equality is an equivalence that agrees with reading them.
pub(super) fn args(input: &[u8]) {
    let parsed = texts(input).into_iter().take(3).map(|text| Args::parse(text.to_vec()));
    let all: Vec<Args> = parsed.filter_map(Result::ok).collect();
    for args in &all {
        one(args);
    }
    for a in &all {
        assert!(a.js_eq(a), "{a:?} differs from itself");
        for b in &all {
            let is_same = a.js_eq(b);
            assert_eq!(is_same, b.js_eq(a), "{a:?} and {b:?} are equal one way only");
            assert_eq!(is_same, is_same_by_reading(a, b), "{a:?} and {b:?}");
            for c in all.iter().filter(|c| is_same && b.js_eq(c)) {
                assert!(a.js_eq(c), "{a:?} and {c:?} are equal to {b:?} but not to each other");
            }
        }
    }
}

fn one(args: &Args) {
    for encoding in [Encoding::Json, Encoding::Postcard] {
        let again: Args = encoding.decode(&encoding.encode(args)).expect("what was written can be read");
        // Around a value in JSON there may be white space, which is no part of it.
        assert_eq!(
            again.as_str(),
            if encoding == Encoding::Json { args.as_str().trim() } else { args.as_str() }
        );
    }
    assert_eq!(Args::from_stored(args.as_bytes().clone()).expect("it is UTF-8"), *args);
    match args.check_js() {
        Ok(()) => {
            let value: Value = args.to_value().expect("what JavaScript reads can be read");
            let written = Args::from_value(&value).expect("what survives once survives again");
            assert!(written.js_eq(args), "{args:?} became {written:?}");
        }
        // Half of a surrogate pair, a number beyond doubles, or a very deep nesting.
        Err(ArgsError::Syntax(_)) => assert!(args.to_value::<Value>().is_err(), "{args:?}"),
        Err(_) => {}
    }
}

/// The definition, by other means: numbers by the standard library, objects as sorted maps whose last repetition counts.
/// What nothing here can read equals only its own text.
fn is_same_by_reading(a: &Args, b: &Args) -> bool {
    if a == b {
        return true;
    }
    let is_readable = |args: &Args| args.to_value::<Value>().is_ok();
    is_readable(a) && is_readable(b) && is_same(a.as_str(), b.as_str())
}

fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.trim(), b.trim());
    match (a.as_bytes()[0], b.as_bytes()[0]) {
        (b'{', b'{') => {
            let (a, b) = (read::<BTreeMap<String, &RawValue>>(a), read::<BTreeMap<String, &RawValue>>(b));
            a.len() == b.len() && a.iter().zip(&b).all(|((k, a), (l, b))| k == l && is_same(a.get(), b.get()))
        }
        (b'[', b'[') => {
            let (a, b) = (read::<Vec<&RawValue>>(a), read::<Vec<&RawValue>>(b));
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| is_same(a.get(), b.get()))
        }
        (b'"', b'"') => read::<String>(a) == read::<String>(b),
        (b'-' | b'0'..=b'9', b'-' | b'0'..=b'9') => a.parse::<f64>() == b.parse::<f64>(),
        // What is left is null, true and false.
        _ => a == b,
    }
}

fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> T {
    serde_json::from_str(text).expect("the whole was read")
}
