//! A run from manifests to endpoints, with workers that do well, and with workers that do not.

use std::{net::TcpListener, os::unix::fs::MetadataExt};

use crate::scratch::{DATASET, SERVER, Scratch, TRAINER, wait_until};

#[test]
fn three_manifests_end_with_an_endpoint_and_the_command_is_told_where() {
    let scratch = Scratch::new();
    let told = scratch.run(&["--once", "--exec", "echo asked $BEDPLATE_ENDPOINT $BEDPLATE_ENDPOINT_TINY"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.contains("asked http://127.0.0.1:0 http://127.0.0.1:0"), "{told:?}");
    let order = ["Dataset/sources", "TrainingJob/tiny", "ModelDeployment/tiny"].map(|name| told.out.find(name));
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{told:?}");
    assert!(told.err.contains("3 -> 2 documents") && told.err.contains("1.250 bits per byte"), "{told:?}");
    assert!(told.out.contains("digest dddd01234567") && told.out.contains("digest cccc4"), "{told:?}");
    let job = std::fs::read_to_string(scratch.state("jobs/training-job.default.tiny.json")).expect("a job file");
    assert!(job.contains("\"maxSteps\": 4") && job.contains("storage/default/datasets/default/sources"), "{job}");
}

#[test]
fn a_second_run_finds_the_work_done_and_says_so() {
    let scratch = Scratch::new();
    assert_eq!(scratch.run(&["--once"]).code, Some(0));
    for (worker, digest) in [("bedplate-dataset", "dddd0123456789abcdef"), ("bedplate-trainer", "cccc4")] {
        scratch.worker(worker, &format!("say '\"completed\",\"digest\":\"{digest}\"'"));
    }
    let told = scratch.run(&["--once"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(told.out.matches("UpToDate").count(), 2, "{told:?}");
    let report = std::fs::read_to_string(scratch.state("report.html")).expect("a report");
    assert!(report.contains("exactDedup") && report.contains("1.250"), "what the first run measured is still shown");
}

#[test]
fn a_failure_ends_the_run_with_the_workers_sentence_its_log_and_its_code() {
    let scratch = Scratch::new();
    scratch.worker("bedplate-trainer", "fail 'the plan needs 9 GB, the machine has 1 GB' 12");
    let told = scratch.run(&["--once"]);
    assert_eq!(told.code, Some(12), "{told:?}");
    assert!(told.err.contains("TrainingJob/tiny failed (OutOfMemory): the plan needs 9 GB"), "{told:?}");
    assert!(told.err.contains("worker says: the plan needs 9 GB"), "{told:?}");
    let row = told.out.lines().find(|line| line.starts_with("ModelDeployment/tiny")).expect("a row");
    assert!(row.contains("Stopped") && row.contains("RunFailed"), "{row}");
}

#[test]
fn a_passing_fault_is_tried_again_from_the_checkpoint() {
    let scratch = Scratch::new();
    let faulty =
        format!("if [ ! -e once ]; then touch once; step 1 4; checkpoint 1; fail 'disk hiccup' 10; fi\n{TRAINER}");
    scratch.worker("bedplate-trainer", &faulty);
    let told = scratch.run(&["--once"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.err.contains("failed (Retryable): disk hiccup; starts again in 1.0s, 2 restarts left"), "{told:?}");
}

#[test]
fn the_manifests_rules_come_before_the_table() {
    let scratch = Scratch::new();
    let rules =
        "  failurePolicy: [{ exitCodes: [10], action: failJob }]\n---\napiVersion: bedplate.dev/v1alpha1\nkind: ModelD";
    let yaml = crate::scratch::THREE.replace("---\napiVersion: bedplate.dev/v1alpha1\nkind: ModelD", rules);
    scratch.write("three.yaml", &yaml);
    scratch.worker("bedplate-trainer", "fail 'disk hiccup' 10");
    let told = scratch.run(&["--once"]);
    assert_eq!((told.code, told.err.contains("starts again")), (Some(10), false), "{told:?}");
}

#[test]
fn a_result_that_is_not_there_is_no_success() {
    let scratch = Scratch::new();
    scratch.worker("bedplate-dataset", "exit 0");
    let told = scratch.run(&["--once"]);
    assert_eq!(told.code, Some(10), "{told:?}");
    assert!(told.err.contains("Dataset/sources failed (NoResult): ended without a result"), "{told:?}");
}

#[test]
fn a_deployment_that_dies_ends_the_run() {
    let scratch = Scratch::new();
    let dying = SERVER.replace("sleep 1000 & wait", "while [ ! -e asked ]; do sleep 0.05; done; exit 101");
    scratch.worker("bedplate-inference", &dying);
    let told = scratch.run(&["--exec", "touch asked; sleep 1000"]);
    assert_eq!(told.code, Some(10), "{told:?}");
    assert!(told.err.contains("ModelDeployment/tiny failed (UnknownExitCode): ended with exit code 101"), "{told:?}");
}

#[test]
fn ranks_share_a_job_and_meet_at_one_address() {
    let scratch = Scratch::new();
    let yaml = crate::scratch::THREE
        .replace("  schedule:", "  parallelism: { data: 2 }\n  workers: { numNodes: 2 }\n  schedule:");
    scratch.write("three.yaml", &yaml);
    let body = format!("echo rank $4; if [ \"$4\" = 1 ]; then exit 0; fi\n{TRAINER}");
    scratch.worker("bedplate-trainer", &body);
    let told = scratch.run(&["--once"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let job = std::fs::read_to_string(scratch.state("jobs/training-job.default.tiny.json")).expect("a job file");
    let port = job.split("\"rendezvous\": \"127.0.0.1:").nth(1).and_then(|rest| rest.split('"').next());
    assert!(port.and_then(|port| port.parse::<u16>().ok()).is_some_and(|port| port > 0), "{job}");
    let token = job.split("\"rendezvousToken\": \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    assert!(token.len() >= 32, "{job}");
    let mode = std::fs::metadata(scratch.state("jobs/training-job.default.tiny.json")).expect("a job file").mode();
    assert_eq!(mode & 0o077, 0, "nobody else reads the token");
    let logs = std::fs::read_dir(scratch.state("logs")).expect("logs").next().expect("a run").expect("a folder").path();
    for rank in ["0", "1"] {
        let log = logs.join(format!("training-job.default.tiny-rank{rank}.log"));
        assert_eq!(std::fs::read_to_string(log).expect("a log"), format!("rank {rank}\n"));
    }
}

#[test]
fn the_rank_that_failed_first_is_the_one_that_is_shown() {
    let scratch = Scratch::new();
    let yaml = crate::scratch::THREE
        .replace("  schedule:", "  parallelism: { data: 2 }\n  workers: { numNodes: 2 }\n  schedule:");
    scratch.write("three.yaml", &yaml);
    // Rank 0 goes only after rank 1, as a peer does that loses it; the signal that follows must not come in between.
    let rank_1 = "trap '' TERM; touch \"$progress.gone\"; echo 'rank 1 has no memory' >&2; exit 12";
    let rank_0 = "until [ -e \"$progress.gone\" ]; do sleep 0.02; done; fail 'rank 1 went away' 13";
    let body = format!("if [ \"$4\" = 1 ]; then {rank_1}; fi\n{rank_0}");
    scratch.worker("bedplate-trainer", &body);
    let told = scratch.run(&["--once"]);
    assert_eq!(told.code, Some(12), "{told:?}");
    assert!(told.err.contains("failed (OutOfMemory)") && told.err.contains("rank 1 has no memory"), "{told:?}");
}

#[test]
fn what_is_suspended_is_left_out_with_all_that_waits_for_it() {
    let scratch = Scratch::new();
    scratch.write("three.yaml", &crate::scratch::THREE.replace("  data: [", "  suspend: true\n  data: ["));
    let told = scratch.run(&[]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(told.out.matches("Suspended").count(), 4, "{told:?}");
    assert!(told.err.contains("TrainingJob default/tiny is left out: spec.suspend is true"), "{told:?}");
    assert!(told.err.contains("ModelDeployment default/tiny is left out: it waits for TrainingJob default/tiny"));
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_starts() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let told = scratch.bedplate(&["run", "three.yaml", "--no-history", "--port", &port]);
    assert_eq!(told.code, Some(10), "{told:?}");
    assert!(
        told.err.contains(&format!("cannot listen on 127.0.0.1:{port}")) && told.err.contains("--port"),
        "{told:?}"
    );
    assert!(!scratch.state("storage").exists(), "nothing was started");
}

#[test]
fn a_finished_resource_may_be_referred_to_by_a_later_run() {
    let scratch = Scratch::new();
    let documents: Vec<&str> = crate::scratch::THREE.split("---\n").collect();
    scratch.write("data.yaml", documents[0]);
    scratch.write("train.yaml", documents[1]);
    let refused = scratch.bedplate(&["run", "train.yaml", "--no-history"]);
    assert_eq!(refused.code, Some(11), "{refused:?}");
    assert!(refused.err.contains("there is no Dataset default/sources"), "{refused:?}");
    assert_eq!(scratch.bedplate(&["run", "data.yaml", "--no-history"]).code, Some(0));
    let told = scratch.bedplate(&["run", "train.yaml", "--no-history"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let status = scratch.bedplate(&["status", "-o", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&status.out).expect("JSON");
    let phases: Vec<&str> = rows.as_array().expect("rows").iter().filter_map(|row| row["phase"].as_str()).collect();
    assert_eq!(phases, ["Succeeded", "Succeeded"], "{status:?}");
}

#[test]
fn status_and_complete_find_the_running_deployment() {
    let scratch = Scratch::new();
    scratch.worker("bedplate-dataset", DATASET);
    scratch.worker("bedplate-inference", &SERVER.replace("$address", "127.0.0.1:9"));
    let mut run = scratch.start(&[]);
    scratch.wait_for(&scratch.state("state.json"), "\"phase\": \"Ready\"");
    let status = scratch.bedplate(&["status"]);
    let row = status.out.lines().find(|line| line.starts_with("ModelDeployment")).expect("a row").to_owned();
    assert!(row.contains("Ready") && row.contains("http://127.0.0.1:9"), "{row}");
    let row = status.out.lines().find(|line| line.starts_with("TrainingJob")).expect("a row").to_owned();
    assert!(row.contains("4/4") && row.contains("100%") && row.contains("2.500"), "{row}");
    let asked = scratch.bedplate(&["complete", "pub fn "]);
    assert!(asked.err.contains("no answer from http://127.0.0.1:9/v1/models"), "{asked:?}");
    let asked = scratch.bedplate(&["chat", "--deployment", "other", "-m", "hello"]);
    assert!(asked.err.contains("no deployment \"other\" runs; these do: tiny"), "{asked:?}");
    crate::scratch::signal(&run, rustix::process::Signal::INT);
    wait_until("the run's end", || run.try_wait().expect("a child").is_some());
    let asked = scratch.bedplate(&["complete", "pub fn "]);
    assert!(asked.err.contains("no deployment runs in"), "{asked:?}");
}
