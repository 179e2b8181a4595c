//! The small JSON files that say what a finished stage was made of. A missing or damaged one means: not finished.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Raised whenever a stage would make other bytes of the same input, so that what an older build kept is made again.
pub const CODE_VERSION: u32 = 2;

/// Why a record could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}; is the disk full?", path = path.display())]
pub struct RecordError {
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// What a record looks like on disk: with a hash, so that damage is not read as another truth.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<T> {
    blake3: String,
    record: T,
}

/// The record at `path`, if there is a whole one of this version of its type.
pub fn load<T: Serialize + DeserializeOwned>(path: &Path) -> Option<T> {
    let sealed: Sealed<T> = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (key_of(&sealed.record) == sealed.blake3).then_some(sealed.record)
}

/// Writes `record` to `path`, whole or not at all.
pub fn save<T: Serialize>(path: &Path, record: &T) -> Result<(), RecordError> {
    write_json(path, &Sealed { blake3: key_of(record), record })
}

/// Writes `value` to `path` as JSON, whole or not at all.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), RecordError> {
    let json = serde_json::to_vec_pretty(value).map_err(|error| failed(path)(error.into()))?;
    write_durably(path, &json)
}

/// Writes `content` to `path`: beside it, synced, then renamed.
pub fn write_durably(path: &Path, content: &[u8]) -> Result<(), RecordError> {
    let partial = path.with_extension("partial");
    let write = || -> io::Result<()> {
        let mut file = File::create(&partial)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(failed(path))
}

/// Makes a [`RecordError`] about `path`.
pub fn failed(path: &Path) -> impl FnOnce(io::Error) -> RecordError + use<> {
    let path = path.to_owned();
    move |source| RecordError { path, source }
}

/// blake3 of `value` as JSON, hex: equal for equal values.
pub fn key_of<T: Serialize>(value: &T) -> String {
    let json = serde_json::to_vec(value).expect("keys are made of plain structs");
    blake3::hash(&json).to_hex().to_string()
}
