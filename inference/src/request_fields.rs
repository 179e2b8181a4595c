//! Every field that the servers of OpenAI, vLLM and llama.cpp document for the endpoints that are here too, and what
//! becomes of it.
//!
//! Pure data, without a dependency: `http/fields.rs` acts on it, and `cargo xtask codegen` prints it as
//! `docs/request-fields.md`. Whoever adds a field to a request adds its row here.
//!
//! Read from openai-python 3.57.0 (parameter types), vLLM 0.33.0 (its protocol files) and llama.cpp's server README of
//! 2026-11.

use Endpoint::{Chat, Completions, Detokenize, Tokenize};
use Treatment::{Harmless, Honoured, Refused};

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/tokenize`.
    Tokenize,
    /// `/detokenize`.
    Detokenize,
}

impl Endpoint {
    /// All of them, in the order of the reference.
    pub const ALL: [Self; 4] = [Self::Chat, Self::Completions, Self::Tokenize, Self::Detokenize];

    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Tokenize => "/tokenize",
            Self::Detokenize => "/detokenize",
        }
    }
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It does what it says.
    Honoured,
    /// It would change the answer and is not there: 400, but for the values (JSON) that stand for its default. Null and
    /// what is empty always do.
    Refused(&'static [&'static str]),
    /// It is taken and changes nothing that the client is told.
    Harmless,
}

/// A documented field.
#[derive(Clone, Copy, Debug)]
pub struct RequestField {
    /// Its name; `messages[].x` is the field `x` of a message.
    pub name: &'static str,
    /// Where it may stand.
    pub endpoints: &'static [Endpoint],
    /// Whose server documents it.
    pub documented_by: &'static str,
    /// What becomes of it.
    pub treatment: Treatment,
    /// A value (JSON) that is neither its default nor wrong.
    pub example: &'static str,
    /// What it does, what to do instead, or why it changes nothing.
    pub reason: &'static str,
}

const ALL: &[Endpoint] = &Endpoint::ALL;
const GENERATE: &[Endpoint] = &[Chat, Completions];
const CHAT: &[Endpoint] = &[Chat];
const PLAIN: &[Endpoint] = &[Completions];
const TEMPLATED: &[Endpoint] = &[Chat, Tokenize];
const TOKENIZE: &[Endpoint] = &[Tokenize];
const DETOKENIZE: &[Endpoint] = &[Detokenize];

const O: &str = "OpenAI";
const V: &str = "vLLM";
const L: &str = "llama.cpp";
const OV: &str = "OpenAI, vLLM";
const VL: &str = "vLLM, llama.cpp";
const OVL: &str = "OpenAI, vLLM, llama.cpp";

/// The one refusal of everything that has to do with tools.
pub const NO_TOOLS: &str = "tools are not supported yet: no tool is called and no tool's answer is understood; \
                            leave tools, tool messages and calls of tools out";
const NO_GRAMMAR: &str = "output that follows a grammar or schema is not supported; leave it out";
const NO_SAMPLER: &str = "this sampler is not supported; use temperature, top_p, top_k and min_p";
const ONLY_TEXT: &str = "only text can be read and written; leave it out";
const NO_MEDIA: &str = "no image, audio or video is read, so there is nothing for it to do";
const NO_TRANSFER: &str = "no cache is handed over between servers; leave it out";
const NO_REASONING: &str = "thoughts are not told apart from the answer: they stay in the content; leave it out";
const NOT_THAT_SAMPLER: &str = "a setting of a sampler that is refused itself";
const NOT_THAT_GRAMMAR: &str = "a setting of a grammar, which is refused itself";
const NO_SPECULATION: &str = "nothing is guessed ahead, and guessing would not change the answer";
const NO_TRACE: &str = "nothing of the request is kept, and the answer does not depend on it";

const fn row(
    name: &'static str,
    endpoints: &'static [Endpoint],
    documented_by: &'static str,
    treatment: Treatment,
    example: &'static str,
    reason: &'static str,
) -> RequestField {
    RequestField { name, endpoints, documented_by, treatment, example, reason }
}

/// The table.
pub const REQUEST_FIELDS: &[RequestField] = &[
    // What is asked.
    row("model", ALL, OVL, Honoured, r#""tiny""#, "the name that the endpoint serves; absent takes it"),
    row("messages", TEMPLATED, OVL, Honoured, r#"[{"role":"user","content":"a"}]"#, "the conversation so far"),
    row("messages[].role", TEMPLATED, OVL, Honoured, r#""user""#, "system, developer (as system), user or assistant"),
    row("messages[].content", TEMPLATED, OVL, Honoured, r#""a""#, "a string or text parts, joined by line ends"),
    row("messages[].name", TEMPLATED, OVL, Honoured, r#""ann""#, "what the template does with it"),
    row("messages[].reasoning", TEMPLATED, V, Honoured, r#""hm""#, "what the template does with it"),
    row("messages[].reasoning_content", TEMPLATED, VL, Honoured, r#""hm""#, "the older name of reasoning"),
    row("messages[].tool_calls", TEMPLATED, OVL, Refused(&[]), r#"[{"id":"1"}]"#, NO_TOOLS),
    row("messages[].tool_call_id", TEMPLATED, OVL, Refused(&[]), r#""1""#, NO_TOOLS),
    row("messages[].function_call", TEMPLATED, O, Refused(&[]), r#"{"name":"f"}"#, NO_TOOLS),
    row("messages[].audio", CHAT, O, Refused(&[]), r#"{"id":"1"}"#, ONLY_TEXT),
    row("messages[].refusal", CHAT, O, Refused(&[]), r#""no""#, "write what the assistant said as its content"),
    row("prompt", PLAIN, OVL, Honoured, r#""a""#, "a text, token ids, or a list of either"),
    row("prompt", TOKENIZE, V, Honoured, r#""a""#, "the text; either this or messages"),
    row("tokens", DETOKENIZE, VL, Honoured, "[1]", "the ids"),
    row("suffix", PLAIN, OV, Refused(&[]), r#""end""#, "filling in before a suffix is not supported; leave it out"),
    row("prompt_embeds", PLAIN, V, Refused(&[]), r#""AAAA""#, "a prompt is text or token ids"),
    // How the prompt is made.
    row("add_generation_prompt", TEMPLATED, V, Honoured, "false", "whether the prompt ends where an answer begins"),
    row("continue_final_message", TEMPLATED, V, Honoured, "false", "whether the answer goes on with the last message"),
    row(
        "chat_template",
        TEMPLATED,
        V,
        Honoured,
        r#""{{ messages[0].content }}""#,
        "another template, by name or source",
    ),
    row("chat_template_kwargs", TEMPLATED, VL, Honoured, r#"{"a":1}"#, "further variables of the template"),
    row("documents", CHAT, V, Honoured, r#"[{"text":"x"}]"#, "what the template does with them"),
    row("reasoning_effort", CHAT, OVL, Honoured, r#""low""#, "a variable of the template; it sets enable_thinking too"),
    row("add_special_tokens", CHAT, V, Honoured, "true", "whether a beginning of text is put before the template's"),
    row("add_special_tokens", PLAIN, V, Honoured, "false", "whether the beginning of a text is put before a prompt"),
    row("add_special_tokens", TOKENIZE, V, Honoured, "false", "the same; default: true for prompt, false for messages"),
    row("truncate_prompt_tokens", GENERATE, V, Honoured, "1", "keeps that many tokens of the prompt; -1: what fits"),
    row("truncation_side", GENERATE, V, Honoured, r#""right""#, "right keeps the first ones, left (default) the last"),
    row("echo", PLAIN, OV, Honoured, "true", "the prompt in front of the answer; not together with logprobs"),
    row("echo", CHAT, V, Refused(&["false"]), "true", "a conversation is not repeated; leave it out"),
    row("content", TOKENIZE, L, Refused(&[]), r#""a""#, "write prompt"),
    row("add_special", TOKENIZE, L, Refused(&[]), "true", "write add_special_tokens"),
    row("parse_special", TOKENIZE, L, Refused(&["true"]), "false", "texts of special tokens become those tokens"),
    row("with_pieces", TOKENIZE, L, Refused(&["false"]), "true", "write return_token_strs"),
    row("return_token_strs", TOKENIZE, V, Honoured, "true", "how the tokens are written in the vocabulary"),
    row("media_io_kwargs", TEMPLATED, V, Harmless, r#"{"image":{}}"#, NO_MEDIA),
    row("mm_processor_kwargs", TEMPLATED, V, Harmless, r#"{"a":1}"#, NO_MEDIA),
    // How long the answer is, and what ends it.
    row("max_tokens", GENERATE, OVL, Honoured, "2", "most tokens; default: 16 for a prompt, what fits for a chat"),
    row("max_completion_tokens", GENERATE, OVL, Honoured, "2", "the newer name of max_tokens, and goes before it"),
    row("n_predict", GENERATE, L, Refused(&["-1"]), "2", "write max_tokens"),
    row("min_tokens", GENERATE, V, Honoured, "1", "tokens before which nothing ends the answer"),
    row("stop", GENERATE, OVL, Honoured, r#"["a"]"#, "texts that end the answer, at most 32"),
    row("stop_token_ids", GENERATE, V, Honoured, "[1]", "tokens that end the answer besides the model's own"),
    row("ignore_eos", GENERATE, VL, Honoured, "true", "whether to go on after a token that ends a text"),
    row("include_stop_str_in_output", GENERATE, V, Honoured, "true", "whether what ended the answer is a part of it"),
    row("n_indent", GENERATE, L, Refused(&["0"]), "4", "lines are not watched for their indentation; use stop"),
    row("t_max_predict_ms", GENERATE, L, Refused(&["0", "-1"]), "5", "no clock ends an answer; use max_tokens"),
    row("t_max_prompt_ms", GENERATE, L, Refused(&["0", "-1"]), "5", "no clock ends a request; use max_tokens"),
    row("repetition_detection", GENERATE, V, Refused(&[]), r#"{"max_pattern_size":2}"#, "use frequency_penalty"),
    row("thinking_token_budget", GENERATE, V, Refused(&["-1"]), "5", NO_REASONING),
    // How many answers.
    row("n", GENERATE, OV, Honoured, "2", "answers to each prompt, at most 128"),
    row("n_cmpl", GENERATE, L, Refused(&["1"]), "2", "write n"),
    row("best_of", PLAIN, OV, Refused(&["1"]), "4", "not supported; write n"),
    row("best_of", CHAT, V, Refused(&["1"]), "4", "not supported; write n"),
    row("use_beam_search", GENERATE, V, Refused(&["false"]), "true", "beam search is not supported; leave it out"),
    row("length_penalty", GENERATE, V, Harmless, "2", "it weighs beams, and beam search is refused"),
    // How a token is chosen.
    row("temperature", GENERATE, OVL, Honoured, "0", "0 to 2; 0 takes the likeliest token"),
    row("top_p", GENERATE, OVL, Honoured, "0.5", "keeps the likeliest tokens whose probabilities sum to this"),
    row("top_k", GENERATE, VL, Honoured, "3", "keeps this many; 0 or -1 keeps all"),
    row("min_p", GENERATE, VL, Honoured, "0.1", "keeps tokens at least this share as likely as the likeliest"),
    row("seed", GENERATE, OVL, Honoured, "7", "-2^63 to 2^64 - 1; absent, null and -1 draw a new one"),
    row("presence_penalty", GENERATE, OVL, Honoured, "0.5", "taken off the logits of tokens in the answer"),
    row("frequency_penalty", GENERATE, OVL, Honoured, "0.5", "the same, once for each time"),
    row("repetition_penalty", GENERATE, V, Honoured, "1.5", "divides the logits of tokens in prompt and answer"),
    row("repeat_penalty", GENERATE, L, Refused(&["1"]), "1.5", "write repetition_penalty; it looks at the whole text"),
    row("repeat_last_n", GENERATE, L, Harmless, "64", "the reach of repeat_penalty, which is refused"),
    row("logit_bias", GENERATE, OVL, Honoured, r#"{"1":5}"#, "added to the logits of tokens, by id; -100 to 100"),
    row("allowed_token_ids", GENERATE, V, Honoured, "[5, 6]", "the only tokens that may be chosen"),
    row("bad_words", GENERATE, V, Honoured, r#"["cat"]"#, "texts whose tokens may not be chosen one after the other"),
    row("typical_p", GENERATE, L, Refused(&["1"]), "0.5", NO_SAMPLER),
    row("top_n_sigma", GENERATE, L, Refused(&["-1", "0"]), "1", NO_SAMPLER),
    row("dynatemp_range", GENERATE, L, Refused(&["0"]), "0.5", NO_SAMPLER),
    row("dynatemp_exponent", GENERATE, L, Harmless, "2", NOT_THAT_SAMPLER),
    row("dry_multiplier", GENERATE, L, Refused(&["0"]), "0.8", NO_SAMPLER),
    row("dry_base", GENERATE, L, Harmless, "2", NOT_THAT_SAMPLER),
    row("dry_allowed_length", GENERATE, L, Harmless, "3", NOT_THAT_SAMPLER),
    row("dry_penalty_last_n", GENERATE, L, Harmless, "64", NOT_THAT_SAMPLER),
    row("dry_sequence_breakers", GENERATE, L, Harmless, r#"["x"]"#, NOT_THAT_SAMPLER),
    row("xtc_probability", GENERATE, L, Refused(&["0"]), "0.5", NO_SAMPLER),
    row("xtc_threshold", GENERATE, L, Harmless, "0.2", NOT_THAT_SAMPLER),
    row("mirostat", GENERATE, L, Refused(&["0"]), "2", NO_SAMPLER),
    row("mirostat_tau", GENERATE, L, Harmless, "4", NOT_THAT_SAMPLER),
    row("mirostat_eta", GENERATE, L, Harmless, "0.2", NOT_THAT_SAMPLER),
    row("adaptive_target", GENERATE, L, Refused(&["-1"]), "0.5", NO_SAMPLER),
    row("adaptive_decay", GENERATE, L, Harmless, "0.5", NOT_THAT_SAMPLER),
    row("min_keep", GENERATE, L, Refused(&["0"]), "2", "a filter keeps what it says; leave it out"),
    row("samplers", GENERATE, L, Refused(&[]), r#"["top_k"]"#, "filters apply in vLLM's order; leave it out"),
    row("backend_sampling", GENERATE, L, Harmless, "true", "where it is drawn does not change what is drawn"),
    row("watermarking", GENERATE, V, Refused(&["false"]), "true", "answers carry no watermark; leave it out"),
    row("logits_processors", GENERATE, V, Refused(&[]), r#"["a.b"]"#, "no code of a client is run; use logit_bias"),
    // What form the answer must have.
    row("response_format", GENERATE, OVL, Refused(&[r#"{"type":"text"}"#]), r#"{"type":"json_object"}"#, NO_GRAMMAR),
    row("structured_outputs", GENERATE, V, Refused(&[]), r#"{"choice":["a"]}"#, NO_GRAMMAR),
    row("guided_json", GENERATE, V, Refused(&[]), r#"{"type":"object"}"#, NO_GRAMMAR),
    row("guided_regex", GENERATE, V, Refused(&[]), r#""a|b""#, NO_GRAMMAR),
    row("guided_choice", GENERATE, V, Refused(&[]), r#"["yes","no"]"#, NO_GRAMMAR),
    row("guided_grammar", GENERATE, V, Refused(&[]), r#""root ::= \"a\"""#, NO_GRAMMAR),
    row("guided_decoding_backend", GENERATE, V, Harmless, r#""xgrammar""#, NOT_THAT_GRAMMAR),
    row("guided_whitespace_pattern", GENERATE, V, Harmless, r#"" ""#, NOT_THAT_GRAMMAR),
    row("structural_tag", GENERATE, V, Refused(&[]), r#""{}""#, NO_GRAMMAR),
    row("grammar", GENERATE, L, Refused(&[]), r#""root ::= \"a\"""#, NO_GRAMMAR),
    row("json_schema", GENERATE, L, Refused(&[]), r#"{"type":"object"}"#, NO_GRAMMAR),
    row("grammar_lazy", GENERATE, L, Harmless, "true", NOT_THAT_GRAMMAR),
    row("grammar_triggers", GENERATE, L, Harmless, r#"[{"type":0}]"#, NOT_THAT_GRAMMAR),
    row("preserved_tokens", GENERATE, L, Harmless, r#"["<x>"]"#, NOT_THAT_GRAMMAR),
    row("tools", CHAT, OVL, Refused(&[]), r#"[{"type":"function","function":{"name":"f"}}]"#, NO_TOOLS),
    row("tools", TOKENIZE, V, Refused(&[]), r#"[{"type":"function","function":{"name":"f"}}]"#, NO_TOOLS),
    row("tool_choice", CHAT, OVL, Refused(&[r#""none""#, r#""auto""#]), r#""required""#, NO_TOOLS),
    row("functions", CHAT, O, Refused(&[]), r#"[{"name":"f"}]"#, NO_TOOLS),
    row("function_call", CHAT, O, Refused(&[r#""none""#, r#""auto""#]), r#"{"name":"f"}"#, NO_TOOLS),
    row("parallel_tool_calls", CHAT, OVL, Harmless, "false", "tools are refused, so none are called side by side"),
    row("parse_tool_calls", CHAT, L, Harmless, "true", "tools are refused, so the answer is always content"),
    row("web_search_options", CHAT, O, Refused(&[]), r#"{"search_context_size":"low"}"#, "nothing is searched"),
    row("modalities", CHAT, O, Refused(&[r#"["text"]"#]), r#"["audio"]"#, ONLY_TEXT),
    row("audio", CHAT, O, Refused(&[]), r#"{"voice":"alloy","format":"wav"}"#, ONLY_TEXT),
    row("moderation", CHAT, O, Refused(&[]), r#"{"model":"m"}"#, "answers are not moderated; leave it out"),
    row("verbosity", CHAT, O, Refused(&[r#""medium""#]), r#""low""#, "say it in a message"),
    row("include_reasoning", CHAT, V, Refused(&["true"]), "false", NO_REASONING),
    row("reasoning_format", CHAT, L, Refused(&[r#""none""#, r#""auto""#]), r#""deepseek""#, NO_REASONING),
    row("reasoning_control", CHAT, L, Refused(&["false"]), "true", NO_REASONING),
    row("thinking_forced_open", CHAT, L, Refused(&["false"]), "true", NO_REASONING),
    row("lora", GENERATE, L, Refused(&[]), r#"[{"id":0,"scale":1}]"#, "there are no adapters; leave it out"),
    row("vllm_xargs", GENERATE, V, Refused(&[]), r#"{"a":1}"#, "there are no extensions; leave it out"),
    // What is told besides the answer.
    row("stream", GENERATE, OVL, Honoured, "false", "whether the answer comes piece by piece"),
    row("stream_options", GENERATE, OVL, Honoured, "null", "include_usage, continuous_usage_stats; only with stream"),
    row("stream_interval", GENERATE, V, Harmless, "4", "it sets how often text is sent, not which"),
    row("logprobs", CHAT, OVL, Honoured, "true", "log-probabilities of the tokens"),
    row("logprobs", PLAIN, OVL, Honoured, "2", "the same, with that many alternatives; at most 20"),
    row("top_logprobs", CHAT, OVL, Honoured, "null", "alternatives a token, at most 20; only with logprobs"),
    row("logprob_token_ids", GENERATE, V, Refused(&[]), "[1]", "alternatives are the likeliest; use top_logprobs"),
    row("prompt_logprobs", GENERATE, V, Refused(&[]), "0", "the prompt has no log-probabilities; leave it out"),
    row("n_probs", GENERATE, L, Refused(&["0"]), "2", "write logprobs (and top_logprobs for a chat)"),
    row("post_sampling_probs", GENERATE, L, Refused(&["false"]), "true", "log-probabilities are the model's own"),
    row("return_tokens_as_token_ids", GENERATE, V, Honoured, "true", "log-probabilities name a token `token_id:5`"),
    row("return_token_ids", GENERATE, V, Honoured, "true", "the ids of prompt and answer beside the text"),
    row("return_tokens", GENERATE, L, Refused(&["false"]), "true", "write return_token_ids"),
    row("return_prompt_text", CHAT, V, Refused(&["false"]), "true", "ask /tokenize and /detokenize for it"),
    row("return_token_offsets", GENERATE, V, Harmless, "true", "vLLM too answers it on other endpoints only"),
    row("return_mm_kwargs", GENERATE, V, Harmless, "false", "vLLM too answers it on other endpoints only"),
    row("routed_experts_prompt_start", GENERATE, V, Harmless, "1", "no model here has experts"),
    row("response_fields", GENERATE, L, Refused(&[]), r#"["content"]"#, "a response is always whole"),
    row("timings_per_token", GENERATE, L, Harmless, "true", "see /metrics for times"),
    row("return_progress", GENERATE, L, Harmless, "true", "the answer is the same without it"),
    row("sse_ping_interval", GENERATE, L, Harmless, "5", "comments keep a connection, and clients skip them"),
    row("skip_special_tokens", GENERATE, V, Honoured, "false", "whether special tokens in the answer give no text"),
    row("spaces_between_special_tokens", GENERATE, V, Harmless, "false", "fast tokenizers put none there"),
    row("verbose", GENERATE, L, Harmless, "true", "it tells of the server, not of the answer"),
    // Who asks, and how it is run.
    row("user", GENERATE, OV, Harmless, r#""u-1""#, NO_TRACE),
    row("metadata", CHAT, O, Harmless, r#"{"a":"b"}"#, NO_TRACE),
    row("store", CHAT, O, Harmless, "true", NO_TRACE),
    row("safety_identifier", CHAT, O, Harmless, r#""u-1""#, NO_TRACE),
    row("request_id", GENERATE, V, Harmless, r#""r-1""#, "send the header x-request-id, which comes back"),
    row("session_id", GENERATE, V, Harmless, r#""s-1""#, NO_TRACE),
    row("service_tier", CHAT, OV, Harmless, r#""flex""#, "there is one tier"),
    row("priority", GENERATE, V, Refused(&["0"]), "1", "requests run in the order they come; leave it out"),
    row("prediction", CHAT, O, Harmless, r#"{"type":"content","content":"a"}"#, NO_SPECULATION),
    row("speculative.n_max", GENERATE, L, Harmless, "4", NO_SPECULATION),
    row("speculative.n_min", GENERATE, L, Harmless, "1", NO_SPECULATION),
    row("speculative.p_min", GENERATE, L, Harmless, "0.5", NO_SPECULATION),
    row("cache_prompt", GENERATE, L, Harmless, "false", "a computed prefix gives the same answer as a new one"),
    row("cache_salt", GENERATE, V, Refused(&[]), r#""s""#, "computed prefixes are shared by all; leave it out"),
    row("prompt_cache_key", CHAT, O, Harmless, r#""k""#, "computed prefixes are found by their tokens"),
    row("prompt_cache_options", CHAT, O, Harmless, r#"{"a":1}"#, "computed prefixes are kept while there is room"),
    row("prompt_cache_retention", CHAT, O, Harmless, r#""24h""#, "computed prefixes are kept while there is room"),
    row("n_cache_reuse", GENERATE, L, Harmless, "4", "only whole prefixes are reused, so the answer is the same"),
    row("n_keep", GENERATE, L, Harmless, "4", "no token of a context is ever given up"),
    row("n_discard", GENERATE, L, Harmless, "4", "no token of a context is ever given up"),
    row("id_slot", GENERATE, L, Harmless, "0", "there are no slots"),
    row("kv_transfer_params", GENERATE, V, Refused(&[]), r#"{"a":1}"#, NO_TRANSFER),
    row("ec_transfer_params", GENERATE, V, Refused(&[]), r#"{"a":1}"#, NO_TRANSFER),
];
