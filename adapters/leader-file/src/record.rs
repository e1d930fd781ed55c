//! What is known of the last leader: its term, which must never fall, and who it was.
//!
//! Kept in a small text file that is replaced as a whole, so that a crash leaves the old one or the new one:
//!
//! ```text
//! term 7
//! pid 1234
//! program todo
//! host notebook
//! ```

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use livestore_traits::{LeaderError, Term, this_program};

use crate::error::failed;

const FILE: &str = "leader";
const NEW_FILE: &str = "leader.new";

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its term.
    pub term: Term,
    /// Its process.
    pub pid: u32,
    /// The name of its program, if it has one.
    pub program: Option<String>,
    /// The machine it runs on, if that has a name.
    pub host: Option<String>,
}

impl fmt::Display for Holder {
    /// For example `todo (process 1234)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.program.as_deref().unwrap_or("a program"), self.pid)
    }
}

impl Holder {
    /// This process, in a term.
    pub(crate) fn this_process(term: Term) -> Self {
        Self { term, pid: std::process::id(), program: this_program(), host: host_name() }
    }

    /// Reads the last leader of a directory; `None` if there never was one.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>, LeaderError> {
        let path = dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it does not name a term and a process");
        Self::parse(&text).ok_or_else(damaged).map(Some).map_err(failed("understand", &path))
    }

    /// Makes this the last leader of a directory, durably. The caller holds the lock.
    pub(crate) fn store(&self, dir: &Path) -> Result<(), LeaderError> {
        let (path, new_path) = (dir.join(FILE), dir.join(NEW_FILE));
        let write = || -> io::Result<()> {
            let mut file = File::create(&new_path)?;
            file.write_all(self.to_text().as_bytes())?;
            // Before the rename: the name must not be durable earlier than what it names.
            file.sync_all()
        };
        write().map_err(failed("write", &new_path))?;
        fs::rename(&new_path, &path).map_err(failed("replace", &path))?;
        sync_dir(dir).map_err(failed("sync", dir))
    }

    fn to_text(&self) -> String {
        let mut text = format!("term {}\npid {}\n", self.term.0, self.pid);
        for (key, value) in [("program", &self.program), ("host", &self.host)] {
            if let Some(value) = value {
                text.push_str(&format!("{key} {value}\n"));
            }
        }
        text
    }

    /// Lines with other keys are of a newer version and are passed over.
    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map(str::to_owned)
        };
        Some(Self {
            // The last number of all has no successor, and no leader ever got that far.
            term: Term(value("term")?.parse().ok().filter(|term| *term < u64::MAX)?),
            pid: value("pid")?.parse().ok()?,
            program: value("program"),
            host: value("host"),
        })
    }
}

/// A rename is durable once its directory is.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Elsewhere directories cannot be opened; their changes are journalled by the file system.
#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

fn host_name() -> Option<String> {
    let from_kernel = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let from_shell = || std::env::var("COMPUTERNAME").or_else(|_| std::env::var("HOSTNAME")).ok();
    from_kernel.or_else(from_shell).map(|name| one_line(&name)).filter(|name| !name.is_empty())
}

fn one_line(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder() -> Holder {
        Holder { term: Term(7), pid: 1234, program: Some("to do".into()), host: None }
    }

    #[test]
    fn the_record_is_stored_in_this_text() {
        assert_eq!(holder().to_text(), "term 7\npid 1234\nprogram to do\n");
        assert_eq!(Holder::parse(&holder().to_text()), Some(holder()));
        assert_eq!(Holder::parse("since noon\nterm 7\npid 1234\nprogram to do\n"), Some(holder()));
        assert_eq!(one_line("a\nterm 1\n"), "aterm 1");
    }

    #[test]
    fn what_is_no_record_is_not_taken_for_one() {
        for text in [
            "",
            "term",
            "term 7",
            "pid 1234",
            "term x\npid 1",
            "term 18446744073709551615\npid 1",
            "term 7\npid -1",
            "term7\npid 1",
        ] {
            assert_eq!(Holder::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn storing_replaces_whatever_a_crash_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Holder::load(dir.path()).unwrap(), None);
        fs::write(dir.path().join(NEW_FILE), "term 99999\npid half of a rec").unwrap();
        holder().store(dir.path()).unwrap();
        assert_eq!(Holder::load(dir.path()).unwrap(), Some(holder()));
        assert!(!dir.path().join(NEW_FILE).exists());
    }
}
