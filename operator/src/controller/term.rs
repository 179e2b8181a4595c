//! One term of office: from the first watch to the last reconcile.
//!
//! Owns what lives only while this operator leads. Ends in one of three ways: asked to stop, then every reconcile that runs
//! comes to its end within a bound; fenced or deposed, then everything stops where it is.

use std::{sync::Arc, time::Duration};

use bedplate_telemetry::chain::Chain;
use futures::future::join_all;
use kube::{Client, runtime::watcher::DefaultBackoff};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Operator, OperatorError,
    apply::Applier,
    context::Context,
    dataset,
    events::Events,
    fence::Fence,
    memory::Memory,
    metrics::Metrics,
    model_deployment, progress,
    scheduler::{Pace, run},
    training_job,
    wake::Wake,
    world::{Scope, World},
};
use crate::{
    cluster::{observed::Capabilities, settings::ClusterSettings},
    progress_api::hub::ProgressHub,
};

/// How long reconciles that run may take to end: longer than any takes, shorter than the 30 s that kubelet waits.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// What the back-off ends at, should it ever have no next step.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Group and version of gangs.
const SCHEDULING: &str = "scheduling.k8s.io/v1beta1";
/// Their kind.
const POD_GROUP: &str = "PodGroup";

/// What the cluster can do, as soon as it answers; none where the operator is to stop first.
pub async fn discover(client: &Client, stop: &CancellationToken) -> Option<Capabilities> {
    let mut backoff = DefaultBackoff::default();
    loop {
        match stop.run_until_cancelled(client.list_api_group_resources(SCHEDULING)).await? {
            Ok(list) => {
                let pod_groups = list.resources.iter().any(|resource| resource.kind == POD_GROUP);
                return Some(Capabilities { pod_groups });
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => return Some(Capabilities { pod_groups: false }),
            Err(error) => tracing::warn!(error = %Chain(&error), "the API server does not answer yet"),
        }
        stop.run_until_cancelled(sleep(backoff.next().unwrap_or(LONGEST_WAIT))).await?;
    }
}

/// What a term works with.
pub struct Term<'a> {
    /// The operator that leads.
    pub operator: &'a Operator,
    /// Number of the term.
    pub epoch: i64,
    /// What the cluster can do.
    pub capabilities: Capabilities,
    /// Counts.
    pub metrics: &'a Metrics,
    /// What pods report.
    pub progress: &'a ProgressHub,
    /// What children are made with.
    pub settings: &'a ClusterSettings,
    /// Asks it to end.
    pub stop: &'a CancellationToken,
}

impl Term<'_> {
    /// Reconciles until asked to stop, and then until what runs has ended. May be dropped at any moment.
    ///
    /// # Errors
    /// When another operator leads, or a part ended by itself.
    pub async fn serve(&self) -> Result<(), OperatorError> {
        let fenced = CancellationToken::new();
        let (mut watches, mut listening) = (JoinSet::new(), JoinSet::new());
        if let Some(listener) = &self.operator.config.progress {
            let (client, hub) = (self.operator.client.clone(), self.progress.clone());
            progress::listen(listener, client, hub, self.stop.clone(), &mut listening).await?;
        }
        let scopes = self.operator.config.scopes();
        let scopes: Vec<_> = scopes.into_iter().map(|scope| self.reconcile(scope, &fenced, &mut watches)).collect();
        tokio::select! {
            _ = join_all(scopes) => {
                if self.stop.is_cancelled() { Ok(()) } else { Err(OperatorError::Ended("reconcilers")) }
            }
            Some(_) = watches.join_next() => Err(OperatorError::Ended("watch")),
            () = fenced.cancelled() => Err(OperatorError::Fenced),
            () = self.drained_too_long() => {
                tracing::warn!("a reconcile did not end in time and is cut off; the next operator does it again");
                Ok(())
            }
        }
    }

    /// Reconciles the three kinds of one scope.
    fn reconcile(
        &self,
        namespace: Option<String>,
        fenced: &CancellationToken,
        watches: &mut JoinSet<()>,
    ) -> impl Future<Output = ()> + use<> {
        let client = &self.operator.client;
        let (wake, [datasets, training_jobs, model_deployments]) = Wake::new();
        watches.spawn(progress::wake_reported(self.progress.clone(), namespace.clone(), wake.clone()));
        let scope = Scope { client: client.clone(), namespace, capabilities: self.capabilities };
        let world = World::watch(&scope, &wake, watches);
        let context = Arc::new(Context {
            client: client.clone(),
            world: world.clone(),
            settings: self.settings.clone(),
            capabilities: self.capabilities,
            applier: Applier::new(client.clone(), self.fence()),
            events: Events::new(client.clone(), self.operator.identity.clone()),
            metrics: self.metrics.clone(),
            progress: self.progress.clone(),
            memory: Memory::default(),
            fenced: fenced.clone(),
        });
        let pace = Pace { workers: self.operator.config.workers, stop: self.stop.clone() };
        async move {
            // Fails only where a watch ended, which whoever waits for the watches sees.
            if world.wait_until_ready().await.is_err() {
                return;
            }
            tokio::join!(
                run(&context, &world.datasets, datasets, &pace, dataset::reconcile),
                run(&context, &world.training_jobs, training_jobs, &pace, training_job::reconcile),
                run(&context, &world.model_deployments, model_deployments, &pace, model_deployment::reconcile),
            );
        }
    }

    fn fence(&self) -> Fence {
        let Operator { client, config, identity, .. } = self.operator;
        Fence::new(client.clone(), &config.leader_election, identity.clone(), self.epoch)
    }

    async fn drained_too_long(&self) {
        self.stop.cancelled().await;
        sleep(DRAIN_TIMEOUT).await;
    }
}
