//! An OCI image in one tar: image layout 1.0.0, one gzip layer (OCI image specification 1.1).
//!
//! Owns the bytes: entries sorted, no times, no owners but 0, so that the digest depends on the content alone.

use std::{collections::BTreeMap, fs, io::Write as _, path::Path};

use anyhow::Context;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// User and group of every workload: nobody's, not root.
pub const USER: u32 = 65532;

/// One file, or a folder where there is no content.
pub struct Entry {
    /// Path without a leading slash.
    pub path: String,
    /// Bytes of a file.
    pub content: Option<Vec<u8>>,
    /// Permissions.
    pub mode: u32,
}

impl Entry {
    /// A file in a folder.
    pub fn file(folder: &str, name: &str, content: Vec<u8>, mode: u32) -> Self {
        Self { path: format!("{folder}/{name}"), content: Some(content), mode }
    }
}

/// One image.
pub struct Image {
    /// Name without registry, such as `bedplate-trainer`.
    pub name: String,
    /// Tag.
    pub version: String,
    /// Absolute path of the program.
    pub entrypoint: String,
    /// Files and folders; folders above them are made.
    pub entries: Vec<Entry>,
}

/// What was written.
pub struct Written {
    /// Size of the tar.
    pub bytes: u64,
    /// Digest of the image manifest.
    pub digest: String,
}

impl Image {
    /// Writes the tar; it appears whole or not at all.
    pub fn write(&self, path: &Path) -> anyhow::Result<Written> {
        let (bytes, digest) = self.to_tar().with_context(|| format!("cannot make the image of {}", self.name))?;
        let partial = path.with_extension("tar.partial");
        fs::write(&partial, &bytes).with_context(|| format!("cannot write {}", partial.display()))?;
        fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Written { bytes: bytes.len() as u64, digest })
    }

    /// The tar, and the digest of the manifest in it.
    fn to_tar(&self) -> anyhow::Result<(Vec<u8>, String)> {
        let layer = self.layer()?;
        let packed = gzip(&layer)?;
        let config = serde_json::to_vec(&self.config(&digest(&layer)))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &packed)],
        }))?;
        let mut described = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        described["platform"] = json!({ "architecture": "amd64", "os": "linux" });
        described["annotations"] = json!({
            "io.containerd.image.name": format!("localhost/{}:{}", self.name, self.version),
            "org.opencontainers.image.ref.name": self.version,
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [described],
        });
        let mut files = BTreeMap::from([
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), serde_json::to_vec(&index)?),
        ]);
        let image = digest(&manifest);
        for blob in [config, manifest, packed] {
            files.insert(blob_path(&digest(&blob)), blob);
        }
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in &files {
            append(&mut tar, path, Some(content), 0o644)?;
        }
        Ok((tar.into_inner()?, image))
    }

    fn layer(&self) -> anyhow::Result<Vec<u8>> {
        let mut entries: BTreeMap<String, (Option<&[u8]>, u32)> = BTreeMap::new();
        for entry in &self.entries {
            for (at, _) in entry.path.match_indices('/') {
                entries.entry(entry.path[..at].to_owned()).or_insert((None, 0o755));
            }
            entries.insert(entry.path.clone(), (entry.content.as_deref(), entry.mode));
        }
        let mut tar = tar::Builder::new(Vec::new());
        for (path, (content, mode)) in entries {
            append(&mut tar, &path, content, mode)?;
        }
        Ok(tar.into_inner()?)
    }

    fn config(&self, diff_id: &str) -> Value {
        json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": format!("{USER}:{USER}"),
                "Env": ["PATH=/bin"],
                "Entrypoint": [self.entrypoint],
                "WorkingDir": "/",
                "Labels": {
                    "org.opencontainers.image.title": self.name,
                    "org.opencontainers.image.version": self.version,
                    "org.opencontainers.image.licenses": "Apache-2.0",
                    "org.opencontainers.image.url": "https://bedplate.dev",
                },
            },
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
            "history": [{ "created_by": "cargo xtask image" }],
        })
    }
}

fn append(tar: &mut tar::Builder<Vec<u8>>, path: &str, content: Option<&[u8]>, mode: u32) -> anyhow::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_entry_type(if content.is_some() { tar::EntryType::Regular } else { tar::EntryType::Directory });
    let content = content.unwrap_or_default();
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content).with_context(|| format!("cannot add {path}"))
}

fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// `sha256:` and the hash in hex.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}"))
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}
