//! Model folders as people bring them: served where they can be, and called by their fault where they cannot.

use std::{fs, path::Path};

use bedplate_crds::model_deployment::ServingDtype;
use bedplate_inference::load::load;
use serde_json::{Value, json};

use crate::fixture::{Running, completion, write_tiny_model};

fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_padding_token_beyond_the_embedding_is_refused_in_a_prompt_and_stands_in_nobodys_way() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("model");
    write_tiny_model(&folder, None);
    let mut id = 0;
    edit_json(&folder.join("config.json"), |config| {
        id = config["vocab_size"].as_u64().unwrap();
        // The other half of what tools write.
        config["dtype"] = config["torch_dtype"].clone();
        config["hidden_size"] = json!(config["hidden_size"].as_f64().unwrap());
        config["eos_token_id"] = json!(-1);
    });
    edit_json(&folder.join("tokenizer.json"), |tokenizer| {
        let pad = json!({ "id": id, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true });
        tokenizer["added_tokens"].as_array_mut().unwrap().push(pad);
    });
    let server = Running::with(|job| job.model_uri = format!("file:{}", folder.display()));
    assert!(!server.api.complete(completion("the quick", 4)).await.is_empty());
    let reply = server.api.post("/v1/completions", completion("the [PAD] quick", 4)).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    let message = reply.body["error"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("token {id}")), "{message}");
    assert!(!server.api.complete(completion("the quick", 4)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_an_embedding_is_named_wherever_it_comes_from() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("model");
    write_tiny_model(&folder, Some("[PAD]{{ messages[0].content }}"));
    let config: Value = serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    let id = config["vocab_size"].as_u64().unwrap();
    edit_json(&folder.join("tokenizer.json"), |tokenizer| {
        let pad = json!({ "id": id, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true });
        tokenizer["added_tokens"].as_array_mut().unwrap().push(pad);
    });
    let server = Running::with(|job| job.model_uri = format!("file:{}", folder.display()));
    let chat = json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 2 });
    let asked = [("/v1/completions", completion(vec![5, id], 2), "prompt"), ("/v1/chat/completions", chat, "messages")];
    for (path, body, param) in asked {
        let reply = server.api.post(path, body).await;
        assert_eq!((reply.status, &reply.body["error"]["param"]), (400, &json!(param)), "{}", reply.body);
        let message = reply.body["error"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("token {id} (`[PAD]`)")), "{message}");
        assert!(message.contains(&format!("embeddings for {id} tokens")), "{message}");
    }
    // Text and tokens are still turned into one another: the tokenizer knows it.
    let tokens = server.api.ask("/tokenize", json!({ "prompt": "[PAD]" })).await["tokens"].clone();
    assert_eq!(tokens, json!([id]));
    assert_eq!(server.api.ask("/detokenize", json!({ "tokens": tokens })).await["prompt"], "[PAD]");
}

#[test]
fn only_damaged_files_are_called_corrupt() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("model");
    write_tiny_model(&folder, None);
    let (weights, config) = (folder.join("model.safetensors"), folder.join("config.json"));
    let whole = fs::read(&weights).unwrap();
    let text = fs::read_to_string(&config).unwrap();
    load(&folder, ServingDtype::Auto).unwrap();
    let refusal = || {
        let error = load(&folder, ServingDtype::Auto).unwrap_err();
        (bedplate_telemetry::chain::Chain(&error).to_string(), error.is_corruption())
    };

    fs::write(&weights, &whole[..whole.len() - 1]).unwrap();
    let (message, is_corruption) = refusal();
    assert!(is_corruption && message.contains("cut short"), "{message}");

    // A number format of the same size that the engine does not compute with.
    let as_integers = String::from_utf8_lossy(&whole[8..8 + whole[0] as usize + 256 * whole[1] as usize]).into_owned();
    let header = as_integers.replace("\"F32\"", "\"I32\"");
    fs::write(&weights, [&whole[..8], header.as_bytes(), &whole[8 + header.len()..]].concat()).unwrap();
    let (message, is_corruption) = refusal();
    assert!(!is_corruption && message.contains("is I32, which is not supported"), "{message}");

    fs::write(&weights, &whole).unwrap();
    fs::write(&config, text.replace("\"llama\"", "\"qwen2\"")).unwrap();
    let (message, is_corruption) = refusal();
    assert!(!is_corruption && message.contains("model_type is \"qwen2\""), "{message}");
}
