//! A wire between an operator and the API server that counts writes and can be cut after any of them.
//!
//! The write at which it is cut takes effect, and its answer is lost: the state in between that a crash leaves behind. From
//! then on nothing passes.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use tower::{BoxError, Layer, Service};

/// A wire; clones are the same wire.
#[derive(Clone, Default)]
pub struct Wire {
    writes: Arc<AtomicU64>,
    remaining: Option<Arc<AtomicI64>>,
}

impl Wire {
    /// One that is cut after that many writes, those to leases not counted.
    pub fn cut_after(writes: i64) -> Self {
        Self { writes: Arc::default(), remaining: Some(Arc::new(AtomicI64::new(writes))) }
    }

    /// Writes so far, those to leases not counted.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// Whether nothing passes any more.
    pub fn is_cut(&self) -> bool {
        self.remaining.as_ref().is_some_and(|remaining| remaining.load(Ordering::SeqCst) <= 0)
    }

    /// Counts a write; true where its answer is to be lost.
    fn write(&self) -> bool {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.remaining.as_ref().is_some_and(|remaining| remaining.fetch_sub(1, Ordering::SeqCst) == 1)
    }
}

impl<S> Layer<S> for Wire {
    type Service = Wired<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Wired { wire: self.clone(), inner }
    }
}

/// A service behind a wire.
#[derive(Clone)]
pub struct Wired<S> {
    wire: Wire,
    inner: S,
}

impl<S, I, O> Service<Request<I>> for Wired<S>
where
    S: Service<Request<I>, Response = Response<O>, Error = BoxError> + Send + 'static,
    S::Future: Send + 'static,
    I: Send + 'static,
    O: Send + 'static,
{
    type Response = Response<O>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<O>, BoxError>>;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<I>) -> Self::Future {
        let is_write = request.method() != Method::GET && !request.uri().path().contains("/leases");
        let wire = self.wire.clone();
        if wire.is_cut() {
            return Box::pin(async { Err("the wire is cut".into()) });
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if is_write && wire.write() {
                return Err("the wire was cut before the answer came".into());
            }
            Ok(answer)
        })
    }
}
