//! What a token claims to be for, unverified (RFC 7519, `aud`). Never decides anything by it.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

/// The first audience in the token that begins with `prefix`; none where the token is no JWT or has none.
pub fn audience(token: &str, prefix: &str) -> Option<String> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let audiences = match claims.get("aud")? {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    audiences.into_iter().find(|audience| audience.starts_with(prefix)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &str, expect: Option<&str>) {
        let token = format!("e30.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(payload));
        assert_eq!(audience(&token, "bedplate.dev/").as_deref(), expect, "{payload}");
    }

    #[test]
    fn audiences_are_found_in_one_or_many() {
        check(r#"{"aud":"bedplate.dev/a"}"#, Some("bedplate.dev/a"));
        check(r#"{"aud":["https://x","bedplate.dev/b"]}"#, Some("bedplate.dev/b"));
        check(r#"{"aud":["https://x"]}"#, None);
        check(r#"{"aud":7}"#, None);
        check("no json", None);
        assert_eq!(audience("no token", "bedplate.dev/"), None);
        assert_eq!(audience("a.%%%.c", "bedplate.dev/"), None);
    }
}
