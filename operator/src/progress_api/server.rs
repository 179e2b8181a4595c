//! The progress API's gRPC server.
//!
//! Owns the way from a call to the hub: who calls, and what is too much. Never keeps anything.

use std::{future::Future, time::Duration};

use bedplate_telemetry::chain::Chain;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, transport::Server};

use super::{
    hub::{HubError, ProgressHub},
    review::{CachedReviewer, Refusal, TokenReviewer, authorise},
    tls::{self, Certificate, TlsError, TlsFiles},
    v1alpha1::{
        ReportRequest, ReportResponse, Reporter, ResumeRequest, ResumeResponse,
        progress_server::{Progress, ProgressServer},
    },
};

/// Largest message: twice what a pod sends at once.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// Calls of one connection at once: a pod makes one after the other.
const MAX_CALLS_PER_CONNECTION: usize = 2;
/// Longest call: a review and a write to Postgres, each with limits of their own below it.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Idle connections are asked for a sign of life: a node that is gone closes none.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Accepted connections that wait to be served: they are served at once.
const ACCEPTED: usize = 16;

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server broke down.
    #[error("could not go on serving the progress API")]
    Serve(#[from] tonic::transport::Error),
}

/// Serves until `stop` completes; calls under way are answered.
///
/// # Errors
/// At once where the certificate cannot be used.
pub async fn serve<R: TokenReviewer>(
    listener: TcpListener,
    tls: TlsFiles,
    reviewer: R,
    hub: ProgressHub,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let certificate = Certificate::read(tls)?;
    let (sender, connections) = mpsc::channel(ACCEPTED);
    let accepting = tokio::spawn(tls::accept(listener, certificate, sender));
    let service = ProgressServer::new(Service { reviewer: CachedReviewer::new(reviewer), hub })
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let served = Server::builder()
        .timeout(CALL_TIMEOUT)
        .concurrency_limit_per_connection(MAX_CALLS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_service(service)
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), stop)
        .await;
    accepting.abort();
    Ok(served?)
}

struct Service<R> {
    reviewer: CachedReviewer<R>,
    hub: ProgressHub,
}

#[tonic::async_trait]
impl<R: TokenReviewer> Progress for Service<R> {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let reporter = self.authorise(&request, request.get_ref().reporter.as_ref()).await?;
        let ReportRequest { first_line, lines, .. } = request.into_inner();
        let next_line = self.hub.report(&reporter, first_line, &lines).await.map_err(of_hub)?;
        Ok(Response::new(ReportResponse { next_line }))
    }

    async fn resume(&self, request: Request<ResumeRequest>) -> Result<Response<ResumeResponse>, Status> {
        let reporter = self.authorise(&request, request.get_ref().reporter.as_ref()).await?;
        let next_line = self.hub.resume(&reporter).await.map_err(of_hub)?;
        Ok(Response::new(ResumeResponse { next_line }))
    }
}

impl<R: TokenReviewer> Service<R> {
    async fn authorise<T>(&self, request: &Request<T>, reporter: Option<&Reporter>) -> Result<Reporter, Status> {
        let Some(reporter) = reporter else {
            return Err(Status::invalid_argument("reporter is missing; say whose progress file it is"));
        };
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")) else {
            return Err(of_refusal(&Refusal::NoToken));
        };
        let allowed = authorise(&self.reviewer, token, &reporter.namespace, &reporter.uid).await;
        allowed.map_err(|refusal| of_refusal(&refusal))?;
        Ok(reporter.clone())
    }
}

fn of_refusal(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::NoToken | Refusal::Unauthenticated { .. } => Code::Unauthenticated,
        Refusal::OtherResource { .. } | Refusal::OtherNamespace { .. } => Code::PermissionDenied,
        Refusal::Review(_) => Code::Unavailable,
    };
    tracing::warn!(error = %Chain(refusal), "refused a progress report");
    Status::new(code, Chain(refusal).to_string())
}

fn of_hub(error: HubError) -> Status {
    let code = match error {
        HubError::Unknown { .. } => Code::Unavailable,
        HubError::OtherName { .. } => Code::PermissionDenied,
        HubError::TooMany { .. } => Code::ResourceExhausted,
    };
    Status::new(code, error.to_string())
}
