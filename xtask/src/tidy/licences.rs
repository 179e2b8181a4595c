//! What comes from outside: its licence, its source, and what is not wanted at all. The lists are those of deny.toml.
//!
//! Owns a check that needs no further tool; `cargo deny` reads the same file where it is installed, and asks for
//! advisories too.

use anyhow::Context;
use serde::Deserialize;

use super::{Finding, Tree};
use crate::workspace;

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// Licences that one package may have besides.
#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    package: String,
    allow: Vec<String>,
}

impl Licenses {
    fn for_package(&self, name: &str) -> Vec<&str> {
        let own = self.exceptions.iter().filter(|exception| exception.package == name);
        own.flat_map(|exception| &exception.allow).chain(&self.allow).map(String::as_str).collect()
    }
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    name: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<External>,
}

/// A package of the lock file.
#[derive(Deserialize)]
pub(super) struct External {
    pub name: String,
    pub version: String,
    pub source: Option<String>,
    pub license: Option<String>,
}

/// Checks every package that Cargo.lock pins.
pub fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let deny = tree.text("deny.toml").context("deny.toml is missing")?;
    let json = workspace::output(&tree.root, "cargo", &["metadata", "--format-version", "1"])?;
    let metadata: Metadata = serde_json::from_str(&json).context("cannot read what cargo metadata says")?;
    let outside: Vec<External> = metadata.packages.into_iter().filter(|package| package.source.is_some()).collect();
    judge(deny, &outside)
}

/// The breaches of these packages against these lists.
pub(super) fn judge(deny: &str, packages: &[External]) -> anyhow::Result<Vec<Finding>> {
    let deny: Deny = toml::from_str(deny).context("deny.toml cannot be read")?;
    let mut findings = Vec::new();
    for External { name, version, source, license } in packages {
        let mut refuse = |problem: String, remedy| {
            findings.push(Finding { path: "Cargo.lock".into(), line: 1, problem, remedy });
        };
        if deny.bans.deny.iter().any(|banned| banned.name == *name) {
            refuse(
                format!("{name} {version} is banned by deny.toml"),
                "find who brings it with `cargo tree --invert` and do without",
            );
        }
        if !source.as_deref().is_some_and(|source| source.starts_with("registry+") || source.starts_with("sparse+")) {
            refuse(format!("{name} {version} comes from no registry"), "use a published version");
        }
        if !is_allowed(license.as_deref(), &deny.licenses.for_package(name)) {
            let license = license.as_deref().unwrap_or("none");
            refuse(
                format!("{name} {version} has licence {license}"),
                "do without it, or add the licence to deny.toml with a reason",
            );
        }
    }
    Ok(findings)
}

fn is_allowed(license: Option<&str>, allowed: &[&str]) -> bool {
    // Old packages write `MIT/Apache-2.0`, which means OR.
    let Some(license) = license.map(|text| text.replace('/', " OR ")) else { return false };
    let Ok(expression) = spdx::Expression::parse(&license) else { return false };
    expression.evaluate(|requirement| allowed.contains(&requirement.to_string().as_str()))
}
