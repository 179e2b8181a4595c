//! Generated files agree with the types, and the two places that refuse a manifest agree with each other.
//!
//! The manifests of `e2e/api` are shared: here they go through the operator's validate, in `e2e/api.sh` through the rules
//! of the CRDs on a real API server.

use std::{fs, path::PathBuf};

use bedplate_operator::{dataset, manifest, model_deployment, resource::AnyResource, training_job};

use crate::workspace;

/// What the operator says about a manifest: nothing, or why it refuses it.
fn refusal(text: &str) -> Option<String> {
    let resources = match manifest::parse("manifest.yaml", text) {
        Ok(resources) => resources,
        Err(error) => return Some(error.to_string()),
    };
    resources.iter().find_map(|resource| {
        let outcome = match resource {
            AnyResource::Dataset(resource) => dataset::validate::validate(resource).map(drop),
            AnyResource::TrainingJob(resource) => training_job::validate::validate(resource).map(drop),
            AnyResource::ModelDeployment(resource) => model_deployment::validate::validate(resource).map(drop),
        };
        outcome.err().map(|error| error.to_string())
    })
}

/// Paths and texts of the manifests in a folder.
fn manifests(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = workspace::root().join(folder);
    let paths = fs::read_dir(&folder).expect("a folder of manifests").map(|entry| entry.expect("an entry").path());
    let paths = paths.filter(|path| path.extension().is_some_and(|kind| kind == "yaml"));
    paths.map(|path| (path.clone(), fs::read_to_string(path).expect("a manifest"))).collect()
}

#[test]
fn the_committed_files_are_what_the_types_say() {
    super::check(&workspace::root()).expect("up to date");
}

#[test]
fn a_file_that_differs_is_named_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in super::generate().expect("generated files") {
        let path = folder.path().join(&file.path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, &file.text).expect("written");
    }
    super::check(folder.path()).expect("up to date");
    let stale = folder.path().join("docs/exit-codes.md");
    let text = fs::read_to_string(&stale).expect("written above");
    fs::write(&stale, text.replace("# Exit codes", "# Exits")).expect("written");
    fs::remove_file(folder.path().join("docs/api.md")).expect("written above");
    let refused = super::check(folder.path()).expect_err("a stale file").to_string();
    assert!(refused.contains("docs/exit-codes.md:3: differs") && refused.contains("docs/api.md: missing"), "{refused}");
}

#[test]
fn the_chart_has_the_version_of_the_workspace() {
    let chart = fs::read_to_string(workspace::root().join("charts/bedplate/Chart.yaml")).expect("the chart");
    let version = env!("CARGO_PKG_VERSION");
    for line in [format!("version: {version}"), format!("appVersion: {version}")] {
        assert!(chart.lines().any(|found| found == line), "Chart.yaml has no line `{line}`");
    }
}

#[test]
fn the_operator_accepts_what_the_api_server_accepts() {
    for (path, text) in manifests("e2e/api/good").into_iter().chain(manifests("examples")) {
        assert_eq!(refusal(&text), None, "{}", path.display());
    }
}

#[test]
fn the_operator_refuses_what_the_api_server_refuses() {
    let bad = manifests("e2e/api/bad");
    assert!(bad.len() > 50, "{} manifests", bad.len());
    let accepted = bad.iter().filter(|(_, text)| refusal(text).is_none()).map(|(path, _)| path.display().to_string());
    assert_eq!(accepted.collect::<Vec<_>>(), Vec::<String>::new());
}
