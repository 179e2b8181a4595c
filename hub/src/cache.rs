//! The folder that files lie in, laid out as Hugging Face's own tools do: `blobs/` by content, `snapshots/<commit>/` with links
//! to them, `refs/<revision>` with the commit.
//!
//! Owns names in that folder: nothing a server says becomes a path before it is checked. Never fetches.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use crate::uri::is_name;

/// Longest wait for another process that fetches the same file: a large one over a slow line.
const LOCK_TIMEOUT: Duration = Duration::from_secs(6 * 3600);
/// Between two looks at its lock.
const LOCK_INTERVAL: Duration = Duration::from_secs(1);
/// Longest ETag that is used as a file's name as it is; a sha256 has 64 characters.
const MAX_TAG_CHARS: usize = 128;

/// The cache of one repository at one revision.
pub struct Cache {
    folder: PathBuf,
    revision: String,
}

impl Cache {
    /// Below `root`.
    pub fn new(root: &Path, repository: &str, revision: &str) -> Self {
        let folder = root.join(format!("models--{}", repository.replace('/', "--")));
        Self { folder, revision: revision.to_owned() }
    }

    /// A file that was fetched before.
    pub fn find(&self, file: &str) -> Option<PathBuf> {
        let commit = fs::read_to_string(self.reference()).ok()?;
        let path = self.snapshot(commit.trim()).join(file);
        (is_name(commit.trim()) && path.exists()).then_some(path)
    }

    /// Where a content lies.
    pub fn blob(&self, tag: &str) -> PathBuf {
        self.folder.join("blobs").join(tag)
    }

    /// Holds everybody else off a content until the file is dropped.
    ///
    /// # Errors
    /// When the folder cannot be written, or another process takes too long.
    pub fn lock(&self, tag: &str) -> io::Result<File> {
        let path = self.blob(tag).with_extension("lock");
        fs::create_dir_all(self.folder.join("blobs"))?;
        let file = File::create(&path)?;
        let end = Instant::now() + LOCK_TIMEOUT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < end => {
                    tracing::info!(lock = %path.display(), "another process fetches this file");
                    thread::sleep(LOCK_INTERVAL);
                }
                Err(TryLockError::WouldBlock) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Makes a content the file of a commit, and the commit that of the revision.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn publish(&self, commit: &str, file: &str, tag: &str) -> io::Result<PathBuf> {
        let pointer = self.snapshot(commit).join(file);
        let folder = pointer.parent().unwrap_or(&pointer);
        fs::create_dir_all(folder)?;
        // From the file's folder up to the repository's: the file's own folders, the commit's and `snapshots`.
        let target = PathBuf::from("../".repeat(file.split('/').count() + 1)).join("blobs").join(tag);
        if fs::read_link(&pointer).ok().as_deref() != Some(&target) {
            match fs::remove_file(&pointer) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => std::os::unix::fs::symlink(target, &pointer)?,
            }
        }
        let reference = self.reference();
        fs::create_dir_all(reference.parent().unwrap_or(&self.folder))?;
        fs::write(reference, commit)?;
        Ok(pointer)
    }

    fn reference(&self) -> PathBuf {
        self.folder.join("refs").join(&self.revision)
    }

    fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }
}

/// The name of a content from its ETag in any form: weak, quoted, or neither. A tag that is no plain name is hashed.
pub fn tag_of(etag: &str) -> String {
    let bare = etag.trim();
    let bare = bare.strip_prefix("W/").or_else(|| bare.strip_prefix("w/")).unwrap_or(bare).trim_matches('"');
    let bare = bare.strip_prefix("sha256:").unwrap_or(bare);
    if is_sha256(bare) {
        return bare.to_ascii_lowercase();
    }
    if is_name(bare) && bare.len() <= MAX_TAG_CHARS && !has_own_ending(bare) { bare.to_owned() } else { name_of(etag) }
}

/// A name for what has none, of 40 digits like a git object's, so that nobody takes it for a sha256.
pub fn name_of(text: &str) -> String {
    hex(&Sha256::digest(text)).chars().take(40).collect()
}

/// Whether a tag is a sha256 in hexadecimal digits.
pub fn is_sha256(tag: &str) -> bool {
    tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Hexadecimal digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a name could be that of a lock, a mark or a part of another content.
fn has_own_ending(name: &str) -> bool {
    name.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_has_one_name_however_its_etag_is_written() {
        let sha = "0123456789abcdef".repeat(4);
        for etag in
            [format!("\"{sha}\""), format!("W/\"{sha}\""), sha.clone(), sha.to_uppercase(), format!("\"sha256:{sha}\"")]
        {
            assert_eq!(tag_of(&etag), sha, "{etag}");
        }
        assert_eq!(tag_of("\"d41d8cd98f00b204e9800998ecf8427e-5\""), "d41d8cd98f00b204e9800998ecf8427e-5");
        for etag in ["", "\"\"", "../../etc/passwd", "W/\"a/b\"", "\"x.part\"", "\"ä\"", &"a".repeat(500)] {
            let name = tag_of(etag);
            assert!(name.len() == 40 && is_name(&name), "{etag}: {name}");
        }
    }

    #[test]
    fn what_was_published_is_found_in_folders_too() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path(), "owner/name", "main");
        assert_eq!(cache.find("sub/a.gguf"), None);
        for content in ["one", "two"] {
            let _lock = cache.lock(content).unwrap();
            fs::write(cache.blob(content), content).unwrap();
            let path = cache.publish("c0ffee", "sub/a.gguf", content).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(cache.find("sub/a.gguf"), Some(path));
        }
        fs::write(dir.path().join("models--owner--name/refs/main"), "../../..").unwrap();
        assert_eq!(cache.find("sub/a.gguf"), None);
    }
}
