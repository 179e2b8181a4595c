//! Tells the compiler the commit of the checkout, if there is one. Reads two small files and runs nothing.
//!
//! Only for release builds: a debug build would otherwise be made anew after every commit.

use std::{fs, path::Path};

/// Digits of a commit that tell it from every other one of the project.
const DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    if let Some(commit) = commit(Path::new("../.git")) {
        println!("cargo::rustc-env=BEDPLATE_COMMIT={}", &commit[..DIGITS.min(commit.len())]);
    }
}

/// The commit that HEAD stands for; none in a source archive.
fn commit(git: &Path) -> Option<String> {
    let head = read(&git.join("HEAD"))?;
    let Some(branch) = head.strip_prefix("ref: ") else { return Some(head) };
    read(&git.join(branch)).or_else(|| {
        let packed = read(&git.join("packed-refs"))?;
        let line = packed.lines().find(|line| line.ends_with(&format!(" {branch}")))?;
        line.split(' ').next().map(str::to_owned)
    })
}

fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    println!("cargo::rerun-if-changed={}", path.display());
    Some(text.trim().to_owned())
}
