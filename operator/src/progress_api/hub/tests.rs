//! The hub without a history: who may report, which line comes next, and who is told.

use bedplate_crds::job::progress::{ProgressBody, ProgressEvent};
use futures::FutureExt;

use super::*;

const UID: &str = "0f3e";

fn key(name: &str) -> ResourceKey {
    ResourceKey { kind: Kind::TrainingJob, namespace: "team".to_owned(), name: name.to_owned() }
}

fn described(uid: &str, name: &str) -> Described {
    Described { uid: uid.to_owned(), key: key(name), spec: Value::Null, job: Value::Null, inputs: Vec::new() }
}

fn reporter(uid: &str, name: &str) -> Reporter {
    let (kind, namespace, name) = ("TrainingJob".to_owned(), "team".to_owned(), name.to_owned());
    Reporter { kind, namespace, name, uid: uid.to_owned(), file: "file".to_owned() }
}

fn hub() -> ProgressHub {
    let (hub, _) = ProgressHub::new(HistorySource::None);
    hub.describe(described(UID, "train"));
    hub
}

fn line(time_seconds: f64, body: ProgressBody) -> String {
    serde_json::to_string(&ProgressEvent { time_seconds, body }).unwrap()
}

fn checkpoint(step: u64) -> String {
    let body = ProgressBody::Checkpoint { step, path: "/out".to_owned(), digest: format!("d{step}"), bytes: 1 };
    line(step as f64, body)
}

fn checkpoint_step(hub: &ProgressHub) -> Option<u64> {
    hub.latest(UID)?.checkpoint.map(|checkpoint| checkpoint.step)
}

#[tokio::test]
async fn lines_are_taken_once_and_in_order_however_they_are_sent() {
    let (hub, from) = (hub(), reporter(UID, "train"));
    let lines: Vec<String> = (0..5).map(checkpoint).collect();
    assert_eq!(hub.resume(&from).await, Ok(0));
    assert_eq!(hub.report(&from, 0, &lines[..2]).await, Ok(2));
    assert_eq!(hub.report(&from, 4, &lines[4..]).await, Ok(2), "a gap is asked for");
    assert_eq!(checkpoint_step(&hub), Some(1));
    assert_eq!(hub.report(&from, 0, &lines[..4]).await, Ok(4), "what is known already is no harm");
    assert_eq!(hub.report(&from, 0, &lines[..1]).await, Ok(4));
    assert_eq!((checkpoint_step(&hub), hub.resume(&from).await), (Some(3), Ok(4)));
    assert_eq!(hub.report(&from, 4, &["torn".to_owned()]).await, Ok(5), "a line that is no event counts all the same");
    assert_eq!(hub.report(&from, u64::MAX, &lines).await, Ok(5));
    assert_eq!(hub.reports(Kind::TrainingJob), 6);
}

#[tokio::test]
async fn each_file_of_a_resource_has_lines_of_its_own() {
    let (hub, first) = (hub(), reporter(UID, "train"));
    let second = Reporter { file: "other".to_owned(), ..first.clone() };
    assert_eq!(hub.report(&first, 0, &[checkpoint(1), checkpoint(2)]).await, Ok(2));
    assert_eq!(hub.report(&second, 0, &[checkpoint(3)]).await, Ok(1));
    assert_eq!((hub.resume(&first).await, hub.resume(&second).await), (Ok(2), Ok(1)));
}

#[tokio::test]
async fn a_uid_that_nobody_described_or_of_another_name_reports_nothing() {
    let hub = hub();
    let unknown = hub.report(&reporter("made-up", "train"), 0, &[checkpoint(1)]).await;
    assert_eq!(unknown, Err(HubError::Unknown { uid: "made-up".to_owned() }));
    let other = hub.report(&reporter(UID, "other"), 0, &[checkpoint(1)]).await;
    assert!(matches!(other, Err(HubError::OtherName { .. })), "{other:?}");
    assert_eq!(hub.latest(UID), None);
    hub.deleted(UID).await;
    assert_eq!(hub.resume(&reporter(UID, "train")).await, Err(HubError::Unknown { uid: UID.to_owned() }));
}

#[tokio::test]
async fn a_flood_is_refused() {
    let (hub, from) = (hub(), reporter(UID, "train"));
    let mut refused = 0;
    for _ in 0..1_000 {
        refused += u32::from(matches!(hub.resume(&from).await, Err(HubError::TooMany { .. })));
    }
    assert!(refused >= 600, "{refused}");
}

#[tokio::test]
async fn subscribers_hear_of_what_matters_at_once() {
    let hub = hub();
    let mut changes = Box::pin(hub.subscribe());
    hub.report(&reporter(UID, "train"), 0, &[checkpoint(1)]).await.unwrap();
    assert_eq!(changes.next().await, Some(key("train")));
    assert_eq!(changes.next().now_or_never(), None, "it is told once");
}
