//! The inputs that are checked in: `corpus/<target>/<name>`.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::Target;

/// The inputs of one target.
#[derive(Debug)]
pub struct Corpus {
    dir: PathBuf,
}

impl Corpus {
    /// That of `target`.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        Self { dir: Self::root().join(target.name) }
    }

    /// The directory of all.
    #[must_use]
    pub fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
    }

    /// Every input with its file, ordered by name.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn inputs(&self) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let files: io::Result<Vec<_>> =
            fs::read_dir(&self.dir)?.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut files = files?;
        files.sort();
        files.into_iter().map(|file| Ok((file.clone(), fs::read(file)?))).collect()
    }

    /// Adds an input.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn add(&self, name: &str, input: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        fs::write(self.dir.join(name), input)
    }
}
