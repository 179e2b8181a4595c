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
