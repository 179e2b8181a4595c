//! How many errors of a source may be skipped before it counts as something else than was thought.

use bedplate_crds::dataset::Source;
use bedplate_telemetry::chain::Chain;

use super::SourceError;

/// The errors of one source, counted in reading order, so that the same files always end the same way.
pub(super) struct Tolerance {
    source: usize,
    limit: u64,
    skipped: u64,
}

impl Tolerance {
    pub(super) fn of(index: usize, source: &Source) -> Self {
        Self { source: index, limit: source.tolerated_errors(), skipped: 0 }
    }

    /// Skips `error` and says what to tell of it.
    ///
    /// # Errors
    /// Where it was one too many.
    pub(super) fn skip(&mut self, error: SourceError) -> Result<String, SourceError> {
        if self.limit == 0 {
            return Err(error);
        }
        let last = Chain(&error).to_string();
        if self.skipped == self.limit {
            let field = format!("spec.sources[{}].maxErrors", self.source);
            return Err(SourceError::TooManyErrors { field, limit: self.limit, last });
        }
        self.skipped += 1;
        Ok(last)
    }
}
