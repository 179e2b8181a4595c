//! The figures in a TrainingJob's status: how far, how well, how often it began again.
//!
//! Owns how often they change (at most once in 15 s while it runs) and that they are true at every moment. Never reads a
//! progress file.

use bedplate_crds::training_job::{
    TrainingJobSpec,
    status::{
        CheckpointStatus, LatestEvaluation, LatestMetrics, NodeCounts, RestartCounts, TrainingJobStatus,
        TrainingProgress, TrainingSummary,
    },
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};

use crate::{
    cluster::{
        failure,
        gate::Blocker,
        job_view::{JobState, JobView},
        observed::{Dependency, Observed},
        pods,
        references::{self, Readiness},
        run::{self, REPORT_INTERVAL, Stage},
        summary,
    },
    progress_api::snapshot::ProgressSnapshot,
};
use bedplate_crds::conditions::Reason;

/// Fills in everything but the conditions, the phase and the reason.
pub fn fill(
    status: &mut TrainingJobStatus,
    spec: &TrainingJobSpec,
    observed: &Observed<TrainingJobStatus>,
    (view, stage): (&JobView<'_>, &Stage),
) {
    let is_over = matches!(stage, Stage::Complete | Stage::Failed(_));
    if let Some(progress) = &observed.progress {
        take_reports(status, progress, is_over);
    }
    status.start_time = status.start_time.take().or_else(|| start(stage, observed.now));
    status.completion_time = if is_over { view.completion_time().or(status.completion_time.take()) } else { None };
    status.dataset_digests = digests(status, &observed.dependencies, stage);
    count_active_time(status, stage, observed.now);
    count_restarts(status, view, stage);
    if *stage == Stage::Complete {
        finish(status, spec, view);
    }
    let ready = if is_over { 0 } else { view.ready().saturating_add(view.succeeded()) };
    status.nodes = Some(NodeCounts { desired: spec.parallelism.data, ready });
    measure(status, spec, observed.progress.as_ref(), stage);
    status.summary = Some(summarise(status, stage));
}

/// A run whose pods were never seen, only ready ones: it has started by now.
fn start(stage: &Stage, now: Timestamp) -> Option<Time> {
    (*stage == Stage::Running).then_some(Time(now))
}

/// Six significant digits: `kubectl get` prints a number as it is written; the history has every digit.
fn rounded(figure: f64) -> f64 {
    format!("{figure:.5e}").parse().unwrap_or(figure)
}

/// The newest reports, where the ones that stand there are old enough or are the last.
fn take_reports(status: &mut TrainingJobStatus, progress: &ProgressSnapshot, is_over: bool) {
    let stands = status.metrics.as_ref().and_then(|metrics| metrics.time.as_ref());
    if let Some(step) = &progress.step
        && (is_over || run::is_due(stands, Some(&step.time)))
    {
        let of = &step.metrics;
        status.metrics = Some(LatestMetrics {
            loss: rounded(of.loss),
            grad_norm: rounded(of.grad_norm),
            learning_rate: rounded(of.learning_rate),
            tokens_per_second: of.tokens_per_second.round(),
            tokens: of.tokens,
            time: Some(step.time.clone()),
        });
        let (step, max_steps) = (of.step, of.max_steps);
        status.progress = Some(TrainingProgress { step, max_steps, percent: 0, remaining_seconds: None });
        status.evaluation = progress.evaluation.clone().map(|evaluation| LatestEvaluation {
            loss: rounded(evaluation.loss),
            bits_per_byte: rounded(evaluation.bits_per_byte),
            ..evaluation
        });
    }
    let stands = status.checkpoint.as_ref().and_then(|checkpoint| checkpoint.time.as_ref());
    if let Some(checkpoint) = &progress.checkpoint
        && (is_over || run::is_due(stands, checkpoint.time.as_ref()))
    {
        status.checkpoint = Some(checkpoint.clone());
    }
}

/// What it trains on is settled when its pods are made.
fn digests(status: &TrainingJobStatus, dependencies: &[Dependency], stage: &Stage) -> Vec<String> {
    let has_begun = !matches!(stage, Stage::Blocked(_)) && !status.dataset_digests.is_empty();
    if has_begun || matches!(stage, Stage::Complete | Stage::Failed(_)) {
        return status.dataset_digests.clone();
    }
    let of_dataset = |dependency: &Dependency| match (dependency, references::readiness(dependency)) {
        (Dependency::Dataset(_), Readiness::Ready(digest)) => digest,
        _ => None,
    };
    dependencies.iter().filter_map(of_dataset).collect()
}

/// Whole seconds in which all pods ran; counted on at every report, so that no two reconciles count the same second.
fn count_active_time(status: &mut TrainingJobStatus, stage: &Stage, now: Timestamp) {
    let until = status.active_until.take();
    if let Some(until) = &until {
        let more = now.duration_since(until.0);
        let is_due = *stage != Stage::Running || more >= REPORT_INTERVAL;
        if !is_due {
            status.active_until = Some(until.clone());
            return;
        }
        let seconds = u64::try_from(more.as_secs()).unwrap_or_default();
        status.active_seconds = Some(status.active_seconds.unwrap_or_default().saturating_add(seconds));
    }
    if *stage == Stage::Running {
        let counted = until.and_then(|until| {
            let whole = SignedDuration::from_secs(now.duration_since(until.0).as_secs());
            until.0.checked_add(whole).ok()
        });
        status.active_until = Some(Time(counted.unwrap_or(now)));
        status.active_seconds.get_or_insert_default();
    }
}

/// Another pod in rank 0's place is another attempt; a job that was held back or ended begins a new count of none.
fn count_restarts(status: &mut TrainingJobStatus, view: &JobView<'_>, stage: &Stage) {
    let mut counts = status.restarts.take().unwrap_or_default();
    // Another Job is no restart: somebody changed the spec or deleted it.
    let leader = view.leader().filter(|_| view.state() != JobState::Leaving);
    let before = status.leader_pod.take();
    if let (Some(leader), Some(before)) = (leader, &before)
        && pods::name(leader) != before
    {
        let ended = view.pods().find(|pod| pods::name(pod) == before).and_then(failure::of);
        if ended.is_some_and(|failure| failure.is_of_user()) {
            counts.user = counts.user.saturating_add(1);
        } else {
            counts.infrastructure = counts.infrastructure.saturating_add(1);
        }
    }
    let is_held = matches!(stage, Stage::Blocked(Blocker { reason: Reason::Suspended, .. }));
    let is_over = matches!(stage, Stage::Complete | Stage::Failed(_));
    status.leader_pod = match leader {
        _ if is_held => None,
        Some(pod) => Some(pods::name(pod).to_owned()),
        None if is_over => before,
        // Between two attempts: the next pod is to be told from the one before.
        None => before.filter(|_| view.state() == JobState::Live),
    };
    status.restarts = Some(RestartCounts { ..counts });
}

/// Every step was taken; the last checkpoint's digest is in the pod's own last message.
fn finish(status: &mut TrainingJobStatus, spec: &TrainingJobSpec, view: &JobView<'_>) {
    let max_steps = spec.schedule.max_steps;
    let progress = status.progress.get_or_insert_default();
    (progress.step, progress.max_steps, progress.remaining_seconds) = (max_steps, max_steps, None);
    if let Some(digest) = view.result().and_then(|result| result.digest)
        && status.checkpoint.as_ref().is_none_or(|checkpoint| checkpoint.digest != digest)
    {
        // Every checkpoint of a job is as large as the one before.
        let bytes = status.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.bytes);
        let time = status.completion_time.clone();
        status.checkpoint = Some(CheckpointStatus { step: max_steps, digest, bytes, time });
    }
}

fn measure(status: &mut TrainingJobStatus, spec: &TrainingJobSpec, reports: Option<&ProgressSnapshot>, stage: &Stage) {
    let progress = status.progress.get_or_insert_default();
    progress.max_steps = progress.max_steps.max(spec.schedule.max_steps);
    progress.percent = summary::percent(progress.step, progress.max_steps);
    let is_latest =
        reports.and_then(|reports| reports.step.as_ref()).map(|step| step.metrics.step) == Some(progress.step);
    if *stage != Stage::Running {
        progress.remaining_seconds = None;
    } else if is_latest {
        progress.remaining_seconds = reports.and_then(|reports| reports.remaining_seconds);
    }
}

fn summarise(status: &TrainingJobStatus, stage: &Stage) -> TrainingSummary {
    let nodes = status.nodes.clone().unwrap_or_default();
    let progress = status.progress.clone().unwrap_or_default();
    let restarts = status.restarts.clone().unwrap_or_default();
    let eta = progress.remaining_seconds.filter(|_| *stage == Stage::Running).map(summary::duration);
    TrainingSummary {
        nodes: format!("{}/{}", nodes.ready, nodes.desired),
        step: format!("{}/{}", progress.step, progress.max_steps),
        progress: format!("{}%", progress.percent),
        eta: eta.unwrap_or_else(|| summary::UNKNOWN.to_owned()),
        restarts: format!("{}/{}", restarts.user, restarts.infrastructure),
    }
}
