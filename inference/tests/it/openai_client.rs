//! PyPI's `openai` client against the spawned binary.

use std::{path::Path, process::Command};

use crate::process::Process;

/// The folder of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn the_openai_client_chats_streams_and_understands_the_errors() {
    let venv = Command::new(root().join("scripts/venv.sh")).args(["openai", "openai"]).output().unwrap();
    assert!(venv.status.success(), "no Python with the openai client: {}", String::from_utf8_lossy(&venv.stderr));
    let python = Path::new(String::from_utf8_lossy(&venv.stdout).trim()).join("bin/python");
    let mut process = Process::start(|job| {
        job.engine.max_num_seqs = 1;
        job.engine.max_queue_len = 4;
    });
    let script = root().join("inference/tests/openai_client.py");
    let ran = Command::new(python).arg(script).arg(process.url()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}{err}");
    assert!(out.trim_end().ends_with("all good"), "{out}");
}
