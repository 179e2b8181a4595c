//! Stopping and going on: Ctrl-C, a killed run, two runs at once.

use rustix::process::Signal;

use crate::scratch::{Scratch, TRAINER, Told, is_running, signal, wait_until};

/// Trains until told to stop, then writes a checkpoint; the next attempt finishes.
fn patient_trainer() -> String {
    let trap =
        "trap 'checkpoint 2; say \"\\\"failed\\\",\\\"message\\\":\\\"stopped\\\",\\\"exitCode\\\":14\"; exit 14' TERM";
    format!("if [ ! -e seen ]; then touch seen; {trap}\n step 1 4; step 2 4; sleep 1000 & wait; fi\n{TRAINER}")
}

/// The worker's process id, once it has taken a step.
fn worker_pid(scratch: &Scratch) -> i32 {
    let progress = scratch.state("storage/default/training-jobs/default/tiny/progress.jsonl");
    let text = scratch.wait_for(&progress, "\"step\":2");
    let pid = text.rsplit("\"pid\":").next().and_then(|rest| rest.split('}').next());
    pid.and_then(|pid| pid.parse().ok()).expect("a process id")
}

#[test]
fn ctrl_c_lets_the_worker_write_a_checkpoint_and_the_same_command_goes_on() {
    let scratch = Scratch::new();
    scratch.worker("bedplate-trainer", &patient_trainer());
    let run = scratch.start(&["--once"]);
    let pid = worker_pid(&scratch);
    signal(&run, Signal::INT);
    let told = Told::from(run.wait_with_output().expect("it ends"));
    assert_eq!(told.code, Some(14), "{told:?}");
    assert!(told.err.contains("stopping: the workers write a checkpoint"), "{told:?}");
    assert!(told.err.contains("step 2  checkpoint written"), "{told:?}");
    assert!(told.out.contains("Stopped. To go on: ") && told.out.contains("run three.yaml"), "{told:?}");
    assert!(!is_running(pid));
    let told = scratch.run(&["--once"]);
    assert_eq!(told.code, Some(0), "{told:?}");
}

#[test]
fn a_worker_that_hangs_is_killed_by_the_second_ctrl_c() {
    let scratch = Scratch::new();
    scratch.worker("bedplate-trainer", "trap '' TERM\nstep 1 4; step 2 4; while :; do sleep 0.2; done");
    let run = scratch.start(&["--once"]);
    let pid = worker_pid(&scratch);
    signal(&run, Signal::INT);
    // The first one has been heard when the workers have been told; two signals at once would count as one.
    let mut run = run;
    let mut err = std::io::BufReader::new(run.stderr.take().expect("piped"));
    let heard = std::iter::from_fn(|| {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut err, &mut line).ok().filter(|read| *read > 0).map(|_| line)
    })
    .any(|line| line.contains("stopping"));
    assert!(heard);
    signal(&run, Signal::INT);
    let status = run.wait().expect("it ends");
    assert_eq!(status.code(), Some(14));
    assert!(!is_running(pid));
}

#[test]
fn ctrl_c_while_serving_is_a_good_end() {
    let scratch = Scratch::new();
    let run = scratch.start(&[]);
    scratch.wait_for(&scratch.state("state.json"), "\"phase\": \"Ready\"");
    signal(&run, Signal::TERM);
    let told = Told::from(run.wait_with_output().expect("it ends"));
    assert_eq!(told.code, Some(0), "{told:?}");
}

#[test]
fn two_runs_in_one_folder_do_not_meet() {
    let scratch = Scratch::new();
    let run = scratch.start(&[]);
    scratch.wait_for(&scratch.state("state.json"), "\"phase\": \"Ready\"");
    let told = scratch.run(&["--once"]);
    assert_eq!(told.code, Some(10), "{told:?}");
    let expected = format!("another `bedplate run` (process {}) works in ", run.id());
    assert!(told.err.contains(&expected) && told.err.contains("--state-dir"), "{told:?}");
    signal(&run, Signal::INT);
    assert_eq!(run.wait_with_output().expect("it ends").status.code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_killed_leaves_no_process_and_no_lie() {
    let scratch = Scratch::new();
    scratch.worker("bedplate-trainer", &patient_trainer());
    let run = scratch.start(&["--once"]);
    let pid = worker_pid(&scratch);
    signal(&run, Signal::KILL);
    run.wait_with_output().expect("it ends");
    wait_until("the end of the worker", || !is_running(pid));
    let status = scratch.bedplate(&["status"]);
    let row = status.out.lines().find(|line| line.starts_with("TrainingJob")).expect("a row").to_owned();
    assert!(row.contains("Stopped") && row.contains("RunLost"), "{row}");
    assert_eq!(scratch.run(&["--once"]).code, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_that_outlives_its_run_is_ended_by_the_next_one() {
    let scratch = Scratch::new();
    // Deaf to the kernel's word that its parent died, but not to the second one.
    let deaf = "n=0; trap 'n=$((n+1)); touch told$n' TERM\nstep 1 4; step 2 4\nwhile [ ! -e told2 ]; do sleep 0.05; done; exit 14";
    scratch.worker("bedplate-trainer", &format!("if [ ! -e seen ]; then touch seen; {deaf}; fi\n{TRAINER}"));
    let run = scratch.start(&["--once"]);
    let pid = worker_pid(&scratch);
    signal(&run, Signal::KILL);
    run.wait_with_output().expect("it ends");
    wait_until("the kernel's word", || scratch.path().join("told1").exists());
    assert!(is_running(pid));
    let told = scratch.run(&["--once"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.err.contains(&format!("ended TrainingJob default/tiny (process {pid}), left behind")), "{told:?}");
    assert!(!is_running(pid));
}
