//! `truncate_prompt_tokens` and `truncation_side`, with vLLM's meaning.

use serde::Deserialize;

use super::{AnswerLength, GenerationOptions, Limits};
use crate::error::ApiError;

/// The side of a prompt at which it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TruncationSide {
    /// The last tokens are kept.
    Left,
    /// The first tokens are kept.
    Right,
}

/// The prompt, cut as the client asks for.
///
/// # Errors
/// When more is asked to be kept than the context leaves beside the answer.
pub(super) fn cut(
    mut prompt: Vec<u32>,
    options: &GenerationOptions,
    length: AnswerLength,
    limits: &Limits,
) -> Result<Vec<u32>, ApiError> {
    let Some(asked) = options.truncate_prompt_tokens else { return Ok(prompt) };
    let room = room(length, limits);
    let kept = match usize::try_from(asked) {
        Err(_) if asked == -1 => room,
        Ok(kept) if (1..=room).contains(&kept) => kept,
        _ => {
            let message = format!(
                "truncate_prompt_tokens is {asked}, but must be -1 (what fits) or between 1 and the {room} tokens that \
                 the context leaves beside the answer"
            );
            return Err(ApiError::invalid("truncate_prompt_tokens", message));
        }
    };
    match options.truncation_side.unwrap_or(TruncationSide::Left) {
        TruncationSide::Left => drop(prompt.drain(..prompt.len().saturating_sub(kept))),
        TruncationSide::Right => prompt.truncate(kept),
    }
    Ok(prompt)
}

/// Tokens that a prompt may have beside an answer of that length, or of one token where none is asked for.
fn room(length: AnswerLength, limits: &Limits) -> usize {
    let default = length.default.filter(|&tokens| tokens < limits.max_model_len as u64);
    let answer = length.asked.or(default).unwrap_or(1).max(1);
    limits.max_model_len.saturating_sub(usize::try_from(answer).unwrap_or(usize::MAX))
}
