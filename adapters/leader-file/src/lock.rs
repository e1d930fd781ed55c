//! The lock that a leader holds, as long as it lives.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::Duration;

use livestore_traits::LeaderError;

use crate::error::failed;

/// The lock file's name. The file is never removed: a candidate could hold a lock on the removed one while another
/// locks its successor.
const FILE: &str = "leader.lock";

/// How often those who only ask are outwaited: a tenth of a second in all. One that is stopped in the middle of asking must
/// not stop a candidate with it.
const ATTEMPTS: u32 = 200;

/// Between two tries.
const PAUSE: Duration = Duration::from_micros(500);

/// Holding the lock of a directory; dropping it gives the lock back.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock unless somebody holds it; never waits for a holder, but blocks while somebody only asks.
    pub(crate) fn try_take(dir: &Path) -> Result<Option<Self>, LeaderError> {
        let path = dir.join(FILE);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(failed("open the lock file", &path))?;
        for _ in 0..ATTEMPTS {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self(file))),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
            }
            // Somebody leads, or only asks who leads, with a shared lock for an instant, which may become a few milliseconds
            // where it is not its thread's turn. The latter must not look like a leader, so it is outwaited.
            match file.try_lock_shared() {
                Ok(()) => file.unlock().map_err(failed("unlock", &path))?,
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
            }
            std::thread::sleep(PAUSE);
        }
        Ok(None)
    }

    /// Whether somebody holds the lock.
    pub(crate) fn is_taken(dir: &Path) -> Result<bool, LeaderError> {
        let path = dir.join(FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed("open the lock file", &path)(error)),
        };
        match file.try_lock_shared() {
            // Not left to closing: a child process that is just being made has the file, too.
            Ok(()) => file.unlock().map(|()| false).map_err(failed("unlock", &path)),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file gives the lock back too, but not while a child process that inherited it lives. If it cannot be
        // unlocked, closing is what is left.
        let _ = self.0.unlock();
    }
}
