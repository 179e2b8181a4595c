//! Mirrors and stores that are not quite the hub.

use std::path::Path;

use bedplate_hub::{HubError, Options, resolve};

use crate::{
    content,
    server::{Manner, Server, sha256},
};

type Files = [(&'static str, Vec<u8>, Option<String>); 2];

fn files() -> Files {
    [("config.json", b"{}".to_vec(), None), ("model.safetensors", content(), Some(sha256(&content())))]
}

/// With a token, which only the endpoint may see.
fn options(endpoint: &str, dir: &tempfile::TempDir) -> Options {
    let cache_dir = dir.path().to_path_buf();
    Options { cache_dir, endpoint: Some(endpoint.to_owned()), token: Some("secret".to_owned()) }
}

fn assert_fetched(endpoint: &str) {
    let dir = tempfile::tempdir().unwrap();
    let folder = resolve("hf://org/model", &options(endpoint, &dir)).unwrap();
    assert!(std::fs::read(folder.join("model.safetensors")).unwrap() == content());
    assert_eq!(std::fs::read(folder.join("config.json")).unwrap(), b"{}");
}

#[test]
fn a_mirror_may_send_everything_to_another_host_which_never_sees_the_token() {
    let hub = Server::start(files());
    let mirror = Server::with([], Manner { redirects_to: Some(hub.other_name()), ..Manner::default() });
    assert_fetched(&mirror.url);
    assert!(mirror.tokens().iter().all(|token| *token) && mirror.tokens().len() >= 3);
    assert!(hub.tokens().iter().all(|token| !token) && hub.tokens().len() >= 3);
}

#[test]
fn large_files_may_lie_in_the_store_of_another_host_and_are_checked_against_what_the_hub_says() {
    let store = Server::start(files());
    let hub = Server::with(files(), Manner { store: store.other_name(), ..Manner::default() });
    assert_fetched(&hub.url);
    assert_eq!(store.tokens(), [false]);
    let lying = Server::with(
        [("a.gguf", content(), Some(sha256(b"another")))],
        Manner { store: Server::start([("a.gguf", content(), Some(sha256(&content())))]).url, ..Manner::default() },
    );
    let dir = tempfile::tempdir().unwrap();
    let error = resolve("hf://org/model/a.gguf", &options(&lying.url, &dir)).unwrap_err();
    assert!(matches!(error, HubError::Hash { .. }), "{error}");
}

#[test]
fn a_server_that_knows_no_ranges_sends_the_file_again_from_its_beginning() {
    let server = Server::with(files(), Manner { ignores_ranges: true, ..Manner::default() });
    assert_fetched(&server.url);
    server.break_after(500_000);
    assert_fetched(&server.url);
    assert!(
        server.bytes_sent("model.safetensors") > 2 * content().len(),
        "the second time it broke off and began anew"
    );
}

#[test]
fn the_part_of_an_earlier_process_is_gone_on_with() {
    for ignores_ranges in [false, true] {
        let server = Server::with(files(), Manner { ignores_ranges, ..Manner::default() });
        let dir = tempfile::tempdir().unwrap();
        let blobs = dir.path().join("models--org--model/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        let part = blobs.join(sha256(&content())).with_extension("part");
        std::fs::write(&part, &content()[..700_000]).unwrap();
        let path = resolve("hf://org/model/model.safetensors", &options(&server.url, &dir)).unwrap();
        assert!(std::fs::read(path).unwrap() == content());
        assert_eq!(server.resumed(), !ignores_ranges);
        assert!(!part.exists());
    }
}

fn blob_name(path: &Path) -> String {
    path.canonicalize().unwrap().file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn a_content_is_named_and_checked_whatever_form_its_etag_has() {
    let forms = [
        ("ETag: \"{}\"", true),
        ("ETag: W/\"{}\"", true),
        ("ETag: {}", true),
        ("X-Linked-Etag: W/\"{}\"", true),
        ("ETag: \"weird/../{}\"", false),
        ("X-No-Etag: 1", false),
    ];
    for (etag, is_hash) in forms {
        for names_no_commit in [false, true] {
            let manner = Manner { etag: Some(etag), names_no_commit, ..Manner::default() };
            let server = Server::with(files(), manner.clone());
            let dir = tempfile::tempdir().unwrap();
            let path = resolve("hf://org/model/model.safetensors", &options(&server.url, &dir)).unwrap();
            assert!(std::fs::read(&path).unwrap() == content(), "{etag}");
            assert_eq!(blob_name(&path) == sha256(&content()), is_hash, "{etag}");
            let wrong = Server::with([("a.gguf", content(), Some(sha256(b"another")))], manner);
            let refused = resolve("hf://org/model/a.gguf", &options(&wrong.url, &dir));
            assert_eq!(matches!(refused, Err(HubError::Hash { .. })), is_hash, "{etag}");
        }
    }
}

#[test]
fn a_redirect_to_a_metadata_service_is_refused_at_once() {
    for place in
        ["http://169.254.169.254", "http://[::ffff:169.254.169.254]", "http://[fd00:ec2::254]", "http://2852039166"]
    {
        let mirror = Server::with([], Manner { redirects_to: Some(place.to_owned()), ..Manner::default() });
        let dir = tempfile::tempdir().unwrap();
        for uri in ["hf://org/model", "hf://org/model/a.gguf"] {
            let error = resolve(uri, &options(&mirror.url, &dir)).unwrap_err();
            let HubError::Forbidden { source, .. } = &error else { panic!("{error}") };
            assert!(source.to_string().contains("metadata service"), "{source}");
        }
    }
}

#[test]
fn redirects_without_an_end_are_given_up() {
    let circle = Server::with([], Manner { redirects_to: Some(String::new()), ..Manner::default() });
    let dir = tempfile::tempdir().unwrap();
    let error = resolve("hf://org/model/a.gguf", &options(&circle.url, &dir)).unwrap_err();
    let HubError::Download { source, .. } = &error else { panic!("{error}") };
    assert!(source.to_string().contains("redirects more than"), "{source}");
}
