//! Refuses a plan that does not fit the memory, before anything is allocated.
//!
//! Owns the comparison and what the machine has. The sizes themselves are the engine's.

use std::collections::BTreeMap;

use bedplate_workload::memory;

/// A plan that does not fit.
#[derive(Debug, thiserror::Error)]
#[error("the plan needs {} ({}), but {} may be used; lower spec.schedule.microBatchSize, the model's size or packing.sequenceLength, or raise {limit_field}", bytes(*needed), list(parts), bytes(*limit))]
pub struct MemoryError {
    /// Bytes of all parts.
    pub needed: u64,
    /// Bytes of each part.
    pub parts: BTreeMap<String, u64>,
    /// Bytes that may be used.
    pub limit: u64,
    /// What raises the limit.
    pub limit_field: &'static str,
}

/// Checks the parts against the limit of the job file or, where that is 0, this rank's share of what the machine has.
pub fn check(parts: &BTreeMap<String, u64>, limit_bytes: u64, ranks_here: u32) -> Result<(), MemoryError> {
    let (limit, limit_field) = match limit_bytes {
        // A system that does not say how much it has gets the benefit of the doubt.
        0 => (memory::available_bytes().unwrap_or(u64::MAX) / u64::from(ranks_here), "the machine's free memory"),
        limit => (limit, "memoryLimitBytes (the pod's memory limit)"),
    };
    let needed = parts.values().fold(0_u64, |sum, part| sum.saturating_add(*part));
    match needed <= limit {
        true => Ok(()),
        false => Err(MemoryError { needed, parts: parts.clone(), limit, limit_field }),
    }
}

fn list(parts: &BTreeMap<String, u64>) -> String {
    parts.iter().map(|(name, size)| format!("{name} {}", bytes(*size))).collect::<Vec<_>>().join(", ")
}

fn bytes(size: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| size >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", size as f64 / *unit as f64),
        None => format!("{size} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_every_part_and_the_limit() {
        let parts = BTreeMap::from([("weights".to_owned(), 3 << 30), ("activations".to_owned(), 512 << 20)]);
        assert!(check(&parts, 4 << 30, 1).is_ok());
        let message = check(&parts, 1 << 30, 1).unwrap_err().to_string();
        assert!(message.starts_with("the plan needs 3.5 GiB (activations 512.0 MiB, weights 3.0 GiB), but 1.0 GiB"));
        assert!(message.ends_with("or raise memoryLimitBytes (the pod's memory limit)"), "{message}");
    }
}
