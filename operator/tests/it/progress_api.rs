//! Pods that report, as far as the rows: who may, what arrives, and what an outage of operator or Postgres changes.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use bedplate_operator::{
    progress_api::{
        hub::{HistorySource, ProgressHub},
        v1alpha1::{ReportRequest, Reporter as From, ResumeRequest, progress_client::ProgressClient},
    },
    store::Store,
};
use bedplate_workload::reporter::Reporter;
use tokio::sync::watch;
use tonic::{
    Code, Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint as Address},
};

use crate::{
    database::Database,
    events::{at, checkpoint, completed, started, step},
    progress_server::{Place, Server, UID, hub, metadata},
};

/// Longest wait for anything; reaching it is a failure.
const DEADLINE: Duration = Duration::from_secs(60);

async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    while !holds().await {
        assert!(begin.elapsed() < DEADLINE, "waited in vain until {what}");
        ticks.tick().await;
    }
}

fn lines(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    let event = |second: u32| match second {
        0 => at(0, started()),
        second => at(second, step(second.into())),
    };
    range.map(|second| serde_json::to_string(&event(second)).unwrap()).collect()
}

fn append(place: &Place, lines: &[String]) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(place.progress_file()).unwrap();
    lines.iter().for_each(|line| writeln!(file, "{line}").unwrap());
}

fn from(uid: &str) -> From {
    let (kind, namespace, name) = ("TrainingJob".to_owned(), "team".to_owned(), "train".to_owned());
    From { kind, namespace, name, uid: uid.to_owned(), file: "f".to_owned() }
}

async fn client(place: &Place, server: &Server) -> ProgressClient<Channel> {
    let authority = Certificate::from_pem(std::fs::read(place.path("tls.crt")).unwrap());
    let address = Address::from_shared(place.reporting(server.address).url).unwrap();
    let address = address.tls_config(ClientTlsConfig::new().ca_certificate(authority)).unwrap();
    ProgressClient::new(address.connect().await.unwrap())
}

fn request<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

/// Steps of every attempt, in the order in which they were taken.
async fn steps(database: &Database) -> Vec<i64> {
    sqlx::query_scalar(
        "SELECT m.step FROM bedplate.step_metrics m JOIN bedplate.attempts a ON a.id = m.attempt_id
         ORDER BY a.started_at, m.step",
    )
    .fetch_all(&mut database.connection().await)
    .await
    .unwrap()
}

/// Exit status and digest of every attempt.
async fn attempts(database: &Database) -> Vec<(Option<i32>, Option<String>)> {
    sqlx::query_as("SELECT exit_code, digest FROM bedplate.attempts ORDER BY started_at")
        .fetch_all(&mut database.connection().await)
        .await
        .unwrap()
}

async fn open_attempts(database: &Database) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM bedplate.attempts WHERE ended_at IS NULL")
        .fetch_one(&mut database.connection().await)
        .await
        .unwrap()
}

fn source(store: &Store) -> (watch::Sender<Option<Store>>, HistorySource) {
    let (sender, receiver) = watch::channel(Some(store.clone()));
    (sender, HistorySource::Store(receiver))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_resources_own_pods_may_report() {
    let place = Place::new();
    let hub = hub(HistorySource::None);
    let server = Server::start(&place, hub.clone()).await;
    let mut client = client(&place, &server).await;
    let mut code = async |token: Option<&str>, uid: &str| -> Code {
        let message = ReportRequest { reporter: Some(from(uid)), first_line: 0, lines: lines(0..=1) };
        client.report(request(message, token)).await.err().as_ref().map_or(Code::Ok, Status::code)
    };
    // `aud` of the second part: bedplate.dev/9999.
    let for_other_job = "e30.eyJhdWQiOlsiYmVkcGxhdGUuZGV2Lzk5OTkiXX0.other-job";
    assert_eq!(code(None, UID).await, Code::Unauthenticated);
    assert_eq!(code(Some("e30.e30.forged"), UID).await, Code::Unauthenticated);
    assert_eq!(code(Some("e30.e30.expired"), UID).await, Code::Unauthenticated);
    assert_eq!(code(Some("not even a token"), UID).await, Code::Unauthenticated);
    assert_eq!(code(Some(for_other_job), UID).await, Code::PermissionDenied);
    assert_eq!(code(Some("e30.e30.other-namespace"), UID).await, Code::PermissionDenied);
    assert_eq!(code(Some("e30.e30.user"), UID).await, Code::PermissionDenied);
    assert_eq!(code(Some(for_other_job), "9999").await, Code::Unavailable, "nobody has described that uid");
    assert_eq!(hub.latest(UID), None, "nothing of it was taken");
    assert_eq!(code(Some("e30.e30.good"), UID).await, Code::Ok);
    assert_eq!(hub.latest(UID).unwrap().step.unwrap().metrics.step, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_too_large_or_names_nobody_is_refused_and_harms_nothing() {
    let place = Place::new();
    let server = Server::start(&place, hub(HistorySource::None)).await;
    let mut client = client(&place, &server).await;
    let good = Some("e30.e30.good");
    let huge = ReportRequest { reporter: Some(from(UID)), first_line: 0, lines: vec!["x".repeat(2 << 20)] };
    assert_eq!(client.report(request(huge, good)).await.unwrap_err().code(), Code::OutOfRange);
    let nobody = ResumeRequest { reporter: None };
    assert_eq!(client.resume(request(nobody, good)).await.unwrap_err().code(), Code::InvalidArgument);
    let ordinary = ResumeRequest { reporter: Some(from(UID)) };
    assert_eq!(client.resume(request(ordinary, good)).await.unwrap().into_inner().next_line, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_reports_what_it_wrote_while_the_operator_was_away_and_each_line_once() {
    let (database, store) = Database::with_store().await;
    let place = Place::new();
    // The port is free again at once, and nobody listens.
    let first = Server::start(&place, hub(HistorySource::None)).await;
    let address = first.address;
    first.kill().await;
    append(&place, &lines(0..=10));
    let reporting = place.reporting(address);
    let reporter = Reporter::start(&metadata(), Some(&reporting), &place.progress_file()).unwrap();

    let (_kept, history) = source(&store);
    let server = Server::start_at(&place, hub(history.clone()), address).await;
    wait_until("the first lines are rows", async || steps(&database).await.len() == 10).await;
    server.kill().await;
    append(&place, &lines(11..=20));
    // Another operator, which knows nothing but what Postgres has.
    let second = hub(history);
    let _server = Server::start_at(&place, second.clone(), address).await;
    wait_until("the lines since are rows", async || steps(&database).await.len() == 20).await;
    append(&place, &[serde_json::to_string(&at(30, completed("d1"))).unwrap()]);
    tokio::task::spawn_blocking(|| reporter.finish()).await.unwrap();

    assert_eq!(steps(&database).await, (1..=20).collect::<Vec<i64>>());
    assert_eq!(attempts(&database).await, [(Some(0), Some("d1".to_owned()))]);
    assert_eq!(second.latest(UID).unwrap().completed_digest.as_deref(), Some("d1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_token_is_taken_up_without_a_restart() {
    let place = Place::new();
    let hub = hub(HistorySource::None);
    let server = Server::start(&place, hub.clone()).await;
    place.token("e30.e30.expired");
    append(&place, &lines(0..=3));
    let reporting = place.reporting(server.address);
    let reporter = Reporter::start(&metadata(), Some(&reporting), &place.progress_file()).unwrap();
    wait_until("a report is refused", async || server.refused() > 0).await;
    assert_eq!(hub.latest(UID), None);
    place.token("e30.e30.good");
    wait_until("the report has arrived", async || hub.latest(UID).is_some()).await;
    tokio::task::spawn_blocking(|| reporter.finish()).await.unwrap();
    assert_eq!(hub.latest(UID).unwrap().step.unwrap().metrics.step, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_pod_waits_for_an_operator_that_is_away_only_so_long() {
    let place = Place::new();
    append(&place, &lines(0..=3));
    let nobody = place.reporting("127.0.0.1:1".parse().unwrap());
    let reporter = Reporter::start(&metadata(), Some(&nobody), &place.progress_file()).unwrap();
    let begin = Instant::now();
    tokio::task::spawn_blocking(|| reporter.finish()).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

async fn report(hub: &ProgressHub, first_line: u64, lines: &[String]) -> u64 {
    hub.report(&from(UID), first_line, lines).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_postgres_away_reports_go_on_and_the_rows_come_later() {
    let (database, store) = Database::with_store().await;
    let away = Store::connect(database.endpoint()).await.unwrap();
    away.close().await;
    let (sender, history) = source(&away);
    let hub = hub(history);
    assert_eq!(report(&hub, 0, &lines(0..=5)).await, 6, "kept in memory");
    assert_eq!(report(&hub, 6, &lines(6..=9)).await, 10);
    assert_eq!((hub.spool_len(), hub.latest(UID).unwrap().step.unwrap().metrics.step), (10, 9));
    sender.send(Some(store.clone())).unwrap();
    wait_until("the spool is empty", async || hub.spool_len() == 0).await;
    assert_eq!(steps(&database).await, (1..=9).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_spool_has_no_room_for_stays_in_the_pods_file() {
    let (_sender, receiver) = watch::channel(None);
    let hub = hub(HistorySource::Store(receiver));
    let mut next = 0;
    for round in 0..40_u32 {
        let batch = lines(round * 2_000..=round * 2_000 + 1_999);
        next = report(&hub, next, &batch).await;
    }
    assert!(next >= 48_000 && hub.spool_len() <= 50_000, "{next} lines accepted, {} kept", hub.spool_len());
    assert!(next < 80_000, "the rest was not acknowledged");
    assert!(hub.latest(UID).unwrap().step.is_some(), "the status goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_resource_leaves_no_row_that_claims_to_run() {
    let (database, store) = Database::with_store().await;
    let (_sender, history) = source(&store);
    let hub = hub(history);
    report(&hub, 0, &lines(0..=4)).await;
    report(&hub, 5, &[serde_json::to_string(&at(9, checkpoint(4, "c4"))).unwrap()]).await;
    assert_eq!(open_attempts(&database).await, 1);
    hub.deleted(UID).await;
    assert_eq!(open_attempts(&database).await, 0);
    assert_eq!(hub.latest(UID), None);
    assert!(hub.resume(&from(UID)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_killed_is_lost_when_the_next_one_starts() {
    let (database, store) = Database::with_store().await;
    let (_sender, history) = source(&store);
    let hub = hub(history);
    report(&hub, 0, &lines(0..=4)).await;
    let second = [at(100, started()), at(101, step(3))].map(|event| serde_json::to_string(&event).unwrap());
    report(&hub, 5, &second).await;
    assert_eq!(open_attempts(&database).await, 1);
    assert_eq!(steps(&database).await, [1, 2, 3, 4, 3]);
    hub.ended(UID).await;
    assert_eq!(open_attempts(&database).await, 0);
}
