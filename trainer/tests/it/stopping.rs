//! Signals, deadlines and full disks end an attempt with the right code and nothing lost.

use std::{fs, path::Path, process::Command};

use bedplate_crds::job::{TrainerJob, progress::ProgressBody};

use crate::fixture::{Place, events, failure, signal, spawn, steps, wait, wait_until};

fn long_job(place: &Place, name: &str, data: &Path) -> TrainerJob {
    let mut job = place.job(name, &[data]);
    job.spec.schedule.max_steps = 1_500;
    job.spec.checkpoint.every_steps = 10_000;
    job
}

#[test]
fn a_signal_saves_the_step_at_hand_and_the_next_attempt_goes_on_from_it() {
    let place = Place::new();
    let data = place.dataset("data");
    let digest = place.complete(&long_job(&place, "undisturbed", &data));
    for name in ["TERM", "INT"] {
        let job = long_job(&place, name, &data);
        let child = place.start(&job, 0);
        assert!(wait_until(|| steps(&job).len() >= 3), "it trains");
        signal(&child, name);
        let ended = wait(child);
        assert_eq!(ended.code, Some(14), "{}", ended.stderr);
        let stopped_at = steps(&job).last().unwrap().step;
        assert!(stopped_at < 1_500);
        let (message, exit_code) = failure(&job);
        assert_eq!(exit_code, 14);
        assert!(
            message.starts_with(&format!("stopped by a signal after step {stopped_at}, which is saved")),
            "{message}"
        );

        assert_eq!(place.complete(&job), digest);
        assert_eq!(steps(&job)[stopped_at as usize].step, stopped_at + 1, "no step is lost or repeated");
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let place = Place::new();
    let mut job = long_job(&place, "job", &place.dataset("data"));
    // A step of many seconds, so that the first signal is still waiting for its end.
    job.spec.schedule.global_batch_size = 1 << 20;
    let mut child = place.start(&job, 0);
    assert!(wait_until(|| events(&job).iter().any(|body| matches!(body, ProgressBody::Plan { .. }))), "it starts");
    // Signals that arrive together count as one, so it gets another as long as it lives.
    let ended = wait_until(|| {
        signal(&child, "TERM");
        child.try_wait().unwrap().is_some()
    });
    assert!(ended, "a second signal ends it");
    assert_eq!(wait(child).code, None, "it ends by the signal");
    assert!(steps(&job).is_empty());
}

#[test]
fn a_signal_ends_the_waiting_for_other_ranks() {
    let place = Place::new();
    let mut job = long_job(&place, "job", &place.dataset("data"));
    job.spec.parallelism.data = 2;
    job.rendezvous = Some("127.0.0.1:0".to_owned());
    let child = place.start(&job, 0);
    assert!(wait_until(|| events(&job).iter().any(|body| matches!(body, ProgressBody::Plan { .. }))), "it waits");
    signal(&child, "TERM");
    assert_eq!(wait(child).code, Some(14));
    assert_eq!(failure(&job).0, "stopped before all ranks had come together");
}

#[test]
fn the_deadline_counts_the_running_time_of_all_attempts() {
    let place = Place::new();
    let mut job = long_job(&place, "job", &place.dataset("data"));
    job.spec.active_deadline_seconds = Some(3_600);
    fs::create_dir_all(&job.output_dir).unwrap();
    fs::write(job.output_dir.join("running-seconds"), "3600.5\n").unwrap();
    assert_eq!(place.train(&job).code, Some(17));
    let (message, exit_code) = failure(&job);
    assert_eq!(exit_code, 17);
    assert!(message.starts_with("spec.activeDeadlineSeconds is used up after step 1, which is saved"), "{message}");
    let noted: f64 = fs::read_to_string(job.output_dir.join("running-seconds")).unwrap().trim().parse().unwrap();
    assert!(noted > 3_600.5);

    job.spec.active_deadline_seconds = Some(7_200);
    job.spec.checkpoint.every_steps = 100;
    place.complete(&job);
    assert_eq!(steps(&job)[1].step, 2);
}

/// The limit on the size of a file stands in for a full disk: the system refuses the write in the same way.
#[test]
fn a_disk_that_takes_no_more_ends_the_attempt_and_leaves_no_half_checkpoint() {
    let place = Place::new();
    let job = place.job("job", &[&place.dataset("data")]);
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" --config \"$1\"";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, env!("CARGO_BIN_EXE_bedplate-trainer")]).arg(place.write(&job));
    let ended = wait(spawn(&mut limited));
    assert_eq!(ended.code, Some(15), "{}", ended.stderr);
    let (message, exit_code) = failure(&job);
    assert_eq!(exit_code, 15);
    assert!(
        message.starts_with("the checkpoint after step 5 could not be written; free space below outputDir"),
        "{message}"
    );
    assert!(message.contains("cannot write ") && message.contains("File too large"), "{message}");

    let left: Vec<_> = fs::read_dir(job.output_dir.join("checkpoints")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");

    // With room again the same job goes on from its newest whole checkpoint: none.
    place.complete(&job);
    assert_eq!(steps(&job)[5].step, 1);
}

#[test]
fn an_output_folder_that_cannot_be_made_is_named() {
    let place = Place::new();
    let mut job = place.job("job", &[&place.dataset("data")]);
    fs::write(place.path("file"), "in the way").unwrap();
    job.output_dir = place.path("file").join("output");
    assert_eq!(place.train(&job).code, Some(15));
    let (message, _) = failure(&job);
    assert!(message.contains("outputDir") || message.contains("cannot list the checkpoints in"), "{message}");

    job.progress_file = place.path("file").join("progress.jsonl");
    let ended = place.train(&job);
    assert_eq!(ended.code, Some(15));
    assert!(ended.stderr.contains("check progressFile in the job file"), "{}", ended.stderr);
}
