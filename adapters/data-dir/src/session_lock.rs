//! Sessions that are called by name: two live ones never share an id.
//!
//! A session that has an id holds the lock of a file of that name, which the operating system gives back however the
//! process ends. Leaders come and go, so they cannot be asked.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use livestore_engine::SessionOptions;
use livestore_traits::SessionId;

/// The longest name of a lock file, in bytes; file systems take 255 with the suffix.
const MAX_NAME_BYTES: usize = 200;

/// A session id cannot be reserved.
#[derive(Debug, thiserror::Error)]
#[error("cannot reserve a session id with {}", path.display())]
pub struct SessionError {
    path: PathBuf,
    source: io::Error,
}

pub(crate) fn reserve(dir: &Path, id: SessionId) -> Result<SessionOptions, SessionError> {
    fs::create_dir_all(dir).map_err(|source| SessionError { path: dir.to_owned(), source })?;
    let path = dir.join(format!("{}.lock", file_name(&id)));
    let failed = |source| SessionError { path: path.clone(), source };
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(failed)?;
    let mut options = SessionOptions::default();
    match file.try_lock() {
        Ok(()) => {
            options.session_id = Some(id);
            options.held = Some(Arc::new(Held(file)));
        }
        Err(TryLockError::WouldBlock) => {
            tracing::info!(session = %id, "a live session has this id; this one gets another");
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    Ok(options)
}

/// Holding the lock of a session id; dropping it gives the lock back.
#[derive(Debug)]
struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // Closing the file gives the lock back too, but not while a child process that is just being made has it. If it
        // cannot be unlocked, closing is what is left.
        let _ = self.0.unlock();
    }
}

/// Ids may have characters that file names cannot, and be longer. Two long ones that begin alike share a file, and so keep
/// each other from being live at once, nothing more.
fn file_name(id: &SessionId) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut name: String = id
        .as_str()
        .bytes()
        .map(|byte| if is_plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect();
    name.truncate(MAX_NAME_BYTES);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SessionId {
        SessionId::new(text).unwrap()
    }

    #[test]
    fn of_two_live_sessions_the_second_gets_another_id() {
        let dir = tempfile::tempdir().unwrap();
        let first = reserve(dir.path(), id("main")).unwrap();
        assert_eq!(first.session_id, Some(id("main")));
        assert_eq!(reserve(dir.path(), id("main")).unwrap().session_id, None);
        assert_eq!(reserve(dir.path(), id("other")).unwrap().session_id, Some(id("other")));
        drop(first);
        assert_eq!(reserve(dir.path(), id("main")).unwrap().session_id, Some(id("main")));
    }

    #[test]
    fn ids_never_leave_the_directory() {
        assert_eq!(file_name(&id("a/../b.c")), "a%2f%2e%2e%2fb%2ec");
        assert_ne!(file_name(&id("a%2f")), file_name(&id("a/")));
    }

    /// 42 characters of three bytes each, which a file name has three characters for.
    #[test]
    fn every_id_can_be_reserved() {
        let dir = tempfile::tempdir().unwrap();
        let long = id(&"\u{4f60}".repeat(42));
        assert_eq!(reserve(dir.path(), long.clone()).unwrap().session_id, Some(long));
    }

    /// A child process that is just being made has the file until its program begins, and held the lock so long.
    #[test]
    fn an_id_is_free_while_somebody_else_has_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let first = reserve(dir.path(), id("main")).unwrap();
        let held = first.held.as_ref().unwrap().downcast_ref::<Held>().unwrap();
        let _of_the_child = held.0.try_clone().unwrap();
        drop(first);
        assert_eq!(reserve(dir.path(), id("main")).unwrap().session_id, Some(id("main")));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = reserve(&file.path().join("sessions"), id("main")).unwrap_err();
        assert!(error.to_string().ends_with("sessions"), "{error}");
    }
}
