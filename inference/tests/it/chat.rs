//! `/v1/chat/completions`: the template, the shapes, and streams that say what the whole answer says.

use serde_json::{Value, json};

use crate::fixture::{Api, Direct, Running};

fn chat(content: Value, max_tokens: u32) -> Value {
    json!({
        "model": "tiny", "temperature": 0, "max_tokens": max_tokens, "ignore_eos": true,
        "messages": [{ "role": "system", "content": "be kind" }, { "role": "user", "content": content }],
    })
}

async fn content(api: &Api, body: Value) -> String {
    api.ask("/v1/chat/completions", body).await["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

fn streamed_text(chunks: &[Value]) -> String {
    let deltas = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    deltas.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompt_is_what_the_template_makes_of_the_messages() {
    let (served, direct) = (Running::tiny(), Direct::tiny());
    let prompt = "<system>be kind\n<user>the fox\n<assistant>";
    let tokens = direct.tokenizer.encode(prompt, true).unwrap();
    let expected = direct.tokenizer.decode(&direct.greedy(&tokens, 12), true);
    assert_eq!(content(&served.api, chat("the fox".into(), 12)).await, expected);
    let parts = json!([{ "type": "text", "text": "the" }, { "type": "text", "text": "fox" }]);
    let in_lines = served.api.ask("/tokenize", json!({ "messages": chat("the\nfox".into(), 1)["messages"] })).await;
    let in_parts = served.api.ask("/tokenize", json!({ "messages": chat(parts, 1)["messages"] })).await;
    assert_eq!(in_parts["tokens"], in_lines["tokens"]);
    let counted = served.api.ask("/tokenize", json!({ "messages": chat("the fox".into(), 1)["messages"] })).await;
    assert_eq!(counted["tokens"], json!(tokens));
    let mut developer = chat("the fox".into(), 12);
    developer["messages"][0]["role"] = "developer".into();
    assert_eq!(content(&served.api, developer).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shape_is_openais() {
    let served = Running::tiny();
    let answer = served.api.ask("/v1/chat/completions", chat("hi".into(), 5)).await;
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "tiny");
    let choice = &answer["choices"][0];
    assert_eq!((&choice["index"], &choice["finish_reason"]), (&json!(0), &json!("length")));
    assert_eq!(choice["message"]["role"], "assistant");
    let usage = &answer["usage"];
    assert_eq!(usage["completion_tokens"], 5);
    assert_eq!(usage["total_tokens"].as_u64().unwrap(), usage["prompt_tokens"].as_u64().unwrap() + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_put_together_is_the_whole_answer_with_characters_of_several_bytes() {
    let served = Running::tiny();
    for question in ["the quick", "schöne grüße 🦀", "日本語の文章"] {
        let body = chat(question.into(), 80);
        let whole = content(&served.api, body.clone()).await;
        let chunks = served.api.stream("/v1/chat/completions", body).await;
        assert_eq!(streamed_text(&chunks), whole);
        assert_eq!(chunks[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "length");
        assert!(chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk.get("usage").is_none()));
        assert_eq!(chunks.iter().filter(|chunk| !chunk["choices"][0]["finish_reason"].is_null()).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_string_cuts_the_answer_wherever_its_tokens_end() {
    let served = Running::tiny();
    let whole = content(&served.api, chat("the fox".into(), 60)).await;
    let places: Vec<usize> = whole.char_indices().map(|(place, _)| place).collect();
    for begin in [8, 15, 23] {
        let stop = &whole[places[begin]..places[begin + 5]];
        let expected = &whole[..whole.find(stop).unwrap()];
        let mut body = chat("the fox".into(), 60);
        body["stop"] = json!([stop, "no such text"]);
        let answer = served.api.ask("/v1/chat/completions", body.clone()).await;
        assert_eq!(answer["choices"][0]["message"]["content"], expected);
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        assert!(answer["usage"]["completion_tokens"].as_u64().unwrap() < 60);
        let chunks = served.api.stream("/v1/chat/completions", body).await;
        assert_eq!(streamed_text(&chunks), expected, "a stream must never show a part of a stop string");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_comes_last_in_a_stream_that_asks_for_it() {
    let served = Running::tiny();
    let mut body = chat("hi".into(), 6);
    let whole = served.api.ask("/v1/chat/completions", body.clone()).await;
    body["stream_options"] = json!({ "include_usage": true });
    let chunks = served.api.stream("/v1/chat/completions", body).await;
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["completion_tokens"]), (&json!([]), &json!(6)));
    assert_eq!(last["usage"]["prompt_tokens"], whole["usage"]["prompt_tokens"]);
    assert!(others.iter().all(|chunk| chunk["usage"].is_null()));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_choices_differ_and_stream_apart() {
    let served = Running::tiny();
    let mut body = chat("hi".into(), 20);
    body["n"] = 3.into();
    body["temperature"] = 1.2.into();
    body["seed"] = 5.into();
    let answer = served.api.ask("/v1/chat/completions", body.clone()).await;
    let texts: Vec<&str> =
        (0..3).map(|index| answer["choices"][index]["message"]["content"].as_str().unwrap()).collect();
    assert!(texts[0] != texts[1] && texts[1] != texts[2]);
    assert_eq!(answer["usage"]["completion_tokens"], 60);
    let chunks = served.api.stream("/v1/chat/completions", body).await;
    for (index, text) in texts.iter().enumerate() {
        let own: Vec<Value> = chunks.iter().filter(|chunk| chunk["choices"][0]["index"] == index).cloned().collect();
        assert_eq!(streamed_text(&own), *text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_probabilities_are_those_of_the_engines_logits() {
    let (served, direct) = (Running::tiny(), Direct::tiny());
    let mut body = chat("hi".into(), 4);
    body["logprobs"] = true.into();
    body["top_logprobs"] = 3.into();
    let answer = served.api.ask("/v1/chat/completions", body.clone()).await;
    let entries = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(entries.len(), 4);
    let mut tokens = direct.tokenizer.encode("<system>be kind\n<user>hi\n<assistant>", true).unwrap();
    for entry in entries {
        let logits = direct.logits(&tokens);
        let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        let next = direct.greedy(&tokens, 1)[0];
        let expected = f64::from(logits[next as usize]) - total.ln();
        assert!((entry["logprob"].as_f64().unwrap() - expected).abs() < 1e-4, "{entry} against {expected}");
        assert_eq!(entry["bytes"], json!(direct.tokenizer.token_bytes(next)));
        assert_eq!(entry["top_logprobs"].as_array().unwrap().len(), 3);
        assert_eq!(entry["top_logprobs"][0]["logprob"], entry["logprob"]);
        tokens.push(next);
    }
    let chunks = served.api.stream("/v1/chat/completions", body).await;
    let streamed = chunks.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array());
    assert_eq!(streamed.flatten().collect::<Vec<_>>(), entries.iter().collect::<Vec<_>>());
}

/// A template that shows everything it is given.
const SHOWS_ALL: &str = "{% for message in messages %}<{{ message.role }}{% if message.name %} {{ message.name }}{% endif %}>\
                         {% if message.reasoning_content %}({{ message.reasoning_content }}){% endif %}\
                         {{ message.content }}</{{ message.role }}>{% endfor %}\
                         {% for document in documents or [] %}[{{ document.text }}]{% endfor %}\
                         {% if mood %}{{ mood }}{% endif %}\
                         {% if reasoning_effort %}{{ reasoning_effort }} {{ enable_thinking }}{% endif %}\
                         {% if add_generation_prompt %}<assistant>{% endif %}";

/// The prompt that the endpoint makes of a chat request.
async fn prompt_of(served: &Running, more: Value) -> String {
    let mut body = json!({
        "messages": [{ "role": "user", "content": "a" }, { "role": "assistant", "content": "b" }],
        "max_tokens": 1, "return_token_ids": true, "chat_template": SHOWS_ALL,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let answer = served.api.ask("/v1/chat/completions", body).await;
    let ids: Vec<u32> = serde_json::from_value(answer["prompt_token_ids"].clone()).unwrap();
    served.service.tokenizer.decode(&ids, false)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_may_shape_the_prompt() {
    let served = Running::tiny();
    let told = "<user>a</user><assistant>b</assistant>";
    let rows = [
        (json!({}), format!("{told}<assistant>")),
        (json!({ "add_generation_prompt": false }), told.to_owned()),
        (json!({ "continue_final_message": true }), "<user>a</user><assistant>b".to_owned()),
        (json!({ "chat_template_kwargs": { "mood": "glad" } }), format!("{told}glad<assistant>")),
        (json!({ "documents": [{ "text": "x" }, { "text": "y" }] }), format!("{told}[x][y]<assistant>")),
        (json!({ "documents": [] }), format!("{told}<assistant>")),
        (json!({ "reasoning_effort": "low" }), format!("{told}low True<assistant>")),
        (json!({ "reasoning_effort": "none" }), format!("{told}none False<assistant>")),
        (
            json!({ "reasoning_effort": "low", "chat_template_kwargs": { "enable_thinking": false } }),
            format!("{told}low False<assistant>"),
        ),
        (
            json!({ "messages": [{ "role": "user", "name": "ann", "content": "a", "reasoning": "hm" }] }),
            "<user ann>(hm)a</user><assistant>".to_owned(),
        ),
        (json!({ "chat_template": "{{ messages[1].content }}" }), "b".to_owned()),
    ];
    for (more, expected) in rows {
        assert_eq!(prompt_of(&served, more.clone()).await, expected, "{more}");
    }
    let fields = json!({
        "messages": [{ "role": "user", "content": "a" }, { "role": "assistant", "content": "b" }],
        "chat_template": SHOWS_ALL, "continue_final_message": true, "chat_template_kwargs": { "mood": "glad" },
    });
    let tokens = served.api.ask("/tokenize", fields).await["tokens"].clone();
    let tokens: Vec<u32> = serde_json::from_value(tokens).unwrap();
    assert_eq!(served.service.tokenizer.decode(&tokens, false), "<user>a</user><assistant>b");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_shape_a_prompt_is_told_by_field() {
    let served = Running::tiny();
    let rows = [
        (json!({ "chat_template": "{% for" }), "chat_template"),
        (json!({ "chat_template": "{{ raise_exception('no') }}" }), "messages"),
        (json!({ "continue_final_message": true, "add_generation_prompt": true }), "continue_final_message"),
    ];
    for (more, param) in rows {
        let mut body = chat("hi".into(), 1);
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = served.api.post("/v1/chat/completions", body).await;
        assert_eq!((reply.status, &reply.body["error"]["param"]), (400, &json!(param)), "{more}: {}", reply.body);
    }
}
