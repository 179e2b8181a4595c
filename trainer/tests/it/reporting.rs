//! What a pod of a TrainingJob tells besides its checkpoints: progress to the operator, and its last word.

use std::{fs, path::PathBuf};

use bedplate_crds::job::{TrainerJob, progress::ProgressBody, termination::TerminationMessage};
use bedplate_recorder::Recorder;

use crate::fixture::{Place, digest, events, signal, spawn, steps, trainer, wait, wait_until};

fn last_word(path: &PathBuf) -> TerminationMessage {
    TerminationMessage::from_json(&fs::read_to_string(path).unwrap()).unwrap()
}

fn written(job: &TrainerJob) -> Vec<String> {
    fs::read_to_string(&job.progress_file).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn an_operator_that_comes_late_hears_every_line_once_and_in_order() {
    let place = Place::new();
    let data = place.dataset("data");
    let mut recorder = Recorder::new().unwrap();
    let mut job = place.job("out", &[&data]);
    job.spec.schedule.max_steps = 1_000_000;
    job.spec.checkpoint.every_steps = 1_000_000;
    job.reporting = Some(recorder.reporting("TrainingJob"));
    let (log, config) = (place.path("termination-log"), place.write(&job));
    let mut command = trainer();
    let child = spawn(command.arg("--config").arg(&config).env("BEDPLATE_TERMINATION_LOG", &log));
    assert!(wait_until(|| steps(&job).len() >= 5), "it trains without the operator");
    recorder.listen().unwrap();
    assert!(wait_until(|| recorder.lines().len() >= 5), "the operator hears of it");
    // The operator goes away in the middle, and training goes on.
    recorder.hang_up();
    let so_far = written(&job).len();
    assert!(wait_until(|| written(&job).len() >= so_far + 5));
    recorder.listen().unwrap();
    signal(&child, "TERM");
    let ended = wait(child);
    assert_eq!(ended.code, Some(14), "{}", ended.stderr);
    assert_eq!(recorder.lines(), written(&job));
    assert_eq!(recorder.repeated(), 0);
    let word = last_word(&log);
    assert_eq!(word.exit_code, 14);
    assert!(word.message.unwrap().contains("stopped by a signal"));
}

#[test]
fn the_last_word_names_the_artefact_or_the_reason() {
    let place = Place::new();
    let data = place.dataset("data");
    let log = place.path("termination-log");
    let run = |job: &TrainerJob, more: &[&str]| {
        let config = place.write(job);
        wait(spawn(trainer().arg("--config").arg(config).args(more).env("BEDPLATE_TERMINATION_LOG", &log)))
    };
    let job = place.job("out", &[&data]);
    assert_eq!(run(&job, &[]).code, Some(0));
    assert_eq!(last_word(&log).digest, Some(digest(&job)));
    let mut wrong = place.job("other", &[&data]);
    wrong.spec.schedule.micro_batch_size = 3;
    assert_eq!(run(&wrong, &[]).code, Some(11));
    let word = last_word(&log);
    assert_eq!((word.exit_code, word.digest), (11, None));
    assert!(word.message.unwrap().contains("spec.schedule.globalBatchSize"));
}

#[test]
fn the_rank_is_that_of_the_indexed_jobs_pod() {
    let place = Place::new();
    let data = place.dataset("data");
    let job = place.job("out", &[&data]);
    let config = place.write(&job);
    let ended = wait(spawn(trainer().arg("--config").arg(config).env("JOB_COMPLETION_INDEX", "3")));
    assert_eq!(ended.code, Some(11));
    assert!(ended.stderr.contains("--rank is 3"), "{}", ended.stderr);
    assert!(events(&job).iter().all(|event| !matches!(event, ProgressBody::Started { .. })));
}

#[test]
fn what_a_job_made_is_removed_and_nothing_else() {
    let place = Place::new();
    let data = place.dataset("data");
    let mut job = place.job("default/training-jobs/default/train", &[&data]);
    let beside = place.path("default/training-jobs/default/beside");
    fs::create_dir_all(&beside).unwrap();
    place.complete(&job);
    let remove = |job: &TrainerJob| wait(spawn(trainer().arg("--config").arg(place.write(job)).arg("--remove")));
    assert_eq!(remove(&job).code, Some(0));
    assert!(!job.output_dir.exists() && beside.exists() && data.exists());
    assert_eq!(remove(&job).code, Some(0), "a second time is as good");
    job.output_dir = beside.clone();
    let refused = remove(&job);
    assert_eq!(refused.code, Some(11));
    assert!(refused.stderr.contains("outputDir") && beside.exists(), "{}", refused.stderr);
}
