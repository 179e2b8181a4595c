//! Remembers reviews for a short time, so that the API server is asked once a minute and pod, not once a report.
//!
//! Holds hashes of tokens, never tokens.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use super::{Review, ReviewError, TokenReviewer};

/// How long a review holds: a token that is revoked (its pod is deleted) reports no longer than this.
const LIFETIME: Duration = Duration::from_secs(60);
/// Reviews kept: more pods than one operator is for; beyond it the oldest half goes.
const MAX_REVIEWS: usize = 8192;
/// Reviews under way at once: a flood of forged tokens must not become a flood on the API server.
const MAX_IN_FLIGHT: usize = 8;

type Key = [u8; 32];

/// A reviewer with a memory.
#[derive(Debug)]
pub struct CachedReviewer<R> {
    inner: R,
    known: Mutex<HashMap<Key, (Instant, Review)>>,
    in_flight: Semaphore,
}

impl<R: TokenReviewer> CachedReviewer<R> {
    /// Puts a memory before `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, known: Mutex::default(), in_flight: Semaphore::new(MAX_IN_FLIGHT) }
    }

    fn find(&self, key: &Key) -> Option<Review> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(at, _)| at.elapsed() < LIFETIME).map(|(_, review)| review.clone())
    }

    fn keep(&self, key: Key, review: Review) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REVIEWS {
            known.retain(|_, (at, _)| at.elapsed() < LIFETIME / 2);
        }
        if known.len() < MAX_REVIEWS {
            known.insert(key, (Instant::now(), review));
        }
    }
}

impl<R: TokenReviewer> TokenReviewer for CachedReviewer<R> {
    async fn review(&self, token: &str, audience: &str) -> Result<Review, ReviewError> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(audience.as_bytes()).update(b"\0").update(token.as_bytes());
        let key = *hasher.finalize().as_bytes();
        if let Some(review) = self.find(&key) {
            return Ok(review);
        }
        // Closed never, so that the permit is always had in the end.
        let _permit = self.in_flight.acquire().await.ok();
        if let Some(review) = self.find(&key) {
            return Ok(review);
        }
        let review = self.inner.review(token, audience).await?;
        self.keep(key, review.clone());
        Ok(review)
    }
}
