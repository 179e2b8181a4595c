//! What a pod of a Dataset tells besides its shards: progress to the operator, and its last word.

use std::{fs, path::Path};

use bedplate_crds::job::{
    exit::ExitCode,
    termination::{DatasetTotals, TerminationMessage},
};
use bedplate_recorder::Recorder;
use serde_json::json;

use crate::harness::{Folder, command, spec};

fn last_word(path: &Path) -> TerminationMessage {
    TerminationMessage::from_json(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_event_reaches_the_operator_and_the_last_word_has_the_totals() {
    let folder = Folder::with_prose(60);
    let mut recorder = Recorder::new().unwrap();
    recorder.listen().unwrap();
    let (log, progress) = (folder.path().join("termination-log"), folder.path().join("reported.jsonl"));
    let fields = json!({ "reporting": recorder.reporting("Dataset"), "progressFile": progress });
    let mut run = command(&folder.job_with(&spec(), &fields));
    run.env("BEDPLATE_TERMINATION_LOG", &log);
    let outcome = folder.finish(run);
    assert_eq!(outcome.exit, Some(ExitCode::Success), "{}", outcome.stderr);
    let written: Vec<String> = fs::read_to_string(progress).unwrap().lines().map(str::to_owned).collect();
    assert!(written.len() > 5);
    assert_eq!((recorder.lines(), recorder.repeated()), (written, 0));
    let manifest = folder.manifest();
    let word = last_word(&log);
    assert_eq!((word.exit_code, word.digest.as_ref()), (0, Some(&manifest.digest)));
    assert_eq!(word.dataset, Some(DatasetTotals::from(&manifest)));
    assert!(word.dataset.unwrap().documents > 0);
}

#[test]
fn the_last_word_of_a_refused_job_is_its_sentence_and_an_absent_operator_changes_no_exit_code() {
    let folder = Folder::with_prose(3);
    let recorder = Recorder::new().unwrap();
    let log = folder.path().join("termination-log");
    let mut wrong = spec();
    wrong["packing"]["sequenceLength"] = json!(1);
    let mut run = command(&folder.job_with(&wrong, &json!({ "reporting": recorder.reporting("Dataset") })));
    run.env("BEDPLATE_TERMINATION_LOG", &log);
    folder.finish(run).assert_refused(ExitCode::InvalidConfig, &["spec.packing.sequenceLength"]);
    let word = last_word(&log);
    assert_eq!((word.exit_code, word.digest, word.dataset), (11, None, None));
    assert!(word.message.unwrap().contains("spec.packing.sequenceLength"));
}

#[test]
fn what_a_job_made_is_removed_and_nothing_else() {
    let folder = Folder::with_prose(20);
    let place = |name: &str| folder.path().join("volume/datasets/default").join(name);
    let fields = json!({ "outputDir": place("test"), "progressFile": place("test").join("progress.jsonl") });
    fs::create_dir_all(place("beside")).unwrap();
    assert_eq!(folder.finish(command(&folder.job_with(&spec(), &fields))).exit, Some(ExitCode::Success));
    assert!(place("test").join("manifest.json").exists());
    for _ in 0..2 {
        let mut remove = command(&folder.job_with(&spec(), &fields));
        remove.arg("--remove");
        let outcome = folder.finish(remove);
        assert_eq!(outcome.exit, Some(ExitCode::Success), "{}", outcome.stderr);
        assert!(!place("test").exists() && place("beside").exists());
    }
    let mut elsewhere = command(&folder.job_with(&spec(), &json!({ "outputDir": place("beside") })));
    elsewhere.arg("--remove");
    assert_eq!(folder.finish(elsewhere).exit, Some(ExitCode::InvalidConfig));
    assert!(place("beside").exists());
}
