//! The last word of a pod: its termination message.
//!
//! Reads one variable of the environment, [`PATH_VARIABLE`]. Never makes a file on a machine that is no pod.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bedplate_crds::job::termination::TerminationMessage;

/// Names another file for the message, so that it can be looked at without a cluster.
pub const PATH_VARIABLE: &str = "BEDPLATE_TERMINATION_LOG";
/// Where kubelet reads it from unless the pod says otherwise.
const DEFAULT_PATH: &str = "/dev/termination-log";

/// Leaves the message, where there is somebody to read it: kubelet makes the file before the process starts.
///
/// A message that cannot be written is a warning in the log: the exit code still says how it ended.
pub fn leave(message: &TerminationMessage) {
    let named = std::env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty());
    let is_pod = || Path::new(DEFAULT_PATH).exists();
    let Some(path) = named.map(PathBuf::from).or_else(|| is_pod().then(|| PathBuf::from(DEFAULT_PATH))) else { return };
    if let Err(error) = fs::write(&path, message.to_json()) {
        tracing::warn!(path = %path.display(), %error, "could not leave a termination message");
    }
}
