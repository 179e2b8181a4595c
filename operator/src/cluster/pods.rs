//! What a pod's status says: whether it is ready, what it waits for, how it ended.
//!
//! Owns the reading of `core/v1` Pods and the causes for which a pod does not run. Never lists pods by itself.

use bedplate_crds::conditions::Reason;
use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod, PodCondition},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
    jiff::{SignedDuration, Timestamp},
};

use super::observed::Warning;

/// Label of a pod's number among those of its Job.
const INDEX_LABEL: &str = "batch.kubernetes.io/job-completion-index";

/// A warning that was not repeated for so long is of the past: controllers try again, and warn again, every few minutes.
const MEMORY: SignedDuration = SignedDuration::from_mins(10);

/// Why pods that are wanted are missing or do not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Why.
    pub reason: Reason,
    /// The same in one sentence, and what to do.
    pub message: String,
}

/// Its name.
pub fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// Its number among the pods of its Job.
pub fn index(pod: &Pod) -> Option<u32> {
    pod.metadata.labels.as_ref()?.get(INDEX_LABEL)?.parse().ok()
}

/// The Job or ReplicaSet that made it.
pub fn controller(pod: &Pod) -> Option<&OwnerReference> {
    pod.metadata.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))
}

/// Whether its processes are over.
pub fn is_over(pod: &Pod) -> bool {
    matches!(phase(pod), Some("Succeeded" | "Failed"))
}

/// Whether its process did all it had to.
pub fn has_succeeded(pod: &Pod) -> bool {
    phase(pod) == Some("Succeeded")
}

/// Whether it does its work: running, ready, and not told to end.
pub fn is_ready(pod: &Pod) -> bool {
    !is_leaving(pod)
        && phase(pod) == Some("Running")
        && condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Whether it was told to end.
pub fn is_leaving(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// When kubelet took it.
pub fn start_time(pod: &Pod) -> Option<Timestamp> {
    pod.status.as_ref()?.start_time.as_ref().map(|time| time.0)
}

/// When it was made.
pub fn creation_time(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// The end of its process, or of the process before it where kubelet has started another.
pub fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let container = container(pod)?;
    let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    now.or_else(|| container.last_state.as_ref()?.terminated.as_ref())
}

/// What a drain, a preemption or a lost node says of itself.
pub fn disruption(pod: &Pod) -> Option<&str> {
    let target = condition(pod, "DisruptionTarget").filter(|target| target.status == "True")?;
    target.message.as_deref().or(target.reason.as_deref())
}

/// Why pods that are wanted are missing or do not run; none where nothing but time is lacking.
pub fn trouble<'a>(pods: impl IntoIterator<Item = &'a Pod>, sight: Sight<'_>) -> Option<Trouble> {
    let present: Vec<&Pod> = pods.into_iter().filter(|pod| !is_over(pod)).collect();
    let is_short = present.len() < usize::try_from(sight.wanted).unwrap_or(usize::MAX);
    let waiting: Vec<&Pod> = present.into_iter().filter(|pod| !is_ready(pod)).collect();
    let of_pod = waiting.iter().find_map(|pod| unschedulable(pod).or_else(|| cannot_start(pod)));
    let recent = sight.warnings.iter().rev().filter(|warning| sight.now.duration_since(warning.time) <= MEMORY);
    of_pod.or_else(|| recent.filter_map(|warning| of_warning(warning, &waiting, is_short)).next())
}

/// What is known besides the pods.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Pods that are wanted.
    pub wanted: u32,
    /// Warnings about the pods and about what makes them, newest last.
    pub warnings: &'a [Warning],
    /// Now.
    pub now: Timestamp,
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn condition<'a>(pod: &'a Pod, of: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == of)
}

/// A Bedplate pod has one container.
fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

/// The scheduler's own words, which name what is lacking and on how many nodes.
fn unschedulable(pod: &Pod) -> Option<Trouble> {
    let scheduled = condition(pod, "PodScheduled").filter(|scheduled| scheduled.status == "False")?;
    let said = scheduled.message.as_deref().unwrap_or("the scheduler gave no reason");
    let pod = name(pod);
    Some(if said.contains("ersistentvolumeclaim") || said.contains("PersistentVolumeClaim") {
        let remedy = "look at it with kubectl describe pvc: it needs a volume or a StorageClass that makes one";
        Trouble { reason: Reason::StorageNotBound, message: format!("no node for pod {pod}: {said}; {remedy}") }
    } else {
        let remedy = "ask for less, or add nodes that have it";
        Trouble { reason: Reason::InsufficientResources, message: format!("no node for pod {pod}: {said}; {remedy}") }
    })
}

/// What kubelet says of a container that it cannot start.
fn cannot_start(pod: &Pod) -> Option<Trouble> {
    let waiting: &ContainerStateWaiting = container(pod)?.state.as_ref()?.waiting.as_ref()?;
    let word = waiting.reason.as_deref()?;
    let said = waiting.message.as_deref().unwrap_or("kubelet gave no reason");
    let (reason, remedy) = match word {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "RegistryUnavailable" => (
            Reason::ImagePullFailed,
            "check the image's name and the registry's credentials (imagePullSecrets), or load the image on the node",
        ),
        "CreateContainerConfigError" => {
            (Reason::ReferenceNotFound, "make the Secret or the key that spec.podTemplate names")
        }
        "CreateContainerError" | "RunContainerError" => (Reason::PodsRefused, "kubectl describe pod has more"),
        _ => return None,
    };
    Some(Trouble { reason, message: format!("pod {} cannot start ({word}): {said}; {remedy}", name(pod)) })
}

/// What the controllers and kubelet could say only in an Event.
fn of_warning(warning: &Warning, waiting: &[&Pod], is_short: bool) -> Option<Trouble> {
    let is_about_pod = waiting.iter().any(|pod| name(pod) == warning.name);
    let Warning { kind, name, message: said, .. } = warning;
    let (reason, remedy) = match warning.reason.as_str() {
        "FailedCreate" if is_short => return Some(refusal(&format!("{kind} {name}: {said}"))),
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" if is_about_pod => {
            (Reason::StorageNotBound, "look at the volume that it names")
        }
        "FailedCreatePodSandBox" if is_about_pod => (Reason::PodsRefused, "the node's network or runtime is at fault"),
        _ => return None,
    };
    Some(Trouble { reason, message: format!("{kind} {name}: {said}; {remedy}") })
}

/// Why the API server does not take a pod, from its own words.
pub fn refusal(said: &str) -> Trouble {
    let (reason, remedy) = if said.contains("exceeded quota") {
        (Reason::QuotaExceeded, "ask for less, end something else, or raise the ResourceQuota")
    } else if said.contains("service account") || said.contains("serviceaccount") {
        (Reason::ReferenceNotFound, "make the ServiceAccount that spec.podTemplate names")
    } else {
        (Reason::PodsRefused, "change what it names")
    };
    Trouble { reason, message: format!("{said}; {remedy}") }
}
