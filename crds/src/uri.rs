//! A uri as it may be shown, and what it names whatever it was signed with.
//!
//! Owns what of a uri is a secret: who one is and the whole query, since each store calls its signature something else. Never
//! resolves one. Pods get the uri itself, in the job file; everything that is printed, reported or kept gets a [`ShownUri`].

use std::fmt;

use serde_json::Value;

/// What stands where something is not shown.
const HIDDEN: &str = "***";

/// Beginnings, in lower case, of the names of query parameters that say who may read an object and until when, not which
/// one it is: Signature Version 4 of S3 and of Google's storage, and Tencent's.
const SIGNATURE_PREFIXES: [&str; 3] = ["x-amz-", "x-goog-", "q-sign-"];
/// The parameter that holds a signature or a token, and those beside it that are part of it. The short names mean something
/// else where there is no such parameter.
const SIGNATURES: [(&str, &[&str]); 3] = [
    // Azure's shared access signatures.
    (
        "sig",
        &[
            "sv", "ss", "srt", "sr", "sp", "se", "st", "spr", "sip", "si", "skoid", "sktid", "skt", "ske", "sks",
            "skv", "saoid", "suoid", "scid",
        ],
    ),
    // Version 2 of S3's, Google's and Alibaba's; CloudFront.
    (
        "signature",
        &["awsaccesskeyid", "googleaccessid", "ossaccesskeyid", "security-token", "expires", "policy", "key-pair-id"],
    ),
    // RFC 6750.
    ("access_token", &[]),
];

/// A uri without its secrets: `https://***@host/path?***`. The path of a `file:` uri is shown whole.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownUri(String);

impl ShownUri {
    /// What may be shown of `uri`, which may be no uri at all.
    pub fn new(uri: &str) -> Self {
        if uri.starts_with("file:") {
            return Self(uri.to_owned());
        }
        let end = uri.find(['?', '#']).unwrap_or(uri.len());
        let (place, rest) = uri.split_at(end);
        let (before, authority, path) = authority(place);
        let mut shown = before.to_owned();
        match authority.rfind('@') {
            Some(at) => shown.extend([HIDDEN, &authority[at..]]),
            None => shown.push_str(authority),
        }
        shown.push_str(path);
        if rest.len() > 1 {
            shown.extend([&rest[..1], HIDDEN]);
        }
        Self(shown)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ShownUri {
    fn from(uri: &str) -> Self {
        Self::new(uri)
    }
}

impl fmt::Display for ShownUri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for ShownUri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}

/// Splits a uri without query into its scheme with all slashes, its authority, and its path.
fn authority(place: &str) -> (&str, &str, &str) {
    let scheme = place.find(':').filter(|&colon| !place[..colon].contains(['/', '@'])).map_or(0, |colon| colon + 1);
    // `user:password@host` without a scheme has its colon in the authority.
    let scheme = if place[scheme..].starts_with('/') { scheme } else { 0 };
    let begin = place.len() - place[scheme..].trim_start_matches('/').len();
    let length = place[begin..].find('/').unwrap_or(place.len() - begin);
    (&place[..begin], &place[begin..begin + length], &place[begin + length..])
}

/// Names the object that an `http(s)` uri leads to: without who asks and without signature, which change from day to day while
/// the object stays. Two uris of one identity lead to one object; two of different identities may.
pub fn identity(uri: &str) -> String {
    let whole = uri.split('#').next().unwrap_or_default();
    let (place, query) = whole.split_once('?').unwrap_or((whole, ""));
    let (before, authority, path) = authority(place);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let pairs = || query.split('&').filter(|pair| !pair.is_empty());
    let names: Vec<String> = pairs().map(name_of).collect();
    let is_part = |name: &str| {
        SIGNATURE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || SIGNATURES.iter().any(|(signature, beside)| {
                name == *signature || (beside.contains(&name) && names.iter().any(|name| name == signature))
            })
    };
    let kept: Vec<&str> = pairs().filter(|pair| !is_part(&name_of(pair))).collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    format!("{before}{host}{path}{mark}{}", kept.join("&"))
}

fn name_of(pair: &str) -> String {
    pair.split('=').next().unwrap_or_default().to_ascii_lowercase()
}

/// Fields that hold a uri, in specs and job files.
const URI_FIELDS: [&str; 2] = ["uri", "modelUri"];
/// Fields that hold a secret.
const SECRET_FIELDS: [&str; 1] = ["rendezvousToken"];
/// Parts of the names of environment variables that hold one.
const SECRET_VARIABLES: [&str; 6] = ["TOKEN", "SECRET", "KEY", "PASSWORD", "CREDENTIAL", "HEADERS"];

/// Takes the secrets out of a spec or a job file that is to be kept or shown.
pub fn hide_secrets(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(hide_secrets),
        Value::Object(fields) => {
            let variable = fields.get("name").and_then(Value::as_str).map(str::to_ascii_uppercase);
            for (name, field) in fields.iter_mut() {
                let Value::String(text) = field else {
                    hide_secrets(field);
                    continue;
                };
                let of_variable = variable.as_ref().filter(|_| name == "value");
                let is_secret = |name: &String| SECRET_VARIABLES.iter().any(|part| name.contains(part));
                if SECRET_FIELDS.contains(&name.as_str()) || of_variable.is_some_and(is_secret) {
                    *text = HIDDEN.to_owned();
                } else if URI_FIELDS.contains(&name.as_str()) || (of_variable.is_some() && text.contains("://")) {
                    *text = ShownUri::new(text).0;
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_shown_of_a_uri_holds_no_secret() {
        let shown = [
            ("https://host/a/b.jsonl?X-Amz-Signature=00&x=1", "https://host/a/b.jsonl?***"),
            ("https://user:pa:ss@host:8443/a", "https://***@host:8443/a"),
            ("http://token@[::1]:80/a?b#c", "http://***@[::1]:80/a?***"),
            ("https://host/a#access_token=1", "https://host/a#***"),
            ("https://host/a@b/c?", "https://host/a@b/c"),
            ("https:/user:pw@host/a", "https:/***@host/a"),
            ("user:pw@host/a?sig=1", "***@host/a?***"),
            ("s3://key:secret@bucket/prefix", "s3://***@bucket/prefix"),
            ("s3://bucket/prefix", "s3://bucket/prefix"),
            ("hf://owner/name@v2/model.gguf", "hf://owner/name@v2/model.gguf"),
            ("file:what?/a@b#c", "file:what?/a@b#c"),
            ("", ""),
            ("ä?ß", "ä?***"),
        ];
        for (uri, expected) in shown {
            assert_eq!(ShownUri::new(uri).to_string(), expected);
            assert_eq!(format!("{:?}", ShownUri::new(uri)), format!("{expected:?}"));
        }
    }

    #[test]
    fn an_object_is_the_same_whoever_signed_for_it_and_another_where_the_query_says_so() {
        let monday = "https://u:p@host/a.jsonl?versionId=3&X-Amz-Date=1&X-Amz-Signature=00#top";
        let tuesday = "https://host/a.jsonl?X-Amz-Date=2&versionId=3&X-Amz-Signature=ff&x-amz-security-token=1";
        assert_eq!(identity(monday), "https://host/a.jsonl?versionId=3");
        assert_eq!(identity(monday), identity(tuesday));
        assert_eq!(identity("https://host/c/b?sv=2&sr=b&sig=x%3D&se=1"), "https://host/c/b");
        assert_eq!(identity("https://host/c?Expires=1&Signature=2&AWSAccessKeyId=3&part=4"), "https://host/c?part=4");
        assert_eq!(identity("https://host/c?sr=1&expires=2"), "https://host/c?sr=1&expires=2", "nothing is signed");
        for other in
            ["https://host/a.jsonl?versionId=4", "https://host/b.jsonl?versionId=3", "http://host/a.jsonl?versionId=3"]
        {
            assert_ne!(identity(monday), identity(other));
        }
    }

    #[test]
    fn what_is_kept_of_a_spec_holds_no_secret() {
        let variable = |name: &str, value: &str| json!({ "name": name, "value": value });
        let mut value = json!({
            "spec": {
                "sources": [{ "uri": "https://host/a?sig=s3cret" }],
                "podTemplate": { "env": [
                    variable("HF_TOKEN", "s3cret"),
                    variable("HF_ENDPOINT", "https://user:s3cret@mirror/"),
                    variable("AWS_SECRET_ACCESS_KEY", "s3cret"),
                    variable("AWS_REGION", "us-east-1"),
                ] },
                "evaluation": { "samplePrompts": ["https://host/a?b"] },
            },
            "modelUri": "hf://owner/name",
            "rendezvousToken": "s3cret",
        });
        hide_secrets(&mut value);
        let text = value.to_string();
        assert!(!text.contains("s3cret"), "{text}");
        for kept in ["https://host/a?***", "https://***@mirror/", "us-east-1", "https://host/a?b", "hf://owner/name"] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }
}
