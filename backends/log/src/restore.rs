//! Puts a copy of a data file in service, as another incarnation.
//!
//! ```text
//!  copy ─► temporary file beside the target ─► every log verified ─► new backend ids ─► synced ─► renamed
//! ```
//!
//! Clients that knew the original may have seen events that the copy lacks. With a new backend id each of them learns
//! that the history is another one (`Diverged`) and compares it with its own, instead of going on where it was.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use livestore_traits::{BackendId, BoxError, GlobalSeq, Limits, StoreId};

use crate::{LogStorage, PageBuilder, committer};

/// A storage that lives in one file.
pub trait FileStorage: LogStorage + Sized {
    /// The name of the file in a data dir.
    const FILE_NAME: &'static str;

    /// Copies the file and all that belongs to it.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    fn copy(from: &Path, to: &Path) -> Result<(), BoxError>;

    /// Opens the copy after checking all of it.
    ///
    /// # Errors
    /// If it is damaged or no file of this storage.
    fn open_copy(path: &Path) -> Result<Self, BoxError>;

    /// The stores in it.
    ///
    /// # Errors
    /// If the storage cannot be read.
    fn stores(&self) -> Result<Vec<StoreId>, BoxError>;

    /// Gives each of these stores another backend id, all at once, durable.
    ///
    /// # Errors
    /// If the storage cannot be written.
    fn rename(&self, ids: &[(StoreId, BackendId)]) -> Result<(), BoxError>;

    /// Closes the file so that it stands alone.
    ///
    /// # Errors
    /// If the storage cannot be written.
    fn close(self) -> Result<(), BoxError>;
}

/// What a restored file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The file that is in service now.
    pub file: PathBuf,
    /// Its stores and their heads.
    pub stores: Vec<(StoreId, GlobalSeq)>,
}

/// Why a copy was not put in service. The target is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// There is data at the target; nothing is ever overwritten.
    #[error("{} exists already; move it away first", .0.display())]
    TargetExists(PathBuf),
    /// The copy is damaged, or is no data file.
    #[error("{} cannot be restored", copy.display())]
    Damaged {
        /// The copy.
        copy: PathBuf,
        /// What is wrong with it.
        #[source]
        source: BoxError,
    },
    /// The target could not be written.
    #[error("{} could not be written", target.display())]
    Write {
        /// The target.
        target: PathBuf,
        /// Why.
        #[source]
        source: BoxError,
    },
}

/// Restores `copy`, a data file or a data dir with one, into the data dir `target`, under new backend ids.
///
/// # Errors
/// As [`RestoreError`] says; the target is then as it was.
pub fn restore<S: FileStorage>(copy: &Path, target: &Path) -> Result<Restored, RestoreError> {
    let copy = if copy.is_dir() { copy.join(S::FILE_NAME) } else { copy.to_owned() };
    let file = target.join(S::FILE_NAME);
    let write_failed = |source: BoxError| RestoreError::Write { target: target.to_owned(), source };
    if file.exists() {
        return Err(RestoreError::TargetExists(file));
    }
    if !copy.is_file() {
        let source = format!("there is no file {}", copy.display()).into();
        return Err(RestoreError::Damaged { copy, source });
    }
    fs::create_dir_all(target).map_err(|error| write_failed(error.into()))?;
    let work = WorkDir::create(target).map_err(|error| write_failed(error.into()))?;
    let draft = work.0.join(S::FILE_NAME);
    S::copy(&copy, &draft).map_err(write_failed)?;
    let stores = renew::<S>(&draft).map_err(|source| RestoreError::Damaged { copy, source })?;
    install(&draft, &file, target).map_err(|error| write_failed(error.into()))?;
    Ok(Restored { file, stores })
}

/// Verifies all logs of a file and gives them new backend ids.
fn renew<S: FileStorage>(path: &Path) -> Result<Vec<(StoreId, GlobalSeq)>, BoxError> {
    let storage = S::open_copy(path)?;
    let mut heads = Vec::new();
    let mut ids = Vec::new();
    for store in storage.stores()? {
        let head = verify(&storage, &store).map_err(|error| format!("store {store}: {error}"))?;
        ids.push((store.clone(), committer::new_backend_id()));
        heads.push((store, head));
    }
    storage.rename(&ids)?;
    storage.close()?;
    Ok(heads)
}

/// Reads a whole log; pages check that it is one chain.
fn verify<S: LogStorage>(storage: &S, store: &StoreId) -> Result<GlobalSeq, BoxError> {
    let info = storage.find(store)?.ok_or("it has no log")?;
    let mut after = GlobalSeq::ROOT;
    while after < info.head.seq {
        let mut page = PageBuilder::new(after, Limits::DEFAULT);
        storage.read(info.log, after, info.head.seq, &mut page)?;
        let (events, end) = page.finish();
        if events.is_empty() {
            return Err(format!("the events from {after} to {} are missing", info.head.seq).into());
        }
        after = end.seq;
    }
    Ok(after)
}

/// Puts the finished file in its place: after a crash it is there whole or not at all.
fn install(draft: &Path, file: &Path, target: &Path) -> std::io::Result<()> {
    File::open(draft)?.sync_all()?;
    // A hard link fails where a file exists, which a rename would replace; not every file system has links.
    match fs::hard_link(draft, file) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
        Err(_) => fs::rename(draft, file)?,
        Ok(()) => {}
    }
    File::open(target)?.sync_all()
}

/// A directory beside the target that goes away with its content.
struct WorkDir(PathBuf);

impl WorkDir {
    fn create(target: &Path) -> std::io::Result<Self> {
        let dir = target.join(format!(".restoring-{}", std::process::id()));
        fs::create_dir(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What is left behind is found by its name; the restore itself is done or has failed.
        let _ = fs::remove_dir_all(&self.0);
    }
}
