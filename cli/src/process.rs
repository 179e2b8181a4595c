//! Child processes: a group of their own each, ended in order, never orphaned.
//!
//! Owns starting, signalling and waiting. Never knows what a worker does.

pub mod identity;
pub mod tether;

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use rustix::process::{Pid, Signal, kill_process_group};

use identity::ProcessIdentity;

/// Time between SIGTERM and SIGKILL: a training step of a large batch on two cores, plus a checkpoint, with room.
pub const GRACE: Duration = Duration::from_secs(60);

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Its log cannot be opened.
    #[error("could not open the log {path}; is the disk full?", path = path.display())]
    OpenLog {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It cannot be started.
    #[error("could not start {program}", program = program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What is started.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// File that receives its output.
    pub log: PathBuf,
}

/// Processes that live and die together: the ranks of a job, or one process alone.
#[derive(Debug)]
pub struct Gang {
    alive: Vec<Pid>,
    pids: Vec<Pid>,
    identities: Vec<ProcessIdentity>,
    waits: FuturesUnordered<LocalBoxFuture<'static, (Pid, std::io::Result<ExitStatus>)>>,
}

impl Gang {
    /// Starts all of them; if one does not start, those that did are killed.
    ///
    /// # Errors
    /// When a log or a program cannot be opened.
    ///
    /// Must be called on the thread that lives as long as the program: Linux ends a tethered child with the *thread* that
    /// started it.
    pub fn start(commands: &[Command]) -> Result<Self, SpawnError> {
        let mut gang =
            Self { alive: Vec::new(), pids: Vec::new(), identities: Vec::new(), waits: FuturesUnordered::new() };
        for command in commands {
            if let Err(error) = gang.add(command) {
                gang.kill();
                return Err(error);
            }
        }
        Ok(gang)
    }

    fn add(&mut self, command: &Command) -> Result<(), SpawnError> {
        let Command { program, args, log } = command;
        let opened = open_log(log).and_then(|file| file.try_clone().map(|twin| (file, twin)));
        let (out, err) = opened.map_err(|source| SpawnError::OpenLog { path: log.clone(), source })?;
        let failed = |source| SpawnError::Start { program: program.clone(), source };
        let mut child = tether::command(program, args)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("a new child has an id");
        self.alive.push(pid);
        self.pids.push(pid);
        self.identities.push(ProcessIdentity::of(pid));
        self.waits.push(async move { (pid, child.wait().await) }.boxed_local());
        Ok(())
    }

    /// Who they are.
    pub fn identities(&self) -> &[ProcessIdentity] {
        &self.identities
    }

    /// The next one to end, by its place in the order of the start, and its exit code (a signal as 128 + its number);
    /// none when all have ended.
    pub async fn next_exit(&mut self) -> Option<(usize, i32)> {
        let (pid, status) = self.waits.next().await?;
        self.alive.retain(|alive| *alive != pid);
        let index = self.pids.iter().position(|started| *started == pid).expect("only started processes are awaited");
        // A status that cannot be had means that somebody else has waited for our child: as good as a lost process.
        Some((index, status.map_or(LOST_EXIT_CODE, exit_code)))
    }

    /// SIGTERM to those that still run, and to what they started.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGKILL to the same.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        for pid in &self.alive {
            // It may have ended since: then there is nothing to signal.
            let _ = kill_process_group(*pid, signal);
        }
    }
}

/// Stands for the exit code of a process whose end was not seen: that of SIGKILL.
const LOST_EXIT_CODE: i32 = 128 + 9;

/// The exit code as a shell tells it.
pub fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(LOST_EXIT_CODE)
}

fn open_log(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
