//! The tokenizer's fields of a GGUF file as plain data. It never tokenises.

use super::{GgufError, Metadata, Value};

/// What a tokenizer is built from. Ids index `tokens`.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    /// `gpt2` (byte-level BPE), `llama` (SentencePiece), ...
    pub model: String,
    /// Name of the pre-tokenizer, `default` where the file has none.
    pub pre: String,
    pub tokens: Vec<String>,
    /// llama.cpp's token types (1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte); empty or one per token.
    pub token_types: Vec<i32>,
    /// SentencePiece scores; empty or one per token.
    pub scores: Vec<f32>,
    /// BPE merges, `left right`; empty for other models.
    pub merges: Vec<String>,
    /// Tokens that end a generation besides `eos_token_id`: of a turn, of a message, of a file to be filled in.
    pub end_token_ids: Vec<u32>,
    /// Whether a text ends with `eos_token_id`.
    pub add_eos: bool,
    pub bos_token_id: Option<u32>,
    pub eos_token_id: Option<u32>,
    pub unknown_token_id: Option<u32>,
    pub padding_token_id: Option<u32>,
    pub add_bos: bool,
    pub chat_template: Option<String>,
    /// What the file says and what is not followed, for a log.
    pub notes: Vec<String>,
}

impl Vocabulary {
    pub(super) fn read(metadata: &Metadata) -> Result<Self, GgufError> {
        let tokens_key = "tokenizer.ggml.tokens";
        let tokens = metadata.optional_strings(tokens_key)?.ok_or_else(|| GgufError::MissingKey(tokens_key.into()))?;
        let types = metadata.optional_integers("tokenizer.ggml.token_type")?.unwrap_or_default();
        let scores = metadata.optional_floats("tokenizer.ggml.scores")?.unwrap_or_default();
        per_token("tokenizer.ggml.token_type", types.len(), tokens.len())?;
        per_token("tokenizer.ggml.scores", scores.len(), tokens.len())?;
        let model = metadata.str("tokenizer.ggml.model")?.to_owned();
        let pre = metadata.optional_str("tokenizer.ggml.pre")?.unwrap_or("default").to_owned();
        let add_bos = metadata.optional_bool("tokenizer.ggml.add_bos_token")?;
        let mut notes = Vec::new();
        let mut id = |name: &str| {
            special_id(metadata, name, tokens.len()).unwrap_or_else(|note| {
                notes.push(note);
                None
            })
        };
        Ok(Self {
            add_bos: add_bos.unwrap_or_else(|| adds_bos_by_default(&model, &pre)),
            bos_token_id: id("bos"),
            eos_token_id: id("eos"),
            unknown_token_id: id("unknown"),
            padding_token_id: id("padding"),
            token_types: types.iter().map(|&kind| i32::try_from(kind).unwrap_or(0)).collect(),
            scores: scores.iter().map(|&score| score as f32).collect(),
            merges: metadata.optional_strings("tokenizer.ggml.merges")?.unwrap_or_default().to_vec(),
            end_token_ids: end_ids(metadata, tokens.len()),
            add_eos: metadata.optional_bool("tokenizer.ggml.add_eos_token")?.unwrap_or(false),
            chat_template: metadata.optional_str("tokenizer.chat_template")?.map(str::to_owned),
            tokens: tokens.to_vec(),
            model,
            pre,
            notes,
        })
    }
}

/// Files without the flag mean what llama.cpp does: SentencePiece and the BPE of these names begin with BOS, others do not.
fn adds_bos_by_default(model: &str, pre: &str) -> bool {
    const NAMES: [&str; 11] = [
        "llama3",
        "llama-v3",
        "llama-bpe",
        "falcon3",
        "falcon-h1",
        "pixtral",
        "midm-2.0",
        "lfm2",
        "jina-v5-nano",
        "tekken",
        "chameleon",
    ];
    model == "llama" || NAMES.contains(&pre)
}

/// Ids under the names of tokens that llama.cpp ends a generation at. One that is no token's is passed over: others name
/// an end as well.
fn end_ids(metadata: &Metadata, tokens: usize) -> Vec<u32> {
    let named = ["eot", "eom", "fim_pad", "fim_rep", "fim_sep"].into_iter();
    let ids = named.filter_map(|name| metadata.optional_u64(&format!("tokenizer.ggml.{name}_token_id")).ok().flatten());
    ids.filter_map(|id| u32::try_from(id).ok()).filter(|id| (*id as usize) < tokens).collect()
}

fn per_token(key: &str, len: usize, tokens: usize) -> Result<(), GgufError> {
    if len != 0 && len != tokens {
        return Err(GgufError::WrongType { key: key.into(), expected: "as long as tokenizer.ggml.tokens" });
    }
    Ok(())
}

/// The id of a special token among `tokens`; where what the file says is no such id (-1 is how some say that there is none),
/// why it is passed over.
pub(crate) fn special_id(metadata: &Metadata, name: &str, tokens: usize) -> Result<Option<u32>, String> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    let id = match metadata.get(&key) {
        None => return Ok(None),
        Some(Value::Unsigned(id)) => usize::try_from(*id).ok(),
        Some(Value::Signed(id)) => usize::try_from(*id).ok(),
        Some(_) => None,
    };
    match id.filter(|id| *id < tokens).and_then(|id| u32::try_from(id).ok()) {
        Some(id) => Ok(Some(id)),
        None => Err(format!("{key} is no id of the {tokens} tokens of the vocabulary and is ignored")),
    }
}
