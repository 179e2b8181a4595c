//! Who still supervises what: each open history holds a lock for its life, so that others can tell whether it is gone.
//!
//! Owns `<state_dir>/history/sessions`. The kernel lets go of a lock whatever kills its holder.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::JournalError;

/// A program that keeps history, alive as long as this value.
#[derive(Debug)]
pub(super) struct Session {
    id: Uuid,
    path: PathBuf,
    _lock: File,
}

impl Session {
    pub(super) fn open(history_dir: &Path) -> Result<Self, JournalError> {
        let id = Uuid::new_v4();
        let path = path(history_dir, id);
        let failed = |source| JournalError::Open { path: path.clone(), source };
        std::fs::create_dir_all(history_dir.join("sessions")).map_err(failed)?;
        let lock = OpenOptions::new().create_new(true).write(true).open(&path).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Self { id, path, _lock: lock })
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What cannot be removed is found unlocked, which says the same.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether the program of that session still lives. The file of a dead one is cleared away.
pub(super) fn is_alive(history_dir: &Path, session: Uuid) -> bool {
    let path = path(history_dir, session);
    let file = match OpenOptions::new().write(true).open(&path) {
        Ok(file) => file,
        Err(error) => return error.kind() != ErrorKind::NotFound,
    };
    match file.try_lock() {
        Ok(()) => {
            let _ = std::fs::remove_file(&path);
            false
        }
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
    }
}

fn path(history_dir: &Path, session: Uuid) -> PathBuf {
    history_dir.join("sessions").join(format!("{session}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lives_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let session = Session::open(dir.path()).unwrap();
        assert!(is_alive(dir.path(), session.id()));
        let id = session.id();
        drop(session);
        assert!(!is_alive(dir.path(), id));
    }

    #[test]
    fn a_lock_file_that_nobody_holds_is_that_of_a_killed_program() {
        let dir = tempfile::tempdir().unwrap();
        let id = Uuid::new_v4();
        std::fs::create_dir_all(dir.path().join("sessions")).unwrap();
        std::fs::write(path(dir.path(), id), "").unwrap();
        assert!(!is_alive(dir.path(), id));
        assert!(!path(dir.path(), id).exists());
    }
}
