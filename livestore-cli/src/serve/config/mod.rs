//! The config file of `livestore serve`, under the flags.
//!
//! Every flag is also a key of the same name. The file does not get types of its own for them: its values become the
//! *defaults* of the flags, and the command line is read once more. So a flag overrides its key, both are checked by the
//! same code, and no setting can be in one and be missing in the other. What is too much for a flag, access rules and
//! tokens, are tables of the file.

mod access;
mod file;
mod position;
mod settings;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgMatches;

use crate::error::CommandError;
pub(super) use access::{AccessConfig, Guarding};
use file::ConfigFile;

/// The command that has a config file.
const SERVE: &str = "serve";
/// What only a flag can say.
const FLAGS_ONLY: [&str; 3] = ["config", "print_config", "example_config"];
/// The commented file that shows every key.
pub(super) const EXAMPLE: &str = include_str!("../../../livestore.example.toml");

/// What a config file says beside the flags.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(super) access: AccessConfig,
    /// All settings in force as a config file, if they are asked for.
    pub(super) printed: Option<String>,
}

/// Reads the arguments of `command`, and the config file that they name.
///
/// # Errors
/// A sentence with the file, and the line in it, that is wrong. What is wrong with the command line itself is printed by
/// clap, and the process ends.
pub(crate) fn read(command: &clap::Command, args: &[OsString]) -> Result<(ArgMatches, Config), CommandError> {
    let given = command.clone().get_matches_from(args);
    let Some((SERVE, flags)) = given.subcommand() else { return Ok((given, Config::default())) };
    let file = match flags.get_one::<PathBuf>("config") {
        Some(path) => ConfigFile::read(path)?,
        None => ConfigFile::default(),
    };
    let matches = file.under(command.clone(), flags).get_matches_from(args);
    let mut config = Config { access: file.access, printed: None };
    if let Some((_, serve)) = matches.subcommand().filter(|(_, serve)| serve.get_flag("print_config")) {
        config.printed = Some(settings::print(serve) + &config.access.print());
    }
    Ok((matches, config))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use clap::Arg;
    use livestore_backend_redb::RedbConfig;

    use super::position::Source;
    use super::*;
    use crate::units::ByteSize;

    /// The example with all that is commented out brought in: settings follow the `#` at once, sentences do not.
    fn uncommented() -> String {
        let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with([' ', '#']) => setting,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn parse(text: &str) -> Result<ConfigFile, String> {
        ConfigFile::parse(Source { path: Path::new("dir/x.toml"), text }).map_err(|error| error.to_string())
    }

    /// The names in a message such as "unknown field `x`, expected one of `a`, `b`", without the first one.
    fn expected_names(message: &str) -> BTreeSet<String> {
        message.split('`').skip(3).step_by(2).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn the_example_has_every_key_with_its_default() {
        let example: toml::Table = uncommented().parse().unwrap();
        let command = settings::command();
        let keys: BTreeSet<&str> = settings::all(&command).map(|(key, _)| key).collect();
        let known = |key: &&str| keys.contains(key) || ["access", "jwt"].contains(key);
        assert_eq!(example.keys().map(String::as_str).filter(|key| !known(key)).collect::<Vec<_>>(), [""; 0]);
        for (key, arg) in settings::all(&command) {
            let value = example.get(key).unwrap_or_else(|| panic!("{key} is not in the example"));
            let value = settings::check(key, value).unwrap();
            if let Some(default) = default_of(key, arg) {
                assert_eq!(value, default, "{key}");
            }
        }
    }

    /// The default of a setting, if it is one value.
    fn default_of(key: &str, arg: &Arg) -> Option<Vec<String>> {
        let defaults = arg.get_default_values().iter().filter_map(|value| value.to_str());
        let defaults: Vec<String> = defaults.map(ToOwned::to_owned).collect();
        match key {
            "data-dir" => Some(vec![crate::serve::DATA_DIR.to_owned()]),
            "cache-bytes" => Some(vec![ByteSize::of(RedbConfig::default().cache_bytes).to_string()]),
            "store" | "default-access" | "allow-origin" | "allow-header" | "max-file-bytes" => None,
            _ => Some(defaults).filter(|defaults| !defaults.is_empty()),
        }
    }

    #[test]
    fn the_example_has_every_key_of_its_tables() {
        let example: toml::Table = uncommented().parse().unwrap();
        let mut rules = example["access"].as_array().unwrap().iter().filter_map(toml::Value::as_table);
        let in_rules: BTreeSet<String> = rules.by_ref().flat_map(|rule| rule.keys().cloned()).collect();
        assert_eq!(in_rules, expected_names(&parse("[[access]]\nx = 1").unwrap_err()));
        let in_jwt: BTreeSet<String> = example["jwt"].as_table().unwrap().keys().cloned().collect();
        assert_eq!(in_jwt, expected_names(&parse("[jwt]\nx = 1").unwrap_err()));
    }

    #[test]
    fn the_example_is_a_config_file() {
        assert!(parse(EXAMPLE).unwrap().access.guarding(None).unwrap().is_open);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("jwt-secret"), "x".repeat(32)).unwrap();
        let text = uncommented();
        let file = ConfigFile::parse(Source { path: &dir.path().join("x.toml"), text: &text }).unwrap();
        let guarding = file.access.guarding(None).unwrap();
        assert!(
            guarding.description.starts_with("by 3 rules; every other store by token (HS256"),
            "{}",
            guarding.description
        );
        assert!(!guarding.is_open && !guarding.is_readable);
        let printed = file.access.print();
        assert!(printed.contains("auth-*") && printed.contains("jwt-secret"), "{printed}");
        assert!(!printed.contains("let-me-in") && !printed.contains("only-looking"), "{printed}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_key() {
        for (text, message) in [
            ("listen = 5", "dir/x.toml:1: listen: expected a text in quotes"),
            ("\nmax-wait = \"5\"", "dir/x.toml:2: invalid value '5' for 'max-wait': expected a time such as"),
            ("max-wait = 5", "1: max-wait: expected a text"),
            ("max-websockets = \"many\"", "1: max-websockets: expected a number"),
            ("max-websockets = 0", "for 'max-websockets': expected a number from 1"),
            ("max-frame-bytes = -1", "max-frame-bytes"),
            ("memory = \"yes\"", "1: memory: expected true or false"),
            ("store = \"paper\"", "1: invalid value 'paper' for 'store' [possible values: redb, sqlite]"),
            ("allow-origin = \"https://a\"", "1: allow-origin: expected a list"),
            (
                "allow-origin = [\"https://a/\"]",
                "1: invalid value 'https://a/' for 'allow-origin': an origin is written",
            ),
            ("log = \"a=b=c\"", "1: invalid value 'a=b=c' for 'log'"),
            ("max-conections = 1", "1: there is no key `max-conections`; did you mean `max-connections`?"),
            ("max_connections = 1", "did you mean `max-connections`?"),
            ("colour = 1", "there is no key `colour`; `livestore serve --example-config` shows all"),
            ("help = true", "there is no key `help`"),
            ("config = \"b.toml\"", "`config` can only be given as a flag"),
            ("a = 1\na = 2", "2: "),
            ("listen", "1: "),
            ("memory = true\ndata-dir = \"a\"", "x.toml: `memory` and `data-dir` rule each other out"),
            ("default-access = \"all\"", "for 'default-access': expected read-write, read or none"),
            ("access = \"all\"", "1: access: invalid type"),
            ("[access]\nstores = \"a\"", "1: "),
            ("[[access]]\nstores = \"a\"", "1: missing field `allow`"),
            ("[[access]]\nstores = \"a\"\nallow = \"write\"", "3: allow: unknown variant `write`"),
            ("[[access]]\nstore = \"a\"", "2: unknown field `store`, expected one of `stores`, `payload`"),
            ("[[access]]\nstores = \"a[bc]\"\nallow = \"read\"", "2: stores: the pattern \"a[bc]\" has '['"),
            ("[[access]]\nstores = \"\"\nallow = \"read\"", "2: stores: the pattern is empty"),
            ("[[access]]\nstores = \"a\"\nallow = \"read\"\npayload = {}", "4: payload names no value"),
            ("[[access]]\nstores = \"a\"\nallow = \"read\"\npayload.t = \"\"", "payload.t is an empty text"),
            (
                "[[access]]\nstores = \"a\"\nallow = \"read\"\npayload.t = 2020-01-01",
                "no payload holds a time",
            ),
            (
                "[[access]]\nstores = \"*\"\nallow = \"read\"\n[[access]]\nstores = \"a\"\nallow = \"none\"",
                "4: rule 2 for a is never reached, because rule 1 for * comes first",
            ),
            (
                "[jwt]\nalgorithm = \"none\"\nkey-file = \"k\"",
                "2: algorithm: unknown variant `none`, expected one of",
            ),
            ("[jwt]\nalgorithm = \"RS256\"", "1: missing field `key-file`"),
            (
                "[jwt]\nalgorithm = \"RS256\"\nkey-file = \"k\"",
                "3: the key file dir/k cannot be read: No such file or directory",
            ),
            ("[jwt]\nalgorithm = \"RS256\"\nkey-file = \"k\"\ntoken = \"cookie\"", "4: token: a token is at"),
            ("[jwt]\nalgorithm = \"RS256\"\nkey-file = \"k\"\nleeway = \"5\"", "4: leeway: expected a time"),
        ] {
            let error = parse(text).map(|_| ()).expect_err(text);
            assert!(error.contains(message), "{text:?} gives\n  {error}\ninstead of\n  {message}");
            assert!(error.starts_with("dir/x.toml:") && !error.contains('\n'), "{error}");
        }
    }

    /// The settings in force, of a file and flags.
    fn printed(file: &str, flags: &[&str]) -> toml::Table {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        std::fs::write(&path, file).unwrap();
        let path = path.to_str().unwrap();
        let args = [&["livestore", "serve", "--print-config", "--config", path], flags].concat();
        let args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
        let command = clap::Command::new("livestore").subcommand(settings::command());
        read(&command, &args).unwrap().1.printed.unwrap().parse().unwrap()
    }

    #[test]
    fn flags_override_the_file_key_by_key() {
        let file = "max-websockets = 5\nmax-wait = \"5s\"\nallow-origin = [\"https://a\", \"https://b\"]\nmemory = true";
        let settings = printed(file, &["--max-wait", "6s", "--allow-origin", "https://c"]);
        assert_eq!(settings["max-websockets"].as_integer(), Some(5));
        assert_eq!(settings["max-wait"].as_str(), Some("6s"));
        assert_eq!(settings["allow-origin"], toml::Value::from(vec!["https://c"]));
        assert_eq!(settings["memory"].as_bool(), Some(true));
        assert_eq!(settings["listen"].as_str(), Some("127.0.0.1:8787"), "neither in the file nor a flag");
        assert_eq!(printed(file, &["--memory=false"])["memory"].as_bool(), Some(false));
    }

    #[test]
    fn a_flag_overrides_the_key_that_it_rules_out() {
        assert_eq!(printed("memory = true", &["--data-dir", "x"])["memory"].as_bool(), Some(false));
        assert!(!printed("data-dir = \"x\"", &["--memory"]).contains_key("data-dir"));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let settings = printed("data-dir = \"data\"", &[]);
        let data_dir = Path::new(settings["data-dir"].as_str().unwrap());
        assert!(data_dir.is_absolute() && data_dir.ends_with("data"), "{}", data_dir.display());
        assert_eq!(printed("", &["--data-dir", "data"])["data-dir"].as_str(), Some("data"));
    }
}
