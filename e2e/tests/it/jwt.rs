//! Tokens that the API server itself could have made: signed with its key, and saying what a test wants. Owns no key.

use std::{io::Write as _, process::Command};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::cluster::Cluster;

/// The token with other claims, signed as the API server signs (RS256, RFC 7518 §3.3).
pub fn signed_again(cluster: &Cluster, token: &str, change: impl Fn(&mut Value)) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(parts[1]).expect("claims in base64url");
    let mut claims: Value = serde_json::from_slice(&claims).expect("claims in JSON");
    change(&mut claims);
    let text = format!("{}.{}", parts[0], BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("room for a token");
    let key = cluster.folder().join("pki/sa.key");
    let mut openssl = Command::new("openssl");
    openssl.args(["dgst", "-sha256", "-sign"]).arg(key).arg(file.path());
    let signature = openssl.output().expect("openssl, which made the key");
    assert!(signature.status.success(), "openssl: {}", String::from_utf8_lossy(&signature.stderr));
    format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.stdout))
}

/// Moves what a token says of its time into the past, by so many seconds.
pub fn aged(claims: &mut Value, seconds: i64) {
    for name in ["iat", "nbf", "exp"] {
        let time = claims[name].as_i64().expect("a time in seconds");
        claims[name] = Value::from(time - seconds);
    }
}
