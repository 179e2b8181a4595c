//! What a status shows after a run of events.

use super::*;

fn at(time_seconds: f64, body: ProgressBody) -> ProgressEvent {
    ProgressEvent { time_seconds, body }
}

fn step(step: u64) -> ProgressBody {
    ProgressBody::Step(StepMetrics {
        step,
        max_steps: 100,
        loss: 3.0 - step as f64 / 100.0,
        grad_norm: 1.0,
        learning_rate: 1e-3,
        tokens_per_second: 10.0,
        tokens: step * 8,
    })
}

fn stage(name: &str, documents_out: u64, done: bool) -> ProgressBody {
    let (stage, fraction) = (name.to_owned(), Some(0.25));
    let (documents_in, bytes_in, bytes_out) = (10, 100, documents_out * 7);
    let left_out = [("zip archive".to_owned(), 2)].into();
    ProgressBody::Stage {
        stage,
        documents_in,
        documents_out,
        bytes_in,
        bytes_out,
        left_out,
        fraction,
        cached: false,
        done,
    }
}

fn started() -> ProgressBody {
    ProgressBody::Started { pid: 7 }
}

fn folded(events: impl IntoIterator<Item = (f64, ProgressBody)>) -> ProgressSnapshot {
    let mut snapshot = ProgressSnapshot::default();
    events.into_iter().for_each(|(time, body)| snapshot.fold(&at(time, body)));
    snapshot
}

#[test]
fn the_time_left_follows_the_rate_of_the_present_attempt() {
    let first = folded([(0.0, started()), (10.0, step(1))]);
    assert_eq!(first.remaining_seconds, None, "one step has no rate");
    let second = folded([(0.0, started()), (10.0, step(1)), (12.0, step(2)), (14.0, step(3))]);
    assert_eq!(second.remaining_seconds, Some(97 * 2));
    let pause = [(0.0, started()), (10.0, step(50)), (9_000.0, started()), (9_001.0, step(41)), (9_002.0, step(42))];
    assert_eq!(folded(pause).remaining_seconds, Some(58), "the pause between attempts is no step");
}

#[test]
fn a_new_attempt_forgets_the_end_of_the_one_before_but_not_its_checkpoint() {
    let checkpoint = ProgressBody::Checkpoint { step: 40, path: "/out".to_owned(), digest: "ab".to_owned(), bytes: 9 };
    let failed = ProgressBody::Failed { message: "gone".to_owned(), exit_code: 13 };
    let before = folded([(1.0, started()), (2.0, step(40)), (3.0, checkpoint), (4.0, failed)]);
    assert_eq!(before.failed_message.as_deref(), Some("gone"));
    let mut after = before.clone();
    after.fold(&at(9.0, started()));
    assert_eq!((after.failed_message.clone(), after.remaining_seconds), (None, None));
    assert_eq!((after.checkpoint.clone(), after.step.clone()), (before.checkpoint, before.step));
    assert_eq!(after.started.unwrap().0.as_second(), 9);
}

#[test]
fn stages_come_in_order_and_two_of_one_name_stay_two() {
    let events =
        [stage("read", 10, true), stage("length", 4, false), stage("length", 9, true), stage("length", 8, true)];
    let snapshot = folded(events.into_iter().map(|body| (1.0, body)));
    let stages: Vec<_> = snapshot.stages.iter().map(|stage| (stage.stage.as_str(), stage.documents_out)).collect();
    assert_eq!(stages, [("read", 10), ("length", 9), ("length", 8)]);
    assert_eq!(snapshot.stages[0].left_out["zip archive"], 2);
    assert_eq!(snapshot.stage_fraction, Some(0.25));
}

#[test]
fn ends_and_endpoints_are_shown() {
    let completed = ProgressBody::Completed { digest: "d0".to_owned() };
    let snapshot = folded([(1.0, started()), (2.0, step(99)), (3.0, step(100)), (4.0, completed)]);
    assert_eq!((snapshot.completed_digest.as_deref(), snapshot.remaining_seconds), (Some("d0"), None));
    let ready = ProgressBody::Ready { url: "http://x".to_owned() };
    assert_eq!(folded([(1.0, started()), (2.0, ready)]).ready_url.as_deref(), Some("http://x"));
}

#[test]
fn a_clock_that_is_wrong_harms_nothing() {
    for wrong in [f64::NAN, f64::INFINITY, -1e300, 1e300] {
        let snapshot = folded([(wrong, started()), (wrong, step(1)), (0.0, step(2)), (wrong, step(3))]);
        assert_eq!(snapshot.step.unwrap().metrics.step, 3);
    }
}
