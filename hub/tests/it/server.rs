//! The part of the hub's protocol that a download uses, over plain TCP: `/api/models/...` lists, `/resolve/` redirects
//! large files to a store that answers ranges.

#![allow(dead_code, reason = "the tests of other crates start this server too, and need less of it")]

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use sha2::{Digest, Sha256};

type File = (&'static str, Vec<u8>, Option<String>);

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a server differs from the hub.
#[derive(Clone, Default)]
pub struct Manner {
    /// Answers every request for a range with the whole file.
    pub ignores_ranges: bool,
    /// Redirects everything to this server.
    pub redirects_to: Option<String>,
    /// Redirects large files to the store of this server instead of its own.
    pub store: String,
    /// Sends large files itself, with this header instead of the linked one; `{}` is the hash.
    pub etag: Option<&'static str>,
    /// Names no commit.
    pub names_no_commit: bool,
}

#[derive(Default)]
struct State {
    files: Vec<File>,
    manner: Manner,
    /// Whether each request came with a token, by path.
    tokens: Mutex<Vec<(String, bool)>>,
    break_after: AtomicUsize,
    resumed: AtomicBool,
    sent: Mutex<HashMap<String, usize>>,
}

pub struct Server {
    pub url: String,
    state: Arc<State>,
}

impl Server {
    pub fn start(files: impl IntoIterator<Item = File>) -> Self {
        Self::with(files, Manner::default())
    }

    pub fn with(files: impl IntoIterator<Item = File>, manner: Manner) -> Self {
        let state = Arc::new(State { files: files.into_iter().collect(), manner, ..State::default() });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || answer(&stream, &state));
            }
        });
        Self { url, state }
    }

    /// The same server by another name: another host to whoever compares them.
    pub fn other_name(&self) -> String {
        self.url.replace("127.0.0.1", "localhost")
    }

    /// Whether the requests had a token, in order.
    pub fn tokens(&self) -> Vec<bool> {
        self.state.tokens.lock().unwrap().iter().map(|(_, token)| *token).collect()
    }

    /// Cuts the next answer that is longer than so many bytes off after them.
    pub fn break_after(&self, bytes: usize) {
        self.state.break_after.store(bytes, Ordering::SeqCst);
    }

    pub fn resumed(&self) -> bool {
        self.state.resumed.load(Ordering::SeqCst)
    }

    pub fn bytes_sent(&self, file: &str) -> usize {
        self.state.sent.lock().unwrap().get(file).copied().unwrap_or(0)
    }
}

/// One request, one answer, one connection.
fn answer(mut stream: &TcpStream, state: &State) -> Option<()> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let request = lines.next()?;
    let path = request.split(' ').nth(1)?.to_owned();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let range =
        headers.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let has_token = headers.iter().any(|line| line.to_ascii_lowercase().starts_with("authorization: bearer secret"));
    state.tokens.lock().unwrap().push((path.clone(), has_token));
    let range = range.filter(|_| !state.manner.ignores_ranges);
    if let Some(other) = &state.manner.redirects_to {
        let headers = [format!("Location: {other}{path}"), "Content-Length: 0".into()];
        return head(stream, "307 Temporary Redirect", &headers, b"");
    }
    if path.starts_with("/api/models/org/model/") {
        let names: Vec<String> = state.files.iter().map(|file| format!("{{\"rfilename\":\"{}\"}}", file.0)).collect();
        let body = format!("{{\"sha\":\"c0ffee\",\"siblings\":[{}]}}", names.join(","));
        return head(stream, "200 OK", &[format!("Content-Length: {}", body.len())], body.as_bytes());
    }
    if let Some(name) = path.strip_prefix("/org/model/resolve/main/")
        && let Some((name, content, linked)) = state.files.iter().find(|file| file.0 == name)
    {
        let commit = if state.manner.names_no_commit { "X-Other: 1" } else { "X-Repo-Commit: c0ffee" }.to_owned();
        return match linked {
            Some(hash) if state.manner.etag.is_some() => {
                let etag = state.manner.etag.unwrap_or_default().replace("{}", hash);
                send(stream, state, name, content, range.as_deref(), vec![commit, etag])
            }
            Some(hash) => {
                let headers = [
                    commit,
                    format!("X-Linked-Etag: \"{hash}\""),
                    format!("Location: {}/store/{name}", state.manner.store),
                    "Content-Length: 0".into(),
                ];
                head(stream, "302 Found", &headers, b"")
            }
            // The hub names a small file by its git hash: as long as this, and another for each content.
            None => {
                let etag = format!("ETag: \"{}\"", &sha256(content)[..40]);
                send(stream, state, name, content, range.as_deref(), vec![commit, etag])
            }
        };
    }
    if let Some((name, content, linked)) =
        path.strip_prefix("/store/").and_then(|name| state.files.iter().find(|file| file.0 == name))
    {
        // A store has a tag of its own, which is the hash of nothing.
        let etag = linked.as_deref().map(|linked| sha256(linked.as_bytes())).unwrap_or_default();
        let extra = vec![format!("ETag: \"{etag}\"")];
        return send(stream, state, name, content, range.as_deref(), extra);
    }
    stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()
}

fn send(
    stream: &TcpStream,
    state: &State,
    name: &str,
    content: &[u8],
    range: Option<&str>,
    mut headers: Vec<String>,
) -> Option<()> {
    let (from, to) = range.unwrap_or("0-").split_once('-')?;
    let from: usize = from.parse().ok()?;
    let end = to.parse::<usize>().map_or(content.len(), |last| last + 1).min(content.len());
    let body = content.get(from..end)?;
    if range.is_some() {
        headers.push(format!("Content-Range: bytes {from}-{}/{}", end.saturating_sub(1), content.len()));
    }
    headers.push(format!("Content-Length: {}", body.len()));
    let cut = state.break_after.load(Ordering::SeqCst);
    let is_cut = cut > 0 && body.len() > cut && state.break_after.swap(0, Ordering::SeqCst) > 0;
    let body = if is_cut { &body[..cut] } else { body };
    if from > 0 && to.is_empty() {
        state.resumed.store(true, Ordering::SeqCst);
    }
    *state.sent.lock().unwrap().entry(name.to_owned()).or_default() += body.len();
    head(stream, if range.is_some() { "206 Partial Content" } else { "200 OK" }, &headers, body)
}

fn head(mut stream: &TcpStream, status: &str, headers: &[String], body: &[u8]) -> Option<()> {
    write!(stream, "HTTP/1.1 {status}\r\n{}\r\nConnection: close\r\n\r\n", headers.join("\r\n")).ok()?;
    stream.write_all(body).ok()
}
