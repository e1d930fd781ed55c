//! Where the programs are. They are built if they are missing or older than their sources.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::HarnessResult;

const PACKAGES: [&str; 2] = ["livestore-cli", "todo"];
const PROGRAMS: [&str; 2] = ["livestore", "todo"];

/// The programs under test.
#[derive(Clone, Debug)]
pub struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// Those in a directory.
    ///
    /// # Errors
    /// If one of them is not there.
    pub fn in_dir(dir: impl Into<PathBuf>) -> HarnessResult<Self> {
        let dir = dir.into();
        for program in PROGRAMS {
            if !dir.join(program).is_file() {
                return Err(format!("there is no {program} in {}", dir.display()).into());
            }
        }
        Ok(Self { dir })
    }

    /// Those beside this program, of the same profile. The package does not depend on theirs, so cargo builds them only
    /// when it is asked to.
    ///
    /// # Errors
    /// If they cannot be built.
    pub fn built() -> HarnessResult<Self> {
        let program = env::current_exe()?;
        let dir = program.parent().ok_or("a program has a directory")?;
        let dir = if dir.ends_with("deps") { dir.parent().ok_or("deps has a parent")? } else { dir };
        // A build of these packages alone chooses other features of shared crates than one of the workspace, which makes
        // it long; where they are fresh there is no need for it.
        if !PROGRAMS.iter().all(|program| is_fresh(&dir.join(program))) {
            build(dir)?;
        }
        Self::in_dir(dir)
    }

    /// `livestore`
    #[must_use]
    pub fn livestore(&self) -> PathBuf {
        self.dir.join("livestore")
    }

    /// `todo`
    #[must_use]
    pub fn todo(&self) -> PathBuf {
        self.dir.join("todo")
    }
}

/// Whether a program is there and newer than every source that cargo's list beside it names.
fn is_fresh(program: &Path) -> bool {
    let changed = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    let Some(built) = changed(program) else { return false };
    let Ok(list) = fs::read_to_string(program.with_extension("d")) else { return false };
    let Some((_, sources)) = list.split_once(": ") else { return false };
    // Spaces within a path are escaped.
    let sources = sources.replace("\\ ", "\0");
    sources
        .split_whitespace()
        .all(|source| changed(Path::new(&source.replace('\0', " "))).is_some_and(|changed| changed <= built))
}

fn build(dir: &Path) -> HarnessResult<()> {
    let target_dir = dir.parent().ok_or("a profile has a target directory")?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).args(["build", "--locked", "--quiet"]);
    cargo.arg("--target-dir").arg(target_dir);
    for package in PACKAGES {
        cargo.args(["--package", package]);
    }
    if dir.ends_with("release") {
        cargo.arg("--release");
    }
    match cargo.status()?.success() {
        true => Ok(()),
        false => Err("the programs under test cannot be built".into()),
    }
}
