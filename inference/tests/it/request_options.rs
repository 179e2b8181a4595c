//! What the fields beyond OpenAI's do to an answer.

use serde_json::{Value, json};

use crate::fixture::{Api, Direct, Running, completion};

/// The completion of "the quick" with more fields.
fn with(max_tokens: u32, more: Value) -> Value {
    let mut body = completion("the quick", max_tokens);
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn first_choice(api: &Api, body: Value) -> Value {
    api.ask("/v1/completions", body).await["choices"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_token_ends_the_answer_and_is_shown_only_if_asked_for() {
    let (served, direct) = (Running::tiny(), Direct::tiny());
    let greedy = direct.greedy(&direct.tokenizer.encode("the quick", true).unwrap(), 12);
    let stop = greedy[5];
    let end = greedy.iter().position(|&id| id == stop).unwrap();
    let asked = json!({ "stop_token_ids": [stop, 4_000_000_000_u32], "return_token_ids": true });
    let choice = first_choice(&served.api, with(12, asked.clone())).await;
    assert_eq!(
        (&choice["text"], &choice["finish_reason"]),
        (&json!(direct.tokenizer.decode(&greedy[..end], true)), &json!("stop"))
    );
    assert_eq!(choice["token_ids"], json!(greedy[..=end]), "the ids include the one that ended it");
    let mut shown = asked;
    shown["include_stop_str_in_output"] = true.into();
    let choice = first_choice(&served.api, with(12, shown)).await;
    assert_eq!(choice["text"], direct.tokenizer.decode(&greedy[..=end], true));
    let text = direct.tokenizer.decode(&greedy, true);
    let (place, stop) = text.char_indices().nth(6).map(|(place, letter)| (place, letter.to_string())).unwrap();
    let end = text[..=place].find(&stop).unwrap_or(place) + stop.len();
    let choice = first_choice(&served.api, with(12, json!({ "stop": stop, "include_stop_str_in_output": true }))).await;
    assert_eq!(choice["text"], text[..end]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_ends_an_answer_before_its_least_tokens() {
    let (served, direct) = (Running::tiny(), Direct::tiny());
    let end = direct.tokenizer.eos_token_ids()[0];
    let asked = json!({ "logit_bias": { end.to_string(): 100 }, "ignore_eos": false, "min_tokens": 4 });
    let answer = served.api.ask("/v1/completions", with(9, asked)).await;
    assert_eq!(
        (&answer["usage"]["completion_tokens"], &answer["choices"][0]["finish_reason"]),
        (&json!(5), &json!("stop"))
    );
    let whole = served.api.complete(with(9, json!({}))).await;
    let first = whole.chars().next().unwrap().to_string();
    let answer = served.api.ask("/v1/completions", with(9, json!({ "stop": first, "min_tokens": 9 }))).await;
    assert_eq!(answer["usage"]["completion_tokens"], 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_allowed_tokens_are_chosen_and_bad_words_never() {
    let (served, direct) = (Running::tiny(), Direct::tiny());
    let allowed: Vec<u32> =
        [b'a', b'b'].map(|byte| direct.tokenizer.encode(&char::from(byte).to_string(), true).unwrap()[0]).into();
    let text = served.api.complete(with(20, json!({ "allowed_token_ids": allowed, "temperature": 1 }))).await;
    assert_eq!((text.len(), text.trim_matches(['a', 'b'])), (20, ""));
    // A word of one token and, since the rest is forbidden word by word, one of two.
    let word = direct.tokenizer.decode(&allowed, true);
    let asked = json!({ "allowed_token_ids": allowed, "bad_words": [word], "temperature": 1, "seed": 1 });
    let text = served.api.complete(with(40, asked)).await;
    assert!(!text.contains(&word) && text.len() == 40, "{text}");
    // Rules that leave nothing after the first token are told as what they are.
    let letter = direct.tokenizer.decode(&allowed[..1], true);
    let stuck = json!({ "allowed_token_ids": allowed[..1], "bad_words": [letter.repeat(2)] });
    let reply = served.api.post("/v1/completions", with(3, stuck)).await;
    assert_eq!((reply.status, &reply.body["error"]["param"]), (400, &json!("allowed_token_ids")));
    let plain = served.api.complete(with(1, json!({}))).await;
    assert_ne!(served.api.complete(with(1, json!({ "bad_words": [plain] }))).await, plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_cut_and_echoed_as_it_was_cut() {
    let served = Running::with(|job| job.engine.max_model_len = Some(32));
    let long: Vec<u32> = (1..60).collect();
    let tail = served.api.complete(completion(long[56..].to_vec(), 5)).await;
    let mut body = completion(long.clone(), 5);
    body["truncate_prompt_tokens"] = 3.into();
    assert_eq!(served.api.complete(body.clone()).await, tail);
    body["truncation_side"] = "right".into();
    body["echo"] = true.into();
    let head = served.api.complete(completion(long[..3].to_vec(), 5)).await;
    let echo = served.service.tokenizer.decode(&long[..3], false);
    assert_eq!(served.api.complete(body.clone()).await, format!("{echo}{head}"));
    body["truncate_prompt_tokens"] = (-1).into();
    assert_eq!(served.api.ask("/v1/completions", body).await["usage"]["prompt_tokens"], 27);
    let chat = json!({
        "messages": [{ "role": "user", "content": "x".repeat(99) }], "truncate_prompt_tokens": 9, "max_tokens": 1,
    });
    assert_eq!(served.api.ask("/v1/chat/completions", chat).await["usage"]["prompt_tokens"], 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn special_tokens_are_shown_if_asked_for() {
    let (served, direct) = (Running::tiny(), Direct::tiny());
    let end = direct.tokenizer.eos_token_ids()[0];
    let written = direct.tokenizer.token_text(end).unwrap();
    let forced = json!({ "logit_bias": { end.to_string(): 100 } });
    assert_eq!(served.api.complete(with(2, forced.clone())).await, "");
    let mut shown = forced;
    shown["skip_special_tokens"] = false.into();
    assert_eq!(served.api.complete(with(2, shown.clone())).await, written.repeat(2));
    shown["ignore_eos"] = false.into();
    assert_eq!(served.api.complete(with(2, shown.clone())).await, "", "the one that ends it is no part of it");
    shown["include_stop_str_in_output"] = true.into();
    assert_eq!(served.api.complete(with(2, shown)).await, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_told_whole_and_streamed() {
    let (served, direct) = (Running::tiny(), Direct::tiny());
    let asked = json!({ "return_token_ids": true, "return_tokens_as_token_ids": true, "logprobs": 1, "n": 2 });
    let answer = served.api.ask("/v1/completions", with(6, asked.clone())).await;
    let prompt = direct.tokenizer.encode("the quick", true).unwrap();
    let greedy = direct.greedy(&prompt, 6);
    for choice in answer["choices"].as_array().unwrap() {
        assert_eq!((&choice["prompt_token_ids"], &choice["token_ids"]), (&json!(prompt), &json!(greedy)));
        let names: Vec<String> = greedy.iter().map(|id| format!("token_id:{id}")).collect();
        assert_eq!(choice["logprobs"]["tokens"], json!(names));
    }
    let chunks = served.api.stream("/v1/completions", with(6, asked)).await;
    for index in 0..2 {
        let own = || chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|choice| choice["index"] == index);
        let ids: Vec<u32> = own()
            .filter_map(|choice| choice["token_ids"].as_array())
            .flatten()
            .map(|id| id.as_u64().unwrap() as u32)
            .collect();
        assert_eq!(ids, greedy);
        assert_eq!(own().filter(|choice| choice.get("prompt_token_ids").is_some()).count(), 1);
    }
    let chat = json!({
        "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 4, "temperature": 0, "return_token_ids": true,
    });
    let answer = served.api.ask("/v1/chat/completions", chat.clone()).await;
    let chunks = served.api.stream("/v1/chat/completions", chat).await;
    assert_eq!(answer["prompt_token_ids"], chunks[0]["prompt_token_ids"]);
    let ids = chunks.iter().filter_map(|chunk| chunk["choices"][0]["token_ids"].as_array()).flatten();
    assert_eq!(
        answer["choices"][0]["token_ids"].as_array().unwrap().iter().collect::<Vec<_>>(),
        ids.collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_of_minus_one_is_none_and_neighbours_do_not_repeat_each_other() {
    let served = Running::tiny();
    let drawn = |seed: Value, n: u32| {
        let body = with(24, json!({ "temperature": 1.5, "seed": seed, "n": n }));
        let api = served.api.clone();
        async move {
            let answer = api.ask("/v1/completions", body).await;
            answer["choices"]
                .as_array()
                .unwrap()
                .iter()
                .map(|choice| choice["text"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        }
    };
    assert_ne!(drawn(json!(-1), 1).await, drawn(json!(-1), 1).await);
    for seed in [json!(u64::MAX), json!(i64::MIN), json!(1_u64 << 63)] {
        assert_eq!(drawn(seed.clone(), 1).await, drawn(seed, 1).await);
    }
    let (five, six) = (drawn(json!(5), 3).await, drawn(json!(6), 3).await);
    assert_eq!(five[..1], drawn(json!(5), 1).await[..]);
    assert!(five.iter().all(|text| !six.contains(text)), "{five:?} and {six:?}");
    let twice = with(24, json!({ "prompt": ["the quick", "the quick"], "temperature": 1.5 }));
    let answer = served.api.ask("/v1/completions", twice).await;
    assert_ne!(answer["choices"][0]["text"], answer["choices"][1]["text"], "without a seed, equal prompts draw apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_several_answers_begin_with_the_first_and_end_with_the_usage() {
    let served = Running::tiny();
    let usage = json!({ "include_usage": true, "continuous_usage_stats": true });
    let more = json!({ "prompt": [[1, 2, 3], [4, 5]], "n": 2, "stream_options": usage });
    for _ in 0..4 {
        let chunks = served.api.stream("/v1/completions", with(3, more.clone())).await;
        assert_eq!(chunks[0]["choices"][0]["index"], 0);
        let (last, others) = chunks.split_last().unwrap();
        assert_eq!(last["choices"], json!([]));
        let total = json!([last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]]);
        assert_eq!(total, json!([5, 12]), "the usage is that of all prompts and answers");
        assert!(others.iter().all(|chunk| chunk["object"] == "text_completion" && !chunk["choices"][0].is_null()));
        for (index, prompt_tokens) in [3, 3, 2, 2].into_iter().enumerate() {
            let own = others.iter().rev().find(|chunk| chunk["choices"][0]["index"] == index).unwrap();
            assert_eq!(own["choices"][0]["finish_reason"], "length");
            assert_eq!(
                json!([own["usage"]["prompt_tokens"], own["usage"]["completion_tokens"]]),
                json!([prompt_tokens, 3])
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn special_tokens_in_front_can_be_left_out_and_put_in() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    crate::fixture::write_tiny_model(&model, Some("{% for message in messages %}{{ message.content }}{% endfor %}"));
    let config = json!({
        "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "add_bos_token": true,
        "chat_template": "{% for message in messages %}{{ message.content }}{% endfor %}",
    });
    std::fs::write(model.join("tokenizer_config.json"), config.to_string()).unwrap();
    let served = Running::with(|job| job.model_uri = format!("file:{}", model.display()));
    let bos = served.service.tokenizer.bos_token_id().unwrap();
    let plain = served.service.tokenizer.encode("hi", true).unwrap();
    let with_bos: Vec<u32> = [bos].into_iter().chain(plain.clone()).collect();
    let message = json!([{ "role": "user", "content": "hi" }]);
    let asked = |add: bool| json!({ "add_special_tokens": add, "max_tokens": 1, "return_token_ids": true });
    for (add, expected) in [(true, &with_bos), (false, &plain)] {
        let mut body = asked(add);
        body["prompt"] = "hi".into();
        assert_eq!(first_choice(&served.api, body).await["prompt_token_ids"], json!(expected));
        let mut body = asked(add);
        body["messages"] = message.clone();
        let answer = served.api.ask("/v1/chat/completions", body).await;
        assert_eq!(answer["prompt_token_ids"], json!(expected));
        let tokens = served.api.ask("/tokenize", json!({ "messages": message, "add_special_tokens": add })).await;
        assert_eq!(tokens["tokens"], json!(expected));
    }
    let info = served.api.get("/tokenizer_info").await.body;
    assert_eq!((&info["bos_token"], &info["eos_token"]), (&json!("<|endoftext|>"), &json!("<|endoftext|>")));
    assert_eq!((&info["add_bos_token"], &info["chat_template"]), (&json!(true), &config["chat_template"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_says_which_tokens_end_a_text_and_any_bearer_is_let_in() {
    let served = Running::tiny();
    let request = served.api.client.get(format!("{}/v1/models", served.api.url)).header("authorization", "Bearer ");
    let model = served.api.send(request).await.body["data"][0].clone();
    assert_eq!(model["eos_token_ids"], json!(served.service.tokenizer.eos_token_ids()));
    assert_eq!(model["eos_tokens"], json!(["<|endoftext|>"]));
    assert_eq!(model["max_model_len"], crate::fixture::MAX_MODEL_LEN);
}
