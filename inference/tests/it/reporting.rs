//! What a pod of a ModelDeployment tells besides its answers: progress to the operator, and its last word.

use bedplate_crds::job::termination::TerminationMessage;
use bedplate_recorder::Recorder;

use crate::process::Process;

fn last_word(log: &std::path::Path) -> TerminationMessage {
    TerminationMessage::from_json(&std::fs::read_to_string(log).unwrap()).unwrap()
}

#[test]
fn a_server_reports_that_it_is_ready_and_how_it_ended() {
    let mut recorder = Recorder::new().unwrap();
    recorder.listen().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("termination-log");
    let environment = [("BEDPLATE_TERMINATION_LOG", log.to_str().unwrap())];
    let mut process =
        Process::with_environment(&environment, |job| job.reporting = Some(recorder.reporting("ModelDeployment")));
    let url = process.url();
    process.terminate();
    assert!(process.wait().success());
    let lines = recorder.lines();
    assert_eq!((lines.len(), recorder.repeated()), (2, 0), "{lines:?}");
    assert!(lines[0].contains("started") && lines[1].contains(&url), "{lines:?}");
    assert_eq!(last_word(&log), TerminationMessage::new(0));
}

#[test]
fn a_server_that_cannot_start_leaves_its_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("termination-log");
    let environment = [("BEDPLATE_TERMINATION_LOG", log.to_str().unwrap())];
    let mut process = Process::with_environment(&environment, |job| job.model_uri = "file:///nowhere".to_owned());
    assert_eq!(process.wait().code(), Some(11));
    let word = last_word(&log);
    assert_eq!((word.exit_code, word.message), (11, Some(process.failure())));
}
