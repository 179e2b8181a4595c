//! `/v1/completions`, `/tokenize` and `/detokenize`.

use serde_json::{Value, json};

use crate::fixture::{Direct, Running, completion, write_tiny_model};

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_may_be_text_or_tokens_and_one_or_several() {
    let (served, direct) = (Running::tiny(), Direct::tiny());
    let tokens = |text: &str| direct.tokenizer.encode(text, true).unwrap();
    let (first, second) = ("the quick", "schöne");
    let mut expected = Vec::new();
    for text in [first, second] {
        expected.push(served.api.complete(completion(text, 8)).await);
    }
    for prompt in [json!([first, second]), json!([tokens(first), tokens(second)])] {
        let answer = served.api.ask("/v1/completions", completion(prompt, 8)).await;
        let texts: Vec<&str> = (0..2).map(|index| answer["choices"][index]["text"].as_str().unwrap()).collect();
        assert_eq!(texts, expected);
        assert_eq!(answer["usage"]["prompt_tokens"], tokens(first).len() + tokens(second).len());
        assert_eq!(answer["usage"]["completion_tokens"], 16);
    }
    assert_eq!(served.api.complete(completion(tokens(first), 8)).await, expected[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_tokens_are_the_default_and_a_stream_says_the_same() {
    let served = Running::tiny();
    let body = json!({ "prompt": "über", "temperature": 0, "ignore_eos": true });
    let answer = served.api.ask("/v1/completions", body.clone()).await;
    assert_eq!(answer["usage"]["completion_tokens"], 16);
    assert_eq!(answer["object"], "text_completion");
    let chunks = served.api.stream("/v1/completions", body).await;
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!(answer["choices"][0]["text"], text);
}

#[tokio::test(flavor = "multi_thread")]
async fn echo_gives_the_prompt_back_in_front() {
    let served = Running::tiny();
    let mut body = completion("the quick", 6);
    let plain = served.api.complete(body.clone()).await;
    body["echo"] = true.into();
    assert_eq!(served.api.complete(body.clone()).await, format!("the quick{plain}"));
    let chunks = served.api.stream("/v1/completions", body).await;
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, format!("the quick{plain}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn log_probabilities_carry_the_place_of_each_token() {
    let served = Running::tiny();
    let mut body = completion("the quick", 6);
    body["logprobs"] = 2.into();
    let answer = served.api.ask("/v1/completions", body).await;
    let logprobs = &answer["choices"][0]["logprobs"];
    let tokens: Vec<&str> =
        logprobs["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect();
    assert_eq!(tokens.len(), 6);
    assert_eq!(logprobs["text_offset"][0], 0);
    let text = answer["choices"][0]["text"].as_str().unwrap();
    let offsets: Vec<usize> = serde_json::from_value(logprobs["text_offset"].clone()).unwrap();
    assert!(offsets.is_sorted() && *offsets.last().unwrap() <= text.chars().count());
    for (position, token) in tokens.iter().enumerate() {
        let (chosen, top) =
            (&logprobs["token_logprobs"][position], logprobs["top_logprobs"][position].as_object().unwrap());
        assert!(chosen.as_f64().unwrap() <= 0.0 && top.len() == 2 && top[*token] == *chosen);
        // lm-eval calls an answer greedy where the two are the same number.
        assert_eq!(
            top.values().map(|logprob| logprob.as_f64().unwrap()).fold(f64::MIN, f64::max),
            chosen.as_f64().unwrap()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_alternatives_still_tell_the_chosen_token() {
    let served = Running::tiny();
    let mut body = completion("the quick", 2);
    body["logprobs"] = 0.into();
    let logprobs = served.api.ask("/v1/completions", body).await["choices"][0]["logprobs"].clone();
    let name = logprobs["tokens"][0].as_str().unwrap();
    assert_eq!(logprobs["top_logprobs"][0], json!({ name: logprobs["token_logprobs"][0] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bias_and_a_penalty_change_what_is_chosen() {
    let (served, direct) = (Running::tiny(), Direct::tiny());
    let mut body = completion("the quick", 3);
    let forced = direct.tokenizer.encode("z", false).unwrap()[0];
    body["logit_bias"] = json!({ forced.to_string(): 100 });
    assert_eq!(served.api.complete(body).await, "zzz");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_the_text_ends_the_answer_and_is_not_shown() {
    let (served, direct) = (Running::tiny(), Direct::tiny());
    let end = direct.tokenizer.eos_token_ids()[0];
    let mut body = completion("the quick", 9);
    body["logit_bias"] = json!({ end.to_string(): 100 });
    body["ignore_eos"] = Value::Null;
    let answer = served.api.ask("/v1/completions", body).await;
    let choice = &answer["choices"][0];
    assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!(""), &json!("stop")));
    assert_eq!(answer["usage"]["completion_tokens"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_becomes_tokens_and_text_again() {
    let served = Running::tiny();
    let tokens = served.api.ask("/tokenize", json!({ "prompt": "schöne 🦀", "return_token_strs": true })).await;
    assert_eq!(tokens["count"], tokens["tokens"].as_array().unwrap().len());
    assert_eq!(tokens["token_strs"].as_array().unwrap().len(), tokens["count"]);
    let text = served.api.ask("/detokenize", json!({ "tokens": tokens["tokens"] })).await;
    assert_eq!(text["prompt"], "schöne 🦀");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_folder_says_how_it_wants_to_be_sampled() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    write_tiny_model(&model, None);
    std::fs::write(model.join("generation_config.json"), r#"{"temperature": 0.0, "repetition_penalty": 1.3}"#).unwrap();
    let served = Running::with(|job| job.model_uri = format!("file:{}", model.display()));
    let asking = |more: &[(&str, Value)]| {
        let mut body = json!({ "prompt": "the quick", "max_tokens": 24, "ignore_eos": true });
        more.iter().for_each(|(name, value)| body[*name] = value.clone());
        served.api.complete(body)
    };
    let silent = asking(&[]).await;
    assert_eq!(silent, asking(&[]).await, "the model asks for the likeliest token");
    let same = [("temperature", 0.into()), ("repetition_penalty", 1.3.into())];
    assert_eq!(silent, asking(&same).await);
    assert_ne!(silent, asking(&[("repetition_penalty", 1.0.into())]).await, "what a request says goes first");
}
