//! An answer continues its prompt: where a SentencePiece model begins it with a word, the space in front of the word is
//! there, on every way out.

use bedplate_inference::grpc::v1::{
    GenerateRequest, GenerationOptions, generate_request::Prompt, inference_client::InferenceClient,
};
use futures::StreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{Running, write_changed_model};

/// Ids in the vocabulary below.
const THE: u32 = 259;
const CAT: u32 = 260;
const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ message.content }}{% endfor %}";

/// A vocabulary of words and bytes, written as SentencePiece writes them.
fn tokenizer(pre_tokenizer: Value, normalizer: Value, decoder: Value) -> Value {
    let mut vocab = json!({ "<unk>": 0, "<s>": 1, "</s>": 2 });
    (0..256).for_each(|byte| vocab[format!("<0x{byte:02X}>")] = (3 + byte).into());
    for (index, piece) in ["▁the", "▁cat", "▁", "t", "h", "e", "c", "a", "th", "ca", "the", "cat"].iter().enumerate()
    {
        vocab[*piece] = (259 + index).into();
    }
    let merges = ["t h", "th e", "c a", "ca t", "▁ the", "▁ cat"];
    json!({
        "version": "1.0", "added_tokens": [], "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "decoder": decoder,
        "model": {
            "type": "BPE", "vocab": vocab, "merges": merges, "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
        },
    })
}

/// As Llama 2 has it.
fn legacy() -> Value {
    let from_space = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    let to_space = json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " });
    let strip = json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 });
    tokenizer(
        Value::Null,
        json!({ "type": "Sequence", "normalizers": [{ "type": "Prepend", "prepend": "▁" }, from_space] }),
        json!({ "type": "Sequence", "decoders": [to_space, { "type": "ByteFallback" }, { "type": "Fuse" }, strip] }),
    )
}

/// As newer conversions have it.
fn metaspace(prepend_scheme: &str) -> Value {
    let part = json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": prepend_scheme, "split": false });
    tokenizer(part.clone(), Value::Null, part)
}

/// A model with that tokenizer.
fn serving(tokenizer: &Value) -> (TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    write_changed_model(&model, Some(CHAT_TEMPLATE), |_| {}, |_, _| {});
    std::fs::write(model.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let served = Running::with(|job| job.model_uri = format!("file:{}", model.display()));
    (folder, served)
}

/// A request that is answered with ` cat` as often as it likes.
fn cats(prompt: impl Into<Value>, max_tokens: u32) -> Value {
    json!({
        "prompt": prompt.into(), "max_tokens": max_tokens, "temperature": 0, "ignore_eos": true,
        "logit_bias": { CAT.to_string(): 100 },
    })
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_keeps_its_first_space() {
    for tokenizer in [legacy(), metaspace("first"), metaspace("always")] {
        let (_folder, served) = serving(&tokenizer);
        let api = &served.api;
        for prompt in [json!("the cat"), json!([THE, CAT]), json!([1, THE, CAT])] {
            assert_eq!(api.complete(cats(prompt.clone(), 3)).await, " cat cat cat", "{prompt}");
            let streamed = api.stream("/v1/completions", cats(prompt, 3)).await;
            let texts = streamed.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str());
            assert_eq!(texts.collect::<String>(), " cat cat cat");
        }
        for prompt in [json!("the cat"), json!([THE, CAT])] {
            let echoed = api.complete(with(cats(prompt, 2), "echo", json!(true))).await;
            assert_eq!(echoed, "the cat cat cat");
        }
        assert_eq!(api.complete(with(cats("the", 3), "stop", json!(" cat"))).await, "");
        assert_eq!(api.complete(with(cats("the", 3), "stop", json!("cat"))).await, " ");
        let answer = api.ask("/v1/completions", with(cats("the", 3), "logprobs", json!(0))).await;
        assert_eq!(answer["choices"][0]["logprobs"]["text_offset"], json!([0, 4, 8]));
        assert_eq!(answer["choices"][0]["logprobs"]["tokens"], json!([" cat", " cat", " cat"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_and_grpc_keep_it_too() {
    let (_folder, served) = serving(&legacy());
    let mut chat = cats(Value::Null, 2);
    chat.as_object_mut().unwrap().remove("prompt");
    chat["messages"] = json!([{ "role": "user", "content": "the" }]);
    let answer = served.api.ask("/v1/chat/completions", chat).await;
    assert_eq!(answer["choices"][0]["message"]["content"], " cat cat");
    let options = GenerationOptions {
        max_tokens: Some(2),
        temperature: Some(0.0),
        logit_bias: [(CAT, 100.0)].into(),
        ..GenerationOptions::default()
    };
    let prompt = Some(Prompt::Text("the".into()));
    let request = GenerateRequest { prompt, options: Some(options), ..GenerateRequest::default() };
    let mut grpc = InferenceClient::connect(served.grpc_url.clone()).await.unwrap();
    let pieces: Vec<_> = grpc.generate(request).await.unwrap().into_inner().collect().await;
    let text: String = pieces.into_iter().map(|piece| piece.unwrap().text).collect();
    assert_eq!(text, " cat cat");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_its_own_loses_the_space_that_was_put_in_front_and_no_other() {
    let cases = [(legacy(), "the cat"), (metaspace("first"), "the cat"), (metaspace("never"), " the cat")];
    for (tokenizer, expected) in cases {
        let (_folder, served) = serving(&tokenizer);
        let answer = served.api.ask("/detokenize", json!({ "tokens": [THE, CAT] })).await;
        assert_eq!(answer["prompt"], expected, "{}", tokenizer["pre_tokenizer"]);
        let tokens = served.api.ask("/tokenize", json!({ "prompt": expected })).await["tokens"].clone();
        assert_eq!(tokens, json!([THE, CAT]), "and back");
    }
}
