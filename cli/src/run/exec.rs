//! The command of `--exec`: told where the endpoints are, its output shown and kept for the report.

use std::{
    io::{IsTerminal, Write},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::process::exit_code;

/// Most of the command's output that the report keeps.
const OUTPUT_KEPT_BYTES: usize = 64 << 10;
/// Exit code of a command that did not start, as a shell has it.
const NOT_STARTED_EXIT_CODE: i32 = 127;

/// A deployment that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the ModelDeployment.
    pub name: String,
    /// Base URL.
    pub url: String,
}

/// What the command did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Executed {
    /// The command.
    pub command: String,
    /// What it printed, cut to [`OUTPUT_KEPT_BYTES`].
    pub output: String,
    /// How it ended.
    pub exit_code: i32,
}

/// Ends what the command started when the run gives it up.
struct EndGroup(Option<Pid>);

impl Drop for EndGroup {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended by itself.
            let _ = kill_process_group(pid, Signal::TERM);
        }
    }
}

/// Runs the command. On a terminal it stays in the foreground group, so that it may ask questions, and Ctrl-C reaches it;
/// elsewhere it has a group of its own, so that the run can end it whole.
pub async fn execute(command: String, endpoints: Vec<Endpoint>) -> Executed {
    let mut shell = tokio::process::Command::new("sh");
    shell.arg("-c").arg(&command).stdout(Stdio::piped()).kill_on_drop(true);
    shell.envs(endpoints.iter().map(|endpoint| (variable(&endpoint.name), &endpoint.url)));
    shell.envs(endpoints.last().map(|last| ("BEDPLATE_ENDPOINT", &last.url)));
    let has_own_group = !std::io::stdin().is_terminal();
    if has_own_group {
        shell.process_group(0);
    }
    let mut child = match shell.spawn() {
        Ok(child) => child,
        Err(error) => {
            return Executed { command, output: error.to_string(), exit_code: NOT_STARTED_EXIT_CODE };
        }
    };
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut group = EndGroup(pid.filter(|_| has_own_group));
    let output = child.stdout.take().expect("standard output is piped");
    let output = show_and_keep(output).await;
    let exit_code = child.wait().await.map_or(NOT_STARTED_EXIT_CODE, exit_code);
    // Its number may be given to another process from here on.
    group.0 = None;
    Executed { command, output, exit_code }
}

/// `BEDPLATE_ENDPOINT_RUST_SMALL` for `rust-small`.
fn variable(name: &str) -> String {
    format!("BEDPLATE_ENDPOINT_{}", name.to_uppercase().replace('-', "_"))
}

async fn show_and_keep(mut output: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        let bytes = &buffer[..read];
        let mut out = std::io::stdout().lock();
        // Whoever closed the pipe does not want to see it; the report still does.
        let _ = out.write_all(bytes).and_then(|()| out.flush());
        let room = OUTPUT_KEPT_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..read.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_becomes_a_variable() {
        assert_eq!(super::variable("rust-small"), "BEDPLATE_ENDPOINT_RUST_SMALL");
    }
}
