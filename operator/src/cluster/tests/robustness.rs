//! Whatever is seen, in whatever order: an answer, whole and in the closed words.

use bedplate_crds::conditions::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::{
    at,
    children::{dataset_dependency, training_job_dependency},
    claim, dataset, ended, job_ended, model_deployment, nothing, object, owner, pod, running, settings, training_job,
    unschedulable, waiting,
};
use crate::{
    cluster::{
        self,
        decision::Decision,
        observed::{Observed, Warning},
        owner::Owner,
    },
    resource::Kind,
};

/// What may be seen of a pod, sense or nonsense.
fn pod_status() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({})),
        Just(running()),
        Just(json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on memory" })),
        any::<String>().prop_map(|text| unschedulable(&text)),
        (select(vec!["ErrImagePull", "CreateContainerConfigError", "Nonsense"]), any::<String>())
            .prop_map(|(reason, text)| waiting(reason, &text)),
        (any::<i32>(), any::<String>()).prop_map(|(code, text)| ended(code, &text)),
    ]
}

/// What may be seen of a Job.
fn job_status() -> impl Strategy<Value = Option<(Value, bool, bool)>> {
    let status = prop_oneof![
        Just(json!({})),
        any::<i32>().prop_map(|failed| json!({ "failed": failed })),
        Just(job_ended("Complete", "CompletionsReached")),
        Just(job_ended("Failed", "BackoffLimitExceeded")),
        Just(job_ended("Failed", "PodFailurePolicy")),
    ];
    prop::option::of((status, any::<bool>(), any::<bool>()))
}

#[derive(Clone, Debug)]
struct Sight {
    job: Option<(Value, bool, bool)>,
    pods: Vec<(u32, Value)>,
    has_claims: bool,
    has_dependencies: bool,
    warning: (String, String),
    is_deleting: bool,
    is_suspended: bool,
    replicas: u32,
}

prop_compose! {
    fn sight()(
        job in job_status(),
        pods in prop::collection::vec((0..3u32, pod_status()), 0..4),
        (has_claims, has_dependencies, is_deleting, is_suspended) in any::<(bool, bool, bool, bool)>(),
        warning in (select(vec!["FailedCreate".to_owned(), "FailedMount".to_owned(), "Other".to_owned()]), any::<String>()),
        replicas in 0..4u32,
    ) -> Sight {
        Sight { job, pods, has_claims, has_dependencies, warning, is_deleting, is_suspended, replicas }
    }
}

fn observe<S>(sight: &Sight, kind: Kind, seconds: i64, previous: Option<S>) -> Observed<S> {
    let mut seen = nothing();
    (seen.now, seen.previous) = (at(seconds), previous);
    seen.claims = if sight.has_claims {
        vec![claim("bedplate-storage"), claim("bedplate-inputs"), claim("runs")]
    } else {
        vec![]
    };
    if sight.has_dependencies {
        seen.dependencies = match kind {
            Kind::Dataset => vec![],
            Kind::TrainingJob => vec![dataset_dependency()],
            Kind::ModelDeployment => vec![training_job_dependency()],
        };
    }
    let name = cluster::names::job(kind, owner_of(sight, kind).name.as_str());
    let job = json!({
        "metadata": { "name": name, "uid": "u", "annotations": { "bedplate.dev/spec": "another" } },
        "spec": { "template": {} },
    });
    let of_job = object(job);
    seen.pods = sight.pods.iter().map(|(index, status)| pod(&of_job, *index, "a", status.clone())).collect();
    seen.job = sight.job.clone().map(|(status, is_leaving, is_current)| {
        let mut job = of_job.clone();
        job.status = Some(object(status));
        job.metadata.deletion_timestamp =
            is_leaving.then(|| k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
        if is_current {
            job.metadata.annotations = None;
        }
        job
    });
    let (reason, message) = sight.warning.clone();
    seen.warnings = vec![Warning { kind: "Job".to_owned(), name, reason, message, time: at(0) }];
    seen
}

fn owner_of(sight: &Sight, kind: Kind) -> Owner {
    let name = match kind {
        Kind::Dataset => "sources",
        Kind::TrainingJob => "tiny",
        Kind::ModelDeployment => "chat",
    };
    Owner { deleting_since: sight.is_deleting.then(|| at(0)), ..owner(kind, name) }
}

/// Every condition once, each with a word of the closed list.
fn is_whole(conditions: &[Condition], types: &[bedplate_crds::conditions::ConditionType]) {
    let names: Vec<String> = conditions.iter().map(|condition| condition.type_.clone()).collect();
    let wanted: Vec<String> = types.iter().map(ToString::to_string).collect();
    assert_eq!(names, wanted);
    for condition in conditions {
        serde_json::from_value::<Reason>(json!(condition.reason)).expect("a reason of the closed list");
        assert!(["True", "False", "Unknown"].contains(&condition.status.as_str()));
        assert!(!condition.message.is_empty(), "{} {}", condition.type_, condition.reason);
        assert!(condition.observed_generation.is_some());
    }
}

fn is_bounded<S>(decision: &Decision<S>) {
    assert!((1..=600).contains(&decision.requeue_after.as_secs()), "{:?}", decision.requeue_after);
}

proptest! {
    #[test]
    fn any_course_of_a_training_job_has_whole_answers(course in prop::collection::vec(sight(), 1..6)) {
        let mut previous = None;
        for (i, sight) in course.iter().enumerate() {
            let seen = observe(sight, Kind::TrainingJob, 20 * i64::try_from(i).unwrap(), previous.take());
            let mut resource = training_job();
            resource.spec.suspend = sight.is_suspended;
            let decision =
                cluster::training_job::decide(&resource, &owner_of(sight, Kind::TrainingJob), &seen, &settings());
            is_whole(&decision.status.conditions, &cluster::training_job::CONDITIONS);
            is_bounded(&decision);
            prop_assert!(decision.status.phase.is_some() && decision.status.reason.is_some());
            previous = Some(decision.status);
        }
    }

    #[test]
    fn any_course_of_a_dataset_has_whole_answers(course in prop::collection::vec(sight(), 1..6)) {
        let mut previous = None;
        for (i, sight) in course.iter().enumerate() {
            let seen = observe(sight, Kind::Dataset, 20 * i64::try_from(i).unwrap(), previous.take());
            let decision = cluster::dataset::decide(&dataset(), &owner_of(sight, Kind::Dataset), &seen, &settings());
            is_whole(&decision.status.conditions, &cluster::dataset::CONDITIONS);
            is_bounded(&decision);
            previous = Some(decision.status);
        }
    }

    #[test]
    fn any_course_of_a_model_deployment_has_whole_answers(course in prop::collection::vec(sight(), 1..6)) {
        let mut previous = None;
        for (i, sight) in course.iter().enumerate() {
            let mut seen = observe(sight, Kind::ModelDeployment, 20 * i64::try_from(i).unwrap(), previous.take());
            seen.deployment = sight.job.clone().map(|(_, _, _)| object(json!({
                "metadata": { "name": "chat-inference" },
                "spec": { "replicas": sight.replicas, "selector": {}, "template": {} },
                "status": { "readyReplicas": sight.replicas, "replicas": 2, "updatedReplicas": 1 },
            })));
            let mut resource = model_deployment();
            resource.spec.replicas = sight.replicas;
            let owner = owner_of(sight, Kind::ModelDeployment);
            let decision = cluster::model_deployment::decide(&resource, &owner, &seen, &settings());
            is_whole(&decision.status.conditions, &cluster::model_deployment::CONDITIONS);
            is_bounded(&decision);
            previous = Some(decision.status);
        }
    }

    #[test]
    fn a_second_look_at_the_same_changes_nothing(sight in sight()) {
        let seen = observe(&sight, Kind::TrainingJob, 0, None);
        let owner = owner_of(&sight, Kind::TrainingJob);
        let first = cluster::training_job::decide(&training_job(), &owner, &seen, &settings()).status;
        let again = Observed { previous: Some(first.clone()), ..seen };
        let second = cluster::training_job::decide(&training_job(), &owner, &again, &settings());
        prop_assert_eq!(&second.status, &first);
        prop_assert!(second.notes.is_empty());
    }

    #[test]
    fn a_second_look_at_a_dataset_changes_nothing(sight in sight()) {
        let seen = observe(&sight, Kind::Dataset, 0, None);
        let owner = owner_of(&sight, Kind::Dataset);
        let first = cluster::dataset::decide(&dataset(), &owner, &seen, &settings()).status;
        let again = Observed { previous: Some(first.clone()), ..seen };
        let second = cluster::dataset::decide(&dataset(), &owner, &again, &settings());
        prop_assert_eq!(&second.status, &first);
        prop_assert!(second.notes.is_empty());
    }

    #[test]
    fn a_second_look_at_a_model_deployment_changes_nothing(sight in sight()) {
        let seen = observe(&sight, Kind::ModelDeployment, 0, None);
        let owner = owner_of(&sight, Kind::ModelDeployment);
        let first = cluster::model_deployment::decide(&model_deployment(), &owner, &seen, &settings()).status;
        let again = Observed { previous: Some(first.clone()), ..seen };
        let second = cluster::model_deployment::decide(&model_deployment(), &owner, &again, &settings());
        prop_assert_eq!(&second.status, &first);
        prop_assert!(second.notes.is_empty());
    }
}
