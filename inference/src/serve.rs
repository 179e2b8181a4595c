//! The pod's life on one screen: bind, fetch, load, plan, start, answer, drain.
//!
//! Owns the order of it, and which exit code an early end has. Reads no environment.

use std::{
    future::{Future, IntoFuture},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bedplate_crds::{
    job::{
        InferenceJob,
        exit::ExitCode,
        progress::{ProgressBody, ProgressEvent},
    },
    uri::ShownUri,
};
use bedplate_engine::serving::ServingModel;
use bedplate_hub::HubError;
use bedplate_telemetry::progress::{ProgressError, ProgressWriter, now_seconds};
use bedplate_workload::memory;
use tokio_util::sync::CancellationToken;

use crate::{
    engine_thread::{self, EngineConfig, StartError},
    grpc, http,
    intake::Intake,
    load::{self, LoadError, LoadedModel},
    metrics::{CacheSizes, Metrics},
    plan::{self, EnginePlan, PlanError},
    prompt_limit::PromptLimit,
    request::Limits,
    service::Service,
};

/// How long running requests may go on after the process was asked to end. Kubernetes kills after 30 s.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);

/// How long answers that are cut off then have to say so. With the drain it stays below what Kubernetes waits.
const CUT_OFF_TIMEOUT: Duration = Duration::from_secs(2);

/// How the hub is reached; from the environment, read in `main`.
#[derive(Clone, Default)]
pub struct HubAccess {
    /// `HF_TOKEN`.
    pub token: Option<String>,
    /// `HF_ENDPOINT`.
    pub endpoint: Option<String>,
}

/// Why the pod ends early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A listener's address cannot be had.
    #[error("could not listen on {field} {address}; choose a free port of this machine, or port 0")]
    Bind {
        /// Field of the job file.
        field: &'static str,
        /// What it says.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The model is not there.
    #[error("could not get the model of modelUri {uri}")]
    Fetch {
        /// The uri.
        uri: ShownUri,
        /// Why.
        source: HubError,
    },
    /// The model cannot be served.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The sizes do not work.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The engine did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Nobody can be told what happens.
    #[error(transparent)]
    Progress(#[from] ProgressError),
    /// A server broke down.
    #[error("could not go on serving {protocol}")]
    Serve {
        /// Which one.
        protocol: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ServeError {
    /// The code that the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Bind { .. } | Self::Start(_) | Self::Serve { .. } => ExitCode::Retryable,
            Self::Fetch { source: HubError::ParseUri(_) | HubError::FindLocal { .. }, .. } => ExitCode::InvalidConfig,
            Self::Fetch { source: HubError::ChooseFiles { .. } | HubError::Forbidden { .. }, .. } => {
                ExitCode::InvalidConfig
            }
            Self::Fetch { source: HubError::Check { .. } | HubError::Keep { .. }, .. } => ExitCode::StorageFailed,
            Self::Fetch { .. } => ExitCode::Retryable,
            Self::Load(error) if error.is_corruption() => ExitCode::CorruptData,
            Self::Load(_) => ExitCode::InvalidConfig,
            Self::Plan(PlanError::CacheTooSmall { .. }) => ExitCode::OutOfMemory,
            Self::Plan(_) => ExitCode::InvalidConfig,
            Self::Progress(_) => ExitCode::StorageFailed,
        }
    }
}

/// A pod that is ready to answer: listening, with its engine running.
#[derive(Debug)]
pub struct Server {
    service: Arc<Service>,
    http: TcpListener,
    grpc: Option<TcpListener>,
    allow_any_origin: bool,
}

impl Server {
    /// Everything up to the first request. Blocks while the model is fetched and loaded.
    ///
    /// # Errors
    /// At the earliest stage that can know: addresses before the model, the model before the memory.
    pub fn start(job: &InferenceJob, hub: HubAccess) -> Result<Self, ServeError> {
        let http = bind("httpAddress", &job.http_address)?;
        let grpc = job.grpc_address.as_deref().map(|address| bind("grpcAddress", address)).transpose()?;
        let LoadedModel { model, tokenizer, defaults } = load::load(&fetch(job, hub)?, job.engine.dtype)?;
        let available = memory::available_bytes().unwrap_or(plan::ASSUMED_MEMORY_BYTES);
        let plan = plan::plan(job, model.config(), available)?;
        tracing::info!(weight_bytes = model.weight_bytes(), ?plan, "model loaded");
        let sizes = CacheSizes { block_size: plan.block_size, num_blocks: plan.num_blocks };
        let metrics = Arc::new(Metrics::new(&job.served_model_name, plan.max_model_len, sizes));
        let limits = limits(&plan, &model);
        let config = engine_config(&plan, job.threads, tokenizer.eos_token_ids());
        let engine = engine_thread::start(Arc::new(model), config, metrics.clone())?;
        let service = Service {
            model_name: job.served_model_name.clone(),
            created: now_seconds() as u64,
            prompt_limit: PromptLimit::new(&tokenizer, limits.max_model_len),
            tokenizer: Arc::new(tokenizer),
            limits,
            defaults,
            intake: Intake::new(std::thread::available_parallelism().map_or(1, usize::from)),
            engine,
            cut_off: CancellationToken::new(),
            metrics,
        };
        Ok(Self { service: Arc::new(service), http, grpc, allow_any_origin: job.allow_any_origin })
    }

    /// Base URL of the HTTP endpoint, as a client on this machine would write it.
    pub fn url(&self) -> String {
        local_url(&self.http)
    }

    /// Base URL of the gRPC endpoint, if there is one.
    pub fn grpc_url(&self) -> Option<String> {
        self.grpc.as_ref().map(local_url)
    }

    /// The model and the way to it.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Answers until `stop` completes; then takes nothing new, and finishes what runs within `drain_timeout`.
    ///
    /// # Errors
    /// When a server breaks down.
    pub async fn run(self, stop: impl Future<Output = ()>, drain_timeout: Duration) -> Result<(), ServeError> {
        let Self { service, http, grpc, allow_any_origin } = self;
        let stopping = CancellationToken::new();
        let http = serve_http(service.clone(), http, allow_any_origin, stopping.clone());
        let grpc = serve_grpc(service.clone(), grpc, stopping.clone());
        let servers = async { tokio::try_join!(http, grpc).map(|_| ()) };
        tokio::pin!(servers);
        tokio::select! {
            broken = &mut servers => return broken,
            () = stop => tracing::info!("stopping: finishing what runs"),
        }
        stopping.cancel();
        if let Ok(drained) = tokio::time::timeout(drain_timeout, &mut servers).await {
            return drained;
        }
        tracing::warn!(?drain_timeout, "some requests did not finish in time and are cut off");
        service.cut_off.cancel();
        tokio::time::timeout(CUT_OFF_TIMEOUT, servers).await.unwrap_or(Ok(()))
    }
}

/// Serves `job` until `stop` completes, and reports to its progress file.
///
/// # Errors
/// See [`ServeError`]; a `Failed` event has been written then.
pub fn serve(job: &InferenceJob, hub: HubAccess, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    let progress = ProgressWriter::open(&job.progress_file)?;
    report(&progress, ProgressBody::Started { pid: std::process::id() })?;
    let served = run(job, hub, stop, &progress);
    if let Err(error) = &served {
        let message = bedplate_telemetry::chain::Chain(error).to_string();
        report(&progress, ProgressBody::Failed { message, exit_code: error.exit_code().code().into() })?;
    }
    served
}

fn run(
    job: &InferenceJob,
    hub: HubAccess,
    stop: impl Future<Output = ()>,
    progress: &ProgressWriter,
) -> Result<(), ServeError> {
    let server = Server::start(job, hub)?;
    let broken = |source: std::io::Error| ServeError::Serve { protocol: "HTTP", source: source.into() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(broken)?;
    let url = server.url();
    tracing::info!(%url, grpc_url = server.grpc_url(), model = job.served_model_name, "ready");
    report(progress, ProgressBody::Ready { url })?;
    let served = runtime.block_on(server.run(stop, DRAIN_TIMEOUT));
    runtime.shutdown_background();
    served
}

fn report(progress: &ProgressWriter, body: ProgressBody) -> Result<(), ProgressError> {
    progress.append(&ProgressEvent { time_seconds: now_seconds(), body })
}

fn bind(field: &'static str, address: &str) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Bind { field, address: address.to_owned(), source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn fetch(job: &InferenceJob, hub: HubAccess) -> Result<PathBuf, ServeError> {
    let HubAccess { token, endpoint } = hub;
    let options = bedplate_hub::Options { cache_dir: job.cache_dir.clone(), endpoint, token };
    bedplate_hub::resolve(&job.model_uri, &options)
        .map_err(|source| ServeError::Fetch { uri: ShownUri::new(&job.model_uri), source })
}

fn limits(plan: &EnginePlan, model: &ServingModel) -> Limits {
    Limits {
        max_model_len: plan.max_model_len,
        vocab_size: model.config().vocab_size,
        max_queue_len: plan.max_queue_len,
    }
}

fn engine_config(plan: &EnginePlan, threads: usize, eos_token_ids: &[u32]) -> EngineConfig {
    EngineConfig {
        scheduler: plan.scheduler(),
        max_queue_len: plan.max_queue_len,
        block_size: plan.block_size,
        num_blocks: plan.num_blocks,
        threads,
        eos_token_ids: eos_token_ids.to_vec(),
    }
}

/// The URL of a listener; one that listens everywhere is reached over the loopback.
fn local_url(listener: &TcpListener) -> String {
    let mut address = listener.local_addr().expect("a bound listener has an address");
    if address.ip().is_unspecified() {
        let loopback: [SocketAddr; 2] =
            [([127, 0, 0, 1], address.port()).into(), ([0, 0, 0, 0, 0, 0, 0, 1], address.port()).into()];
        address = loopback[usize::from(address.is_ipv6())];
    }
    format!("http://{address}")
}

async fn serve_http(
    service: Arc<Service>,
    listener: TcpListener,
    allow_any_origin: bool,
    stopping: CancellationToken,
) -> Result<(), ServeError> {
    let broken = |source: std::io::Error| ServeError::Serve { protocol: "HTTP", source: source.into() };
    let listener = tokio::net::TcpListener::from_std(listener).map_err(broken)?;
    let app = http::app(service, allow_any_origin);
    axum::serve(listener, app).with_graceful_shutdown(stopping.cancelled_owned()).into_future().await.map_err(broken)
}

async fn serve_grpc(
    service: Arc<Service>,
    listener: Option<TcpListener>,
    stopping: CancellationToken,
) -> Result<(), ServeError> {
    let Some(listener) = listener else {
        stopping.cancelled().await;
        return Ok(());
    };
    let broken = |source| ServeError::Serve { protocol: "gRPC", source };
    let listener = tokio::net::TcpListener::from_std(listener).map_err(|error| broken(error.into()))?;
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<grpc::v1::inference_server::InferenceServer<grpc::Endpoint>>().await;
    tonic::transport::Server::builder()
        .add_service(health_service)
        .add_service(grpc::server(service))
        .serve_with_incoming_shutdown(tokio_stream::wrappers::TcpListenerStream::new(listener), stopping.cancelled())
        .await
        .map_err(|error| broken(error.into()))
}
