//! Children that end when this program does, even by SIGKILL.
//!
//! On Linux a child is started through `bedplate tether`, which asks the kernel for SIGTERM at its parent's death
//! (prctl(2), PR_SET_PDEATHSIG, kept over execve) and then becomes the worker: same process, same number. The call must
//! be made in the child, and between fork and exec only `unsafe` code could make it; hence the step in between.
//! Elsewhere children are started directly, and the next run ends what a killed one left.

use std::{ffi::OsString, path::Path};

use crate::args::TetherArgs;

/// A command that starts `program`, tethered where the system can.
pub fn command(program: &Path, args: &[OsString]) -> tokio::process::Command {
    if cfg!(target_os = "linux") {
        // Not the path of this program: it may have been rebuilt since.
        let mut command = tokio::process::Command::new("/proc/self/exe");
        command.arg("tether").arg("--parent").arg(std::process::id().to_string()).arg("--").arg(program).args(args);
        return command;
    }
    let mut command = tokio::process::Command::new(program);
    command.args(args);
    command
}

/// Becomes the program, tethered to its parent. Returns only if it cannot.
pub fn become_program(args: TetherArgs) -> std::io::Error {
    use std::os::unix::process::{CommandExt, parent_id};
    let TetherArgs { parent, command } = args;
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM)) {
        return error.into();
    }
    // The parent may have died before the kernel was asked: then nobody would tell.
    if parent_id() != parent {
        return std::io::Error::other("the parent is gone");
    }
    let (program, args) = command.split_first().expect("clap requires a program");
    std::process::Command::new(program).args(args).exec()
}
