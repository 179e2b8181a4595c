//! Between the reconcilers and what pods report: who may report, from what it was made, and whom a report wakes.
//!
//! Owns none of it: the hub holds the reports, the decision says what they mean.

use bedplate_crds::{job::progress::StepMetrics, uri::hide_secrets};
use bedplate_telemetry::chain::Chain;
use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    OperatorError,
    context::{Context, Reconciled},
    wake::{Wake, key_of},
};
use crate::{
    cluster::observed::{Dependency, Observed},
    config::ProgressListener,
    progress_api::{
        hub::{Described, ProgressHub},
        review::KubeReviewer,
        server::serve,
        tls::TlsFiles,
    },
    store::{Artefact, ArtefactKind},
};

/// Key of the job file in its ConfigMap.
const JOB_FILE: &str = "job.json";
/// States of a pod that has ended (`status.phase`).
const OVER: [&str; 2] = ["Succeeded", "Failed"];

/// Lets the pods of a resource report, or says that none of them runs any more; and shows the latest step to Prometheus.
pub async fn follow<K: Reconciled>(context: &Context, object: &K, mut spec: Value, observed: &Observed<K::Status>) {
    let uid = object.uid().unwrap_or_default();
    let file = observed.config_map.as_ref().and_then(|config| config.data.as_ref()?.get(JOB_FILE));
    // Written by this operator; what is no JSON was edited by hand and is put back.
    let Some(mut job) = file.and_then(|file| serde_json::from_str(file).ok()) else { return };
    // What is described here goes into the history.
    hide_secrets(&mut job);
    hide_secrets(&mut spec);
    let key = key_of(K::KIND, object);
    let inputs = observed.dependencies.iter().filter_map(input).collect();
    context.progress.describe(Described { uid: uid.clone(), key: key.clone(), spec, job, inputs });
    if has_ended(observed) {
        context.progress.ended(&uid).await;
    }
    if let Some(StepMetrics { step, loss, tokens_per_second, .. }) =
        observed.progress.as_ref().and_then(|progress| progress.step.as_ref()).map(|latest| &latest.metrics)
    {
        context.metrics.trained(&key, [*step as f64, *loss, *tokens_per_second]);
    }
}

/// What a resource is made from, as far as its digest is known.
fn input(dependency: &Dependency) -> Option<Artefact> {
    let (kind, digest) = match dependency {
        Dependency::Missing(_) => return None,
        Dependency::Dataset(dataset) => (ArtefactKind::Dataset, dataset.status.as_ref()?.digest.clone()?),
        Dependency::TrainingJob(job) => {
            (ArtefactKind::Checkpoint, job.status.as_ref()?.checkpoint.as_ref()?.digest.clone())
        }
    };
    Some(Artefact { kind, digest, uri: None, size_bytes: None })
}

/// Whether a Job has ended or is held back, and every pod with it.
fn has_ended<S>(observed: &Observed<S>) -> bool {
    let over = observed.pods.iter().filter_map(|pod| pod.status.as_ref()?.phase.as_deref());
    let runs = observed.pods.len() != over.filter(|phase| OVER.contains(phase)).count();
    observed.job.as_ref().is_some_and(is_over) && !runs
}

fn is_over(job: &Job) -> bool {
    let is_suspended = job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or_default();
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ends = conditions.filter(|condition| ["Complete", "Failed"].contains(&condition.type_.as_str()));
    is_suspended || ends.any(|condition| condition.status == "True")
}

/// Wakes the resources of a scope that pods have reported about.
pub async fn wake_reported(hub: ProgressHub, namespace: Option<String>, mut wake: Wake) {
    let mut changes = std::pin::pin!(hub.subscribe());
    while let Some(key) = changes.next().await {
        if namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace) {
            wake.all(vec![key]).await;
        }
    }
}

/// Takes reports in as long as this operator leads: pods that reach another one try again.
///
/// # Errors
/// When the address or the certificate cannot be had.
pub async fn listen(
    listener: &ProgressListener,
    client: kube::Client,
    hub: ProgressHub,
    stop: CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<(), OperatorError> {
    let address = listener.address;
    let socket = TcpListener::bind(address).await;
    let socket = socket.map_err(|source| OperatorError::Listen { address, field: "progress.address", source })?;
    let tls = TlsFiles { cert: listener.tls_dir.join("tls.crt"), key: listener.tls_dir.join("tls.key") };
    tasks.spawn(async move {
        // Its end is no reason to stop what runs: end states come from the Jobs.
        if let Err(error) = serve(socket, tls, KubeReviewer::new(client), hub, stop.cancelled_owned()).await {
            tracing::error!(error = %Chain(&error), "progress reports are not taken");
        }
    });
    Ok(())
}
