//! Signed addresses, servers with manners of their own, and places that nothing is fetched from.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bedplate_crds::job::exit::ExitCode::{InvalidConfig, Success};
use serde_json::{Value, json};

use crate::harness::{Folder, command, prose, spec};

/// What a server saw of a request.
#[derive(Clone, Debug)]
struct Seen {
    method: Method,
    path: String,
    authorization: Option<String>,
}

/// A server whose manners are a function.
struct Site {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Site {
    fn start(answer: impl Fn(&Request) -> Response + Clone + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let app = Router::new().fallback(move |request: Request| {
            let authorization = request.headers().get(header::AUTHORIZATION);
            log.lock().unwrap().push(Seen {
                method: request.method().clone(),
                path: request.uri().path().to_owned(),
                authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
            });
            let response = answer(&request);
            async move { response }
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { address, seen, _runtime: runtime }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn text() -> String {
    prose(1, 200_000)
}

fn source(uri: &str) -> Value {
    let mut spec = spec();
    spec["sources"] = json!([{ "uri": uri }]);
    spec["tokenizer"]["vocabSize"] = json!(300);
    spec["holdout"]["ratio"] = json!(0.0);
    spec
}

fn local_digest() -> String {
    let folder = Folder::new();
    folder.write("a.txt", text());
    folder.make(&source("file:a.txt")).digest
}

/// A refusal, or the text with an ETag.
fn whole(request: &Request, is_allowed: bool) -> Response {
    match (is_allowed, request.method() == Method::HEAD) {
        (false, _) => StatusCode::FORBIDDEN.into_response(),
        (true, true) => StatusCode::OK.into_response(),
        (true, false) => ([(header::ETAG, "\"one\"")], text()).into_response(),
    }
}

/// Every file below a folder but the job file, which has to hold the address.
fn assert_nowhere(folder: &Path, secrets: &[&str]) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            assert_nowhere(&path, secrets);
        } else if path.file_name().unwrap() != "job.json" {
            let content = std::fs::read(&path).unwrap();
            for secret in secrets {
                let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{secret} in {}", path.display());
            }
        }
    }
}

#[test]
fn a_signed_address_is_read_where_head_is_refused_and_its_signature_shows_nowhere() {
    let wanted = local_digest();
    let secrets = ["MONDAY", "TUESDAY", "passw0rd"];
    for status in [400, 401, 403, 404, 405, 500, 501] {
        let site = Site::start(move |request| {
            if request.method() == Method::HEAD {
                return StatusCode::from_u16(status).unwrap().into_response();
            }
            let query = request.uri().query().unwrap_or_default();
            whole(request, query.ends_with("Signature=MONDAY") || query.ends_with("Signature=TUESDAY"))
        });
        let address =
            |day: &str| format!("http://me:passw0rd@{}/b/a.txt?X-Amz-Date={day}&X-Amz-Signature={day}", site.address);
        let folder = Folder::new();
        let first = folder.run(&source(&address("MONDAY")));
        assert_eq!(first.exit, Some(Success), "{status}: {}", first.stderr);
        assert_eq!(folder.manifest().digest, wanted);
        let second = folder.run(&source(&address("TUESDAY")));
        assert_eq!(second.cached().len(), 6, "another signature is no other file: {}", second.stderr);
        assert_nowhere(folder.path(), &secrets);
        for told in [first.stderr, second.stderr] {
            assert!(secrets.iter().all(|secret| !told.contains(secret)), "{told}");
        }
    }
}

#[test]
fn a_signature_that_is_refused_is_not_told_on() {
    let site = Site::start(|request| whole(request, false));
    let uri = format!("http://me:passw0rd@{}/b/a.txt?X-Amz-Signature=MONDAY", site.address);
    let unreachable = "http://me:passw0rd@nowhere.invalid/a.txt?sig=MONDAY".to_owned();
    let mut load = spec();
    load["tokenizer"] = json!({ "type": "load", "uri": uri });
    let folder = Folder::with_prose(3);
    let refused = folder.run(&source(&uri));
    refused.assert_refused(InvalidConfig, &["spec.sources[0].uri", "/b/a.txt?***", "expired"]);
    let outcomes = [
        refused,
        folder.run(&load),
        folder.run(&source(&unreachable)),
        folder.run(&source(&uri.replace("http:", "gopher:"))),
    ];
    for outcome in outcomes {
        assert_ne!(outcome.exit, Some(Success));
        for told in [outcome.failed(), &outcome.stderr] {
            assert!(!told.contains("MONDAY") && !told.contains("passw0rd"), "{told}");
        }
    }
    assert_nowhere(folder.path(), &["MONDAY", "passw0rd"]);
}

/// Answers in chunks without a length, and breaks off after a while unless asked for a late part.
fn unmeasured(request: &Request, tags: (Option<&'static str>, Option<&'static str>), knows_ranges: bool) -> Response {
    let content = Bytes::from(text());
    let range = request.headers().get(header::RANGE).filter(|_| knows_ranges);
    let begin: usize = range
        .map_or(0, |range| range.to_str().unwrap().trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap());
    let (part, whole) = (content.slice(begin..), content.len());
    let mut pieces: Vec<Result<Bytes, std::io::Error>> =
        part.chunks(30_000).map(|piece| Ok(part.slice_ref(piece))).collect();
    if begin == 0 && knows_ranges {
        pieces.truncate(3);
        pieces.push(Err(std::io::Error::other("the server dies")));
    }
    // One at a time, so that what came before the break is sent.
    let body = futures::stream::unfold(pieces.into_iter(), |mut pieces| async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        Some((pieces.next()?, pieces))
    });
    let mut response = Response::new(Body::from_stream(body));
    let (of_whole, of_part) = tags;
    if let Some(tag) = if range.is_some() { of_part } else { of_whole } {
        response.headers_mut().insert(header::ETAG, HeaderValue::from_static(tag));
    }
    if range.is_some() {
        let span = format!("bytes {begin}-{}/{whole}", whole - 1);
        response.headers_mut().insert(header::CONTENT_RANGE, span.parse().unwrap());
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

#[test]
fn a_file_without_length_and_with_any_kind_of_tag_is_read_and_resumed() {
    let wanted = local_digest();
    let tags = [
        (None, None),
        (Some("W/\"weak\""), Some("W/\"weak\"")),
        (Some("W/\"sometimes weak\""), Some("\"sometimes weak\"")),
        (Some("\"named once\""), None),
        (Some("\"\""), Some("\"\"")),
    ];
    for tags in tags {
        for knows_ranges in [true, false] {
            let site = Site::start(move |request| unmeasured(request, tags, knows_ranges));
            let folder = Folder::new();
            let digest = folder.make(&source(&format!("http://{}/a.txt", site.address))).digest;
            assert_eq!(digest, wanted, "{tags:?} {knows_ranges}");
        }
    }
}

#[test]
fn a_redirect_is_followed_to_another_host_which_sees_no_password() {
    let wanted = local_digest();
    let store = Site::start(|request| whole(request, request.uri().path() == "/there/a.txt"));
    let port = store.address.port();
    let site = Site::start(move |request| {
        let location = match request.uri().path() {
            "/a.txt" => "/here/../b.txt?again=1".to_owned(),
            _ => format!("http://localhost:{port}/there/a.txt?sig=MONDAY"),
        };
        (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response()
    });
    let folder = Folder::new();
    let outcome = folder.run(&source(&format!("http://me:passw0rd@{}/a.txt", site.address)));
    assert_eq!(outcome.exit, Some(Success), "{}", outcome.stderr);
    assert_eq!(folder.manifest().digest, wanted);
    assert!(!outcome.stderr.contains("MONDAY"), "{}", outcome.stderr);
    assert!(site.seen().iter().all(|seen| seen.authorization.is_some()), "{:?}", site.seen());
    assert!(store.seen().iter().all(|seen| seen.authorization.is_none()), "{:?}", store.seen());
    assert_eq!(store.seen().first().map(|seen| seen.method.clone()), Some(Method::HEAD));
}

#[test]
fn nothing_is_fetched_from_metadata_services_whoever_names_them() {
    let begin = Instant::now();
    let folder = Folder::new();
    let places =
        ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.100.100.200", "0.0.0.0", "2852039166"];
    for place in places {
        let place = format!("http://{place}/latest/meta-data/?X-Amz-Signature=MONDAY");
        let named = folder.run(&source(&place));
        named.assert_refused(InvalidConfig, &["spec.sources[0].uri", "which nothing is fetched from"]);
        let location = place.clone();
        let site = Site::start(move |_| (StatusCode::FOUND, [(header::LOCATION, location.clone())]).into_response());
        let redirected = folder.run(&source(&format!("http://{}/a.txt", site.address)));
        redirected.assert_refused(InvalidConfig, &["spec.sources[0].uri", "which nothing is fetched from"]);
        let mut load = source("file:a.txt");
        folder.write("a.txt", text());
        load["tokenizer"] = json!({ "type": "load", "uri": format!("http://{}/tokenizer.json", site.address) });
        folder.run(&load).assert_refused(InvalidConfig, &["spec.tokenizer.uri", "which nothing is fetched from"]);
        assert!(!named.stderr.contains("MONDAY") && !redirected.stderr.contains("MONDAY"));
    }
    let mut command = command(&folder.job(&source("s3://bucket/a")));
    command
        .env("AWS_ENDPOINT_URL", "http://169.254.169.254")
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "b");
    folder.finish(command).assert_refused(InvalidConfig, &["169.254.169.254", "which nothing is fetched from"]);
    assert!(begin.elapsed() < Duration::from_secs(60), "nobody was waited for: {:?}", begin.elapsed());
}

#[test]
fn the_role_of_the_node_is_used_where_somebody_asks_for_it_and_nowhere_else() {
    let site = Site::start(|request| match request.uri().path() {
        "/latest/api/token" => "session".into_response(),
        "/latest/meta-data/iam/security-credentials/" => "role".into_response(),
        "/latest/meta-data/iam/security-credentials/role" => json!({
            "AccessKeyId": "NODE", "SecretAccessKey": "secret", "Token": "t",
            "Expiration": "2999-01-01T00:00:00Z",
        })
        .to_string()
        .into_response(),
        _ => StatusCode::FORBIDDEN.into_response(),
    });
    let folder = Folder::new();
    let run = |asked: &[(&str, &str)]| {
        let url = format!("http://{}", site.address);
        let mut command = command(&folder.job(&source("s3://bucket/corpus")));
        command.env("AWS_ENDPOINT_URL", &url).env("AWS_METADATA_ENDPOINT", &url).env("AWS_REGION", "us-east-1");
        command.envs(asked.iter().copied());
        folder.finish(command).assert_refused(InvalidConfig, &["AWS_ACCESS_KEY_ID", "AWS_EC2_METADATA_DISABLED"]);
        std::mem::take(&mut *site.seen.lock().unwrap())
    };
    for asked in [&[][..], &[("AWS_EC2_METADATA_DISABLED", "true")], &[("AWS_ROLE_ARN", "arn:aws:iam::1:role/half")]] {
        let seen = run(asked);
        assert!(!seen.is_empty() && seen.iter().all(|seen| seen.path.starts_with("/bucket")), "{seen:?}");
        assert!(seen.iter().all(|seen| seen.authorization.is_none()), "unsigned: {seen:?}");
    }
    let seen = run(&[("AWS_EC2_METADATA_DISABLED", "false")]);
    assert!(seen.iter().any(|seen| seen.path.starts_with("/latest")), "{seen:?}");
    let signed = seen.iter().filter(|seen| seen.path.starts_with("/bucket"));
    assert!(signed.clone().count() > 0, "{seen:?}");
    for seen in signed {
        assert!(seen.authorization.as_ref().is_some_and(|value| value.contains("Credential=NODE/")), "{seen:?}");
    }
}
