//! A progress API on a free port of this machine: real TLS, and a reviewer that knows a few tokens.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bedplate_crds::job::{JobMetadata, Reporting};
use bedplate_operator::{
    progress_api::{
        hub::{Described, HistorySource, ProgressHub},
        review::{Review, ReviewError, TokenReviewer},
        server::serve,
        tls::TlsFiles,
    },
    resource::{Kind, ResourceKey},
};
use bedplate_recorder::listen_again;
use serde_json::json;
use tokio::{sync::oneshot, task::JoinHandle};

pub const UID: &str = "7c1f";

/// Reviews as the API server does: a token is good for one account and one audience. `expired` is good for nobody.
#[derive(Clone, Default)]
pub struct FewTokens(Arc<AtomicUsize>);

impl TokenReviewer for FewTokens {
    async fn review(&self, token: &str, audience: &str) -> Result<Review, ReviewError> {
        let known = match token.rsplit('.').next().unwrap() {
            "good" => Some(("system:serviceaccount:team:default", "bedplate.dev/7c1f")),
            "other-job" => Some(("system:serviceaccount:team:default", "bedplate.dev/9999")),
            "other-namespace" => Some(("system:serviceaccount:foreign:default", "bedplate.dev/7c1f")),
            "user" => Some(("alice", "bedplate.dev/7c1f")),
            _ => None,
        };
        let known = known.filter(|(_, meant_for)| *meant_for == audience);
        Ok(match known {
            Some((username, audience)) => Review {
                authenticated: true,
                username: username.to_owned(),
                audiences: vec![audience.to_owned()],
                error: None,
            },
            None => {
                self.0.fetch_add(1, Ordering::Relaxed);
                Review { error: Some("the token has expired or was forged".to_owned()), ..Review::default() }
            }
        })
    }
}

/// Files that a pod would have, and the server's.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.renew_certificate();
        place.token("e30.e30.good");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A certificate that vouches for itself.
    pub fn renew_certificate(&self) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(self.path("tls.crt"), made.cert.pem()).unwrap();
        std::fs::write(self.path("tls.key"), made.signing_key.serialize_pem()).unwrap();
    }

    pub fn token(&self, token: &str) {
        std::fs::write(self.path("token"), format!("{token}\n")).unwrap();
    }

    pub fn progress_file(&self) -> PathBuf {
        self.path("progress.jsonl")
    }

    pub fn reporting(&self, address: SocketAddr) -> Reporting {
        Reporting {
            url: format!("https://localhost:{}", address.port()),
            ca_file: self.path("tls.crt"),
            token_file: self.path("token"),
            kind: "TrainingJob".to_owned(),
            uid: UID.to_owned(),
        }
    }
}

pub fn metadata() -> JobMetadata {
    JobMetadata { name: "train".to_owned(), namespace: "team".to_owned(), traceparent: None }
}

pub fn key() -> ResourceKey {
    ResourceKey { kind: Kind::TrainingJob, namespace: "team".to_owned(), name: "train".to_owned() }
}

/// A hub that knows one TrainingJob.
pub fn hub(history: HistorySource) -> ProgressHub {
    let (hub, going) = ProgressHub::new(history);
    tokio::spawn(going);
    let (spec, job) = (json!({ "seed": 1 }), json!({ "outputDir": "/out" }));
    hub.describe(Described { uid: UID.to_owned(), key: key(), spec, job, inputs: Vec::new() });
    hub
}

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    reviewer: FewTokens,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(place: &Place, hub: ProgressHub) -> Self {
        Self::start_at(place, hub, "127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(place: &Place, hub: ProgressHub, address: SocketAddr) -> Self {
        let listener = listen_again(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = TlsFiles { cert: place.path("tls.crt"), key: place.path("tls.key") };
        let (stop, stopped) = oneshot::channel::<()>();
        let reviewer = FewTokens::default();
        let reviewing = reviewer.clone();
        let task = tokio::spawn(async move {
            let stopped = async { _ = stopped.await };
            serve(listener, tls, reviewing, hub, stopped).await.unwrap();
        });
        Self { address, reviewer, stop, task }
    }

    /// Tokens that were not accepted.
    pub fn refused(&self) -> usize {
        self.reviewer.0.load(Ordering::Relaxed)
    }

    /// Stops as an operator that is killed: connections are cut.
    pub async fn kill(self) {
        drop(self.stop);
        self.task.abort();
        let _ = self.task.await;
    }
}
