//! What is in a data dir.
//!
//! The kind of a file is told by its first bytes, not by its name: a copy may have any name, and a server must not begin
//! an empty log beside a full one of the other kind.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use livestore_backend_redb::OpenError;

use crate::error::{CommandError, chain};

/// What keeps the logs of a data dir.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    /// One redb file.
    Redb,
    /// One SQLite file, which any SQLite tool can read.
    Sqlite,
}

impl StoreKind {
    /// How a file of this kind begins.
    const fn magic(self) -> &'static [u8] {
        match self {
            Self::Redb => b"redb\x1A\x0A\xA9\x0D\x0A",
            Self::Sqlite => b"SQLite format 3\0",
        }
    }

    const fn file_name(self) -> &'static str {
        match self {
            Self::Redb => "livestore.redb",
            Self::Sqlite => "livestore.sqlite",
        }
    }

    /// The file of this kind in a data dir.
    pub(crate) fn file_in(self, dir: &Path) -> PathBuf {
        dir.join(self.file_name())
    }

    /// The kind of the file at `path`, if it is one.
    pub(crate) fn of_file(path: &Path) -> io::Result<Option<Self>> {
        let mut start = Vec::new();
        File::open(path)?.take(16).read_to_end(&mut start)?;
        Ok(Self::value_variants().iter().copied().find(|kind| start.starts_with(kind.magic())))
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redb => "redb",
            Self::Sqlite => "sqlite",
        })
    }
}

/// The data files in `dir`, by kind. A directory that does not exist has none.
pub(crate) fn files_in(dir: &Path) -> Vec<(StoreKind, PathBuf)> {
    let files = StoreKind::value_variants().iter().map(|kind| (*kind, kind.file_in(dir)));
    files.filter(|(_, file)| fs::symlink_metadata(file).is_ok()).collect()
}

/// Which kind to open in `dir`: the one asked for, else the one that is there, else redb.
///
/// # Errors
/// If the data there is of another kind than the one asked for, or of both, or its file is empty: an empty log would be
/// served in place of a full one, and every client would take it for a new history.
pub(crate) fn kind_in(dir: &Path, wanted: Option<StoreKind>) -> Result<StoreKind, CommandError> {
    let files = files_in(dir);
    if let Some((_, file)) =
        files.iter().find(|(_, file)| fs::metadata(file).is_ok_and(|file| file.len() == 0))
    {
        return Err(CommandError::new(format!("{} is empty, as after a copy that failed", file.display()))
            .hint(
                "put a copy in service with `livestore restore`, or remove the file to start without data",
            ));
    }
    let found: Vec<StoreKind> = files.into_iter().map(|(kind, _)| kind).collect();
    match (wanted, found.as_slice()) {
        (None, []) => Ok(StoreKind::Redb),
        (None, [found]) => Ok(*found),
        (None, _) => Err(CommandError::new(format!("{} has both redb and sqlite data", dir.display()))
            .hint("say which to serve with --store")),
        (Some(wanted), [found]) if wanted != *found => {
            Err(CommandError::new(format!("{} has {found} data, not {wanted}", dir.display()))
                .hint(format!("use --store {found}, or choose another directory with --data-dir")))
        }
        (Some(wanted), _) => Ok(wanted),
    }
}

/// Runs what opens data files.
///
/// redb panics over some damaged files. Its backend turns that into an error, which says all there is to say; the report
/// of the panic goes to the log.
pub(crate) fn opening<T>(open: impl FnOnce() -> Result<T, CommandError>) -> Result<T, CommandError> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|report| tracing::debug!("{report}")));
    let opened = panic::catch_unwind(AssertUnwindSafe(open));
    panic::set_hook(hook);
    opened.unwrap_or_else(|_| {
        Err(CommandError::new("the data cannot be opened, and this is a bug").hint("--log debug says where"))
    })
}

/// Why a data dir cannot be opened, with what to do about it.
pub(crate) fn open_failed(error: OpenError) -> CommandError {
    let hint = match &error {
        OpenError::InUse(_) => "stop the other server, or choose another directory with --data-dir",
        OpenError::Damaged { .. } => {
            "move the file away and put a copy in service with `livestore restore`, or start empty"
        }
        OpenError::Format { .. } => "use the version of livestore that wrote it",
        _ => "check the directory, its permissions, and the space on its disk",
    };
    CommandError::new(chain(&error)).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_dir_is_opened_as_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = |wanted| kind_in(dir.path(), wanted).ok();
        assert_eq!(wanted(None), Some(StoreKind::Redb));
        assert_eq!(wanted(Some(StoreKind::Sqlite)), Some(StoreKind::Sqlite));
        fs::write(StoreKind::Sqlite.file_in(dir.path()), StoreKind::Sqlite.magic()).unwrap();
        assert_eq!(wanted(None), Some(StoreKind::Sqlite));
        assert_eq!(wanted(Some(StoreKind::Redb)), None, "an empty redb log beside sqlite data");
        fs::write(StoreKind::Redb.file_in(dir.path()), StoreKind::Redb.magic()).unwrap();
        assert_eq!(wanted(None), None);
        assert_eq!(wanted(Some(StoreKind::Redb)), Some(StoreKind::Redb));
    }
}
