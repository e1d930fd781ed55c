//! The settings that are flags and keys alike.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Args as _};
use toml::Value;

use super::FLAGS_ONLY;
use crate::serve::ServeArgs;
use crate::terminal;

/// Flags that rule each other out: one that is given takes the other's key out of the file.
const EXCLUSIVE: [(&str, &str); 2] = [("memory", "data-dir"), ("memory", "store")];

/// How a setting is written in TOML; told by the name that the help has for its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Bool,
    Number,
    /// A number of bytes, or a text with a unit.
    Size,
    Text,
    Texts,
}

impl Shape {
    fn of(arg: &Arg) -> Self {
        let name = arg.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
        match (arg.get_action(), name) {
            (ArgAction::Append, _) => Self::Texts,
            (_, Some("BOOL")) => Self::Bool,
            (_, Some("N")) => Self::Number,
            (_, Some("SIZE")) => Self::Size,
            _ => Self::Text,
        }
    }

    const fn expectation(self) -> &'static str {
        match self {
            Self::Bool => "expected true or false",
            Self::Number => "expected a number",
            Self::Size => "expected a size such as \"64KiB\" or 895000",
            Self::Text => "expected a text in quotes",
            Self::Texts => "expected a list of texts such as [\"…\"]",
        }
    }

    /// The value as a flag takes it, once for each time that it is to be given.
    fn as_flag(self, value: &Value) -> Option<Vec<String>> {
        match (self, value) {
            (Self::Bool, Value::Boolean(value)) => Some(vec![value.to_string()]),
            (Self::Number | Self::Size, Value::Integer(value)) => Some(vec![value.to_string()]),
            (Self::Size | Self::Text, Value::String(text)) => Some(vec![text.clone()]),
            (Self::Texts, Value::Array(values)) => {
                values.iter().map(|value| value.as_str().map(ToOwned::to_owned)).collect()
            }
            _ => None,
        }
    }

    /// The value of a flag as it stands in a file.
    fn print(self, given: &[&str]) -> String {
        let quoted = |text: &str| Value::String(text.to_owned()).to_string();
        match (self, given) {
            (Self::Texts, _) => {
                Value::Array(given.iter().map(|text| Value::from(*text)).collect()).to_string()
            }
            (Self::Bool | Self::Number, [value]) => (*value).to_owned(),
            (_, values) => quoted(&values.join(" ")),
        }
    }
}

/// All settings, as the command `serve` has them.
pub(super) fn command() -> clap::Command {
    let log = Arg::new("log")
        .long("log")
        .value_name("LEVEL")
        .value_parser(terminal::parse_filter)
        .default_value(terminal::SERVE_LOG);
    ServeArgs::augment_args(clap::Command::new("serve")).arg(log)
}

/// The settings by their keys, in the order of the help.
pub(super) fn all(command: &clap::Command) -> impl Iterator<Item = (&str, &Arg)> {
    let is_setting = |arg: &&Arg| !FLAGS_ONLY.contains(&arg.get_id().as_str());
    command.get_arguments().filter(is_setting).filter_map(|arg| Some((arg.get_long()?, arg)))
}

/// Checks the value of a key, and gives it as its flag takes it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(key: &str, value: &Value) -> Result<Vec<String>, String> {
    let command = command();
    let Some((_, arg)) = all(&command).find(|(name, _)| *name == key) else { return Err(unknown(key)) };
    let shape = Shape::of(arg);
    let expectation = || format!("{key}: {}", shape.expectation());
    let values = shape.as_flag(value).ok_or_else(expectation)?;
    let flags: Vec<String> = values.iter().map(|value| format!("--{key}={value}")).collect();
    match command.clone().no_binary_name(true).try_get_matches_from(flags) {
        Ok(_) => Ok(values),
        Err(error) => Err(first_sentence(&error, key)),
    }
}

/// What clap says about a flag, said about a key.
fn first_sentence(error: &clap::Error, key: &str) -> String {
    let text = error.render().to_string();
    // Behind an empty line comes where to find help on flags.
    let sentence = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let sentence = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => sentence.replace(flag, key),
        _ => sentence.to_owned(),
    };
    sentence.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Says that there is no such key, and which one may be meant.
fn unknown(key: &str) -> String {
    if FLAGS_ONLY.iter().any(|flag| flag.replace('_', "-") == key) {
        return format!("`{key}` can only be given as a flag");
    }
    let written = key.replace('_', "-");
    let meant = command()
        .disable_help_flag(true)
        .no_binary_name(true)
        .try_get_matches_from([format!("--{written}")])
        .err()
        .and_then(|error| suggestion(&error, &written));
    match meant {
        Some(meant) => format!("there is no key `{key}`; did you mean `{meant}`?"),
        None => format!("there is no key `{key}`; `livestore serve --example-config` shows all of them"),
    }
}

fn suggestion(error: &clap::Error, written: &str) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        // Written with dashes it is one.
        return Some(written.to_owned());
    }
    match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(flag)) => Some(flag.trim_start_matches("--").to_owned()),
        _ => None,
    }
}

/// Whether a flag on the command line rules out the key.
pub(super) fn is_overridden(key: &str, flags: &ArgMatches) -> bool {
    let is_given = |flag: &str| {
        flags.value_source(&flag.replace('-', "_")) == Some(clap::parser::ValueSource::CommandLine)
    };
    EXCLUSIVE.iter().any(|(one, other)| (key == *one && is_given(other)) || (key == *other && is_given(one)))
}

/// The first two keys that rule each other out.
pub(super) fn exclusive(has: impl Fn(&str) -> bool) -> Option<(&'static str, &'static str)> {
    EXCLUSIVE.into_iter().find(|(one, other)| has(one) && has(other))
}

/// All settings in force, as lines of a config file.
pub(super) fn print(matches: &ArgMatches) -> String {
    let mut text = String::new();
    for (key, arg) in all(&command()) {
        let given: Option<Vec<&str>> = matches
            .get_raw(arg.get_id().as_str())
            .map(|values| values.filter_map(|value| value.to_str()).collect());
        let line = match given {
            Some(given) => format!("{key} = {}\n", Shape::of(arg).print(&given)),
            None => format!("# {key} is not set\n"),
        };
        text.push_str(&line);
    }
    text
}
