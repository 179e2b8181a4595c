//! One file from the hub into the cache: at once, or from where an earlier attempt stopped.
//!
//! Owns the attempts at it, what tells that all of it is here, and the hash check. Never decides which file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    thread,
    time::Duration,
};

use sha2::{Digest, Sha256};
use ureq::http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG},
};

use crate::{
    HubError,
    cache::{self, Cache},
    wire::{Reply, Wire, WireError},
};

/// Failures in a row before the error is reported; each attempt goes on where the last stopped.
const MAX_FAILURES: u32 = 5;
/// First pause between two attempts; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
/// Bytes after which earlier failures are forgotten: a long file survives more breaks than a short one.
const FORGIVING_BYTES: u64 = 16 << 20;
/// Bytes read at a time.
const BUFFER: usize = 1 << 20;
/// Header with the commit that a file is of.
const COMMIT: &str = "x-repo-commit";
/// Headers that describe a file in large-file storage, from the hub; the store it redirects to has its own.
const LINKED_ETAG: &str = "x-linked-etag";
const LINKED_SIZE: &str = "x-linked-size";

/// Why a file did not arrive.
pub enum FetchError {
    /// The network's part.
    Wire(WireError),
    /// The cache cannot be written.
    Keep(io::Error),
}

impl From<WireError> for FetchError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> Self {
        Self::Keep(error)
    }
}

/// A file that is in the cache.
pub struct Fetched {
    /// The name of its content there.
    pub tag: String,
    /// The commit it is of, where somebody said so.
    pub commit: Option<String>,
}

/// What the servers said of a file.
struct Described {
    /// The name of its content; a made-up one where nobody named it.
    tag: String,
    is_named: bool,
    size: Option<u64>,
    commit: Option<String>,
}

impl Described {
    fn of(place: &str, reply: &Reply) -> Self {
        let etag = reply.first_header(LINKED_ETAG).or_else(|| {
            // Who knows the commit is a hub, and names the file's content; a store names what it likes.
            let text = |headers: &HeaderMap| headers.get(ETAG).is_some() && headers.get(COMMIT).is_some();
            let hub =
                reply.answers().find(|headers| text(headers)).and_then(|headers| headers.get(ETAG)?.to_str().ok());
            hub.or_else(|| reply.header(&ETAG))
        });
        let total = || reply.header(&CONTENT_RANGE).and_then(|range| range.rsplit('/').next()?.parse().ok());
        let length =
            || reply.header(&CONTENT_LENGTH).filter(|_| reply.response.status() == StatusCode::OK)?.parse().ok();
        Self {
            tag: etag.map_or_else(|| cache::name_of(place), cache::tag_of),
            is_named: etag.is_some(),
            size: reply.first_header(LINKED_SIZE).and_then(|size| size.parse().ok()).or_else(total).or_else(length),
            commit: reply.first_header(COMMIT).map(str::to_owned),
        }
    }
}

/// Fetches what is at `place` of the hub, unless its content is here already.
///
/// # Errors
/// When it does not arrive whole after some attempts, or cannot be kept.
pub fn fetch(wire: &Wire, cache: &Cache, place: &str) -> Result<Fetched, FetchError> {
    let reply = retry(|| wire.get(place, 0))?;
    let described = Described::of(place, &reply);
    let lock = cache.lock(&described.tag)?;
    let blob = cache.blob(&described.tag);
    if !(described.is_named && blob.exists()) {
        let part = blob.with_extension("part");
        if !described.is_named {
            // Nothing tells whether what is there is of the same content.
            remove(&part)?;
        }
        arrive(wire, place, &described, (reply, &part))?;
        fs::rename(&part, &blob)?;
    }
    drop(lock);
    Ok(Fetched { tag: described.tag, commit: described.commit })
}

/// Brings `part` to its end.
fn arrive(wire: &Wire, place: &str, described: &Described, (reply, part): (Reply, &Path)) -> Result<(), FetchError> {
    let mut first = Some(reply);
    let mut failures = 0;
    loop {
        let begin = length(part)?;
        // An answer to "from the beginning" is of no use to a part that has begun.
        let attempt = match first.take().filter(|_| begin == 0) {
            Some(reply) => append(reply, described, part, begin),
            None => wire.get(place, begin).map_err(FetchError::Wire).and_then(|reply| {
                let now = Described::of(place, &reply);
                if now.is_named && now.tag != described.tag {
                    remove(part)?;
                    return Err(broken(format!("{} has another content than a moment ago", reply.host)));
                }
                append(reply, described, part, begin)
            }),
        };
        let error = match attempt {
            Ok(()) => return Ok(()),
            Err(FetchError::Wire(error)) if error.is_transient() => error,
            Err(error) => return Err(error),
        };
        let arrived = length(part)?.saturating_sub(begin);
        failures = if arrived >= FORGIVING_BYTES { 1 } else { failures + 1 };
        if failures > MAX_FAILURES {
            return Err(error.into());
        }
        pause(failures, &error);
    }
}

/// Writes an answer to the end of `part`, which has `begin` bytes, or to its beginning where the server knows no ranges.
fn append(mut reply: Reply, described: &Described, part: &Path, begin: u64) -> Result<(), FetchError> {
    let begin = match reply.response.status() {
        StatusCode::RANGE_NOT_SATISFIABLE if described.size == Some(begin) => return Ok(()),
        StatusCode::PARTIAL_CONTENT if range_begin(&reply) == Some(begin) => begin,
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            remove(part)?;
            return Err(broken(format!("{} answers another range than was asked for", reply.host)));
        }
        _ => 0,
    };
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(part)?;
    file.set_len(begin)?;
    io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
    let mut reader = reply.response.body_mut().as_reader();
    let mut buffer = vec![0; BUFFER];
    let mut end = begin;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                file.write_all(&buffer[..count])?;
                end += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(format!("{} broke off: {error}", reply.host))),
        }
    }
    file.sync_all()?;
    match described.size {
        Some(size) if end < size => Err(broken(format!("{} ended after {end} of {size} bytes", reply.host))),
        Some(size) if end > size => {
            remove(part)?;
            Err(broken(format!("{} sends more than the {size} bytes that the hub names", reply.host)))
        }
        _ => Ok(()),
    }
}

fn range_begin(reply: &Reply) -> Option<u64> {
    reply.header(&CONTENT_RANGE)?.trim().strip_prefix("bytes")?.trim_start().split_once('-')?.0.parse().ok()
}

fn broken(what: String) -> FetchError {
    FetchError::Wire(WireError::Broken(what))
}

fn length(part: &Path) -> io::Result<u64> {
    match fs::metadata(part) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Attempts `work` until it succeeds, cannot succeed, or was tried often enough.
///
/// # Errors
/// That of the last attempt.
pub fn retry<T>(work: impl Fn() -> Result<T, WireError>) -> Result<T, WireError> {
    let mut failures = 0;
    loop {
        match work() {
            Err(error) if error.is_transient() && failures < MAX_FAILURES => {
                failures += 1;
                pause(failures, &error);
            }
            outcome => return outcome,
        }
    }
}

fn pause(failures: u32, error: &WireError) {
    let pause = FIRST_PAUSE * 2_u32.pow(failures - 1);
    tracing::warn!(error = error as &dyn std::error::Error, failures, ?pause, "trying again");
    thread::sleep(pause);
}

/// Compares a large file's content with the sha256 in its blob's name, once; a marker beside it says it was done.
///
/// # Errors
/// When it cannot be read, or is not what the hub names.
pub fn check(repository: &str, file: &str, pointer: &Path) -> Result<(), HubError> {
    let failed = |source| HubError::Check { path: pointer.to_path_buf(), source };
    let blob = pointer.canonicalize().map_err(failed)?;
    let expected = blob.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    // Small files are named by their git object id; only those in large-file storage carry a sha256.
    if !cache::is_sha256(&expected) {
        return Ok(());
    }
    let marker = blob.with_extension("verified");
    if marker.exists() {
        return Ok(());
    }
    let found = sha256(&blob).map_err(failed)?;
    if found != expected.to_ascii_lowercase() {
        fs::remove_file(pointer).map_err(failed)?;
        fs::remove_file(&blob).map_err(failed)?;
        let (repository, file) = (repository.to_owned(), file.to_owned());
        return Err(HubError::Hash { repository, file, expected, found });
    }
    File::create(marker).map_err(failed)?;
    Ok(())
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut reader = File::open(path)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(cache::hex(&hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}
