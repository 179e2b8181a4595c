//! Files behind http(s) and s3, read as streams that survive a broken connection.
//!
//! Owns the bound on attempts and the resumption at the byte where the last one broke. Credentials come from the
//! caller; they are never read from the environment here and never logged.

mod guard;
mod http;
mod retry;
mod s3;

use std::{
    io::{self, Read},
    sync::Arc,
};

use bedplate_crds::uri::ShownUri;
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use tokio::runtime::Runtime;

use crate::stop::Stop;
use guard::{Http, READ_TIMEOUT};
use retry::{Attempt, Retries};

/// Why something remote could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The uri cannot be understood.
    #[error("{uri} is not understood: {reason}")]
    ParseUri {
        /// The uri.
        uri: ShownUri,
        /// What is wrong.
        reason: String,
    },
    /// There is no such thing.
    #[error("{uri} does not exist; check the address")]
    Find {
        /// The uri.
        uri: ShownUri,
    },
    /// The server does not let us.
    #[error(
        "{uri} refuses access; check its permissions, and that a signed address has not expired (for s3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL; the node's own role is used only where AWS_EC2_METADATA_DISABLED is false)"
    )]
    Access {
        /// The uri.
        uri: ShownUri,
    },
    /// The server answers something that trying again will not mend.
    #[error("{uri}: {reason}")]
    Answer {
        /// The uri.
        uri: ShownUri,
        /// What it answered.
        reason: String,
    },
    /// Every attempt failed.
    #[error("cannot reach {uri} after {attempts} attempts: {reason}; check the network and start again")]
    Reach {
        /// The uri.
        uri: ShownUri,
        /// How many there were.
        attempts: u32,
        /// How the last one failed.
        reason: String,
    },
    /// The file is another one than when reading began.
    #[error("{uri} changed while it was read; start again")]
    Changed {
        /// The uri.
        uri: ShownUri,
    },
    /// The client could not be made.
    #[error("cannot prepare for the network")]
    Prepare(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] crate::stop::Stopped),
}

/// What every remote source shares: a thread for the network and the settings.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    http: Http,
    environment: Vec<(String, String)>,
    stop: Stop,
}

impl Client {
    /// A client that takes S3's settings from `environment`.
    pub fn new(environment: &[(String, String)], stop: &Stop) -> Result<Arc<Self>, RemoteError> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("network").enable_all().build();
        let runtime = runtime.map_err(|error| RemoteError::Prepare(Box::new(error)))?;
        let http = Http::new().map_err(|error| RemoteError::Prepare(Box::new(error)))?;
        Ok(Arc::new(Self { runtime, http, environment: environment.to_vec(), stop: stop.clone() }))
    }

    /// Attempts `work` until it succeeds, cannot succeed, or was tried often enough.
    fn retry<T>(&self, uri: &ShownUri, work: impl Fn() -> BoxFuture<'static, Attempt<T>>) -> Result<T, RemoteError> {
        let mut retries = Retries::default();
        loop {
            match self.runtime.block_on(work()) {
                Attempt::Success(value) => return Ok(value),
                Attempt::Failure(error) => return Err(error),
                Attempt::Again(reason) => retries.wait(uri, reason, &self.stop)?,
            }
        }
    }
}

/// One remote file.
#[derive(Debug)]
pub struct RemoteObject {
    /// Path inside its source.
    pub path: String,
    /// Bytes, where the server says so.
    pub size: Option<u64>,
    /// The server's name for this content (ETag or Last-Modified).
    validator: Option<String>,
    /// Names the place whatever it was signed with.
    identity: String,
    uri: ShownUri,
    address: Address,
    client: Arc<Client>,
}

#[derive(Clone, Debug)]
enum Address {
    Http(reqwest::Url),
    S3(s3::Location),
}

/// The bytes of one answer.
type Body = BoxStream<'static, Result<bytes::Bytes, String>>;

/// An answer that begins at the byte that was asked for.
struct Answer {
    body: Body,
    validator: Option<String>,
    /// Bytes of the whole file, where the server says so.
    total: Option<u64>,
}

impl RemoteObject {
    /// Names this content of this place; none where the server cannot tell contents apart. A hash, since an address may hold
    /// what nobody else may read.
    pub fn stamp(&self) -> Option<String> {
        let stamp = |validator| blake3::hash(format!("{} {validator}", self.identity).as_bytes()).to_hex().to_string();
        self.validator.as_ref().map(stamp)
    }

    /// The bytes from the beginning.
    pub fn reader(&self) -> RemoteReader<'_> {
        let validator = self.validator.clone();
        RemoteReader {
            object: self,
            offset: 0,
            validator,
            body: None,
            chunk: bytes::Bytes::new(),
            retries: Retries::default(),
        }
    }

    fn open(&self, offset: u64, validator: Option<&str>) -> Attempt<Answer> {
        let attempt = match &self.address {
            Address::Http(url) => self.client.runtime.block_on(http::get(&self.client.http, url, &self.uri, offset)),
            Address::S3(location) => self.client.runtime.block_on(location.get(&self.uri, offset)),
        };
        match attempt {
            Attempt::Success(answer) if offset > 0 && self.is_other(&answer, validator) => {
                Attempt::Failure(RemoteError::Changed { uri: self.uri.clone() })
            }
            other => other,
        }
    }

    /// Whether an answer is about another content than the one that was begun. Some servers name it in their answers to whole
    /// requests alone; then the size has to tell.
    fn is_other(&self, answer: &Answer, begun: Option<&str>) -> bool {
        let other_size = self.size.zip(answer.total).is_some_and(|(size, total)| size != total);
        let other_name = begun.zip(answer.validator.as_deref()).is_some_and(|(begun, now)| begun != now);
        let is_unnamed = begun.is_some() && answer.validator.is_none() && answer.total.is_none();
        other_size || other_name || is_unnamed
    }
}

/// Reads a remote file; opens a new connection at the right byte where one breaks.
pub struct RemoteReader<'a> {
    object: &'a RemoteObject,
    offset: u64,
    validator: Option<String>,
    body: Option<Body>,
    chunk: bytes::Bytes,
    retries: Retries,
}

impl RemoteReader<'_> {
    /// Fills `chunk`; false at the end of the file.
    fn fetch(&mut self) -> Result<bool, RemoteError> {
        let object = self.object;
        loop {
            let failure = match &mut self.body {
                // It broke off behind the last byte.
                None if self.offset > 0 && object.size == Some(self.offset) => return Ok(false),
                None => match object.open(self.offset, self.validator.as_deref()) {
                    Attempt::Success(answer) => {
                        self.validator = answer.validator.or(self.validator.take());
                        self.body = Some(answer.body);
                        continue;
                    }
                    Attempt::Failure(error) => return Err(error),
                    Attempt::Again(reason) => reason,
                },
                Some(body) => match object.client.runtime.block_on(next_chunk(body)) {
                    Some(Ok(chunk)) if chunk.is_empty() => continue,
                    Some(Ok(chunk)) => {
                        self.offset += chunk.len() as u64;
                        self.retries.progressed(chunk.len() as u64);
                        self.chunk = chunk;
                        return Ok(true);
                    }
                    None if object.size.is_none_or(|size| self.offset >= size) => return Ok(false),
                    None => "the connection ended before the file".to_owned(),
                    Some(Err(reason)) => reason,
                },
            };
            self.body = None;
            self.retries.wait(&object.uri, failure, &object.client.stop)?;
        }
    }
}

async fn next_chunk(body: &mut Body) -> Option<Result<bytes::Bytes, String>> {
    match tokio::time::timeout(READ_TIMEOUT, body.next()).await {
        Ok(chunk) => chunk,
        Err(_) => Some(Err(format!("nothing came for {} s", READ_TIMEOUT.as_secs()))),
    }
}

impl Read for RemoteReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() && !self.fetch().map_err(io::Error::other)? {
            return Ok(0);
        }
        let count = out.len().min(self.chunk.len());
        out[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}
