//! A private Postgres from the machine's own binaries, for a laptop and for tests.
//!
//! Owns one folder: the cluster's data, its socket, its log, and two lock files by which any number of programs share it: the
//! first starts the server, the last stops it. It listens on a unix socket only. A server left behind by a killed program is
//! taken over by the next. Never used by a deployed operator, and never installs anything.

mod binaries;
mod folder;
mod owner;

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

use super::Endpoint;
use binaries::Binaries;
use folder::Folder;
use owner::Owner;

/// `initdb` takes a second or two; a laptop that swaps takes longer.
const INITDB_TIMEOUT: Duration = Duration::from_secs(60);
/// Start includes the recovery after a crash, which is quick for a database of this size.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// A fast shutdown waits for nothing but its own checkpoint, which on a busy disk may take a while.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for another program that is just making, starting or stopping the same server.
const LOCK_TIMEOUT: Duration = Duration::from_secs(90);
/// How often a lock is tried again: far below what a person notices.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);
/// After a kill -9 the children of the old server hold its memory for a moment; so many starts are tried.
const START_ATTEMPTS: u32 = 4;
/// Pause between two of them.
const START_PAUSE: Duration = Duration::from_millis(500);
/// Part of the name of the socket; nothing listens on TCP.
const PORT: u16 = 5432;
/// Superuser of the cluster. The folder's permissions are its lock: whoever can reach the socket owns the data anyway.
const USER: &str = "bedplate";
/// The database that every cluster has.
const DATABASE: &str = "postgres";

/// Why there is no private Postgres.
#[derive(Debug, thiserror::Error)]
pub enum LocalServerError {
    /// No server programs.
    #[error(
        "there is no Postgres server on this machine; install one with `apt-get install postgresql`, or set DATABASE_URL"
    )]
    NoBinaries,
    /// The data was made by another major version.
    #[error(
        "{data} was made by Postgres {wanted}, and this machine has {found}; install postgresql-{wanted}, or remove that folder: it is filled \
         again from the state folder", data = data.display()
    )]
    OtherVersion {
        /// Folder of the data.
        data: PathBuf,
        /// Its major version.
        wanted: u32,
        /// The major versions at hand.
        found: String,
    },
    /// Postgres refuses to run as root, and there is no user to run it as.
    #[error(
        "Postgres does not run as root, and this machine has neither a user postgres nor nobody; run as another user, or set DATABASE_URL"
    )]
    NoUser,
    /// A folder or file could not be made, or belongs to somebody else.
    #[error("could not prepare {path} for Postgres; check its owner and permissions", path = path.display())]
    Prepare {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another program holds the server in the middle of a start or stop.
    #[error("another program has held {path} for {seconds} s; end it, or set DATABASE_URL", path = path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// A program could not be started.
    #[error("could not run {program}", program = program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program did not end in time.
    #[error("{program} did not end within {seconds} s", program = program.display())]
    Timeout {
        /// The program.
        program: PathBuf,
        /// How long it was given.
        seconds: u64,
    },
    /// A program refused.
    #[error("{program} failed: {reason}", program = program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// The last line it wrote.
        reason: String,
    },
}

/// A running private Postgres, shared with whoever else uses the same folder.
#[derive(Debug)]
pub struct LocalServer {
    binaries: Binaries,
    folder: Folder,
    owner: Owner,
    /// Held shared as long as this program uses the server.
    users: File,
}

impl LocalServer {
    /// Makes the cluster in `folder` where there is none, and starts the server where it does not run.
    ///
    /// # Errors
    /// When the machine has no fitting Postgres, or it cannot be made or started.
    pub async fn open(folder: &Path) -> Result<Self, LocalServerError> {
        let found = binaries::find();
        let owner = Owner::for_folder(folder)?;
        let folder = Folder::prepare(folder, &owner)?;
        let binaries = binaries::choose(&found, &folder.data())?;
        let starting = lock(&folder.start_lock(), File::try_lock).await?;
        let users = lock(&folder.users_lock(), File::try_lock_shared).await?;
        let server = Self { binaries, folder, owner, users };
        server.initialise().await?;
        server.start().await?;
        drop(starting);
        Ok(server)
    }

    /// How to reach it.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::from_socket(&self.folder.socket(), PORT, USER, DATABASE)
    }

    /// Where its data, log and locks lie: the folder asked for, or its stand-in where the server's user cannot reach that.
    pub fn folder(&self) -> &Path {
        self.folder.root()
    }

    /// Starts the server again where it died.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn ensure_running(&self) -> Result<(), LocalServerError> {
        let starting = lock(&self.folder.start_lock(), File::try_lock).await?;
        self.start().await?;
        drop(starting);
        Ok(())
    }

    /// Lets go of the server, and stops it where nobody else uses it.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn close(self) -> Result<(), LocalServerError> {
        let starting = lock(&self.folder.start_lock(), File::try_lock).await?;
        // Closing the file lets go of the lock; whoever then gets the whole of it was the last.
        let Self { binaries, folder, owner, users } = self;
        drop(users);
        let alone = folder::open_lock(&folder.users_lock())?.try_lock().is_ok();
        if alone && folder.is_running() {
            let seconds = STOP_TIMEOUT.as_secs().to_string();
            let mut stop = command(&binaries.pg_ctl(), &folder, &owner);
            stop.arg("stop").arg("-D").arg(folder.data()).args(["-m", "fast", "-w", "-t", &seconds]);
            run(stop, &binaries.pg_ctl(), STOP_TIMEOUT).await?;
            folder.after_stop();
        }
        drop(starting);
        Ok(())
    }

    async fn initialise(&self) -> Result<(), LocalServerError> {
        let Self { binaries, folder, owner, users: _ } = self;
        if folder.has_data() {
            return Ok(());
        }
        // Made beside and renamed, so that a crash in between leaves nothing that looks like a cluster.
        folder.remove_unfinished()?;
        let mut initdb = command(&binaries.initdb(), folder, owner);
        initdb.arg("-D").arg(folder.unfinished()).args(["-U", USER, "--encoding=UTF8", "--locale=C"]);
        initdb.args(["--auth-local=trust", "--auth-host=reject", "--no-instructions"]);
        run(initdb, &binaries.initdb(), INITDB_TIMEOUT).await?;
        folder.finish()
    }

    async fn start(&self) -> Result<(), LocalServerError> {
        let Self { binaries, folder, owner, users: _ } = self;
        if folder.is_running() {
            return Ok(());
        }
        let seconds = START_TIMEOUT.as_secs().to_string();
        for attempt in 1.. {
            folder.before_start(owner)?;
            let log_len = folder.log_len();
            let mut start = command(&binaries.pg_ctl(), folder, owner);
            start.arg("start").arg("-D").arg(folder.data()).arg("-l").arg(folder.log()).args(["-w", "-t", &seconds]);
            match run(start, &binaries.pg_ctl(), START_TIMEOUT).await {
                Ok(()) => return Ok(()),
                Err(LocalServerError::Failed { program, reason }) if attempt == START_ATTEMPTS => {
                    return Err(LocalServerError::Failed {
                        program,
                        reason: folder.complaint_since(log_len).unwrap_or(reason),
                    });
                }
                Err(LocalServerError::Failed { .. }) => sleep(START_PAUSE).await,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A program of Postgres, as the user that owns the data, with nothing of our environment: `PGPORT` and its like must not leak in.
fn command(program: &Path, folder: &Folder, owner: &Owner) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir(folder.root()).kill_on_drop(true);
    owner.apply(&mut command);
    command
}

async fn run(mut command: Command, program: &Path, limit: Duration) -> Result<(), LocalServerError> {
    let program = || program.to_path_buf();
    let output = timeout(limit, command.stdin(std::process::Stdio::null()).output())
        .await
        .map_err(|_| LocalServerError::Timeout { program: program(), seconds: limit.as_secs() })?
        .map_err(|source| LocalServerError::Spawn { program: program(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = || words.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let reason = folder::complaint(&words).or_else(last).unwrap_or("it said nothing").to_owned();
    Err(LocalServerError::Failed { program: program(), reason })
}

/// Opens a lock file and takes the lock, within a bound.
async fn lock(path: &Path, take: fn(&File) -> Result<(), TryLockError>) -> Result<File, LocalServerError> {
    let failed = |source| LocalServerError::Prepare { path: path.to_path_buf(), source };
    let file = folder::open_lock(path)?;
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match take(&file) {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(LocalServerError::Busy { path: path.to_path_buf(), seconds: LOCK_TIMEOUT.as_secs() });
            }
            Err(TryLockError::WouldBlock) => sleep(LOCK_INTERVAL).await,
        }
    }
}
