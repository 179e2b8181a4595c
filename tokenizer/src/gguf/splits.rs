//! How a GGUF file's text is split before merging, by the name in `tokenizer.ggml.pre`.
//!
//! Owns llama.cpp's names and the patterns they stand for (`llama-vocab.cpp`, 2026; the patterns are those of the models'
//! own `tokenizer.json`). Never merges.

use tokenizers::{
    PreTokenizerWrapper, SplitDelimiterBehavior,
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

use crate::tokenizer::TokenizerError;

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Llama 3's, digits in groups of up to three.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Llama 3's with single digits.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's, marks with their letters.
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Words begin where upper case follows lower case.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same with contractions and digits in groups of up to three.
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const SEED_CODER: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const BAILING: &str =
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const DIGIT: &str = r"\p{N}";
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";

/// A way of splitting, and the names it goes by.
struct Family {
    names: &'static [&'static str],
    /// Applied one behind the other; what none matches stays as it is.
    patterns: &'static [&'static str],
    /// A word that is a token is that token even where no merges lead to it.
    ignore_merges: bool,
}

const fn family(names: &'static [&'static str], patterns: &'static [&'static str]) -> Family {
    Family { names, patterns, ignore_merges: false }
}

const FAMILIES: [Family; 18] = [
    // What llama.cpp takes where a file names none: signs, then GPT-2's, then digits in threes from the left.
    family(&["default", ""], &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
    Family {
        names: &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        patterns: &[LLAMA3],
        ignore_merges: true,
    },
    Family { ignore_merges: true, ..family(&["glm4", "glm5"], &[LLAMA3]) },
    Family { ignore_merges: true, ..family(&["minicpm5"], &[r"\p{N}{1,3}", LLAMA3]) },
    family(&["dbrx", "smaug-bpe", "chatglm-bpe"], &[LLAMA3]),
    family(
        &[
            "gpt-2",
            "phi-2",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "exaone4",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "jina-es",
            "jina-de",
            "jina-v1-en",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v2-code",
            "roberta-bpe",
        ],
        &[GPT2],
    ),
    family(
        &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        &[DIGIT, GPT2],
    ),
    family(
        &["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"],
        &[QWEN2],
    ),
    family(&["qwen35"], &[QWEN35]),
    Family { ignore_merges: true, ..family(&["tekken"], &[TEKKEN]) },
    family(&["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], &[GPT4O]),
    family(&["deepseek-coder"], &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", DIGIT]),
    family(&["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"], &[r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3]),
    family(&["seed-coder"], &[SEED_CODER]),
    family(&["bailingmoe", "bailingmoe2", "llada-moe"], &[BAILING]),
    family(&["falcon"], &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"]),
    family(&["bloom", "poro-chat", "gpt3-finnish"], &[BLOOM]),
    family(&["viking"], &[BLOOM, DIGIT]),
];

/// What a name stands for.
#[derive(Debug)]
pub(super) struct Splits {
    pub splitter: PreTokenizerWrapper,
    pub ignore_merges: bool,
}

/// The splits that go by `name`.
pub(super) fn named(name: &str) -> Result<Splits, TokenizerError> {
    let Some(family) = FAMILIES.iter().find(|family| family.names.contains(&name)) else {
        let known = FAMILIES.iter().flat_map(|family| family.names).filter(|name| !name.is_empty());
        let known = known.copied().collect::<Vec<_>>().join(", ");
        return Err(TokenizerError::Gguf(format!(
            "tokenizer.ggml.pre is `{name}`; supported are {known}; or use the model's safetensors folder"
        )));
    };
    let mut parts = Vec::with_capacity(family.patterns.len() + 1);
    for pattern in family.patterns {
        let pattern = SplitPattern::Regex((*pattern).to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
        parts.push(PreTokenizerWrapper::Split(split.map_err(|error| TokenizerError::Gguf(error.to_string()))?));
    }
    parts.push(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, false)));
    Ok(Splits { splitter: PreTokenizerWrapper::Sequence(Sequence::new(parts)), ignore_merges: family.ignore_merges })
}

#[cfg(test)]
mod tests {
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    use super::*;

    fn pieces(name: &str, text: &str) -> Vec<String> {
        let mut pieces = PreTokenizedString::from(text);
        named(name).unwrap().splitter.pre_tokenize(&mut pieces).unwrap();
        let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(_, (start, end), _)| text[start..end].to_owned()).collect()
    }

    #[test]
    fn digits_go_as_the_name_says() {
        for (name, wanted) in [
            ("", vec!["a", " ", "123", "456", "7", "!", " b"]),
            ("default", vec!["a", " ", "123", "456", "7", "!", " b"]),
            ("gpt-2", vec!["a", " 1234567", "!", " b"]),
            ("llama-bpe", vec!["a", " ", "123", "456", "7", "!", " b"]),
            ("smaug-bpe", vec!["a", " ", "123", "456", "7", "!", " b"]),
            ("smollm", vec!["a", " ", "1", "2", "3", "4", "5", "6", "7", "!", " b"]),
            ("refact", vec!["a", " ", "1", "2", "3", "4", "5", "6", "7", "!", " b"]),
            ("deepseek-r1-qwen", vec!["a", " ", "1", "2", "3", "4", "5", "6", "7", "!", " b"]),
        ] {
            assert_eq!(pieces(name, "a 1234567! b"), wanted, "{name}");
        }
    }

    #[test]
    fn every_name_has_patterns_that_compile_and_stands_once() {
        let names: Vec<&str> = FAMILIES.iter().flat_map(|family| family.names.iter().copied()).collect();
        for name in &names {
            assert_eq!(
                pieces(name, "Some tExt's 12 words,\n\n  and 漢字 é").concat(),
                "Some tExt's 12 words,\n\n  and 漢字 é"
            );
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
        let error = named("gemma4").unwrap_err().to_string();
        assert!(error.contains("`gemma4`") && error.contains("llama-bpe") && error.contains("safetensors"), "{error}");
    }
}
