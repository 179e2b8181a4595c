//! The folder of a private Postgres: where data, socket, log and locks lie, and what its configuration says.
//!
//! Owns every path and every file that is not Postgres' own. Never starts a program.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};
use uuid::Uuid;

use super::{LocalServerError, PORT, owner::Owner};

/// Longest folder of a socket: the kernel takes 107 bytes of path, of which the name of the socket needs 14.
const MAX_SOCKET_FOLDER_BYTES: usize = 90;
/// A log beyond this begins anew with the next start: only its last lines are ever read.
const MAX_LOG_BYTES: u64 = 1 << 20;
/// Bytes at the end of the log that are searched for a complaint: a failed start writes far less.
const LOG_TAIL_BYTES: u64 = 4096;
/// Where the data of root's servers lies when the user that Postgres runs as cannot reach the state folder.
const SYSTEM_FOLDER: &str = "/var/lib/bedplate";

/// A laptop's database: small memory, few connections, no replication; durable as any.
const SETTINGS: &str = "listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 20
shared_buffers = 16MB
max_wal_size = 128MB
min_wal_size = 32MB
wal_level = minimal
max_wal_senders = 0
autovacuum_max_workers = 1
logging_collector = off
log_min_messages = warning
";

/// The folder of a private Postgres.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
    socket: PathBuf,
}

impl Folder {
    /// Makes the folder, or its stand-in where the server's user cannot reach it.
    pub(super) fn prepare(wanted: &Path, owner: &Owner) -> Result<Self, LocalServerError> {
        let absolute = std::path::absolute(wanted).map_err(failed(wanted))?;
        std::fs::create_dir_all(&absolute).map_err(failed(&absolute))?;
        let absolute = absolute.canonicalize().map_err(failed(&absolute))?;
        let tag = Uuid::new_v5(&Uuid::NAMESPACE_URL, absolute.as_os_str().as_encoded_bytes()).simple().to_string();
        let reachable = absolute.parent().is_none_or(|parent| owner.can_reach(parent));
        let root = if reachable { absolute } else { Path::new(SYSTEM_FOLDER).join(&tag[..16]) };
        own_folder(&root, owner)?;
        let beside = root.join("socket");
        let socket = if beside.as_os_str().len() <= MAX_SOCKET_FOLDER_BYTES {
            beside
        } else {
            PathBuf::from(format!("/tmp/bedplate-{}", &tag[..16]))
        };
        Ok(Self { root, socket })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Where a cluster is made before it is one.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.root.join("data.new")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    /// Held while the server is being made, started or stopped.
    pub(super) fn start_lock(&self) -> PathBuf {
        self.root.join("start.lock")
    }

    /// Held shared by every program that uses the server.
    pub(super) fn users_lock(&self) -> PathBuf {
        self.root.join("users.lock")
    }

    pub(super) fn has_data(&self) -> bool {
        self.data().join("PG_VERSION").is_file()
    }

    pub(super) fn remove_unfinished(&self) -> Result<(), LocalServerError> {
        match std::fs::remove_dir_all(self.unfinished()) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(failed(&self.unfinished())(source)),
            _ => Ok(()),
        }
    }

    /// Turns what `initdb` made into the cluster.
    pub(super) fn finish(&self) -> Result<(), LocalServerError> {
        let config = self.unfinished().join("postgresql.conf");
        let include = || {
            let mut text = std::fs::read_to_string(&config)?;
            text.push_str("\ninclude = 'bedplate.conf'\n");
            std::fs::write(&config, text)
        };
        include().map_err(failed(&config))?;
        std::fs::rename(self.unfinished(), self.data()).map_err(failed(&self.data()))
    }

    /// Writes the configuration, makes the socket's folder, clears away what a killed server left.
    pub(super) fn before_start(&self, owner: &Owner) -> Result<(), LocalServerError> {
        own_folder(&self.socket, owner)?;
        let config = self.data().join("bedplate.conf");
        let socket = self.socket.display().to_string().replace('\'', "''");
        let text = format!("{SETTINGS}port = {PORT}\nunix_socket_directories = '{socket}'\n");
        std::fs::write(&config, text).map_err(failed(&config))?;
        owner.take(&config).map_err(failed(&config))?;
        if std::fs::metadata(self.log()).is_ok_and(|log| log.len() > MAX_LOG_BYTES) {
            remove(&self.log())?;
        }
        // The pid in there may be another program's by now, and Postgres would then refuse to start.
        remove(&self.data().join("postmaster.pid"))?;
        remove(&self.socket.join(format!(".s.PGSQL.{PORT}")))?;
        remove(&self.socket.join(format!(".s.PGSQL.{PORT}.lock")))
    }

    /// Whether the server of this very data runs.
    ///
    /// Its pid may be another program's by now. A server works in the folder of its data; where that may not be looked
    /// at, its name must do, and where there is no /proc, its being alive.
    pub(super) fn is_running(&self) -> bool {
        let Ok(data) = self.data().canonicalize() else { return false };
        let text = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|pid| test_kill_process(*pid) != Err(Errno::SRCH)) else { return false };
        let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
        let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
        match std::fs::read_link(process.join("cwd")) {
            // Killed, but its parent (a container's first process, often) has not taken notice.
            _ if stat.contains(") Z ") => false,
            Ok(folder) => folder == data,
            Err(_) => stat.is_empty() || stat.contains("(postgres) "),
        }
    }

    /// Clears the socket's folder away where it is not below the root.
    pub(super) fn after_stop(&self) {
        if !self.socket.starts_with(&self.root) {
            // Empty after a clean stop; what is left behind is used again by the next start.
            let _ = std::fs::remove_dir(&self.socket);
        }
    }

    /// Length of the log, in bytes: what a start that follows writes lies behind it.
    pub(super) fn log_len(&self) -> u64 {
        std::fs::metadata(self.log()).map_or(0, |metadata| metadata.len())
    }

    /// The last complaint that the log got since it had `from` bytes.
    pub(super) fn complaint_since(&self, from: u64) -> Option<String> {
        let mut file = File::open(self.log()).ok()?;
        let tail = file.metadata().ok()?.len().saturating_sub(LOG_TAIL_BYTES);
        file.seek(SeekFrom::Start(from.max(tail))).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        complaint(&String::from_utf8_lossy(&bytes)).map(str::to_owned)
    }
}

/// The last line in which a program of Postgres says what went wrong; the lines after it only say what it cleared away.
pub(super) fn complaint(words: &str) -> Option<&str> {
    const MARKS: [&str; 5] = ["FATAL", "PANIC", "ERROR", "error:", "could not"];
    words.lines().rev().map(str::trim).find(|line| MARKS.iter().any(|mark| line.contains(mark)))
}

/// A lock file, made where it is missing.
pub(super) fn open_lock(path: &Path) -> Result<File, LocalServerError> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed(path))
}

/// Makes a folder that only the server's user (and root) can enter; one that is somebody else's is refused.
fn own_folder(path: &Path, owner: &Owner) -> Result<(), LocalServerError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed(parent))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(source) if source.kind() != ErrorKind::AlreadyExists => return Err(failed(path)(source)),
        _ => {}
    }
    // A link in a shared folder could point anywhere, so what is there itself is looked at.
    let found = std::fs::symlink_metadata(path).map_err(failed(path))?;
    let ours = found.is_dir() && (found.uid() == owner.uid() || found.uid() == 0);
    if !ours {
        return Err(failed(path)(std::io::Error::new(ErrorKind::PermissionDenied, "it belongs to another user")));
    }
    owner.take(path).map_err(failed(path))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed(path))
}

fn remove(path: &Path) -> Result<(), LocalServerError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(failed(path)(source)),
        _ => Ok(()),
    }
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> LocalServerError {
    let path = path.to_path_buf();
    move |source| LocalServerError::Prepare { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_complaint_is_the_cause_and_not_what_was_cleared_away_after_it() {
        let words = "creating directory data.new ... ok\ninitdb: error: could not write to file: No space left on device\n\
                     initdb: removing data directory \"data.new\"\n";
        assert_eq!(complaint(words), Some("initdb: error: could not write to file: No space left on device"));
        assert_eq!(complaint("LOG:  database system is shut down\n"), None);
    }
}
