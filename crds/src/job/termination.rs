//! What a workload leaves in its pod's termination message: how it ended, so that nothing depends on the progress API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kubernetes keeps this much of `/dev/termination-log` (<https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>).
pub const MAX_BYTES: usize = 4096;

/// The termination message: one JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TerminationMessage {
    /// Exit code of the process.
    pub exit_code: i32,
    /// Content digest of what was made, hex; none where nothing was finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// One clear sentence that says why it ended early; none after a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What a finished Dataset holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetTotals>,
}

/// What a finished Dataset holds, hold-out included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatasetTotals {
    /// Documents kept.
    pub documents: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// Tokens of their text, document borders included.
    pub tokens: u64,
    /// Shard files.
    pub shards: u64,
}

impl TerminationMessage {
    /// A message of an exit code alone.
    pub fn new(exit_code: i32) -> Self {
        Self { exit_code, digest: None, message: None, dataset: None }
    }

    /// The JSON text, its sentence cut at the end where it would not fit into [`MAX_BYTES`].
    pub fn to_json(&self) -> String {
        let mut cut = self.clone();
        loop {
            let text = serde_json::json!(cut).to_string();
            let excess = text.len().saturating_sub(MAX_BYTES);
            match &mut cut.message {
                Some(message) if excess > 0 && !message.is_empty() => shorten(message, excess),
                _ => return text,
            }
        }
    }

    /// The message in a pod's status; none where it is something else, such as the last lines of the log.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl From<&super::manifest::DatasetManifest> for DatasetTotals {
    fn from(manifest: &super::manifest::DatasetManifest) -> Self {
        let (train, holdout) = (&manifest.train, &manifest.holdout);
        Self {
            documents: train.documents + holdout.documents,
            bytes: train.bytes + holdout.bytes,
            tokens: train.tokens + holdout.tokens,
            shards: (train.shards.len() + holdout.shards.len()) as u64,
        }
    }
}

/// Takes some bytes off the end: `excess`, but at most half, since an escaped character takes up to six bytes of JSON
/// for one of text. Whoever calls looks again.
fn shorten(message: &mut String, excess: usize) {
    let kept = message.strip_suffix('…').unwrap_or(message);
    let end = kept.floor_char_boundary(kept.len() - excess.min(kept.len().div_ceil(2)));
    message.truncate(end);
    if end > 0 {
        message.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(message: String) -> TerminationMessage {
        TerminationMessage { message: Some(message), ..TerminationMessage::new(11) }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let totals = DatasetTotals { documents: 1, bytes: 2, tokens: 3, shards: 4 };
        let message =
            TerminationMessage { digest: Some("ab".to_owned()), dataset: Some(totals), ..TerminationMessage::new(0) };
        assert_eq!(TerminationMessage::from_json(&message.to_json()), Some(message));
        assert_eq!(TerminationMessage::from_json("thread main panicked"), None);
    }

    #[test]
    fn a_long_sentence_is_cut_so_that_the_rest_stays_readable() {
        for sentence in ["x".repeat(9_000), "\"ä\n".repeat(5_000), "\u{1}".repeat(9_000)] {
            let text = failed(sentence.clone()).to_json();
            assert!(text.len() <= MAX_BYTES, "{} bytes", text.len());
            let read = TerminationMessage::from_json(&text).unwrap();
            let kept = read.message.unwrap();
            assert_eq!(read.exit_code, 11);
            assert!(sentence.starts_with(kept.strip_suffix('…').unwrap()) && kept.len() > 100, "{}", kept.len());
        }
    }
}
