//! `livestore restore`: puts a copy of a server's data in service.

use std::fs;
use std::path::{Path, PathBuf};

use livestore_backend_redb::Restored;

use crate::data::{self, StoreKind};
use crate::error::CommandError;
use crate::terminal::{count, say};

/// Put a copy of a server's data in service, in an empty data dir.
///
/// The whole copy is verified, and every store gets a new backend id. By it, clients notice that the history may lack
/// what they have seen, compare it with their own, and take over what differs; nothing they have is deleted silently.
///
/// Make copies while no server runs, or as a snapshot of the file system.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The copy: a data dir, or a data file (redb or SQLite). It is only read.
    #[arg(long, value_name = "COPY")]
    from: PathBuf,
    /// Where to put the data. Data that is there is never overwritten.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

pub(crate) fn run(args: &RestoreArgs) -> Result<(), CommandError> {
    if let Some((_, file)) = data::files_in(&args.data_dir).first() {
        return Err(CommandError::new(format!(
            "{} exists already, and nothing is ever overwritten",
            file.display()
        ))
        .hint("move it away first, or choose another directory with --data-dir"));
    }
    let (kind, copy) = find_copy(&args.from)?;
    let restored = data::opening(|| {
        let restored = match kind {
            StoreKind::Redb => livestore_backend_redb::restore(&copy, &args.data_dir),
            StoreKind::Sqlite => livestore_backend_sqlite::restore(&copy, &args.data_dir),
        };
        restored.map_err(|error| CommandError::new("nothing was restored").caused_by(error))
    })?;
    report(&copy, &args.data_dir, &restored);
    Ok(())
}

/// The one data file that the copy is, or has in it.
fn find_copy(from: &Path) -> Result<(StoreKind, PathBuf), CommandError> {
    let unreadable = |error| CommandError::new(format!("{} cannot be read", from.display())).caused_by(error);
    let copy =
        if fs::metadata(from).map_err(unreadable)?.is_dir() { only_file_in(from)? } else { from.to_owned() };
    match StoreKind::of_file(&copy).map_err(unreadable)? {
        Some(kind) => Ok((kind, copy)),
        None => Err(CommandError::new(format!("{} is damaged or is no livestore data", copy.display()))
            .hint("--from takes a server's data dir, or the redb or SQLite file in it")),
    }
}

fn only_file_in(dir: &Path) -> Result<PathBuf, CommandError> {
    match data::files_in(dir).as_slice() {
        [(_, copy)] => Ok(copy.clone()),
        [] => Err(CommandError::new(format!("there is no livestore data in {}", dir.display()))
            .hint("--from takes a server's data dir, or the redb or SQLite file in it")),
        _ => Err(CommandError::new(format!("{} has both redb and sqlite data", dir.display()))
            .hint("name one of the files with --from")),
    }
}

fn report(copy: &Path, data_dir: &Path, restored: &Restored) {
    say(format_args!("restored {} into {}", copy.display(), restored.file.display()));
    let width = restored.stores.iter().map(|(store, _)| store.as_str().len()).max().unwrap_or_default();
    let mut total = 0_u64;
    for (store, head) in &restored.stores {
        say(format_args!("  {:width$}  {}, head {head}", store.as_str(), count(head.0, "event")));
        total = total.saturating_add(head.0);
    }
    let stores = count(restored.stores.len() as u64, "store");
    say(format_args!("{stores} with {} verified, each under a new backend id", count(total, "event")));
    say(format_args!("next: livestore serve --data-dir {}", data_dir.display()));
}
