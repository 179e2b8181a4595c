//! Who is calling: projected service-account tokens, checked by the API server (TokenReview, authentication.k8s.io/v1).
//!
//! Owns the decision whether a caller may report for a resource. Never verifies a signature itself, and never logs a token.

mod cache;
mod claims;

use std::future::Future;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::{Api, Client, api::PostParams};

pub use cache::CachedReviewer;

/// What every audience of a pod's token begins with; the uid of its resource follows.
const AUDIENCE_PREFIX: &str = "bedplate.dev/";
/// What the name of every service account begins with
/// (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens>).
const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// What the API server says of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// Whether it is genuine, not expired, and meant for one of the audiences asked for.
    pub authenticated: bool,
    /// Whose it is.
    pub username: String,
    /// Those of the audiences asked for that it is meant for.
    pub audiences: Vec<String>,
    /// Why it is not accepted, in the API server's words.
    pub error: Option<String>,
}

/// The API server could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("could not have a token reviewed by the API server; the operator needs the right to create tokenreviews")]
pub struct ReviewError(#[from] kube::Error);

/// Asks whose a token is.
pub trait TokenReviewer: Send + Sync + 'static {
    /// Reviews `token` for `audience`.
    fn review(&self, token: &str, audience: &str) -> impl Future<Output = Result<Review, ReviewError>> + Send;
}

/// Asks the API server.
#[derive(Clone)]
pub struct KubeReviewer(Api<TokenReview>);

impl std::fmt::Debug for KubeReviewer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("KubeReviewer")
    }
}

impl KubeReviewer {
    /// A reviewer that may create `tokenreviews`.
    pub fn new(client: Client) -> Self {
        Self(Api::all(client))
    }
}

impl TokenReviewer for KubeReviewer {
    async fn review(&self, token: &str, audience: &str) -> Result<Review, ReviewError> {
        let spec = TokenReviewSpec { audiences: Some(vec![audience.to_owned()]), token: token.to_owned() };
        let asked = TokenReview { spec, ..TokenReview::default() };
        let status = self.0.create(&PostParams::default(), &asked).await?.status.unwrap_or_default();
        Ok(Review {
            authenticated: status.authenticated.unwrap_or(false),
            username: status.user.and_then(|user| user.username).unwrap_or_default(),
            audiences: status.audiences.unwrap_or_default(),
            error: status.error,
        })
    }
}

/// Why a caller may not report.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no token.
    #[error("the call carries no token; send `authorization: Bearer TOKEN` with the pod's projected token")]
    NoToken,
    /// The token is forged, expired, or of another cluster.
    #[error("the token is not accepted ({reason}); a pod's projected token with the audience {audience} is needed")]
    Unauthenticated {
        /// Why.
        reason: String,
        /// What it should be meant for.
        audience: String,
    },
    /// The token is good, but for another resource.
    #[error("the token is meant for {found}, not for {audience}; a pod reports for its own resource only")]
    OtherResource {
        /// What it is meant for.
        found: String,
        /// What it should be meant for.
        audience: String,
    },
    /// The token is of a service account of another namespace.
    #[error("the token belongs to {username}, which is not in namespace {namespace}")]
    OtherNamespace {
        /// Whose it is.
        username: String,
        /// Namespace of the resource.
        namespace: String,
    },
    /// The API server could not be asked.
    #[error(transparent)]
    Review(#[from] ReviewError),
}

/// Lets the bearer of `token` report for the resource `uid` in `namespace`, or says why not.
///
/// # Errors
/// See [`Refusal`].
pub async fn authorise<R: TokenReviewer>(reviewer: &R, token: &str, namespace: &str, uid: &str) -> Result<(), Refusal> {
    let audience = format!("{AUDIENCE_PREFIX}{uid}");
    // Reviewed for what it claims to be for, so that a good token of another job is told apart from a bad one. The claim
    // itself proves nothing: only the audiences that the API server gives back count.
    let claimed = claims::audience(token, AUDIENCE_PREFIX).unwrap_or_else(|| audience.clone());
    let review = reviewer.review(token, &claimed).await?;
    if !review.authenticated {
        let reason = review.error.unwrap_or_else(|| "it is not authenticated".to_owned());
        return Err(Refusal::Unauthenticated { reason, audience });
    }
    if !review.audiences.contains(&audience) {
        return Err(Refusal::OtherResource { found: review.audiences.join(", "), audience });
    }
    let account = review.username.strip_prefix(SERVICE_ACCOUNT_PREFIX).and_then(|name| name.split_once(':'));
    match account {
        Some((found, _)) if found == namespace => Ok(()),
        _ => Err(Refusal::OtherNamespace { username: review.username, namespace: namespace.to_owned() }),
    }
}
