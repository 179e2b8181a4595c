//! What the API server answered to a request that failed, in its own words and no more.

use std::fmt;

use bedplate_telemetry::chain::Chain;

/// A failed request. Shows the server's message where there is one: a person reads it in an event.
#[derive(Debug)]
pub struct Answer(pub kube::Error);

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            kube::Error::Api(status) => f.write_str(&status.message),
            other => Chain(other).fmt(f),
        }
    }
}

impl std::error::Error for Answer {}
