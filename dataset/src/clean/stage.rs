//! The pipeline's stages. Each looks at one document at a time, but for `exactDedup`, which remembers.

use std::collections::HashSet;

use bedplate_crds::dataset::PipelineStage;
use rayon::prelude::*;

use super::{CleanError, counts::Tally};
use crate::document::{ContentDigest, Document};

/// Name of a stage in counts and events: its `type`.
pub(super) fn name(stage: &PipelineStage) -> &'static str {
    match stage {
        PipelineStage::Utf8Repair { .. } => "utf8Repair",
        PipelineStage::Length { .. } => "length",
        PipelineStage::LineFilter { .. } => "lineFilter",
        PipelineStage::ExactDedup {} => "exactDedup",
    }
}

/// A stage at work.
pub(super) enum Stage {
    /// Judges each document alone.
    Filter(PipelineStage),
    /// Keeps the first of equal documents; what it holds are their identities.
    ExactDedup(HashSet<u128>),
}

/// What a filter makes of a document.
enum Verdict {
    Keep,
    Change { text: Vec<u8>, reason: String },
    Drop { reason: String },
}

impl Stage {
    pub(super) fn new(stage: &PipelineStage) -> Self {
        match stage {
            PipelineStage::ExactDedup {} => Self::ExactDedup(HashSet::new()),
            filter => Self::Filter(filter.clone()),
        }
    }

    /// The documents that pass, in order.
    pub(super) fn apply(&mut self, batch: Vec<Document>, tally: &mut Tally) -> Result<Vec<Document>, CleanError> {
        match self {
            Self::Filter(filter) => {
                let verdicts: Vec<_> = batch.par_iter().map(|document| judge(filter, document)).collect();
                let judged = batch.into_iter().zip(verdicts);
                let kept =
                    judged.filter_map(|(document, verdict)| verdict.map(|v| settle(document, v, tally)).transpose());
                kept.collect()
            }
            Self::ExactDedup(seen) => {
                let identities: Vec<u128> =
                    batch.par_iter().map(|document| ContentDigest::of(&document.text).identity()).collect();
                let mut identities = identities.into_iter();
                let is_new = |document: &Document| {
                    let is_new = identities.next().is_some_and(|identity| seen.insert(identity));
                    let bytes = document.text.len() as u64;
                    if is_new {
                        tally.kept(bytes, bytes);
                    } else {
                        tally.dropped(bytes, &document.origin, "the same text came before", &document.text);
                    }
                    is_new
                };
                Ok(batch.into_iter().filter(is_new).collect())
            }
        }
    }
}

/// Counts a verdict and carries it out.
fn settle(mut document: Document, verdict: Verdict, tally: &mut Tally) -> Option<Document> {
    let bytes = document.text.len() as u64;
    match verdict {
        Verdict::Keep => tally.kept(bytes, bytes),
        Verdict::Change { text, reason } => {
            tally.kept(bytes, text.len() as u64);
            tally.example("changed", &document.origin, &reason, &text);
            document.text = text;
        }
        Verdict::Drop { reason } => {
            tally.dropped(bytes, &document.origin, &reason, &document.text);
            return None;
        }
    }
    Some(document)
}

fn judge(filter: &PipelineStage, document: &Document) -> Result<Verdict, CleanError> {
    Ok(match filter {
        PipelineStage::Utf8Repair { max_replaced_ratio } => repair(&document.text, *max_replaced_ratio),
        PipelineStage::Length { min_bytes, max_bytes } => {
            let bytes = document.text.len() as u64;
            let is_kept = bytes >= *min_bytes && max_bytes.is_none_or(|max_bytes| bytes <= max_bytes);
            if is_kept { Verdict::Keep } else { Verdict::Drop { reason: format!("{bytes} bytes") } }
        }
        PipelineStage::LineFilter { max_line_chars, max_dropped_ratio } => {
            let limit = max_line_chars.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
            filter_lines(as_text(document)?, limit, *max_dropped_ratio)
        }
        PipelineStage::ExactDedup {} => unreachable!("deduplication is no filter, see Stage::new"),
    })
}

/// The document's text.
///
/// # Errors
/// Where it is no UTF-8 or holds a NUL, which ends every document in a dump and is a character in no writing.
pub(super) fn as_text(document: &Document) -> Result<&str, CleanError> {
    let origin = || document.origin.clone();
    let text = std::str::from_utf8(&document.text);
    let text = text.map_err(|error| CleanError::Decode { origin: origin(), at: error.valid_up_to() })?;
    match document.text.iter().position(|&byte| byte == 0) {
        Some(at) => Err(CleanError::Nul { origin: origin(), at }),
        None => Ok(text),
    }
}

/// Replaces each longest piece that could not become a character by one U+FFFD (Unicode §3.9, the practice of the web), and
/// each NUL.
fn repair(bytes: &[u8], max_replaced_ratio: f64) -> Verdict {
    if !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok() {
        return Verdict::Keep;
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    let (mut replaced, mut chars) = (0_u64, 0_u64);
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            let is_nul = char == '\0';
            text.push(if is_nul { char::REPLACEMENT_CHARACTER } else { char });
            chars += 1;
            replaced += u64::from(is_nul);
        }
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            chars += 1;
            replaced += 1;
        }
    }
    let reason = format!("{replaced} of {chars} characters are no text");
    if replaced as f64 > max_replaced_ratio * chars as f64 {
        return Verdict::Drop { reason };
    }
    Verdict::Change { text: text.into_bytes(), reason }
}

/// Leaves out the lines with more than `limit` characters.
fn filter_lines(text: &str, limit: usize, max_dropped_ratio: f64) -> Verdict {
    // A line with at most `limit` bytes has no more characters.
    let is_long = |line: &str| {
        let line = line.trim_end_matches(['\n', '\r']);
        line.len() > limit && line.chars().nth(limit).is_some()
    };
    let (mut lines, mut dropped) = (0_u64, 0_u64);
    for line in text.split_inclusive('\n') {
        lines += 1;
        dropped += u64::from(is_long(line));
    }
    if dropped == 0 {
        return Verdict::Keep;
    }
    let reason = format!("{dropped} of {lines} lines are longer than {limit} characters");
    let kept: String = text.split_inclusive('\n').filter(|line| !is_long(line)).collect();
    if dropped as f64 > max_dropped_ratio * lines as f64 || kept.is_empty() {
        return Verdict::Drop { reason };
    }
    Verdict::Change { text: kept.into_bytes(), reason }
}
