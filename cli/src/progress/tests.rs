//! Events in, state out; and the file they come from, as a crash leaves it.

use std::io::Write;

use bedplate_crds::job::progress::{ProgressBody, ProgressEvent, StepMetrics};

use super::{Progress, tail::Tail};

fn step(time_seconds: f64, step: u64) -> ProgressEvent {
    let body = ProgressBody::Step(StepMetrics {
        step,
        max_steps: 100,
        loss: 3.0,
        grad_norm: 1.0,
        learning_rate: 1e-3,
        tokens_per_second: 1000.0,
        tokens: step * 64,
    });
    ProgressEvent { time_seconds, body }
}

fn event(body: ProgressBody) -> ProgressEvent {
    ProgressEvent { time_seconds: 1.0, body }
}

fn stage(name: &str, cached: bool, done: bool) -> ProgressEvent {
    let stage = name.to_owned();
    let (documents_in, documents_out, bytes_in, bytes_out) = (3, 2, 12, 9);
    let (left_out, fraction) = (std::collections::BTreeMap::new(), None);
    event(ProgressBody::Stage {
        stage,
        documents_in,
        documents_out,
        bytes_in,
        bytes_out,
        left_out,
        fraction,
        cached,
        done,
    })
}

#[test]
fn a_resumed_training_replaces_the_steps_it_takes_again() {
    let mut progress = Progress::default();
    progress.apply(&event(ProgressBody::Started { pid: 1 }));
    (1..=5).for_each(|number| progress.apply(&step(number as f64, number)));
    progress.apply(&event(ProgressBody::Failed { message: "gone".into(), exit_code: 13 }));
    progress.apply(&event(ProgressBody::Started { pid: 2 }));
    assert_eq!((progress.failed.clone(), progress.remaining_seconds()), (None, None));
    progress.apply(&step(20.0, 4));
    progress.apply(&step(22.0, 5));
    let numbers: Vec<u64> = progress.steps.iter().map(|step| step.value.step).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(progress.remaining_seconds(), Some(190.0));
    assert_eq!((progress.attempts, progress.steps_taken, progress.worked), (2, 2, true));
}

#[test]
fn a_skipped_dataset_keeps_the_stages_of_the_run_that_made_it() {
    let mut progress = Progress::default();
    progress.apply(&event(ProgressBody::Started { pid: 1 }));
    progress.apply(&stage("read", false, false));
    progress.apply(&stage("read", false, true));
    progress.apply(&event(ProgressBody::Started { pid: 2 }));
    progress.apply(&event(ProgressBody::Completed { digest: "ab".into() }));
    assert_eq!((progress.stages.len(), progress.worked), (1, false));
    progress.apply(&event(ProgressBody::Started { pid: 3 }));
    progress.apply(&stage("length", true, true));
    assert_eq!(progress.stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>(), ["length"]);
}

#[test]
fn a_long_training_is_thinned_and_keeps_both_ends() {
    let mut progress = Progress::default();
    (1..=100_000).for_each(|number| progress.apply(&step(number as f64, number)));
    assert!(progress.steps.len() <= super::MAX_STEPS_KEPT);
    assert_eq!(progress.steps[0].value.step, 1);
    assert_eq!(progress.steps.last().unwrap().value.step, 100_000);
}

#[test]
fn half_a_line_waits_and_a_torn_line_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("progress.jsonl");
    let mut tail = Tail::from_start(&path);
    assert!(tail.read().is_empty());
    let mut file = std::fs::File::create(&path).unwrap();
    let line = serde_json::to_string(&step(1.0, 1)).unwrap();
    let (head, rest) = line.split_at(20);
    write!(file, "{{\"event\":\"st\n{head}").unwrap();
    assert!(tail.read().is_empty());
    writeln!(file, "{rest}").unwrap();
    assert_eq!(tail.read(), [step(1.0, 1)]);
    let mut later = Tail::from_end(&path);
    writeln!(file, "{line}").unwrap();
    assert_eq!(later.read().len(), 1);
    let mut all = Vec::new();
    Tail::from_start(&path).read_all(|event| all.push(event));
    assert_eq!(all.len(), 2);
}
