//! What is reported comes back as it was reported, however often and in whatever order it is written.

use bedplate_crds::job::progress::ProgressEvent;
use bedplate_operator::{
    resource::Kind,
    store::{Outcome, Status, Store, StoreError},
};
use proptest::{prelude::*, sample::Index};
use uuid::Uuid;

use crate::{
    database::Database,
    events::{
        at, attempt, begin, checkpoint, completed, evaluation, failed, ready, seconds_later, stage, step, training,
    },
};

async fn write(store: &Store, kind: Kind, name: &str, events: &[ProgressEvent]) -> Uuid {
    let id = store.attempt_insert(&attempt(kind, name, begin())).await.unwrap();
    store.progress_insert(id, events, 10).await.unwrap();
    id
}

#[tokio::test]
async fn a_training_is_listed_with_its_newest_figures() {
    let (_database, store) = Database::with_store().await;
    let id = write(&store, Kind::TrainingJob, "code", &training()).await;
    let exit = Outcome::Ended { at: seconds_later(102), exit_code: Some(0) };
    store.attempt_end(id, exit).await.unwrap();
    let runs = store.run_list(None, 10).await.unwrap();
    let [run] = runs.as_slice() else { panic!("{runs:?}") };
    assert_eq!((run.kind.as_str(), run.name.as_str(), run.attempts), ("TrainingJob", "code", 1));
    assert_eq!((run.status, run.step, run.max_steps), (Status::Completed, Some(100), Some(100)));
    assert_eq!((run.loss, run.bits_per_byte), (Some(0.08), Some(2.0)));
    assert_eq!((run.started_at, run.ended_at), (begin(), Some(seconds_later(102))));
    assert_eq!(run.digest.as_deref(), Some("checkpoint100"));
}

#[tokio::test]
async fn a_run_in_full_holds_all_that_was_reported() {
    let (_database, store) = Database::with_store().await;
    write(&store, Kind::TrainingJob, "code", &training()).await;
    let summary = store.run_list(Some("code"), 10).await.unwrap().remove(0);
    let run = store.run_detail(summary).await.unwrap();
    let [first] = run.attempt_details.as_slice() else { panic!("{run:?}") };
    assert_eq!((first.first_step, first.last_step, first.tokens_per_second), (Some(1), Some(100), Some(1000.0)));
    assert_eq!((first.parameters, first.spec.clone()), (Some(1_000_000), serde_json::json!({ "name": "code" })));
    assert_eq!(run.evaluations.iter().map(|e| (e.step, e.bits_per_byte)).collect::<Vec<_>>(), [(50, 3.0), (100, 2.0)]);
    let checkpoints: Vec<_> = run.checkpoints.iter().map(|c| (c.step, c.digest.as_str(), c.size_bytes)).collect();
    assert_eq!(checkpoints, [(50, "checkpoint50", 12_345), (100, "checkpoint100", 12_345)]);
    assert_eq!(run.losses.len(), 64);
    assert!(run.losses.windows(2).all(|pair| pair[0].loss > pair[1].loss && pair[0].step < pair[1].step));
    assert_eq!(run.losses.last().unwrap().step, 100);
}

#[tokio::test]
async fn a_dataset_keeps_the_newest_report_of_each_stage() {
    let (_database, store) = Database::with_store().await;
    let events = [
        at(1, stage("read", 3, false)),
        at(2, stage("read", 10, true)),
        at(3, stage("exactDedup", 7, true)),
        at(4, completed("dataset-digest")),
    ];
    write(&store, Kind::Dataset, "rust", &events).await;
    let summary = store.run_list(Some("rust"), 10).await.unwrap().remove(0);
    assert_eq!(summary.digest.as_deref(), Some("dataset-digest"));
    let stages = store.run_detail(summary).await.unwrap().stages;
    let stages: Vec<_> = stages.iter().map(|s| (s.stage.as_str(), s.documents_out, s.bytes_out, s.done)).collect();
    assert_eq!(stages, [("read", 10, 1000, true), ("exactDedup", 7, 700, true)]);
}

#[tokio::test]
async fn a_resumed_run_counts_the_later_attempt_where_both_took_a_step() {
    let (_database, store) = Database::with_store().await;
    let first: Vec<_> = (1..=60).map(|n| at(n, step(u64::from(n)))).chain([at(60, evaluation(50, 9.0))]).collect();
    let stopped = write(&store, Kind::TrainingJob, "code", &first).await;
    store.progress_insert(stopped, &[at(61, failed("stopped after a checkpoint", 14))], 20).await.unwrap();
    store.attempt_end(stopped, Outcome::Ended { at: seconds_later(62), exit_code: Some(14) }).await.unwrap();
    let second = store.attempt_insert(&attempt(Kind::TrainingJob, "code", seconds_later(100))).await.unwrap();
    let rest: Vec<_> =
        (51..=100).map(|n| at(100 + n, step(u64::from(n)))).chain([at(150, evaluation(50, 3.0))]).collect();
    store.progress_insert(second, &rest, 10).await.unwrap();
    let summary = store.run_list(None, 10).await.unwrap().remove(0);
    assert_eq!((summary.attempts, summary.status, summary.step), (2, Status::Running, Some(100)));
    let run = store.run_detail(summary).await.unwrap();
    assert_eq!(run.attempt_details.iter().map(|a| a.status).collect::<Vec<_>>(), [Status::Stopped, Status::Running]);
    assert_eq!(run.evaluations.iter().map(|e| e.bits_per_byte).collect::<Vec<_>>(), [3.0]);
    assert_eq!(run.losses.len(), 64);
}

#[tokio::test]
async fn a_deployment_serves_until_it_is_stopped_and_is_lost_with_its_supervisor() {
    let (_database, store) = Database::with_store().await;
    let id = write(&store, Kind::ModelDeployment, "chat", &[at(5, ready("http://127.0.0.1:8000"))]).await;
    let status = async || store.run_list(None, 10).await.unwrap().remove(0);
    assert_eq!(status().await.status, Status::Serving);
    store.attempt_end(id, Outcome::Lost).await.unwrap();
    let lost = status().await;
    assert_eq!((lost.status, lost.ended_at), (Status::Lost, Some(begin().max(at_time(5)))));
    // What was seen replaces what was guessed, and a guess never what was seen.
    for outcome in [Outcome::Ended { at: seconds_later(9), exit_code: Some(0) }, Outcome::Lost] {
        store.attempt_end(id, outcome).await.unwrap();
        let stopped = status().await;
        assert_eq!((stopped.status, stopped.ended_at), (Status::Stopped, Some(seconds_later(9))));
    }
}

fn at_time(seconds: i64) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(begin().timestamp() + seconds, 0).unwrap()
}

#[tokio::test]
async fn how_far_an_attempt_is_stored_never_goes_back() {
    let (_database, store) = Database::with_store().await;
    let id = write(&store, Kind::Dataset, "rust", &[]).await;
    store.progress_insert(id, &[], 4).await.unwrap();
    let positions = store.attempt_positions("a-state-folder").await.unwrap();
    assert_eq!(positions.iter().map(|p| (p.id, p.progress_offset, p.ended)).collect::<Vec<_>>(), [(id, 10, false)]);
    assert_eq!(store.attempt_positions("another-folder").await.unwrap(), []);
}

#[tokio::test]
async fn progress_of_an_attempt_that_the_tables_lost_is_an_error_that_asks_to_begin_anew() {
    let (_database, store) = Database::with_store().await;
    for events in [vec![], training()] {
        let error = store.progress_insert(Uuid::new_v4(), &events, 10).await.unwrap_err();
        assert!(!error.is_rejection(), "{error}");
    }
    let error = store.attempt_end(Uuid::new_v4(), Outcome::Lost).await.unwrap_err();
    assert!(matches!(error, StoreError::UnknownAttempt { .. }), "{error}");
}

#[tokio::test]
async fn a_refused_value_is_told_apart_and_takes_its_whole_batch_with_it() {
    let (database, store) = Database::with_store().await;
    let id = write(&store, Kind::TrainingJob, "code", &[]).await;
    let before = database.rows().await;
    let error = store.progress_insert(id, &[at(1, step(1)), at(2, checkpoint(1, ""))], 20).await.unwrap_err();
    assert!(error.is_rejection(), "{error:?}");
    assert_eq!(database.rows().await, before);
}

#[tokio::test]
async fn a_nul_in_a_text_does_not_stop_the_rest() {
    let (database, store) = Database::with_store().await;
    let mut begun = attempt(Kind::TrainingJob, "code", begin());
    begun.spec = serde_json::json!({ "na\0me": ["a\0b"] });
    let id = store.attempt_insert(&begun).await.unwrap();
    let events = [at(1, stage("re\0ad", 1, true)), at(2, failed("no\0thing", 11)), at(3, checkpoint(1, "dig\0est"))];
    store.progress_insert(id, &events, 10).await.unwrap();
    assert_eq!(database.rows().await.iter().filter(|row| row.contains('\u{fffd}')).count(), 5);
}

proptest! {
    // Each case makes two databases, so they are few, and a failing one is shrunk a little only.
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn events_in_any_order_and_number_give_the_same_rows(
        picks in prop::collection::vec(any::<Index>(), 0..40),
        cuts in prop::collection::vec(any::<Index>(), 0..4),
    ) {
        let mut events = training();
        events.extend([at(1, stage("read", 1, false)), at(2, stage("read", 9, true)), at(2, stage("pack", 4, true))]);
        events.extend([at(3, failed("first", 10)), at(4, failed("last", 11)), at(5, ready("http://a")), at(6, ready("http://b"))]);
        let mut shuffled: Vec<ProgressEvent> = events.clone();
        for (place, pick) in picks.iter().enumerate() {
            let other = pick.index(shuffled.len());
            let length = shuffled.len();
            shuffled.swap(place % length, other);
            shuffled.push(shuffled[other].clone());
        }
        let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut.index(shuffled.len())).collect();
        bounds.extend([0, shuffled.len()]);
        bounds.sort_unstable();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let (expect, store) = Database::with_store().await;
            write(&store, Kind::TrainingJob, "code", &events).await;
            let (actual, store) = Database::with_store().await;
            for pair in bounds.windows(2) {
                write(&store, Kind::TrainingJob, "code", &shuffled[pair[0]..pair[1]]).await;
            }
            let (actual, expect) = (actual.rows().await, expect.rows().await);
            for (actual, expect) in actual.iter().zip(&expect) {
                assert_eq!(actual, expect);
            }
            assert_eq!(actual.len(), expect.len());
        });
    }
}
