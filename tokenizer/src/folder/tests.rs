//! A folder means what transformers 5.24.0 makes of it.

use serde_json::{Value, json};

use crate::{ChatMessage, RenderOptions, Tokenizer, train_byte_level_bpe};

/// A folder with these files beside a tokenizer of letters whose special tokens are `<s>`, `</s>` and `<|im_end|>`.
fn load(files: &[(&str, String)]) -> Tokenizer {
    load_with(Value::Null, files)
}

fn load_with(post_processor: Value, files: &[(&str, String)]) -> Tokenizer {
    let folder = tempfile::tempdir().unwrap();
    let trained = train_byte_level_bpe(["some text"; 3].iter(), 260).unwrap().to_json().unwrap();
    let mut file: Value = serde_json::from_str(&trained).unwrap();
    let next = file["model"]["vocab"].as_object().unwrap().len();
    for (index, text) in ["<s>", "</s>", "<|im_end|>"].into_iter().enumerate() {
        let token = json!({
            "id": next + index, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        });
        file["added_tokens"].as_array_mut().unwrap().push(token);
    }
    file["post_processor"] = post_processor;
    std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    Tokenizer::from_folder(folder.path()).unwrap()
}

fn bos_template(tokenizer: &Tokenizer) -> Value {
    let id = tokenizer.token_id("<s>").unwrap();
    let single =
        json!([{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }]);
    json!({
        "type": "TemplateProcessing", "single": single, "pair": single,
        "special_tokens": { "<s>": { "id": "<s>", "ids": [id], "tokens": ["<s>"] } },
    })
}

fn ends(tokenizer: &Tokenizer) -> Vec<String> {
    tokenizer.end_tokens().map(|(_, text)| text).collect()
}

#[test]
fn the_post_processor_decides_about_bos() {
    let bare = load(&[]);
    let bos = bare.token_id("<s>").unwrap();
    assert!(bare.prefix().is_empty());
    for add_bos in ["", r#", "add_bos_token": null"#, r#", "add_bos_token": true"#, r#", "add_bos_token": false"#] {
        let config = format!(r#"{{"bos_token": "<s>"{add_bos}}}"#);
        let tokenizer = load_with(bos_template(&bare), &[("tokenizer_config.json", config)]);
        assert_eq!(tokenizer.prefix(), [bos], "{add_bos}");
    }
    // Nobody names the token, and it is added all the same.
    assert_eq!(load_with(bos_template(&bare), &[]).encode_with_special("", true).unwrap(), [bos]);
    let asked = load(&[("tokenizer_config.json", r#"{"bos_token": "<s>", "add_bos_token": true}"#.to_owned())]);
    assert_eq!(asked.prefix(), [bos], "no post-processor says otherwise");
}

#[test]
fn special_tokens_map_counts_beside_a_config_of_its_time() {
    let map = ("special_tokens_map.json", r#"{"bos_token": {"content": "<s>"}, "eos_token": "</s>"}"#.to_owned());
    let with = |config: &str| load(&[map.clone(), ("tokenizer_config.json", config.to_owned())]);
    let names = |tokenizer: &Tokenizer| (tokenizer.bos_token_id().is_some(), ends(tokenizer));
    let both = (true, vec!["</s>".to_owned()]);
    assert_eq!(names(&load(std::slice::from_ref(&map))), both);
    assert_eq!(names(&with("{}")), both);
    assert_eq!(names(&with(r#"{"bos_token": null, "eos_token": null}"#)), both);
    assert_eq!(names(&with(r#"{"eos_token": "<|im_end|>"}"#)), both, "the map wins");
    let modern = with(r#"{"eos_token": "<|im_end|>", "added_tokens_decoder": {}}"#);
    assert_eq!(names(&modern), (false, vec!["<|im_end|>".to_owned()]), "the map is not read");
}

#[test]
fn generation_config_beats_config_for_the_ends() {
    let id = |text: &str| load(&[]).token_id(text).unwrap();
    let file = |name: &'static str, ids: Value| (name, json!({ "eos_token_id": ids }).to_string());
    let eos = ("tokenizer_config.json", r#"{"eos_token": "</s>"}"#.to_owned());
    let config = file("config.json", json!(id("<s>")));
    assert_eq!(ends(&load(&[eos.clone(), config.clone()])), ["</s>", "<s>"]);
    let generation = file("generation_config.json", json!([id("<|im_end|>"), id("</s>")]));
    assert_eq!(ends(&load(&[eos.clone(), config.clone(), generation])), ["</s>", "<|im_end|>"]);
    for none in [json!(-1), json!([-1]), json!([]), Value::Null] {
        assert_eq!(ends(&load(&[eos.clone(), config.clone(), file("generation_config.json", none)])), ["</s>", "<s>"]);
    }
    assert_eq!(ends(&load(&[file("config.json", json!(-1))])), ["<|endoftext|>"]);
    let float = ("config.json", format!(r#"{{"eos_token_id": {}.0}}"#, id("</s>")));
    assert_eq!(ends(&load(&[float])), ["</s>"]);
}

#[test]
fn the_end_of_the_templates_turn_ends_a_text() {
    let template = "{% for m in messages %}{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
    let eos = ("tokenizer_config.json", r#"{"eos_token": "</s>"}"#.to_owned());
    let chatml = load(&[eos.clone(), ("chat_template.jinja", template.to_owned())]);
    assert_eq!(ends(&chatml), ["</s>", "<|im_end|>"]);
    let words = load(&[eos, ("chat_template.jinja", template.replace("<|im_end|>", "END"))]);
    assert_eq!(ends(&words), ["</s>"]);
}

#[test]
fn templates_are_found_by_name_and_a_broken_one_only_breaks_chat() {
    let say = |tokenizer: &Tokenizer, asked: Option<&str>| {
        let template = tokenizer.chat_template(asked)?;
        template.render(&[ChatMessage::new("user", "hi")], &RenderOptions::for_answer())
    };
    let config =
        r#"{"chat_template": [{"name": "default", "template": "old"}, {"name": "rag", "template": "of the list"}]}"#;
    let listed = load(&[("tokenizer_config.json", config.to_owned())]);
    assert_eq!(say(&listed, None).unwrap(), "old");
    assert_eq!(say(&listed, Some("rag")).unwrap(), "of the list");
    assert_eq!(say(&listed, Some("{{ messages[0].content }}!")).unwrap(), "hi!");
    let files = load(&[
        ("tokenizer_config.json", config.to_owned()),
        ("chat_template.jinja", "new".to_owned()),
        ("additional_chat_templates/rag.jinja", "of the file".to_owned()),
    ]);
    assert_eq!(say(&files, None).unwrap(), "new");
    assert_eq!(say(&files, Some("rag")).unwrap(), "of the file");
    let unnamed = load(&[("additional_chat_templates/rag.jinja", "x".to_owned())]);
    assert!(say(&unnamed, None).unwrap_err().to_string().contains("set chat_template to one of rag"));
    assert!(say(&load(&[]), None).unwrap_err().to_string().contains("no chat template; use completions"));

    let broken = load(&[("chat_template.jinja", "{% if %}".to_owned())]);
    let error = say(&broken, None).unwrap_err().to_string();
    assert!(error.contains("cannot compile the chat template") && !error.contains('\n'), "{error}");
    assert!(!broken.encode_with_special("hi", true).unwrap().is_empty());
    assert_eq!(say(&broken, Some("whole")).unwrap(), "whole");
}
