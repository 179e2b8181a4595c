//! Downloads against a local server that speaks the hub's protocol: listing, redirects, ranges and linked etags.

#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

mod mirror;
mod server;

use bedplate_hub::{HubError, Options, resolve};
use server::{Server, sha256};

fn options(server: &Server, dir: &tempfile::TempDir) -> Options {
    Options { cache_dir: dir.path().to_path_buf(), endpoint: Some(server.url.clone()), token: None }
}

fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn a_folder_is_fetched_once_and_then_found_without_the_files() {
    let server = Server::start([
        ("config.json", b"{}".to_vec(), None),
        ("model.safetensors", content(), Some(sha256(&content()))),
        ("README.md", b"text".to_vec(), None),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let folder = resolve("hf://org/model", &options(&server, &dir)).unwrap();
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), content());
    assert_eq!(std::fs::read(folder.join("config.json")).unwrap(), b"{}");
    assert!(!folder.join("README.md").exists());
    let sent = server.bytes_sent("model.safetensors");
    assert_eq!(resolve("hf://org/model", &options(&server, &dir)).unwrap(), folder);
    assert_eq!(server.bytes_sent("model.safetensors"), sent, "the second time nothing is downloaded");
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_stopped() {
    let server = Server::start([("a.gguf", content(), Some(sha256(&content())))]);
    server.break_after(500_000);
    let dir = tempfile::tempdir().unwrap();
    let path = resolve("hf://org/model/a.gguf", &options(&server, &dir)).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content());
    assert!(server.resumed(), "the rest was asked for with a range");
}

#[test]
fn a_wrong_hash_is_refused_and_the_file_removed() {
    let server = Server::start([("a.gguf", content(), Some("0".repeat(64)))]);
    let dir = tempfile::tempdir().unwrap();
    let error = resolve("hf://org/model/a.gguf", &options(&server, &dir)).unwrap_err();
    assert!(matches!(error, HubError::Hash { .. }), "{error}");
    let again = resolve("hf://org/model/a.gguf", &options(&server, &dir)).unwrap_err();
    assert!(matches!(again, HubError::Hash { .. }), "what was refused must not be found later: {again}");
}

#[test]
fn what_is_not_there_is_named() {
    let server = Server::start([("config.json", b"{}".to_vec(), None)]);
    let dir = tempfile::tempdir().unwrap();
    let missing = resolve("hf://org/other", &options(&server, &dir)).unwrap_err().to_string();
    assert!(missing.contains("org/other") && missing.contains("HF_TOKEN"), "{missing}");
    let unusable = resolve("hf://org/model", &options(&server, &dir)).unwrap_err().to_string();
    assert!(unusable.contains("safetensors"), "{unusable}");
    let local = resolve("file:/nowhere/model.gguf", &options(&server, &dir)).unwrap_err().to_string();
    assert!(local.contains("/nowhere/model.gguf"), "{local}");
}
