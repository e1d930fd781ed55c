//! Reads a config file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde::Deserialize;
use toml::Value;
use toml::de::{DeTable, ValueDeserializer};

use super::access::{self, AccessConfig};
use super::position::Source;
use super::{SERVE, settings};
use crate::error::CommandError;

/// Settings that are paths: they are relative to the file that they stand in.
const PATHS: [&str; 1] = ["data-dir"];

/// A config file, checked.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    /// The values of keys as their flags take them.
    settings: BTreeMap<String, Vec<String>>,
    pub(super) access: AccessConfig,
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> Result<Self, CommandError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            CommandError::new(format!("the config file {} cannot be read", path.display())).caused_by(error)
        })?;
        Self::parse(Source { path, text: &text })
    }

    pub(super) fn parse(source: Source<'_>) -> Result<Self, CommandError> {
        let document = DeTable::parse(source.text).map_err(|error| source.toml_error(&error))?;
        let mut settings = BTreeMap::new();
        let mut tables = access::Tables::default();
        for (key, value) in document.into_inner() {
            let at = key.span();
            let key = key.into_inner();
            if tables.take(source, &key, &value)? {
                continue;
            }
            let value = Value::deserialize(ValueDeserializer::from(value))
                .map_err(|error| source.toml_error(&error))?;
            let mut values =
                settings::check(&key, &value).map_err(|problem| source.error(at.clone(), problem))?;
            if PATHS.contains(&&*key) {
                values = values.iter().map(|path| beside(source.path, path).display().to_string()).collect();
            }
            settings.insert(key.into_owned(), values);
        }
        let is_on = |key: &str| settings.get(key).is_some_and(|values| *values != ["false"]);
        if let Some((one, other)) = settings::exclusive(is_on) {
            let path = source.path.display();
            return Err(CommandError::new(format!("{path}: `{one}` and `{other}` rule each other out")));
        }
        Ok(Self { settings, access: tables.check(source)? })
    }

    /// The command with this file's values as defaults of its flags.
    pub(super) fn under(&self, mut command: clap::Command, flags: &ArgMatches) -> clap::Command {
        for (key, values) in &self.settings {
            if settings::is_overridden(key, flags) {
                continue;
            }
            let set = |arg: clap::Arg| arg.default_values(values.clone());
            let id = key.replace('-', "_");
            command = if command.get_arguments().any(|arg| arg.get_long() == Some(key)) {
                command.mut_arg(id, set)
            } else {
                command.mut_subcommand(SERVE, |serve| serve.mut_arg(id, set))
            };
        }
        command
    }
}

/// A path as the file at `file` means it.
pub(super) fn beside(file: &Path, path: impl AsRef<Path>) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}
