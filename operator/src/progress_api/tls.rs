//! The server's certificate, read again when its files change, and connections that have shaken hands.
//!
//! Owns how many connections there are at once. Never looks at what goes over them.

use std::{
    io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

/// How old a certificate may be before its files are looked at again: renewals come days before the end.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);
/// Longest handshake: it takes milliseconds, and who does not speak must not hold a place.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at once: one a pod, and more pods than one operator is for.
const MAX_CONNECTIONS: usize = 2048;
/// Pause after the system has refused a connection, mostly for lack of file descriptors: some are given back in it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where certificate and key lie, as PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, its chain after it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why the certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or holds no PEM.
    #[error("could not read {path} as PEM; check the TLS secret of the progress API", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not belong together.
    #[error("the certificate in {path} cannot be used with its key; check the TLS secret of the progress API", path = path.display())]
    Use {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// The certificate as it is now.
pub(super) struct Certificate {
    files: TlsFiles,
    acceptor: TlsAcceptor,
    chain: Vec<CertificateDer<'static>>,
    looked: Instant,
}

impl Certificate {
    /// Reads the files.
    pub(super) fn read(files: TlsFiles) -> Result<Self, TlsError> {
        let (chain, acceptor) = load(&files)?;
        Ok(Self { files, acceptor, chain, looked: Instant::now() })
    }

    /// The acceptor for the next connection. A renewed pair that cannot be used leaves the old one in place.
    fn acceptor(&mut self) -> TlsAcceptor {
        if self.looked.elapsed() >= RELOAD_INTERVAL {
            self.looked = Instant::now();
            match load(&self.files) {
                Ok((chain, acceptor)) if chain != self.chain => {
                    tracing::info!(cert = %self.files.cert.display(), "the certificate of the progress API is renewed");
                    (self.chain, self.acceptor) = (chain, acceptor);
                }
                Ok(_) => {}
                Err(error) => {
                    let error = bedplate_telemetry::chain::Chain(&error).to_string();
                    tracing::warn!(error, "the certificate of the progress API is not renewed");
                }
            }
        }
        self.acceptor.clone()
    }
}

fn load(files: &TlsFiles) -> Result<(Vec<CertificateDer<'static>>, TlsAcceptor), TlsError> {
    let unreadable = |path: &PathBuf, source| TlsError::Read { path: path.clone(), source };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|source| unreadable(&files.cert, source))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| unreadable(&files.key, source))?;
    let unusable = |source| TlsError::Use { path: files.cert.clone(), source };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain.clone(), key)
        .map_err(unusable)?;
    // gRPC is HTTP/2, and clients insist that it is agreed on.
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok((chain, TlsAcceptor::from(Arc::new(config))))
}

/// A connection and its place among the [`MAX_CONNECTIONS`].
pub(super) type Connection = io::Result<Held<TlsStream<TcpStream>>>;

/// Accepts connections and hands on those whose handshake succeeds. Ends when nobody takes them any more.
pub(super) async fn accept(listener: TcpListener, mut certificate: Certificate, connections: mpsc::Sender<Connection>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connections.closed() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(shake_hands(stream, certificate.acceptor(), place, connections.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the progress API could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn shake_hands(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    place: OwnedSemaphorePermit,
    connections: mpsc::Sender<Connection>,
) {
    // A caller without TLS, or one that trusts somebody else, is told so by TLS itself.
    if let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        // Fails only while the server shuts down.
        let _ = connections.send(Ok(Held { inner: stream, _place: place })).await;
    }
}

/// A stream that holds its place until it is closed.
#[derive(Debug)]
pub(super) struct Held<S> {
    inner: S,
    _place: OwnedSemaphorePermit,
}

impl<S> Connected for Held<S> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
