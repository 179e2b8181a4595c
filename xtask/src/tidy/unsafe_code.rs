//! `unsafe` only where it is allowed: SIMD kernels, the places that map files into memory, and NCCL.

use std::path::Path;

use super::{File, Finding, Tree};

/// Folders whose files may hold unsafe code.
const ALLOWED_FOLDERS: [&str; 2] = ["engine/src/cpu", "engine/src/cuda"];
/// Single files that may: the two that map files.
const ALLOWED_FILES: [&str; 3] = ["engine/src/mmap.rs", "tokenizer/src/shard/map.rs", "engine/src/collective/nccl.rs"];
/// Crates with allowed places; every other crate forbids it as a whole.
const CRATES_WITH_PLACES: [&str; 2] = ["bedplate-engine", "bedplate-tokenizer"];

/// Both halves: the crates that must forbid it, and the words of those that cannot.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = tree.rust().flat_map(words).collect();
    for member in tree.members.iter().filter(|member| !CRATES_WITH_PLACES.contains(&member.name.as_str())) {
        let kinds = ["lib", "bin"];
        for target in
            member.targets.iter().filter(|target| target.kind.iter().any(|kind| kinds.contains(&kind.as_str())))
        {
            let path = target.src_path.strip_prefix(&tree.root).unwrap_or(&target.src_path);
            let file = tree.files.iter().find(|file| file.path == path);
            findings.extend(file.filter(|file| !file.code.contains("#![forbid(unsafe_code)]")).map(|file| {
                file.finding(
                    1,
                    "the crate does not forbid unsafe code",
                    "add `#![forbid(unsafe_code)]` below the module doc",
                )
            }));
        }
    }
    findings
}

fn words(file: &File) -> Vec<Finding> {
    if is_allowed(&file.path) {
        return Vec::new();
    }
    let lines = file.code.lines_with_word("unsafe");
    lines.map(|(at, _)| file.finding(at, "unsafe code", "use a safe way, or move it to engine/src/cpu")).collect()
}

fn is_allowed(path: &Path) -> bool {
    ALLOWED_FOLDERS.iter().any(|folder| path.starts_with(folder))
        || ALLOWED_FILES.iter().any(|file| path == Path::new(file))
}
