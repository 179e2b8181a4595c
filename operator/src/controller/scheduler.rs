//! When a resource is reconciled: woken, not too often, not too many at once, and never twice at the same time.
//!
//! Owns the bounds around a reconcile: its time, its trace, its count, its back-off, and that a defect in one ends that one.

use std::{convert::Infallible, sync::Arc, time::Duration, time::Instant};

use bedplate_telemetry::{chain::Chain, trace_context};
use futures::{FutureExt, StreamExt, channel::mpsc, future::BoxFuture};
use kube::{
    Resource,
    runtime::{
        Config, applier,
        controller::{Action, Error},
        reflector::{ObjectRef, Store},
    },
};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    context::{Context, ReconcileError, Reconciled},
    trace, unreadable,
    wake::key_of,
    world::Guarded,
};
use crate::{cluster::owner::Owner, resource::ResourceKey};

/// Wake-ups within it are one: an object that is created comes with a handful.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Longest reconcile. A dozen writes take a second; one that takes this long waits for an API server that is away.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(15);

/// How much is done at once, and until when.
pub struct Pace {
    /// Reconciles of one kind at once.
    pub workers: u16,
    /// Ends the queue; what runs comes to its end.
    pub stop: CancellationToken,
}

/// One kind's `dereference -> validate -> plan -> build -> apply -> status`.
pub type Step<K, F> = fn(Arc<K>, Arc<Context>) -> F;

/// Reconciles what the queue names, until it is stopped.
pub async fn run<K, F>(
    context: &Arc<Context>,
    store: &Store<Guarded<K>>,
    queue: mpsc::Receiver<ResourceKey>,
    pace: &Pace,
    step: Step<K, F>,
) where
    K: Reconciled,
    F: Future<Output = Result<Action, ReconcileError>> + Send + 'static,
{
    let queue = queue
        .map(|key| Ok::<ObjectRef<Guarded<K>>, Infallible>(ObjectRef::new(&key.name).within(&key.namespace)))
        .take_until(pace.stop.clone().cancelled_owned());
    let config = Config::default().debounce(DEBOUNCE).concurrency(pace.workers);
    let reconciler = move |object, context| in_a_task(object, context, step);
    applier(reconciler, error_policy, context.clone(), store.clone(), queue, config)
        .for_each(|reconciled| async {
            match reconciled {
                // Told where it happened; a resource that is gone was woken by what it left.
                Ok(_) | Err(Error::ReconcilerFailed(..) | Error::ObjectNotFound(_)) => {}
                Err(error) => tracing::error!(error = %Chain(&error), "a queue is out of order"),
            }
        })
        .await;
}

/// A panic in it ends the task and is told as an error.
fn in_a_task<K, F>(
    object: Arc<Guarded<K>>,
    context: Arc<Context>,
    step: Step<K, F>,
) -> BoxFuture<'static, Result<Action, ReconcileError>>
where
    K: Reconciled,
    F: Future<Output = Result<Action, ReconcileError>> + Send + 'static,
{
    // Unlike a bare task it ends with whoever waits for it.
    let mut task = JoinSet::new();
    task.spawn(bounded(object, context, step));
    async move {
        let joined = task.join_next().await;
        let panicked = |error: tokio::task::JoinError| ReconcileError::Panicked { message: error.to_string() };
        joined.map_or(Ok(Action::await_change()), |joined| joined.map_err(panicked).and_then(|result| result))
    }
    .boxed()
}

async fn bounded<K, F>(
    object: Arc<Guarded<K>>,
    context: Arc<Context>,
    step: Step<K, F>,
) -> Result<Action, ReconcileError>
where
    K: Reconciled,
    F: Future<Output = Result<Action, ReconcileError>> + Send + 'static,
{
    let key = key_of(K::KIND, &*object);
    if let Some(wait) = context.memory.wait(&key, object.meta().generation) {
        return Ok(Action::requeue(wait));
    }
    let started = Instant::now();
    let span = span(&context, &key, &object);
    let reconcile = async {
        match &object.0 {
            Ok(readable) => step(Arc::new(readable.clone()), context.clone()).await,
            Err(invalid) => unreadable::reconcile::<K>(&context, invalid).await,
        }
    };
    let late = ReconcileError::Late { seconds: RECONCILE_TIMEOUT.as_secs() };
    let result = timeout(RECONCILE_TIMEOUT, reconcile.instrument(span)).await.unwrap_or(Err(late));
    let word = if result.is_ok() { "success" } else { "error" };
    context.metrics.reconciled(K::KIND, word, started.elapsed());
    if result.is_ok() {
        context.memory.succeeded(&key);
    }
    result
}

/// Joins the trace of the resource, which its pods join too.
fn span<K: Reconciled>(context: &Context, key: &ResourceKey, object: &Guarded<K>) -> tracing::Span {
    let ResourceKey { kind, namespace, name } = key;
    let span = tracing::info_span!("reconcile", %kind, namespace, name);
    let own = || Owner::new(*kind, object.meta()).traceparent;
    if let Some(traceparent) = trace::traceparent(&context.world, key).or_else(own) {
        trace_context::continue_from(&span, &traceparent);
    }
    span
}

fn error_policy<K: Reconciled>(object: Arc<Guarded<K>>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let key = key_of(K::KIND, &*object);
    let wait = context.memory.failed(&key, object.meta().generation);
    tracing::warn!(error = %Chain(error), resource = %key, wait_seconds = wait.as_secs_f64(), "reconcile failed; it is tried again");
    Action::requeue(wait)
}
