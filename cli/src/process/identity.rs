//! Tells a process from a later one that was given the same number.
//!
//! Owns the comparison of start times. Without `/proc` nothing is recognised, so nothing foreign is ever ended.

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

/// A process of this boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessIdentity {
    /// Its number.
    pub pid: i32,
    /// When it began, in the kernel's ticks since `boot`; none where the system does not tell.
    pub start_ticks: Option<u64>,
    /// The kernel's id of this boot.
    pub boot: Option<String>,
}

impl ProcessIdentity {
    /// The process that has this number now.
    pub fn of(pid: Pid) -> Self {
        let pid = pid.as_raw_nonzero().get();
        Self { pid, start_ticks: start_ticks(pid), boot: boot() }
    }

    /// Whether that very process still runs.
    pub fn is_alive(&self) -> bool {
        self.start_ticks.is_some() && self.boot == boot() && start_ticks(self.pid) == self.start_ticks
    }

    /// SIGTERM to its group, if it is still that process.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGKILL to its group, if it is still that process.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid)
            && self.is_alive()
        {
            // It may end between the look and the signal: then there is nothing to end.
            let _ = kill_process_group(pid, signal);
        }
    }
}

/// Field 22 of `/proc/<pid>/stat` (proc(5)); the second field, the name, may hold spaces and parentheses. A zombie has
/// ended.
fn start_ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_an_earlier_one_of_its_number_is_not() {
        let own = ProcessIdentity::of(rustix::process::getpid());
        assert!(own.is_alive());
        assert!(!ProcessIdentity { start_ticks: own.start_ticks.map(|ticks| ticks - 1), ..own.clone() }.is_alive());
        assert!(!ProcessIdentity { start_ticks: None, ..own.clone() }.is_alive());
        assert!(!ProcessIdentity { boot: Some("another".into()), ..own }.is_alive());
    }
}
