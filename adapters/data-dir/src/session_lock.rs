//! Sessions that are called by name: two live ones never share an id.
//!
//! A session that has an id holds the lock of a file of that name, which the operating system gives back however the
//! process ends. Leaders come and go, so they cannot be asked.

use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use livestore_engine::SessionOptions;
use livestore_traits::SessionId;

/// A session id cannot be reserved.
#[derive(Debug, thiserror::Error)]
#[error("cannot reserve a session id with {}", path.display())]
pub struct SessionError {
    path: PathBuf,
    source: io::Error,
}

pub(crate) fn reserve(dir: &Path, id: SessionId) -> Result<SessionOptions, SessionError> {
    let path = dir.join(format!("{}.lock", file_name(&id)));
    let failed = |source| SessionError { path: path.clone(), source };
    fs::create_dir_all(dir).map_err(failed)?;
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(failed)?;
    let mut options = SessionOptions::default();
    match file.try_lock() {
        Ok(()) => {
            options.session_id = Some(id);
            options.held = Some(Arc::new(file));
        }
        Err(TryLockError::WouldBlock) => {
            tracing::info!(session = %id, "a live session has this id; this one gets another");
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    Ok(options)
}

/// Ids may have characters that file names cannot.
fn file_name(id: &SessionId) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    id.as_str()
        .bytes()
        .map(|byte| if is_plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") })
        .collect()
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

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = reserve(&file.path().join("sessions"), id("main")).unwrap_err();
        assert!(error.to_string().contains("main.lock"), "{error}");
    }
}
