//! The progress API's client: one connection at a time, and the token as kubelet has it now.
//!
//! Owns limits of time. Never reads the progress file.

use std::{io, path::PathBuf, time::Duration};

use bedplate_crds::job::{JobMetadata, Reporting};
use tonic::{
    Request, Status,
    metadata::{MetadataValue, errors::InvalidMetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::v1alpha1::{self, ReportRequest, ResumeRequest, progress_client::ProgressClient};

/// Longest wait for a connection: the operator is in the same cluster.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest call: a little more than the server gives itself.
const CALL_TIMEOUT: Duration = Duration::from_secs(25);
/// A connection over which nothing comes back for so long is a dead one, and the next call takes another.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Why a report did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The progress file cannot be read.
    #[error("could not read the progress file")]
    Read(#[source] io::Error),
    /// A file that the job names cannot be read.
    #[error("could not read {path}; check reporting.{field} in the job file", path = path.display())]
    ReadFile {
        /// Field of the job file.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The token cannot be sent.
    #[error("the token in {path} holds characters that no token has; check reporting.tokenFile in the job file", path = path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        source: InvalidMetadataValue,
    },
    /// There is no connection.
    #[error("could not connect to the operator at {url}")]
    Connect {
        /// Where.
        url: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The server said no, or nothing.
    #[error("the operator did not take a report")]
    Call(#[source] Box<Status>),
    /// The server keeps nothing more for now.
    #[error("the operator takes no lines for now; its history is away")]
    Full,
}

/// One resource's way to the operator.
pub(super) struct Client {
    reporting: Reporting,
    reporter: v1alpha1::Reporter,
    connection: Option<ProgressClient<Channel>>,
}

impl Client {
    pub(super) fn new(metadata: &JobMetadata, reporting: &Reporting) -> Self {
        let reporter = v1alpha1::Reporter {
            kind: reporting.kind.clone(),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            uid: reporting.uid.clone(),
            file: String::new(),
        };
        Self { reporting: reporting.clone(), reporter, connection: None }
    }

    /// Connects where there is no connection, and asks then which line the server wants: it may be another server.
    pub(super) async fn resume(&mut self, file: &str) -> Result<Option<u64>, ClientError> {
        if self.connection.is_some() && self.reporter.file == file {
            return Ok(None);
        }
        file.clone_into(&mut self.reporter.file);
        let request = self.request(ResumeRequest { reporter: Some(self.reporter.clone()) })?;
        let mut connection = self.connect().await?;
        let answer = connection.resume(request).await.map_err(|status| ClientError::Call(Box::new(status)))?;
        self.connection = Some(connection);
        Ok(Some(answer.into_inner().next_line))
    }

    /// Sends lines and returns the line that the server wants next.
    pub(super) async fn report(&mut self, file: &str, first_line: u64, lines: Vec<String>) -> Result<u64, ClientError> {
        debug_assert_eq!(self.reporter.file, file, "a file is resumed before it is reported");
        let request = self.request(ReportRequest { reporter: Some(self.reporter.clone()), first_line, lines })?;
        let mut connection = match &self.connection {
            Some(connection) => connection.clone(),
            None => self.connect().await?,
        };
        let answer = connection.report(request).await.map_err(|status| ClientError::Call(Box::new(status)))?;
        Ok(answer.into_inner().next_line)
    }

    /// Lets the connection go: the next call makes another, perhaps to another operator.
    pub(super) fn hang_up(&mut self) {
        self.connection = None;
    }

    async fn connect(&self) -> Result<ProgressClient<Channel>, ClientError> {
        let path = &self.reporting.ca_file;
        let unreadable = |source| ClientError::ReadFile { field: "caFile", path: path.clone(), source };
        let authority = std::fs::read(path).map_err(unreadable)?;
        let failed = |source| ClientError::Connect { url: self.reporting.url.clone(), source };
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
        let endpoint = Endpoint::from_shared(self.reporting.url.clone()).map_err(failed)?;
        let endpoint = endpoint.tls_config(tls).map_err(failed)?.connect_timeout(CONNECT_TIMEOUT).timeout(CALL_TIMEOUT);
        let endpoint = endpoint.http2_keep_alive_interval(KEEPALIVE).keep_alive_while_idle(true);
        Ok(ProgressClient::new(endpoint.connect().await.map_err(failed)?))
    }

    fn request<T>(&self, message: T) -> Result<Request<T>, ClientError> {
        let path = &self.reporting.token_file;
        let unreadable = |source| ClientError::ReadFile { field: "tokenFile", path: path.clone(), source };
        let token = std::fs::read_to_string(path).map_err(unreadable)?;
        let unusable = |source| ClientError::Token { path: path.clone(), source };
        let mut value = MetadataValue::try_from(format!("Bearer {}", token.trim())).map_err(unusable)?;
        value.set_sensitive(true);
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}
