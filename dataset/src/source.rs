//! Finds the files of a Dataset's sources and opens them.
//!
//! Owns which files count and in which order: sources as they are written, files by their path inside the source, so
//! that neither the place of a folder nor the order of a directory changes what is read. Never looks into a document.

mod content;
mod decompress;
mod encoding;
mod format;
mod jsonl;
mod kind;
mod left_out;
mod local;
mod names;
mod parquet_file;
mod peek;
mod raw;
mod read;
mod remote;
mod selection;
mod tolerance;

use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use bedplate_crds::{dataset::Source, uri::ShownUri};

use crate::stop::{Stop, Stopped};
pub use left_out::LeftOut;
pub use read::{Batch, FileHash, Item, MAX_DOCUMENT_BYTES, MAX_LINE_BYTES, content_hash, read_all};
pub use remote::{Client, RemoteError, RemoteObject};
use selection::{Choice, Selection};

/// Where relative uris begin, and what must not be read.
#[derive(Clone, Debug)]
pub struct Roots {
    /// Folder that relative `file:` uris start from.
    pub input_root: PathBuf,
    /// Our own output, left out where it lies inside a source.
    pub output_dir: PathBuf,
    /// `AWS_*` variables, as `main` found them.
    pub environment: Vec<(String, String)>,
}

/// One file to read.
#[derive(Debug)]
pub struct InputFile {
    /// Index of its source in the spec.
    pub source: usize,
    /// Path inside the source, `/` between parts.
    pub path: String,
    /// Bytes, where they are known before reading.
    pub size: Option<u64>,
    /// Changes whenever the content does (times and inode, or the server's validator); none where nothing is to be
    /// trusted.
    pub stamp: Option<String>,
    /// Whether the uri of the source is this file's own.
    is_named: bool,
    place: Place,
}

/// What there is to read, and what lies beside it.
#[derive(Debug, Default)]
pub struct Inputs {
    /// The files, in reading order.
    pub files: Vec<InputFile>,
    /// How many files of each kind were left out by their name, and the first of them.
    pub left_out: BTreeMap<LeftOut, (u64, String)>,
}

#[derive(Debug)]
enum Place {
    Local(PathBuf),
    Remote(Arc<RemoteObject>),
}

/// Why the text could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The uri cannot be understood.
    #[error(
        "{field}: {uri} is not understood; use file:relative/path, file:///absolute/path, http(s)://host/file or s3://bucket/prefix"
    )]
    ParseUri {
        /// The field.
        field: String,
        /// What is there.
        uri: ShownUri,
    },
    /// A glob cannot be understood.
    #[error("{field}: {reason}")]
    ParseGlob {
        /// The field.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// Nothing is where a `file:` uri points.
    #[error("{field}: {path} does not exist; name an existing file or folder (relative paths start at {root})", path = path.display(), root = root.display())]
    FindLocal {
        /// The field.
        field: String,
        /// The resolved path.
        path: PathBuf,
        /// Where relative paths start.
        root: PathBuf,
    },
    /// A folder cannot be listed.
    #[error("{field}: cannot list the folder; check its permissions")]
    List {
        /// The field.
        field: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No file is left to read.
    #[error("{field}: {uri} holds {found} files, but none matches{left_out}; widen include or narrow exclude")]
    NoMatch {
        /// The field.
        field: String,
        /// The uri.
        uri: ShownUri,
        /// Files before the globs.
        found: usize,
        /// What of them was left out by its name.
        left_out: String,
    },
    /// A file that the source names holds no text.
    #[error("{file} is {kind}; {remedy}")]
    Foreign {
        /// The file.
        file: String,
        /// What it is.
        kind: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A file is whole, but of a form that is not read.
    #[error("{file}: {reason}")]
    Unsupported {
        /// The file.
        file: String,
        /// The form, and the remedy.
        reason: String,
    },
    /// More was wrong than may be skipped.
    #[error(
        "{field}: more than {limit} broken lines or damaged files; the last is {last}; mend them or raise maxErrors"
    )]
    TooManyErrors {
        /// The field.
        field: String,
        /// What it allows.
        limit: u64,
        /// The error that was one too many.
        last: String,
    },
    /// A remote source cannot be reached or listed.
    #[error("{field} cannot be used")]
    Remote {
        /// The field.
        field: String,
        /// What went wrong.
        #[source]
        source: RemoteError,
    },
    /// A file cannot be read to its end.
    #[error("cannot read {file}; check its permissions, and that it is whole")]
    Read {
        /// The file.
        file: String,
        /// What the system, the decompressor or the server said.
        #[source]
        source: io::Error,
    },
    /// A remote parquet file cannot be put down for reading.
    #[error("cannot keep a copy of {file} while it is read; is the disk full?")]
    Spool {
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line is no JSON object with the text in it.
    #[error("{file} line {line}: {reason}; {remedy}")]
    BrokenLine {
        /// The file.
        file: String,
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A parquet file is damaged, is not supported or has not the column.
    #[error("{file}: {reason}; {remedy}")]
    Parquet {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Every file of every source, in reading order.
///
/// # Errors
/// Where a source is missing, unreachable or matches nothing.
pub fn discover(sources: &[Source], roots: &Roots, stop: &Stop) -> Result<Inputs, SourceError> {
    let mut inputs = Inputs::default();
    let mut client = None;
    for (index, source) in sources.iter().enumerate() {
        stop.check()?;
        let field = format!("spec.sources[{index}].uri");
        if source.uri.split('/').any(|part| part == ".git") {
            let (kind, remedy) = ("a part of git's own folder", "name the folder that it lies in");
            return Err(SourceError::Foreign { file: format!("{field}: {}", source.uri), kind, remedy });
        }
        let found = if let Some(path) = source.uri.strip_prefix("file:") {
            local::list(&field, path, roots)?
        } else {
            let failed = |source| SourceError::Remote { field: field.clone(), source };
            let client = match &client {
                Some(client) => Arc::clone(client),
                None => Arc::clone(client.insert(Client::new(&roots.environment, stop).map_err(failed)?)),
            };
            list_remote(&field, &source.uri, &client)?
        };
        inputs.choose(index, source, found)?;
    }
    Ok(inputs)
}

impl Inputs {
    /// Takes what a source wants of `found`.
    fn choose(&mut self, index: usize, source: &Source, found: Vec<Found>) -> Result<(), SourceError> {
        let selection = Selection::new(index, source)?;
        let (count, mut left_out) = (found.len(), 0);
        let mut kept: Vec<Found> = Vec::new();
        for found in found {
            match selection.choose(&found.path) {
                Choice::Other => {}
                Choice::LeftOut(beside) if !found.is_named => {
                    left_out += 1;
                    let entry = self.left_out.entry(LeftOut::Beside(beside)).or_insert((0, found.path.clone()));
                    entry.0 += 1;
                    if found.path < entry.1 {
                        entry.1 = found.path;
                    }
                }
                Choice::LeftOut(_) | Choice::Keep => kept.push(found),
            }
        }
        if kept.is_empty() {
            let field = format!("spec.sources[{index}]");
            let left_out = match left_out {
                0 => String::new(),
                some => format!(" (left out as hidden files, markers and the like: {some})"),
            };
            return Err(SourceError::NoMatch { field, uri: ShownUri::new(&source.uri), found: count, left_out });
        }
        kept.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        self.files.extend(kept.into_iter().map(|found| found.into_input(index)));
        Ok(())
    }
}

/// One file of a source, before the globs.
struct Found {
    path: String,
    size: Option<u64>,
    stamp: Option<String>,
    is_named: bool,
    place: Place,
}

impl Found {
    fn into_input(self, source: usize) -> InputFile {
        let Self { path, size, stamp, is_named, place } = self;
        InputFile { source, path, size, stamp, is_named, place }
    }
}

fn list_remote(field: &str, uri: &str, client: &Arc<Client>) -> Result<Vec<Found>, SourceError> {
    let is_s3 = uri.starts_with("s3://");
    let objects = if is_s3 {
        client.s3_objects(uri)
    } else if uri.starts_with("http://") || uri.starts_with("https://") {
        client.http_object(uri).map(|object| vec![object])
    } else {
        return Err(SourceError::ParseUri { field: field.to_owned(), uri: ShownUri::new(uri) });
    };
    let objects = objects.map_err(|source| SourceError::Remote { field: field.to_owned(), source })?;
    let is_one = objects.len() == 1;
    let found = objects.into_iter().map(|object| Found {
        path: object.path.clone(),
        size: object.size,
        stamp: object.stamp(),
        // A prefix may be an object's whole key.
        is_named: !is_s3 || (is_one && uri.ends_with(&object.path)),
        place: Place::Remote(Arc::new(object)),
    });
    Ok(found.collect())
}

/// The file or folder that a `file:` uri (without its scheme) names.
pub fn local_path(path: &str, input_root: &Path) -> PathBuf {
    let path = path.strip_prefix("//").unwrap_or(path);
    input_root.join(path)
}

impl InputFile {
    /// The raw bytes from the beginning.
    fn open(&self) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        match &self.place {
            Place::Local(path) => {
                let file = std::fs::File::open(path).map_err(|source| self.read_error(source))?;
                Ok(Box::new(file))
            }
            Place::Remote(object) => Ok(Box::new(object.reader())),
        }
    }

    fn read_error(&self, source: io::Error) -> SourceError {
        SourceError::Read { file: self.path.clone(), source }
    }
}
