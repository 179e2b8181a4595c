//! The project's invariants, each a rule that reads the tree and says file, line and remedy.
//!
//! Owns the list of rules. Never changes a file. Runs as `cargo xtask tidy` and as a test. What clippy can see (function
//! length, unwrap, unbounded channels of tokio) is left to clippy.

mod code;
mod crate_graph;
mod documents;
mod licences;
mod modules;
mod sources;
#[cfg(test)]
mod tests;
mod unsafe_code;

use std::{fmt, fs, path::Path, path::PathBuf};

use anyhow::{Context, bail};

use crate::workspace::{self, Package};
use code::Code;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: PathBuf,
    line: usize,
    problem: String,
    remedy: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path.display(), self.line, self.problem, self.remedy)
    }
}

/// What the rules read: every text file of the tree, and the members of its workspace.
pub struct Tree {
    root: PathBuf,
    files: Vec<File>,
    members: Vec<Package>,
}

/// One text file.
pub struct File {
    /// Path relative to the root.
    path: PathBuf,
    /// All of it.
    text: String,
    /// The same with comments and strings blanked; empty for other languages than Rust.
    code: Code,
}

impl File {
    fn new(path: PathBuf, text: String) -> Self {
        let code = if path.extension().is_some_and(|kind| kind == "rs") { Code::of(&text) } else { Code::default() };
        Self { path, text, code }
    }

    fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|kind| kind == "rs")
    }

    /// Whether the file is compiled for tests only, by its place.
    fn is_test(&self) -> bool {
        let stem = self.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let has_test_folder =
            self.path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "conformance")));
        has_test_folder || matches!(stem, "tests" | "testing" | "conformance")
    }

    fn finding(&self, line: usize, problem: impl Into<String>, remedy: &'static str) -> Finding {
        Finding { path: self.path.clone(), line, problem: problem.into(), remedy }
    }
}

impl Tree {
    /// Reads the checkout. Files that are no text are left out.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for path in workspace::files(root)? {
            let bytes = fs::read(root.join(&path)).with_context(|| format!("cannot read {}", path.display()))?;
            files.extend(String::from_utf8(bytes).ok().map(|text| File::new(path, text)));
        }
        Ok(Self { root: root.to_path_buf(), files, members: workspace::members(root)? })
    }

    fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == Path::new(path)).map(|file| file.text.as_str())
    }

    /// The folder of a member, relative to the root.
    fn folder<'a>(&self, member: &'a Package) -> &'a Path {
        let folder = member.manifest_path.parent().unwrap_or(Path::new(""));
        folder.strip_prefix(&self.root).unwrap_or(folder)
    }
}

/// Every breach of every rule, in order of file and line.
///
/// # Errors
/// Where cargo or git cannot be asked.
pub fn findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let mut findings = Vec::new();
    findings.extend(sources::check(&tree));
    findings.extend(unsafe_code::check(&tree));
    findings.extend(modules::check(&tree));
    findings.extend(documents::check(&tree));
    findings.extend(crate_graph::check(&tree)?);
    findings.extend(licences::check(&tree)?);
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// Prints every breach and fails if there is one.
pub fn run() -> anyhow::Result<()> {
    let findings = findings(&workspace::root())?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy found {} breaches", findings.len());
    }
    println!("tidy: clean");
    Ok(())
}
