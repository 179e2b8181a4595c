//! Trees, as kubectl would have them.

use super::*;

fn json(node: &Node) -> serde_json::Value {
    crate::manifest::shape::json(node)
}

fn value(text: &str) -> serde_json::Value {
    json(&read(text).unwrap_or_else(|error| panic!("{text}: {error}")).expect("a document"))
}

fn refusal(text: &str) -> String {
    read(text).expect_err(text).to_string()
}

#[test]
fn quotes_and_tags_decide_what_a_word_is() {
    let text = "a: on\nb: 'on'\nc: !!str 12\nd: 1e3\ne: |\n  12\nf: !!float 2\ng: 2026-11-20\nh:\ni: !mine 5\n";
    let expected = serde_json::json!({
        "a": true, "b": "on", "c": "12", "d": 1000, "e": "12\n", "f": 2, "g": "2026-11-20", "h": null, "i": "5",
    });
    assert_eq!(value(text), expected);
    assert!(refusal("a: !!int four").contains("\"four\" is no !!int at line 1"));
}

#[test]
fn names_of_fields_are_text() {
    assert_eq!(value("{1: a, y: b, 'x': c}"), serde_json::json!({"1": "a", "true": "b", "x": "c"}));
    assert!(refusal("? [a]\n: b\n").contains("a list or an object"));
    assert!(refusal("~: b\n").contains("no name"));
    let twice = refusal("a:\n  b: 1\n  c: 2\n  b: 3\n");
    assert!(twice.contains("b is there twice") && twice.contains("line 4, column 3"), "{twice}");
}

#[test]
fn aliases_and_merge_keys_stand_for_what_they_name() {
    let text = "base: &b {x: 1, z: 2}\nlist: [*b]\nown: {<<: *b, z: 3}\nlate: {z: 3, <<: *b}\nmore: {<<: [{z: 9}, *b], w: 4}\n";
    let expected = serde_json::json!({
        "base": {"x": 1, "z": 2}, "list": [{"x": 1, "z": 2}], "own": {"x": 1, "z": 3}, "late": {"z": 2, "x": 1},
        "more": {"x": 1, "z": 9, "w": 4},
    });
    assert_eq!(value(text), expected);
    assert!(refusal("a: &a [*a]").contains("inside of what it stands for"));
    assert!(refusal("a: {<<: 5}").contains("this is none"));
}

#[test]
fn nested_aliases_do_not_fill_the_memory() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", ")));
    }
    assert!(refusal(&text).contains("more than 1048576 values"));
}

#[test]
fn json_is_yaml_with_tabs_and_escapes() {
    let text = "{\n\t\"a\": 1,\n\t\"b\": \"\\u003c\\/\\ud83d\\ude00\",\n\t\"c\": [true, null]\n}\n";
    assert_eq!(value(text), serde_json::json!({"a": 1, "b": "</\u{1f600}", "c": [true, null]}));
}

#[test]
fn nothing_is_no_document_and_a_second_one_needs_its_line() {
    assert_eq!(read("# nothing\n"), Ok(None));
    assert_eq!(read("null"), Ok(None));
    assert!(refusal("a: 1\n...\nb: 2\n").contains("separate them"));
    assert!(refusal("a: [").contains("line 1"));
}
