//! The life of a TrainingJob.

use bedplate_crds::{
    job::progress::{ProgressBody, ProgressEvent, StepMetrics},
    training_job::{
        TrainingJobSpec,
        status::{TrainingJobPhase, TrainingJobStatus},
    },
};
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use super::{
    at,
    children::dataset_dependency,
    claim,
    dataset::{carry_out, job_of},
    ended, job_ended, last_words, nothing, object, owner, pod, running, settings,
    story::Story,
    training_job, unschedulable, with_status,
};
use crate::{
    cluster::{
        decision::Decision,
        observed::{Dependency, Observed, Referrer},
        owner::Owner,
        training_job::decide,
    },
    progress_api::snapshot::ProgressSnapshot,
    resource::{Kind, ResourceKey},
};

fn with(change: impl Fn(&mut TrainingJobSpec)) -> impl Fn(&Observed<TrainingJobStatus>) -> Decision<TrainingJobStatus> {
    move |seen| {
        let mut resource = training_job();
        change(&mut resource.spec);
        decide(&resource, &owner(Kind::TrainingJob, "tiny"), seen, &settings())
    }
}

fn now(seen: &Observed<TrainingJobStatus>) -> Decision<TrainingJobStatus> {
    with(|_| ())(seen)
}

/// All that a job waits for.
fn ready() -> Observed<TrainingJobStatus> {
    let mut seen = nothing();
    seen.claims.push(claim("runs"));
    seen.dependencies = vec![dataset_dependency()];
    seen
}

/// A job whose Job was just made.
fn begun() -> (Story<TrainingJobStatus>, Job) {
    let mut story = Story::new(ready());
    let made = story.scene("new", now);
    carry_out(&mut story.seen, &made);
    let job = story.seen.job.clone().unwrap();
    (story, job)
}

fn both(job: &Job, suffix: &str, status: &Value) -> Vec<k8s_openapi::api::core::v1::Pod> {
    (0..2).map(|index| pod(job, index, suffix, status.clone())).collect()
}

/// What the trainer reported up to a step, one step a second.
fn progress(steps: std::ops::RangeInclusive<u64>) -> ProgressSnapshot {
    let mut snapshot = ProgressSnapshot::default();
    for step in steps {
        let metrics = StepMetrics {
            step,
            max_steps: 100,
            loss: 3.191_432_353_996,
            grad_norm: 1.0,
            learning_rate: 0.000_300_000_000_000_000_03,
            tokens_per_second: 55_938.703_611,
            tokens: step * 256,
        };
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let time_seconds = (at(0).as_second() + i64::try_from(step).unwrap()) as f64;
        snapshot.fold(&ProgressEvent { time_seconds, body: ProgressBody::Step(metrics) });
        if step.is_multiple_of(40) {
            let body = ProgressBody::Checkpoint { step, path: "/c".to_owned(), digest: format!("c{step}"), bytes: 9 };
            snapshot.fold(&ProgressEvent { time_seconds, body });
        }
    }
    snapshot
}

#[test]
fn the_life_of_a_training_job() {
    let mut story = Story::new(ready());
    let dataset = ResourceKey { kind: Kind::Dataset, namespace: "team".to_owned(), name: "sources".to_owned() };
    story.seen.dependencies = vec![Dependency::Missing(dataset)];
    story.scene("its Dataset is not there", now);
    let Dependency::Dataset(mut unfinished) = dataset_dependency() else { unreachable!() };
    unfinished.status.as_mut().unwrap().phase = Some(bedplate_crds::dataset::status::DatasetPhase::Running);
    story.seen.dependencies = vec![Dependency::Dataset(unfinished)];
    story.scene("its Dataset is not finished", now);
    story.seen.dependencies = vec![dataset_dependency()];
    let made = story.scene("its Dataset is ready", now);
    carry_out(&mut story.seen, &made);
    let job = story.seen.job.clone().unwrap();
    let lacks = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.";
    story.seen.pods = both(&job, "a", &unschedulable(lacks));
    story.scene("no node has the GPUs", now);
    story.seen.pods = both(&job, "a", &running());
    story.scene("it runs, nothing was reported yet", now);
    story.seen.progress = Some(progress(1..=20));
    story.scene("it reported", now);
    story.seen.progress = Some(progress(1..=60));
    story.scene("it wrote a checkpoint", now);
    let stopped = ended(14, &last_words(14, "stopped after step 61, which is saved"));
    story.seen.pods = both(&job, "a", &stopped);
    story.scene("its node was drained", now);
    story.seen.pods.push(pod(&job, 0, "b", running()));
    story.scene("one rank runs again", now);
    story.seen.pods.push(pod(&job, 1, "b", running()));
    story.scene("both run again", now);
    let done = r#"{"exitCode":0,"digest":"c100"}"#;
    story.seen.pods = vec![pod(&job, 0, "b", ended(0, done)), pod(&job, 1, "b", ended(0, done))];
    story.seen.progress = Some(progress(1..=100));
    story.seen.job = Some(with_status(&job, job_ended("Complete", "CompletionsReached")));
    story.scene("it is complete", now);
    story.seen.dependencies.clear();
    (story.seen.job, story.seen.progress) = (None, None);
    story.seen.pods.clear();
    let last = story.scene("its Dataset and its Job are gone, and the operator is a new one", now);
    assert!(last.apply.is_empty() && last.status.phase == Some(TrainingJobPhase::Complete));
    insta::assert_snapshot!(story.text());
}

#[test]
fn a_job_is_held_back_after_a_checkpoint_and_goes_on() {
    let (mut story, job) = begun();
    story.seen.pods = both(&job, "a", &running());
    story.scene("it runs", now);
    let suspend = with(|spec| spec.suspend = true);
    story.scene("it is to be held back", &suspend);
    let mut held = job.clone();
    held.spec.as_mut().unwrap().suspend = Some(true);
    story.seen.job = Some(held);
    story.seen.pods.clear();
    story.scene("its pods are gone", &suspend);
    story.scene("it is to go on", now);
    story.seen.job = Some(job.clone());
    story.seen.pods = both(&job, "b", &running());
    story.scene("it runs again, and that was no restart", now);
    insta::assert_snapshot!(story.text());
}

#[test]
fn a_job_that_is_held_back_from_the_first_makes_nothing() {
    let decision = with(|spec| spec.suspend = true)(&ready());
    assert!(decision.apply.is_empty() && decision.adjust_job.is_none());
    assert_eq!(decision.status.phase, Some(TrainingJobPhase::Suspended));
}

#[test]
fn every_exit_code_ends_or_restarts_a_job_with_its_own_words() {
    let mut text = String::new();
    for (code, sentence) in [
        (10, "could not reach storage"),
        (11, "spec.schedule.microBatchSize is 9; it must divide 4"),
        (12, "the plan needs 9 GiB and 4 GiB are there"),
        (13, "rank 1 went away after step 7"),
        (14, "stopped after step 7, which is saved"),
        (15, "could not write checkpoint: no space left on device"),
        (16, "checkpoints/7/model.safetensors fails its hash"),
        (17, "spec.activeDeadlineSeconds is used up after step 7, which is saved"),
        (101, "thread 'main' panicked"),
        (137, ""),
    ] {
        for how in ["still at work", "Failed"] {
            let (mut story, job) = begun();
            let message = if code < 100 { last_words(code, sentence) } else { format!("{sentence}\n") };
            story.seen.pods = vec![pod(&job, 0, "a", ended(code, &message)), pod(&job, 1, "a", running())];
            if how == "Failed" {
                story.seen.job = Some(with_status(&job, job_ended(how, "PodFailurePolicy")));
            }
            let status = story.scene("ended", now).status;
            let failed = status.conditions.iter().find(|condition| condition.type_ == "Running").unwrap();
            let (phase, reason) = (status.phase.unwrap(), status.reason.unwrap());
            text += &format!("{code} {how}: {phase:?} {reason}: {}\n", failed.message);
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_job_that_failed_too_often_says_what_the_last_failure_was() {
    let (mut story, job) = begun();
    story.seen.pods = both(&job, "a", &ended(15, &last_words(15, "could not write checkpoint: no space left")));
    story.seen.job = Some(with_status(&job, job_ended("Failed", "BackoffLimitExceeded")));
    let status = story.scene("given up", now).status;
    let failed = status.conditions.iter().find(|condition| condition.type_ == "Failed").unwrap();
    assert_eq!((failed.status.as_str(), failed.reason.as_str()), ("True", "RestartBudgetSpent"));
    let before = story.seen.previous.clone().unwrap().conditions;
    story.seen.pods.clear();
    assert_eq!(story.scene("its pods are gone", now).status.conditions, before);
    assert!(failed.message.starts_with("gave up after 3 failures, the last one: pod tiny-trainer-1-a ended with exit"));
}

#[test]
fn more_time_lets_a_job_that_ran_out_of_it_go_on() {
    let (mut story, job) = begun();
    story.seen.pods = both(&job, "a", &ended(17, &last_words(17, "used up")));
    story.seen.job = Some(with_status(&job, job_ended("Failed", "PodFailurePolicy")));
    story.scene("its time is used up", now);
    let longer = with(|spec| spec.active_deadline_seconds = Some(7200));
    let again = story.scene("it gets more", &longer);
    assert_eq!(again.delete.len(), 2);
    (story.seen.job, story.seen.config_map) = (None, None);
    story.seen.pods.clear();
    let made = story.scene("the old Job is gone", &longer);
    assert_eq!(job_of(&made).metadata.name.as_deref(), Some("tiny-trainer"));
}

#[test]
fn a_newer_operator_does_not_touch_a_job_that_runs() {
    let (mut story, job) = begun();
    story.seen.pods = both(&job, "a", &running());
    let mut newer = settings();
    newer.images.trainer = "localhost/bedplate-trainer:newer".to_owned();
    newer.progress.as_mut().unwrap().url = "https://elsewhere:8443".to_owned();
    let decision = decide(&training_job(), &owner(Kind::TrainingJob, "tiny"), &story.seen, &newer);
    let names: Vec<_> = decision.apply.iter().map(|child| format!("{:?}", child.kind())).collect();
    assert_eq!((names, decision.delete, decision.adjust_job), (vec!["Service".to_owned()], vec![], None));
}

#[test]
fn changed_resources_stop_a_running_job_and_start_it_with_the_new_ones() {
    let (mut story, job) = begun();
    story.seen.pods = both(&job, "a", &running());
    let less = with(|spec| _ = spec.workers.resources_per_node.insert("memory".to_owned(), "2Gi".to_owned()));
    let stops = story.scene("less memory", &less);
    assert_eq!(stops.delete.len(), 2);
    (story.seen.job, story.seen.config_map) = (None, None);
    let waits = story.scene("its pods still end", &less);
    assert!(waits.apply.is_empty(), "two trainers on one folder");
    story.seen.pods.clear();
    let made = story.scene("they are gone", &less);
    let container = &job_of(&made).spec.unwrap().template.spec.unwrap().containers[0];
    assert_eq!(container.resources.as_ref().unwrap().limits.as_ref().unwrap()["memory"].0, "2Gi");
}

#[test]
fn a_checkpoint_gives_back_the_restarts_that_were_used() {
    let (mut story, job) = begun();
    let mut failed = job.clone();
    failed.status = Some(object(json!({ "failed": 5 })));
    story.seen.job = Some(failed);
    story.seen.pods = both(&job, "a", &running());
    assert_eq!(story.scene("five failures", now).adjust_job, None);
    story.seen.progress = Some(progress(1..=40));
    let adjustment = story.scene("a checkpoint", now).adjust_job.unwrap();
    assert_eq!((adjustment.suspend, adjustment.backoff_limit), (false, 5 + 2 * 6));
}

#[test]
fn figures_change_at_most_once_in_fifteen_seconds_and_a_second_look_changes_nothing() {
    let (mut story, job) = begun();
    story.seen.pods = both(&job, "a", &running());
    story.seen.progress = Some(progress(1..=20));
    let first = story.scene("step 20", now).status;
    story.seen.previous = Some(first.clone());
    story.seen.progress = Some(progress(1..=34));
    story.seen.now += k8s_openapi::jiff::SignedDuration::from_secs(14);
    let again = now(&story.seen);
    assert_eq!(again.status, first);
    assert!(again.notes.is_empty());
    story.seen.progress = Some(progress(1..=35));
    assert_eq!(now(&story.seen).status.progress.unwrap().step, 35);
}

#[test]
fn a_finished_job_goes_when_its_time_is_over_unless_a_model_is_served_from_it() {
    let (mut story, job) = begun();
    story.seen.job = Some(with_status(&job, job_ended("Complete", "CompletionsReached")));
    let brief = with(|spec| spec.ttl_seconds_after_finished = Some(100));
    story.scene("complete", &brief);
    story.seen.now = at(169);
    let waits = brief(&story.seen);
    assert!(!waits.delete_resource && waits.requeue_after.as_secs() == 1);
    story.seen.now = at(170);
    assert!(brief(&story.seen).delete_resource);
    story.seen.referrers = vec![Referrer::ModelDeployment(Box::new(object(json!({
        "apiVersion": "bedplate.dev/v1alpha1", "kind": "ModelDeployment",
        "metadata": { "name": "chat", "namespace": "team" },
        "spec": super::model_deployment().spec,
    }))))];
    assert!(!brief(&story.seen).delete_resource);
}

#[test]
fn a_job_that_another_controller_owns_is_not_ours() {
    let mut spec = training_job().spec;
    assert!(crate::cluster::training_job::is_ours(&spec));
    spec.managed_by = Some("example.com/other".to_owned());
    assert!(!crate::cluster::training_job::is_ours(&spec));
}

#[test]
fn the_life_of_a_job_ends_with_its_pods_its_files_and_its_name() {
    let (mut story, job) = begun();
    story.seen.pods = both(&job, "a", &running());
    story.scene("it runs", now);
    let going = |seen: &Observed<TrainingJobStatus>| {
        let owner = Owner { deleting_since: Some(at(40)), ..owner(Kind::TrainingJob, "tiny") };
        decide(&training_job(), &owner, seen, &settings())
    };
    story.scene("it is deleted", going);
    story.seen.job = None;
    story.seen.pods.clear();
    let cleans = story.scene("its pods are gone", going);
    story.seen.cleanup = Some(with_status(&job_of(&cleans), job_ended("Failed", "DeadlineExceeded")));
    story.scene("its files could not be removed", going);
    insta::assert_snapshot!(story.text());
}

#[test]
fn the_files_of_a_job_are_found_when_its_dataset_went_before_it() {
    let (mut story, _) = begun();
    (story.seen.job, story.seen.pods) = (None, Vec::new());
    story.seen.dependencies = vec![Dependency::Missing(ResourceKey {
        kind: Kind::Dataset,
        namespace: "team".to_owned(),
        name: "sources".to_owned(),
    })];
    let previous = story.seen.previous.as_mut().unwrap();
    previous.start_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    let owner = Owner { deleting_since: Some(at(0)), ..owner(Kind::TrainingJob, "tiny") };
    let decision = decide(&training_job(), &owner, &story.seen, &settings());
    let cleanup = serde_saphyr::to_string(&json!(job_of(&decision))).unwrap();
    insta::assert_snapshot!(cleanup);
}

#[test]
fn the_cause_of_a_failure_is_not_that_of_an_earlier_one() {
    let (mut story, job) = begun();
    let mut long_ago = ended(137, "");
    long_ago["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = json!(at(-600).to_string());
    story.seen.pods = vec![pod(&job, 0, "a", long_ago), pod(&job, 0, "b", ended(14, &last_words(14, "stopped")))];
    assert_eq!(story.scene("preempted", now).status.reason.unwrap().to_string(), "Preempted");
}

#[test]
fn ranks_that_miss_another_are_not_its_cause() {
    let (mut story, job) = begun();
    let mut first = ended(137, "");
    first["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = json!(at(50).to_string());
    story.seen.pods = vec![pod(&job, 1, "a", first), pod(&job, 0, "a", ended(13, &last_words(13, "rank 1 went away")))];
    assert_eq!(story.scene("one was killed", now).status.reason.unwrap().to_string(), "InfrastructureFailed");
}

#[test]
fn a_dataset_that_was_applied_together_with_its_job_alarms_nobody() {
    let mut seen = nothing();
    let dataset = ResourceKey { kind: Kind::Dataset, namespace: "team".to_owned(), name: "sources".to_owned() };
    seen.dependencies = vec![Dependency::Missing(dataset)];
    let look = |seconds, seen: &mut Observed<TrainingJobStatus>| {
        let owner = Owner { created: Some(at(0)), ..owner(Kind::TrainingJob, "tiny") };
        seen.now = at(seconds);
        let decision = decide(&training_job(), &owner, seen, &settings());
        seen.previous = Some(decision.status.clone());
        decision
    };
    let young = look(1, &mut seen);
    assert!(young.notes.is_empty() && young.requeue_after.as_secs() == 5, "{:?}", young.notes);
    let warned = look(6, &mut seen).notes;
    assert_eq!((warned.len(), warned[0].is_warning), (1, true));
    assert!(look(7, &mut seen).notes.is_empty());
}
