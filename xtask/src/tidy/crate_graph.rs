//! Who may depend on whom, and what a binary may link.

use super::{Finding, Tree};
use crate::workspace::{self, Package};

/// The arrows: a crate and the crates of the workspace it may depend on. Tests may use more.
const ARROWS: [(&str, &[&str]); 14] = [
    ("bedplate-crds", &[]),
    ("bedplate-telemetry", &["bedplate-crds"]),
    ("bedplate-tokenizer", &[]),
    ("bedplate-hub", &[]),
    ("bedplate-engine", &[]),
    ("bedplate-operator", &["bedplate-crds", "bedplate-telemetry"]),
    ("bedplate-workload", &["bedplate-crds", "bedplate-telemetry"]),
    ("bedplate-recorder", &["bedplate-crds"]),
    (
        "bedplate-dataset",
        &["bedplate-tokenizer", "bedplate-crds", "bedplate-telemetry", "bedplate-hub", "bedplate-workload"],
    ),
    (
        "bedplate-trainer",
        &[
            "bedplate-engine",
            "bedplate-tokenizer",
            "bedplate-crds",
            "bedplate-telemetry",
            "bedplate-hub",
            "bedplate-workload",
        ],
    ),
    (
        "bedplate-inference",
        &[
            "bedplate-engine",
            "bedplate-tokenizer",
            "bedplate-crds",
            "bedplate-telemetry",
            "bedplate-hub",
            "bedplate-workload",
        ],
    ),
    ("bedplate", &["bedplate-operator", "bedplate-crds", "bedplate-telemetry"]),
    ("bedplate-e2e", &[]),
    ("xtask", &["bedplate-crds"]),
];
/// Crates that end in a binary of their own; only tooling and tests may build on them.
const BINARIES: [&str; 4] = ["bedplate-dataset", "bedplate-trainer", "bedplate-inference", "bedplate"];
/// Those that may.
const MAY_USE_BINARIES: [&str; 3] = ["bedplate", "bedplate-e2e", "xtask"];

/// What a crate may not link, however indirectly: a prefix matches too if it ends in `-`.
const FORBIDDEN: [(&str, &[&str]); 6] = [
    (
        "bedplate-engine",
        &[
            "tokio",
            "kube",
            "kube-",
            "sqlx",
            "sqlx-",
            "hyper",
            "reqwest",
            "ureq",
            "axum",
            "tonic",
            "opentelemetry",
            "opentelemetry-",
        ],
    ),
    ("bedplate-crds", &["tokio", "kube", "kube-", "sqlx", "sqlx-", "hyper"]),
    ("bedplate-dataset", &["kube", "kube-", "sqlx", "sqlx-"]),
    ("bedplate-trainer", &["kube", "kube-", "sqlx", "sqlx-"]),
    ("bedplate-inference", &["kube", "kube-", "sqlx", "sqlx-"]),
    ("bedplate", &["kube-client", "kube-runtime"]),
];

/// Declared arrows, then what each binary links when it is built alone.
pub fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let mut findings = arrows_of(tree);
    for (package, forbidden) in FORBIDDEN {
        if let Some(member) = tree.members.iter().find(|member| member.name == package) {
            findings.extend(links(tree, member, &workspace::linked(&tree.root, package)?, forbidden));
        }
    }
    Ok(findings)
}

/// The arrows of every member that point where they may not.
pub(super) fn arrows_of(tree: &Tree) -> Vec<Finding> {
    tree.members.iter().flat_map(|member| arrows(tree, member)).collect()
}

fn arrows(tree: &Tree, member: &Package) -> Vec<Finding> {
    let path = tree.folder(member).join("Cargo.toml");
    let at = |problem: String, remedy| Finding { path: path.clone(), line: 1, problem, remedy };
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == member.name) else {
        let problem = format!("{} is not among the known crates", member.name);
        return vec![at(problem, "add it to ARROWS in xtask/src/tidy/crate_graph.rs with what it may depend on")];
    };
    let own = |name: &str| tree.members.iter().any(|member| member.name == name);
    let mut findings = Vec::new();
    for dependency in member.dependencies.iter().filter(|dependency| own(&dependency.name)) {
        let is_for_tests = dependency.kind.as_deref() == Some("dev");
        if !is_for_tests && !allowed.contains(&dependency.name.as_str()) {
            let problem = format!("{} depends on {}", member.name, dependency.name);
            findings.push(at(problem, "turn the arrow round, or move what is needed to a leaf"));
        }
        if BINARIES.contains(&dependency.name.as_str()) && !MAY_USE_BINARIES.contains(&member.name.as_str()) {
            let problem = format!("{} depends on the binary crate {}", member.name, dependency.name);
            findings.push(at(problem, "move what is needed to a leaf"));
        }
    }
    findings
}

/// Findings for each forbidden package among those that are linked.
pub(super) fn links(tree: &Tree, member: &Package, linked: &[String], forbidden: &[&str]) -> Vec<Finding> {
    let is_forbidden = |name: &&String| {
        forbidden.iter().any(|word| name.as_str() == *word || (word.ends_with('-') && name.starts_with(word)))
    };
    let path = tree.folder(member).join("Cargo.toml");
    let finding = |name: &String| Finding {
        path: path.clone(),
        line: 1,
        problem: format!("{} links {name}", member.name),
        remedy: "find who brings it with `cargo tree --invert` and do without",
    };
    linked.iter().filter(is_forbidden).map(finding).collect()
}
