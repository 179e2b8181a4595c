//! Text behind http and s3, from servers that break.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bedplate_crds::job::exit::ExitCode::{InvalidConfig, Retryable};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::{
    formats::parquet_file,
    harness::{Folder, Outcome, command, prose, spec},
};

/// Bytes that an unreliable server sends before it breaks off.
const BROKEN_AFTER: usize = 70_000;

/// A bucket, or a folder of a web server.
#[derive(Default)]
struct Store {
    files: BTreeMap<String, Vec<u8>>,
    /// How many answers break off after `BROKEN_AFTER` bytes.
    breaks: AtomicU32,
    /// How many requests are answered 503.
    unavailable: AtomicU32,
    /// Requests for content.
    gets: AtomicU32,
    /// Requests that began behind the first byte.
    ranges: AtomicU32,
    /// Content changes with every request.
    is_changing: bool,
    /// Answers that honour no range.
    ignores_ranges: bool,
}

struct Server {
    address: SocketAddr,
    store: Arc<Store>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(store: Store) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let store = Arc::new(store);
        let app = Router::new().fallback(answer).with_state(Arc::clone(&store));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { address, store, _runtime: runtime }
    }
}

fn take_one(counter: &AtomicU32) -> bool {
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

/// Names a content; shorter than a sha256, which the hub's clients would check.
fn tag_of(content: &[u8]) -> String {
    blake3::hash(content).to_hex()[..40].to_owned()
}

async fn answer(State(store): State<Arc<Store>>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    if path.starts_with("bucket") {
        let signature = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if !signature.is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 Credential=reader/")) {
            return StatusCode::FORBIDDEN.into_response();
        }
    }
    if take_one(&store.unavailable) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if query.contains("list-type=2") {
        return list(&store, &query);
    }
    let Some(content) = store.files.get(&path) else { return StatusCode::NOT_FOUND.into_response() };
    let gets = if request.method() == Method::GET { store.gets.fetch_add(1, Ordering::Relaxed) } else { 0 };
    let tag = if store.is_changing { format!("\"{gets}\"") } else { format!("\"{}\"", tag_of(content)) };
    let range = request.headers().get(header::RANGE).filter(|_| !store.ignores_ranges);
    let (offset, end): (usize, usize) = range.map_or((0, content.len()), |range| {
        let (begin, last) = range.to_str().unwrap().trim_start_matches("bytes=").split_once('-').unwrap();
        let begin = begin.parse().unwrap();
        store.ranges.fetch_add(u32::from(begin > 0), Ordering::Relaxed);
        (begin, last.parse().map_or(content.len(), |last: usize| content.len().min(last + 1)))
    });
    let rest = Bytes::copy_from_slice(&content[offset..end]);
    let length = rest.len();
    let body = match request.method() == Method::HEAD {
        true => Body::empty(),
        false if length > BROKEN_AFTER && take_one(&store.breaks) => {
            let begin = futures::stream::iter([Ok(rest.slice(..BROKEN_AFTER))]);
            // Between the two the server finds the time to send what it has.
            let end = futures::stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("the server dies"))
            });
            Body::from_stream(begin.chain(end))
        }
        false => Body::from(rest),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag.parse().unwrap());
    headers.insert("x-repo-commit", HeaderValue::from_static("0123456789abcdef0123456789abcdef01234567"));
    headers.insert(header::LAST_MODIFIED, HeaderValue::from_static("Wed, 21 Oct 2015 07:28:00 GMT"));
    headers.insert(header::CONTENT_LENGTH, length.into());
    if range.is_some() {
        let span = format!("bytes {offset}-{}/{}", end - 1, content.len());
        headers.insert(header::CONTENT_RANGE, span.parse().unwrap());
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// ListObjectsV2 with two keys on a page.
fn list(store: &Store, query: &str) -> Response {
    let parameter = |name: &str| {
        let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().replace("%2F", "/")
    };
    let (prefix, after) = (format!("bucket/{}", parameter("prefix")), parameter("continuation-token"));
    let keys: Vec<&String> = store.files.keys().filter(|key| key.starts_with(&prefix) && **key > after).collect();
    let page: String = keys.iter().take(2).map(|key| {
        let (size, name) = (store.files[*key].len(), key.trim_start_matches("bucket/"));
        let tag = tag_of(&store.files[*key]);
        format!("<Contents><Key>{name}</Key><Size>{size}</Size><ETag>\"{tag}\"</ETag><LastModified>2015-10-21T07:28:00.000Z</LastModified></Contents>")
    }).collect();
    let next = keys.get(1).filter(|_| keys.len() > 2);
    let next = next.map_or(String::new(), |key| format!("<NextContinuationToken>{key}</NextContinuationToken>"));
    let truncated = !next.is_empty();
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>{truncated}</IsTruncated>{page}{next}</ListBucketResult>"
    )
    .into_response()
}

fn sources(uris: &[String], format: &str) -> Value {
    let mut spec = spec();
    spec["sources"] = uris.iter().map(|uri| json!({ "uri": uri, "format": format, "textField": "body" })).collect();
    spec["tokenizer"]["vocabSize"] = json!(300);
    spec
}

fn lines(count: u64) -> String {
    (0..count).map(|index| json!({ "body": prose(index, 900) }).to_string() + "\n").collect()
}

/// The digest that the same text has as a local file.
fn local_digest(content: &[u8], format: &str) -> String {
    let folder = Folder::new();
    folder.write("data", content);
    folder.make(&sources(&["file:data".to_owned()], format)).digest
}

fn run_s3(folder: &Folder, server: &Server, spec: &Value, key: &str) -> Outcome {
    let mut command = command(&folder.job(spec));
    command
        .env("AWS_ENDPOINT_URL", format!("http://{}", server.address))
        .env("AWS_ACCESS_KEY_ID", key)
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "us-east-1");
    folder.finish(command)
}

#[test]
fn a_broken_connection_is_resumed_where_it_broke() {
    for ignores_ranges in [false, true] {
        let content = lines(400).into_bytes();
        let wanted = local_digest(&content, "jsonl");
        let files = BTreeMap::from([("data.jsonl".to_owned(), content)]);
        // Both the question whether it is there and its repetition with GET.
        let (breaks, unavailable) = (AtomicU32::new(3), AtomicU32::new(2));
        let server = Server::start(Store { files, breaks, unavailable, ignores_ranges, ..Store::default() });
        let folder = Folder::new();
        let spec = sources(&[format!("http://{}/data.jsonl?download=true", server.address)], "jsonl");
        assert_eq!(folder.make(&spec).digest, wanted);
        let ranges = server.store.ranges.load(Ordering::Relaxed);
        assert_eq!(ranges, if ignores_ranges { 0 } else { 3 });
        let gets = server.store.gets.load(Ordering::Relaxed);
        assert_eq!(folder.run(&spec).cached().len(), 6, "an unchanged ETag is trusted");
        assert_eq!(server.store.gets.load(Ordering::Relaxed), gets, "nothing was fetched again");
    }
}

#[test]
fn a_parquet_file_is_read_from_the_network_as_well() {
    let rows: Vec<Option<String>> = (0..300).map(|index| Some(prose(index, 900))).collect();
    let content = parquet_file(&rows);
    let wanted = local_digest(&content, "parquet");
    let files = BTreeMap::from([("a/b.parquet".to_owned(), content)]);
    let server = Server::start(Store { files, breaks: AtomicU32::new(1), ..Store::default() });
    let spec = sources(&[format!("http://{}/a/b.parquet", server.address)], "parquet");
    assert_eq!(Folder::new().make(&spec).digest, wanted);
}

#[test]
fn a_server_that_stays_away_is_given_up_and_what_it_refuses_is_told() {
    let files = BTreeMap::from([("data.jsonl".to_owned(), lines(200).into_bytes())]);
    let server = Server::start(Store { files, is_changing: true, breaks: AtomicU32::new(1), ..Store::default() });
    let uri = |path: &str| format!("http://{}/{path}", server.address);
    let folder = Folder::new();
    folder
        .run(&sources(&[uri("none.jsonl")], "jsonl"))
        .assert_refused(InvalidConfig, &["spec.sources[0].uri", "none.jsonl does not exist"]);
    folder
        .run(&sources(&[uri("data.jsonl")], "jsonl"))
        .assert_refused(Retryable, &["changed while it was read", "start again"]);
    folder.run(&sources(&[uri("bucket/x")], "jsonl")).assert_refused(InvalidConfig, &["refuses access"]);
}

#[test]
fn a_bucket_is_read_in_order_of_its_keys() {
    let mut files = BTreeMap::new();
    let local = Folder::new();
    for (index, key) in ["b.txt", "a/z.txt", "a/y.txt", "skip.bin", "c.txt"].into_iter().enumerate() {
        let text = prose(index as u64, 120_000);
        files.insert(format!("bucket/corpus/{key}"), text.clone().into_bytes());
        local.write(&format!("text/{key}"), text);
    }
    files.insert("bucket/corpus-other/d.txt".to_owned(), b"not below the prefix".to_vec());
    let server = Server::start(Store { files, breaks: AtomicU32::new(2), ..Store::default() });
    let mut spec = sources(&["s3://bucket/corpus".to_owned()], "text");
    spec["sources"][0]["include"] = json!(["**/*.txt"]);
    spec["holdout"]["ratio"] = json!(0.0);
    let folder = Folder::new();
    let outcome = run_s3(&folder, &server, &spec, "reader");
    assert!(outcome.exit.is_some_and(|exit| exit.code() == 0), "{}", outcome.stderr);
    assert_eq!(server.store.ranges.load(Ordering::Relaxed), 2);
    spec["sources"][0]["uri"] = json!("file:text");
    assert_eq!(folder.manifest(), local.make(&spec));
    spec["sources"] = json!([{ "uri": "s3://bucket/corpus/a/z.txt" }]);
    let outcome = run_s3(&folder, &server, &spec, "reader");
    assert_eq!(folder.manifest().stages[0].documents_in, 1, "{}", outcome.stderr);
}

#[test]
fn a_bucket_that_is_closed_or_missing_is_told() {
    let server = Server::start(Store::default());
    let folder = Folder::new();
    let spec = sources(&["s3://bucket/corpus".to_owned()], "text");
    run_s3(&folder, &server, &spec, "stranger")
        .assert_refused(InvalidConfig, &["spec.sources[0].uri", "AWS_ACCESS_KEY_ID"]);
    run_s3(&folder, &server, &spec, "reader").assert_refused(InvalidConfig, &["s3://bucket/corpus", "does not exist"]);
}

#[test]
fn a_tokenizer_is_loaded_from_the_hub_and_from_a_server() {
    let folder = Folder::with_prose(30);
    folder.make(&spec());
    let mut tokenizer = std::fs::read_to_string(folder.output("tokenizer.json")).unwrap();
    tokenizer = tokenizer.replace("<|endoftext|>", "</s>");
    let config = br#"{"eos_token":"</s>"}"#.to_vec();
    let files = [
        ("org/name/resolve/main/tokenizer.json", tokenizer.clone().into_bytes()),
        ("org/name/resolve/main/tokenizer_config.json", config),
        ("plain.json", std::fs::read(folder.output("tokenizer.json")).unwrap()),
    ];
    let files = files.map(|(path, content)| (path.to_owned(), content)).into();
    let server = Server::start(Store { files, ..Store::default() });
    let run = |uri: &str| {
        let mut spec = spec();
        spec["tokenizer"] = json!({ "type": "load", "uri": uri });
        let mut command = command(&folder.job(&spec));
        command.env("HF_ENDPOINT", format!("http://{}", server.address));
        folder.finish(command)
    };
    let outcome = run("hf://org/name");
    assert!(outcome.exit.is_some_and(|exit| exit.code() == 0), "{}", outcome.stderr);
    assert!(tokenizer.as_bytes() == std::fs::read(folder.output("tokenizer.json")).unwrap());
    assert!(folder.output("tokenizer_config.json").exists(), "what names the end of text comes along");
    let outcome = run(&format!("http://{}/plain.json", server.address));
    assert!(outcome.exit.is_some_and(|exit| exit.code() == 0), "{}", outcome.stderr);
    run(&format!("http://{}/none.json", server.address))
        .assert_refused(InvalidConfig, &["spec.tokenizer.uri", "does not exist"]);
}
