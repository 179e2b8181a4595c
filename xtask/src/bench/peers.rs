//! Where the two sides of a pair come from: our release benches through cargo, peers in cached Python environments.

use std::{fs, process::Command};

use anyhow::{Context, bail, ensure};

use crate::workspace;

/// Path of the Python of the environment `name` with `packages`; made once, kept in the cache.
pub fn venv(name: &str, packages: &[&str]) -> anyhow::Result<String> {
    let folder = script("scripts/venv.sh", &[&[name], packages].concat())?;
    Ok(format!("{folder}/bin/python"))
}

/// Runs a script of the repository and returns the last line it prints.
pub fn script(path: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(path).args(arguments).stderr(std::process::Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot run {path}; start this from the repository's root"))?;
    ensure!(output.status.success(), "{path} ended with {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().last().unwrap_or_default().to_owned())
}

/// Builds a bench of the engine as what ships is built, and returns its executable.
pub fn engine_bench(name: &str) -> anyhow::Result<String> {
    let arguments = [&["build"], &workspace::BUILD[..], &["--bench", name, "--message-format=json"]].concat();
    let output = Command::new("cargo").args(arguments).stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "cargo could not build the bench {name}");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if message["target"]["name"] == name && message["executable"].is_string() {
            return Ok(message["executable"].as_str().unwrap_or_default().to_owned());
        }
    }
    bail!("cargo built no executable for the bench {name}")
}

/// Processor, cores and commit, for the table's caption.
pub fn machine() -> anyhow::Result<String> {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output()?;
    let date = Command::new("date").arg("+%F").output()?;
    let word = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(format!("{}, commit {}, {model}, {cores} cores", word(&date.stdout), word(&commit.stdout)))
}
