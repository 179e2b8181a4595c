//! Commands that need no server.

use std::process::Command;

fn bedplate(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_bedplate")).args(args).output().expect("the binary starts")
}

#[test]
fn version_and_completions_are_printed() {
    let version = bedplate(&["version"]);
    let expected = format!("bedplate {}", env!("CARGO_PKG_VERSION"));
    assert!(String::from_utf8_lossy(&version.stdout).starts_with(&expected), "{version:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = bedplate(&["completions", shell]);
        assert!(String::from_utf8_lossy(&script.stdout).contains("bedplate"), "{shell}");
    }
}

#[test]
fn an_unknown_command_is_refused_by_name() {
    let refused = bedplate(&["rnu"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("rnu"));
}
