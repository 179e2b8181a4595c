//! The key that the tokens of jobs are made from: what the ranks of one TrainingJob know and no other pod does.
//!
//! Owns that the same job gets the same token at every reconcile, so that nothing has to be kept. The token lies in the job
//! file, whose ConfigMap only the namespace's own users can read; a Secret would need a right to Secrets, which the operator
//! has not. Made from the uid alone it would be known to whoever sees a trace: the uid is the id of the job's trace.

use std::fmt;

use bedplate_crds::job::secret::Secret;

/// What tokens are derived for (blake3's context string: unique, and never changed).
const CONTEXT: &str = "bedplate.dev 2026-12-01 operator job tokens";

/// A key that never leaves the operator.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct JobKey([u8; 32]);

impl fmt::Debug for JobKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JobKey(***)")
    }
}

impl JobKey {
    /// From something that all operators of an installation know and keep to themselves.
    pub fn from_secret(secret: &[u8]) -> Self {
        Self(blake3::derive_key(CONTEXT, secret))
    }

    /// A key of this process alone: jobs that wait while another operator takes over get their job file anew.
    pub fn random() -> Self {
        let bytes = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
        Self::from_secret(&bytes)
    }

    /// The token of the resource with that uid.
    pub fn token(&self, uid: &str) -> Secret {
        Secret::new(blake3::keyed_hash(&self.0, uid.as_bytes()).to_hex().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_keeps_its_token_and_shares_it_with_no_other_job_and_no_other_installation() {
        let (ours, theirs) = (JobKey::from_secret(b"our key"), JobKey::from_secret(b"their key"));
        assert_eq!(ours.token("uid-1"), JobKey::from_secret(b"our key").token("uid-1"));
        assert_ne!(ours.token("uid-1"), ours.token("uid-2"));
        assert_ne!(ours.token("uid-1"), theirs.token("uid-1"));
        assert_ne!(JobKey::random().token("uid-1"), JobKey::random().token("uid-1"));
        assert!(!ours.token("uid-1").reveal().contains("uid-1"));
    }
}
