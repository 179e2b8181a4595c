//! A progress API that keeps what it is sent, over real TLS, so that tests see what a pod's binary reports.
//!
//! Never part of a pod: only tests depend on it, and a crate of its own keeps what they link the same as what ships. It loses its
//! answer to the first report, as a server does that goes away at the wrong moment.
#![forbid(unsafe_code)]

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bedplate_crds::job::Reporting;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig},
};

use v1alpha1::{
    ReportRequest, ReportResponse, ResumeRequest, ResumeResponse,
    progress_server::{Progress, ProgressServer},
};

/// The progress API's messages and its server.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod v1alpha1 {
    tonic::include_proto!("bedplate.progress.v1alpha1");
}

const TOKEN: &str = "a-projected-token";
/// How long a port may stay taken: a server that was cut off drops its sockets in its own time, and in between the port may
/// be another connection's.
const BIND_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two attempts at the port.
const BIND_PAUSE: Duration = Duration::from_millis(50);

/// The server. It listens only once it is told to.
#[derive(Debug)]
pub struct Recorder {
    folder: TempDir,
    address: SocketAddr,
    identity: (String, String),
    kept: Kept,
    runtime: Option<Runtime>,
}

/// What was sent.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    repeated: usize,
    has_failed: bool,
}

/// Listens at an address that a server of the same test has left.
///
/// # Errors
/// Where the port stays taken for 30 s.
pub async fn listen_again(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let deadline = Instant::now() + BIND_TIMEOUT;
    loop {
        match tokio::net::TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(BIND_PAUSE).await;
            }
            bound => return bound,
        }
    }
}

impl Recorder {
    /// Takes a port and makes a certificate and a token.
    ///
    /// # Errors
    /// Where the machine has no port or no room for a file.
    pub fn new() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(io::Error::other)?;
        std::fs::write(folder.path().join("ca.crt"), made.cert.pem())?;
        std::fs::write(folder.path().join("token"), TOKEN)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let identity = (made.cert.pem(), made.signing_key.serialize_pem());
        Ok(Self { folder, address, identity, kept: Kept::default(), runtime: None })
    }

    /// What a job file says so that a pod reports here.
    pub fn reporting(&self, kind: &str) -> Reporting {
        Reporting {
            url: format!("https://localhost:{}", self.address.port()),
            ca_file: self.folder.path().join("ca.crt"),
            token_file: self.folder.path().join("token"),
            kind: kind.to_owned(),
            uid: "7c1f".to_owned(),
        }
    }

    /// Begins to listen.
    ///
    /// # Errors
    /// Where the port stays taken.
    pub fn listen(&mut self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(listen_again(self.address))?;
        let identity = Identity::from_pem(&self.identity.0, &self.identity.1);
        let server =
            Server::builder().tls_config(ServerTlsConfig::new().identity(identity)).map_err(io::Error::other)?;
        let service = ProgressServer::new(self.kept.clone());
        let mut server = server;
        runtime.spawn(server.add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
        self.runtime = Some(runtime);
        Ok(())
    }

    /// Stops to listen and cuts every connection.
    pub fn hang_up(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Every line so far, in the order in which they came.
    pub fn lines(&self) -> Vec<String> {
        self.kept.state().lines.clone()
    }

    /// Lines that were sent although the server had said that it has them.
    pub fn repeated(&self) -> usize {
        self.kept.state().repeated
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.hang_up();
    }
}

impl Kept {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check<T>(request: &Request<T>) -> Result<(), Status> {
    let found = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    let is_ours = found.and_then(|value| value.strip_prefix("Bearer ")) == Some(TOKEN);
    if is_ours { Ok(()) } else { Err(Status::unauthenticated("this is not the token of the job")) }
}

#[tonic::async_trait]
impl Progress for Kept {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        check(&request)?;
        let ReportRequest { first_line, lines, .. } = request.into_inner();
        let mut state = self.state();
        let known = state.lines.len();
        let first = usize::try_from(first_line).unwrap_or(usize::MAX);
        if first <= known {
            state.repeated += (known - first).min(lines.len());
            state.lines.extend(lines.into_iter().skip(known - first));
        }
        if !std::mem::replace(&mut state.has_failed, true) {
            return Err(Status::unavailable("the answer is lost"));
        }
        Ok(Response::new(ReportResponse { next_line: state.lines.len() as u64 }))
    }

    async fn resume(&self, request: Request<ResumeRequest>) -> Result<Response<ResumeResponse>, Status> {
        check(&request)?;
        Ok(Response::new(ResumeResponse { next_line: self.state().lines.len() as u64 }))
    }
}
