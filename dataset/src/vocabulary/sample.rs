//! Draws the text that a tokenizer is trained on.

use std::collections::BinaryHeap;

use super::VocabularyError;
use crate::{
    clean::{CleanRecord, store::Documents},
    context::Context,
};

/// The texts of documents that are not held out, in a pseudo-random order fixed by their content, until `max_bytes` are
/// reached; the last one is cut there. Memory: `max_bytes` and one document.
pub(super) fn draw(context: &Context<'_>, clean: &CleanRecord, max_bytes: u64) -> Result<Vec<String>, VocabularyError> {
    let ratio = context.job.spec.holdout.ratio;
    let folder = context.workspace.path("clean");
    let mut sample = Sample { max_bytes, bytes: 0, chosen: BinaryHeap::new() };
    for segment in &clean.segments {
        for document in Documents::open(&folder, segment)? {
            context.stop.check()?;
            let (digest, text) = document?;
            if !digest.lot().is_held_out(ratio) {
                sample.offer((digest.training_order(), text));
            }
        }
    }
    Ok(sample.into_texts())
}

/// The documents that come first in the order, as far as they are known; the last of them on top.
struct Sample {
    max_bytes: u64,
    bytes: u64,
    chosen: BinaryHeap<(u64, String)>,
}

impl Sample {
    fn offer(&mut self, document: (u64, String)) {
        if self.bytes >= self.max_bytes && self.chosen.peek().is_some_and(|last| *last <= document) {
            return;
        }
        self.bytes += document.1.len() as u64;
        self.chosen.push(document);
        while let Some((_, last)) = self.chosen.peek() {
            let without = self.bytes - last.len() as u64;
            if without < self.max_bytes {
                break;
            }
            self.bytes = without;
            self.chosen.pop();
        }
    }

    fn into_texts(self) -> Vec<String> {
        let mut texts: Vec<String> = self.chosen.into_sorted_vec().into_iter().map(|(_, text)| text).collect();
        if let Some(last) = texts.last_mut() {
            let surplus = usize::try_from(self.bytes.saturating_sub(self.max_bytes)).unwrap_or(usize::MAX);
            last.truncate(last.floor_char_boundary(last.len().saturating_sub(surplus)));
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_the_beginning_of_the_order_whatever_comes_when(
            texts in prop::collection::vec("[a-zé]{0,9}", 0..30),
            orders in prop::collection::vec(0_u64..40, 30),
            max_bytes in 1_u64..80,
        ) {
            let documents: Vec<_> = orders.into_iter().zip(texts).collect();
            let mut sample = Sample { max_bytes, bytes: 0, chosen: BinaryHeap::new() };
            for document in documents.clone() {
                sample.offer(document);
                let kept: usize = sample.chosen.iter().map(|(_, text)| text.len()).sum();
                prop_assert!(kept as u64 <= max_bytes + 18);
            }
            let mut sorted = documents;
            sorted.sort();
            let all: String = sorted.into_iter().map(|(_, text)| text).collect();
            let wanted = &all[..all.floor_char_boundary(all.len().min(max_bytes as usize))];
            prop_assert_eq!(sample.into_texts().concat(), wanted);
        }
    }
}
