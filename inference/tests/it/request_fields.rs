//! Every row of the table of documented fields behaves as it says, and what no row knows is named.

use bedplate_inference::request_fields::{Endpoint, REQUEST_FIELDS, RequestField, Treatment};
use serde_json::{Value, json};

use crate::fixture::{Reply, Running};

const IGNORED: &str = "bedplate-ignored-fields";

/// A request that is answered the same each time.
fn good(endpoint: Endpoint) -> Value {
    match endpoint {
        Endpoint::Chat => {
            json!({ "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 2, "temperature": 0 })
        }
        Endpoint::Completions => json!({ "prompt": "hi", "max_tokens": 2, "temperature": 0 }),
        Endpoint::Tokenize => json!({ "prompt": "hi" }),
        Endpoint::Detokenize => json!({ "tokens": [1] }),
    }
}

/// A good request with the row's field in it.
fn with(row: &RequestField, endpoint: Endpoint, value: &Value) -> Value {
    let mut body = good(endpoint);
    if row.name.starts_with("messages") && endpoint == Endpoint::Tokenize {
        body = json!({ "messages": good(Endpoint::Chat)["messages"] });
    }
    match row.name.strip_prefix("messages[].") {
        Some(field) => body["messages"][0][field] = value.clone(),
        None => body[row.name] = value.clone(),
    }
    body
}

/// What the answer says, without what differs from one to the next.
fn said(reply: &Reply) -> Value {
    let mut body = reply.body.clone();
    for field in ["id", "created", "usage"] {
        body.as_object_mut().unwrap().remove(field);
    }
    body
}

fn rows() -> impl Iterator<Item = (&'static RequestField, Endpoint, Value)> {
    let example = |row: &RequestField| serde_json::from_str(row.example).unwrap();
    REQUEST_FIELDS.iter().flat_map(move |row| row.endpoints.iter().map(move |&endpoint| (row, endpoint, example(row))))
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_fields_are_refused_by_name_but_for_their_defaults() {
    let served = Running::tiny();
    for (row, endpoint, example) in rows() {
        let Treatment::Refused(defaults) = row.treatment else { continue };
        let place = row.name.replace("[]", "[0]");
        let reply = served.api.post(endpoint.path(), with(row, endpoint, &example)).await;
        assert_eq!((reply.status, reply.body["error"]["param"].as_str()), (400, Some(place.as_str())), "{row:?}");
        let message = reply.body["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(&place) && message.ends_with(row.reason), "{message}");
        let parsed = defaults.iter().map(|default| serde_json::from_str(default).unwrap());
        for default in parsed.chain([Value::Null, json!([])]) {
            let reply = served.api.post(endpoint.path(), with(row, endpoint, &default)).await;
            assert_eq!((reply.status, reply.headers.contains_key(IGNORED)), (200, false), "{row:?} {default}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn harmless_fields_change_nothing() {
    let served = Running::tiny();
    for (row, endpoint, example) in rows().filter(|(row, ..)| row.treatment == Treatment::Harmless) {
        let without = served.api.post(endpoint.path(), good(endpoint)).await;
        let reply = served.api.post(endpoint.path(), with(row, endpoint, &example)).await;
        assert_eq!((reply.status, reply.headers.contains_key(IGNORED)), (200, false), "{row:?}: {}", reply.body);
        assert_eq!(said(&reply), said(&without), "{row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn honoured_fields_are_read() {
    let served = Running::tiny();
    for (row, endpoint, example) in rows().filter(|(row, ..)| row.treatment == Treatment::Honoured) {
        let mut body = with(row, endpoint, &example);
        if row.name == "messages" && endpoint == Endpoint::Tokenize {
            body.as_object_mut().unwrap().remove("prompt");
        }
        let reply = served.api.post(endpoint.path(), body).await;
        assert_eq!((reply.status, reply.headers.contains_key(IGNORED)), (200, false), "{row:?}: {}", reply.body);
        // A value that no field can have shows that somebody looks at it.
        let reply = served.api.post(endpoint.path(), with(row, endpoint, &json!([[true]]))).await;
        assert_eq!(reply.status, 400, "{row:?}: {}", reply.body);
        let named = reply.body["error"]["param"].as_str().unwrap_or_default();
        assert!(named.starts_with(&row.name.replace("[]", "[0]")), "{row:?}: {}", reply.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_nobody_documents_are_named_in_a_header() {
    let served = Running::tiny();
    for endpoint in Endpoint::ALL {
        let mut body = good(endpoint);
        body["no_such_field"] = json!([1, 2]);
        body["tempreature"] = 0.into();
        let reply = served.api.post(endpoint.path(), body).await;
        assert_eq!((reply.status, &reply.headers[IGNORED]), (200, &"no_such_field, tempreature".parse().unwrap()));
    }
    let mut many = good(Endpoint::Completions);
    let unknown = (0..100_000).map(|number| (format!("field_{number:06}"), json!(1)));
    many.as_object_mut().unwrap().extend(unknown);
    let reply = served.api.post(Endpoint::Completions.path(), many).await;
    assert_eq!(reply.headers[IGNORED].to_str().unwrap().split(", ").count(), 16, "a header has its bounds");
    let mut body = good(Endpoint::Chat);
    body["no_such_field"] = Value::Null;
    body["messages"][0]["prefix"] = true.into();
    body["stream"] = true.into();
    let reply = served.api.post(Endpoint::Chat.path(), body).await;
    assert_eq!(reply.headers[IGNORED], "messages[].prefix");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_has_to_do_with_tools_gets_one_refusal() {
    let served = Running::tiny();
    let user = json!({ "role": "user", "content": "hi" });
    let call = json!([{ "id": "c1", "type": "function", "function": { "name": "f", "arguments": "{}" } }]);
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    let bodies = [
        json!({ "messages": [user, { "role": "assistant", "content": null, "tool_calls": call }] }),
        json!({ "messages": [user, { "role": "tool", "tool_call_id": "c1", "content": "4" }] }),
        json!({ "messages": [user, { "role": "tool", "content": "4" }] }),
        json!({ "messages": [user, { "role": "function", "name": "f", "content": "4" }] }),
        json!({ "messages": [user], "tools": tools }),
        json!({ "messages": [user], "tool_choice": "required" }),
    ];
    for body in bodies {
        let reply = served.api.post(Endpoint::Chat.path(), body.clone()).await;
        let message = reply.body["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(reply.status, 400);
        assert!(message.contains("tools are not supported yet"), "{body}: {message}");
    }
    let without = json!({ "messages": [user], "tools": [], "tool_choice": "auto", "max_tokens": 1 });
    assert_eq!(served.api.post(Endpoint::Chat.path(), without).await.status, 200);
}
