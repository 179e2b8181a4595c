//! Templates mean what `transformers` makes of them.

use super::{ChatMessage, ChatTemplate, ChatTemplateError, RenderOptions};

const CHATML: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ \
    '<|im_start|>system\nYou are helpful<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + \
    message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' \
    }}{% endif %}";

fn render(source: &str, messages: &[ChatMessage]) -> Result<String, ChatTemplateError> {
    let special = [("bos_token", "<s>"), ("eos_token", "</s>")].map(|(name, text)| (name.to_owned(), text.to_owned()));
    ChatTemplate::new(source, special.into())?.render(messages, &RenderOptions::for_answer())
}

#[test]
fn chatml_gets_its_default_system_prompt() {
    let text = render(CHATML, &[ChatMessage::new("user", "Hi")]).unwrap();
    let wanted =
        "<|im_start|>system\nYou are helpful<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(text, wanted);
}

#[test]
fn blocks_are_trimmed_and_special_tokens_known() {
    let source =
        "{{ bos_token }}\n    {% for m in messages %}\n{{ m.content.strip().upper() }}{{ eos_token }}\n{% endfor %}\n";
    assert_eq!(render(source, &[ChatMessage::new("user", " a ")]).unwrap(), "<s>\nA</s>\n");
}

#[test]
fn a_template_refuses_in_its_own_words() {
    let source = "{% if messages[0].role != 'user' %}{{ raise_exception('start with user') }}{% endif %}ok";
    let error = render(source, &[ChatMessage::new("system", "x")]).unwrap_err();
    assert!(matches!(&error, ChatTemplateError::Refused(reason) if reason == "start with user"), "{error}");
    assert_eq!(render(source, &[ChatMessage::new("user", "x")]).unwrap(), "ok");
}

#[test]
fn broken_templates_are_errors() {
    assert!(matches!(render("{% if %}", &[]), Err(ChatTemplateError::Compile(_))));
    let message = [ChatMessage::new("user", "x")];
    assert!(matches!(render("{{ messages[0].content.nothing() }}", &message), Err(ChatTemplateError::Render(_))));
    assert!(matches!(render("{{ strftime_now('%!') }}", &[]), Err(ChatTemplateError::Render(_))));
}

#[test]
fn json_and_dates_read_like_pythons() {
    let source = "{{ {'a': [1, '<é>']} | tojson }}|{{ strftime_now('%Y') | length }}";
    assert_eq!(render(source, &[]).unwrap(), "{\"a\": [1, \"<é>\"]}|4");
}

/// Source and text of each case, rendered by transformers 5.24.0 with Jinja 3.1.6.
const REFERENCE: &str = include_str!("tests/transformers.json");

#[test]
fn every_expression_renders_as_in_transformers() {
    let cases: Vec<(String, String)> = serde_json::from_str(REFERENCE).unwrap();
    let mut user = ChatMessage::new("user", "hi");
    user.fields.insert("n".to_owned(), 4.into());
    let messages = [user, ChatMessage::new("assistant", "yo")];
    let differences: Vec<String> = cases
        .iter()
        .filter_map(|(source, wanted)| {
            let special = [("bos_token".to_owned(), "<s>".to_owned())];
            let found = ChatTemplate::new(&format!("{{% set m = messages[0] %}}{source}"), special.into())
                .and_then(|template| template.render(&messages, &RenderOptions::for_answer()));
            (found.as_ref() != Ok(wanted)).then(|| format!("{source}\n  wanted {wanted:?}\n  found  {found:?}"))
        })
        .collect();
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), cases.len(), differences.join("\n"));
}

fn continued(source: &str, messages: &[ChatMessage]) -> Result<String, ChatTemplateError> {
    let options = RenderOptions { continue_final_message: true, ..RenderOptions::default() };
    ChatTemplate::new(source, [("eos_token".to_owned(), "</s>".to_owned())].into())?.render(messages, &options)
}

/// Texts of transformers' `apply_chat_template(..., continue_final_message=True)`.
#[test]
fn the_last_message_is_left_open_where_asked() {
    let source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}\n{% endfor %}";
    let trimming = source.replace("m.content", "m.content|trim");
    let say = |text: &str| [ChatMessage::new("user", "a"), ChatMessage::new("assistant", text)];
    assert_eq!(continued(source, &say("I am ")).unwrap(), "<user>a</s>\n<assistant>I am ");
    assert_eq!(continued(&trimming, &say("I am ")).unwrap(), "<user>a</s>\n<assistant>I am");
    assert_eq!(continued(&trimming, &say("I am")).unwrap(), "<user>a</s>\n<assistant>I am");
    let refused = |source: &str, messages: &[ChatMessage]| continued(source, messages).unwrap_err().to_string();
    assert!(refused("{% for m in messages %}{{ m.role }}{% endfor %}", &say("x")).contains("content"));
    assert!(refused("{{ messages[0].content }}", &say("x")).contains("does not write the last message"));
    assert!(refused(source, &[]).contains("no message"));
    let both = RenderOptions { continue_final_message: true, ..RenderOptions::for_answer() };
    let template = ChatTemplate::new(source, Default::default()).unwrap();
    assert!(template.render(&say("x"), &both).unwrap_err().to_string().contains("contradict"));
}

#[test]
fn variables_documents_and_fields_of_messages_reach_the_template() {
    let source = "{{ enable_thinking }} {{ bos_token }} {{ documents[0].text }} {{ messages[0].name }} \
        {{ messages[0].nothing is defined }} {{ tools|length }}";
    let mut options = RenderOptions { tools: Some(vec![serde_json::json!({})]), ..RenderOptions::default() };
    options.variables = serde_json::from_str(r#"{"enable_thinking": false, "bos_token": "<b>"}"#).unwrap();
    options.documents = Some(vec![serde_json::json!({ "title": "t", "text": "d" })]);
    let mut message = ChatMessage::new("user", "x");
    message.fields = serde_json::from_str(r#"{"name": "Ann", "nothing": null}"#).unwrap();
    let template = ChatTemplate::new(source, [("bos_token".to_owned(), "<s>".to_owned())].into()).unwrap();
    assert_eq!(template.render(&[message], &options).unwrap(), "False <b> d Ann False 1");
}

#[test]
fn a_template_that_loops_over_parts_gets_parts() {
    let source = "{% for m in messages %}{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}\
        {% endfor %}{% endfor %}";
    assert_eq!(render(source, &[ChatMessage::new("user", "hi")]).unwrap(), "hi");
    let either = "{% if messages[0].content is string %}string{% else %}parts{% endif %}{{ messages[0].content }}";
    assert_eq!(render(either, &[ChatMessage::new("user", "hi")]).unwrap(), "stringhi");
}

#[test]
fn a_template_without_an_end_is_stopped() {
    let endless = "{% for a in range(99999) %}{% for b in range(99999) %}{{ a * b }}{% endfor %}{% endfor %}";
    assert!(matches!(render(endless, &[]), Err(ChatTemplateError::Render(reason)) if reason.contains("fuel")));
    let remainders = format!("{{{{ {} }}}}", vec!["7"; 5000].join(" % "));
    assert!(render(&remainders, &[]).is_ok_and(|text| text == "0") || render(&remainders, &[]).is_err());
}
