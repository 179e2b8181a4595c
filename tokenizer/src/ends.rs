//! Which tokens end a text.
//!
//! Owns what files leave unsaid: the token that the chat template ends a turn with, and the spellings that llama.cpp
//! goes by. Never reads a file.

use crate::{
    chat::{ChatMessage, RenderOptions},
    tokenizer::Tokenizer,
};

/// What the assistant says in the turn whose end is looked for.
const ANSWER: &str = "text-of-an-answer";

/// Spellings that end a generation whatever the file says (`special_eog_ids` in llama.cpp's `llama-vocab.cpp`, 2026).
const SPELLINGS: [&str; 22] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];
/// Of each kind of filling-in-the-middle token that begins another file, the first that is there ends a text as well.
const FILE_ENDS: [&[&str]; 3] = [
    &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"],
    &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"],
    &["<|file_sep|>"],
];

/// Tokens that begin the parts of a turn in the harmony format, and are shown (so llama.cpp has it).
const SHOWN: [&str; 4] = ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

/// Whether llama.cpp takes a token of this spelling for a control token, whatever its type.
pub(crate) fn is_spelled_as_control(text: &str) -> bool {
    SPELLINGS.contains(&text) || FILE_ENDS.iter().any(|kind| kind.contains(&text))
}

/// Whether a token of this spelling is shown, whatever its type.
pub(crate) fn is_shown(text: &str) -> bool {
    SHOWN.contains(&text)
}

/// Tokens of a GGUF vocabulary that end a generation by their spelling, where `id_of` finds a token by its text.
pub(crate) fn spelled(id_of: impl Fn(&str) -> Option<u32>) -> Vec<u32> {
    let has = |text: &str| id_of(text).is_some();
    // Where a turn has parts that end with <|end|>, it ends with another token; some vocabularies have an ordinary </s>.
    let has_parts =
        has("<|end|>") && ((has("<|return|>") || has("<|flush|>")) && (has("<|call|>") || has("<|calls|>")));
    let is_ordinary = has("<|tool_response>") || has("<|plamo:eos|>");
    let ends = SPELLINGS.iter().filter(|text| match **text {
        "<|end|>" => !has_parts,
        "</s>" => !is_ordinary,
        _ => true,
    });
    let mut ids: Vec<u32> = ends.filter_map(|text| id_of(text)).collect();
    ids.extend(FILE_ENDS.iter().filter_map(|kind| kind.iter().find_map(|text| id_of(text))));
    ids.sort_unstable();
    ids
}

impl Tokenizer {
    /// The token that the chat template writes behind the assistant's text, if it is one: a model that was trained on
    /// that template ends its turns with it, whatever its files name.
    pub(crate) fn end_of_turn(&self) -> Option<u32> {
        let template = self.chat_template(None).ok()?;
        let turn = [ChatMessage::new("user", "text-of-a-question"), ChatMessage::new("assistant", ANSWER)];
        let text = template.render(&turn, &RenderOptions::default()).ok()?;
        let (_, behind) = text.rsplit_once(ANSWER)?;
        let first = *self.encode(behind.trim_start(), true).ok()?.first()?;
        // An ordinary word behind the answer is no end.
        self.is_added(first).then_some(first)
    }
}
