//! The tar read back as a container runtime reads it, around a program compiled for the occasion.

use std::{collections::BTreeMap, fs, io::Read as _, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use serde_json::Value;

use super::{binary, image, layout::digest};
use crate::workspace::TARGET;

/// Files of a tar: mode and content by path.
fn read_tar(bytes: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    let mut files = BTreeMap::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let header = entry.header().clone();
        assert_eq!((header.mtime().ok(), header.uid().ok(), header.gid().ok()), (Some(0), Some(0), Some(0)));
        let path = entry.path().expect("a path").to_string_lossy().trim_end_matches('/').to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("its content");
        files.insert(path, (header.mode().expect("a mode"), content));
    }
    files
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).expect("a gzip stream");
    plain
}

/// Compiles a program that prints its version, for a target.
fn compile(folder: &Path, target: Option<&str>) -> std::path::PathBuf {
    let source = folder.join("program.rs");
    let program = folder.join(target.unwrap_or("host"));
    fs::write(&source, "fn main() { println!(\"program 0.1.0\") }").expect("a source");
    let mut rustc = Command::new("rustc");
    rustc.arg(&source).arg("-o").arg(&program);
    if let Some(target) = target {
        rustc.args(["--target", target]);
    }
    let ran = rustc.output().expect("rustc starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    program
}

/// The blob behind a descriptor, its size and digest checked.
fn blob<'a>(files: &'a BTreeMap<String, (u32, Vec<u8>)>, descriptor: &Value) -> &'a [u8] {
    let name = descriptor["digest"].as_str().expect("a digest");
    let (_, content) = &files[&format!("blobs/{}", name.replace(':', "/"))];
    assert_eq!(digest(content), name);
    assert_eq!(descriptor["size"], content.len());
    content
}

#[test]
fn an_image_holds_a_static_program_that_runs_for_a_user_that_is_not_root() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = compile(folder.path(), Some(TARGET));
    binary::check(&program).expect("a static program that answers");
    let tar = folder.path().join("program.tar");
    let written = image("program", &program).expect("an image").write(&tar).expect("a tar");

    let files = read_tar(&fs::read(&tar).expect("the tar"));
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
    assert_eq!(json(&files["oci-layout"].1)["imageLayoutVersion"], "1.0.0");
    let index = json(&files["index.json"].1);
    assert_eq!(index["manifests"][0]["digest"], written.digest);
    let manifest = json(blob(&files, &index["manifests"][0]));
    let config = json(blob(&files, &manifest["config"]));
    let layer = gunzip(blob(&files, &manifest["layers"][0]));
    assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"][0], "/bin/program");

    let layer = read_tar(&layer);
    assert_eq!(layer["tmp"].0, 0o1777);
    assert!(
        String::from_utf8_lossy(&layer["etc/ssl/certs/ca-certificates.crt"].1).matches("BEGIN CERTIFICATE").count()
            > 50
    );
    let (mode, content) = &layer["bin/program"];
    assert_eq!(*mode, 0o755);
    assert!(binary::is_static(content).expect("an ELF file"));
    let unpacked = folder.path().join("unpacked");
    fs::write(&unpacked, content).expect("the program");
    fs::set_permissions(&unpacked, fs::Permissions::from_mode(*mode)).expect("its mode");
    let ran = Command::new(&unpacked).arg("--version").output().expect("the program starts");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "program 0.1.0\n");
}

#[test]
fn the_same_program_gives_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("program");
    fs::write(&program, "bytes").expect("a program");
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    for path in [&one, &two] {
        image("program", &program).expect("an image").write(path).expect("a tar");
    }
    assert_eq!(fs::read(one).expect("one"), fs::read(two).expect("the other"));
}

#[test]
fn a_program_that_needs_a_dynamic_linker_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = binary::check(&compile(folder.path(), None)).expect_err("a dynamic program");
    assert!(refused.to_string().contains("dynamic linker"), "{refused}");
}

#[test]
fn certificates_are_what_openssl_reads() {
    // RFC 4648 §10's examples, wrapped.
    assert!(binary::pem(b"foobar").contains("\nZm9vYmFy\n"));
    assert!(binary::pem(b"fooba").contains("\nZm9vYmE=\n"));
    assert!(binary::pem(b"foob").contains("\nZm9vYg==\n"));
}
