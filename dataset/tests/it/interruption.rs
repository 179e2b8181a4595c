//! Whatever moment a run ends in, nothing half-made looks finished and the next run ends in the same digest.

use std::{fs, path::Path, process::Command};

use bedplate_crds::job::exit::ExitCode;
use serde_json::{Value, json};

use crate::harness::{Folder, Running, command, prose, spec, wait_for};

/// Enough text that every stage lasts a while.
fn folder() -> Folder {
    let folder = Folder::new();
    for index in 0..40 {
        folder.write(&format!("text/{index:02}.txt"), prose(index, 60_000));
    }
    folder
}

fn slow_spec() -> Value {
    let mut spec = spec();
    spec["packing"]["sequenceLength"] = json!(256);
    spec["tokenizer"]["vocabSize"] = json!(320);
    spec
}

/// Whether a file whose name ends in `suffix` lies anywhere below `folder`.
fn has(folder: &Path, suffix: &str) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() { has(&path, suffix) } else { path.to_string_lossy().ends_with(suffix) }
    })
}

#[test]
fn a_kill_at_any_moment_loses_nothing_but_time() {
    let wanted = folder().make(&slow_spec());
    let moments = [
        ".stages/lock",
        ".stages/clean/00000.partial",
        ".stages/clean/00000.documents",
        ".stages/clean/record.json",
        ".stages/tokenizer/tokenizer.json",
        ".partial",
        ".tokens",
        ".stages/train.partial",
        "manifest.partial",
    ];
    let folder = folder();
    for moment in moments {
        let _ = fs::remove_dir_all(folder.output(""));
        let job = folder.job(&slow_spec());
        let mut child = Running(command(&job).spawn().unwrap());
        wait_for(moment, || has(&folder.output(""), moment) || child.0.try_wait().unwrap().is_some());
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        if folder.output("manifest.json").exists() {
            assert_eq!(folder.manifest(), wanted, "a manifest is there only when all of it is");
        }
        assert_eq!(folder.make(&slow_spec()), wanted, "killed at {moment}");
        assert!(!has(&folder.output(""), ".partial"), "nothing is left over after {moment}");
    }
}

#[test]
fn a_killed_repacking_leaves_the_old_output_whole() {
    let folder = folder();
    let before = folder.make(&slow_spec());
    let mut spec = slow_spec();
    spec["packing"]["sequenceLength"] = json!(128);
    let mut child = Running(command(&folder.job(&spec)).spawn().unwrap());
    wait_for("a shard of the new packing", || {
        has(&folder.output(".stages"), "train.partial") || child.0.try_wait().unwrap().is_some()
    });
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    let manifest = folder.manifest();
    for shard in manifest.train.shards.iter().chain(&manifest.holdout.shards) {
        bedplate_tokenizer::TokenShard::open(folder.output(&shard.file)).unwrap();
    }
    assert!(manifest == before || manifest.sequence_length == 128);
    assert_eq!(folder.make(&spec).sequence_length, 128);
}

#[test]
fn a_signal_ends_the_run_as_preempted_and_the_next_one_goes_on() {
    let wanted = folder().make(&slow_spec()).digest;
    for signal in ["TERM", "INT"] {
        let folder = folder();
        let mut child = Running(command(&folder.job(&slow_spec())).spawn().unwrap());
        wait_for("the cleaned text", || folder.output(".stages/clean/record.json").exists());
        assert!(
            Command::new("kill").args([format!("-{signal}"), child.0.id().to_string()]).status().unwrap().success()
        );
        let code = child.0.wait().unwrap().code();
        assert_eq!(code.and_then(ExitCode::from_code), Some(ExitCode::Preempted));
        let events = folder.events();
        let failed = events.last().unwrap();
        assert_eq!((&failed["event"], &failed["exitCode"]), (&json!("failed"), &json!(14)));
        assert!(failed["message"].as_str().unwrap().contains("start the same job again"));
        assert!(!folder.output("manifest.json").exists());
        let outcome = folder.run(&slow_spec());
        assert_eq!(outcome.cached()[..3], ["read", "utf8Repair", "exactDedup"]);
        assert_eq!(outcome.events.last().unwrap()["digest"], wanted);
    }
}

#[test]
fn a_second_process_in_the_same_folder_is_refused() {
    let folder = folder();
    let job = folder.job(&slow_spec());
    let mut child = Running(command(&job).spawn().unwrap());
    wait_for("the lock", || has(&folder.output(".stages"), ".partial") || child.0.try_wait().unwrap().is_some());
    folder.run(&slow_spec()).assert_refused(ExitCode::Retryable, &["another process is at work in"]);
    assert!(child.0.wait().unwrap().success());
}
