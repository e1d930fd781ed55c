//! Damage to the files of a SQLite database that is closed: what a crash of a machine without `synchronous = FULL`, a
//! full disk, or a careless restore might leave.
//!
//! A database in WAL mode is two files: the pages, and a log of the pages that changed since the last checkpoint.
//! [`Image`] holds both as they are at some moment, also while a process has them open, which is what that process leaves
//! behind when it is killed there.
//!
//! **Out of reach**: a page whose bytes changed and that still is a page, such as one of which the end is missing. SQLite
//! keeps no checksums of the pages in its file, so nobody can tell; of a log frame it can. Nor can it tell that a log
//! belongs to other pages ([`Damage::KeepOldWal`]). A crash leaves neither: whole pages are written, and the header of a
//! log is synced before the log is used again. People who copy files one by one do.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use fastrand::Rng;

/// Bytes of the header of a write-ahead log, and of each frame in it before the page.
const WAL_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// One kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Damage {
    /// The file of pages ends early, after a whole page. (Inside a page, it would be noticed only without a log.)
    Truncate,
    /// A page is all zeros.
    ZeroPage,
    /// Both files are as they were at an earlier time.
    OldCopy,
    /// The log is gone.
    DeleteWal,
    /// The log is of an earlier time, the pages are not.
    KeepOldWal,
    /// The last frame of the log ends early, or has sectors that were never written.
    TornWalFrame,
    /// The first 100 bytes are noise.
    GarbageHeader,
}

impl Damage {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Truncate,
        Self::ZeroPage,
        Self::OldCopy,
        Self::DeleteWal,
        Self::KeepOldWal,
        Self::TornWalFrame,
        Self::GarbageHeader,
    ];

    /// The files of `now` with this damage; `None` if there is nothing that could be damaged so. What is damaged is
    /// chosen by `rng`; `earlier` is an image of the same database from before.
    #[must_use]
    pub fn done_to(self, now: &Image, earlier: &Image, rng: &mut Rng) -> Option<Image> {
        let mut image = now.clone();
        match self {
            Self::Truncate => {
                let size = image.page_size()?;
                let count = image.pages.len() / size;
                image.pages.truncate(rng.usize(..count.max(1)) * size);
                (count > 0).then_some(image)
            }
            Self::ZeroPage => {
                let size = image.page_size()?;
                // The first page is the header's, and damage to that is a kind of its own.
                let count = image.pages.len() / size;
                let page = (count > 1).then(|| rng.usize(1..count))?;
                image.pages[page * size..][..size].fill(0);
                Some(image)
            }
            Self::OldCopy => Some(earlier.clone()),
            Self::DeleteWal => image.wal.take().map(|_| image),
            Self::KeepOldWal => {
                image.wal = Some(earlier.wal.clone()?);
                (image.wal != now.wal).then_some(image)
            }
            Self::TornWalFrame => {
                let frame = FRAME_HEADER + image.page_size()?;
                let wal = image.wal.as_mut().filter(|wal| wal.len() >= WAL_HEADER + frame)?;
                let last = wal.len() - frame;
                let from = last + rng.usize(..frame);
                if rng.bool() {
                    wal.truncate(from)
                } else {
                    wal[from..].fill(0)
                }
                Some(image)
            }
            Self::GarbageHeader => {
                let header = image.pages.get_mut(..100)?;
                header.fill_with(|| rng.u8(..));
                Some(image)
            }
        }
    }
}

/// The files of a database at some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pages: Vec<u8>,
    wal: Option<Vec<u8>>,
}

impl Image {
    /// Reads the files at `path`; what is not there is empty.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn of(path: impl AsRef<Path>) -> io::Result<Self> {
        let read = |path: &Path| match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        };
        let pages = read(path.as_ref())?.unwrap_or_default();
        Ok(Self { pages, wal: read(&wal_path(path.as_ref()))?.filter(|wal| !wal.is_empty()) })
    }

    /// Makes the files at `path` those of the image, and removes what else SQLite may have left there.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn write(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        fs::write(path, &self.pages)?;
        if let Some(wal) = &self.wal {
            fs::write(wal_path(path), wal)?;
        } else {
            remove(&wal_path(path))?;
        }
        remove(&beside(path, "-shm"))
    }

    /// Whether there are pages that are in the log only.
    #[must_use]
    pub const fn has_wal(&self) -> bool {
        self.wal.is_some()
    }

    /// As the header tells; `None` if there is no header.
    fn page_size(&self) -> Option<usize> {
        let header = self.pages.get(16..18)?;
        match u16::from_be_bytes([header[0], header[1]]) {
            1 => Some(65_536),
            size if size.is_power_of_two() && size >= 512 => Some(size.into()),
            _ => None,
        }
    }
}

fn wal_path(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
