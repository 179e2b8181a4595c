//! Tokens that may not be chosen at all: `allowed_token_ids`, `bad_words` and `min_tokens`, with vLLM's meaning.

use super::{ApiError, SamplingParams};

impl SamplingParams {
    /// Takes every token out of the choice that may not follow `answer`, the tokens generated so far. False where none is
    /// left.
    pub(super) fn forbid(&self, logits: &mut [f32], answer: &[u32]) -> bool {
        if !self.has_rules() {
            return true;
        }
        if let Some(allowed) = &self.allowed_token_ids {
            let kept: Vec<(u32, f32)> = allowed.iter().map(|&id| (id, logits[id as usize])).collect();
            logits.fill(f32::NEG_INFINITY);
            kept.into_iter().for_each(|(id, logit)| logits[id as usize] = logit);
        }
        for id in self.forbidden_after(answer) {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        logits.iter().any(|&logit| logit > f32::NEG_INFINITY)
    }

    fn has_rules(&self) -> bool {
        self.allowed_token_ids.is_some() || !self.bad_words.is_empty() || self.min_tokens > 0
    }

    /// Single tokens that may not come next.
    fn forbidden_after<'a>(&'a self, answer: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
        let words = self.bad_words.iter().filter_map(|word| {
            let (last, before) = word.split_last()?;
            answer.ends_with(before).then_some(*last)
        });
        let endings = self.ending_tokens.iter().copied().filter(|_| answer.len() < self.min_tokens);
        words.chain(endings)
    }

    /// Refuses rules that leave nothing to begin an answer with.
    ///
    /// # Errors
    /// Names the field that leaves the least.
    pub fn check_some_token_is_left(&self, vocab_size: usize) -> Result<(), ApiError> {
        if !self.has_rules() || self.forbid(&mut vec![0.0; vocab_size], &[]) {
            return Ok(());
        }
        Err(self.nothing_left())
    }

    /// What to tell where no token is left that may be chosen.
    pub fn nothing_left(&self) -> ApiError {
        let param = if self.allowed_token_ids.is_some() { "allowed_token_ids" } else { "bad_words" };
        let message =
            "allowed_token_ids, bad_words and min_tokens together leave no token that may be chosen; relax one";
        ApiError::invalid(param, message)
    }
}
