//! The same manifests without a cluster: `bedplate run`, from the very binaries that are in the images. What the cluster must reproduce.

use std::{env, fs, path::PathBuf, process::Command, sync::OnceLock};

use serde_json::Value;

use crate::{
    cluster::say,
    recipe::{self, LONG, SHORT, Shape},
};

/// Digests of an undisturbed run on one process.
#[derive(Debug)]
pub struct Digests {
    /// Of the Dataset.
    pub dataset: String,
    /// Of the final checkpoint of `SHORT` steps.
    pub short: String,
    /// Of the final checkpoint of `LONG` steps.
    pub long: String,
}

static DIGESTS: OnceLock<Digests> = OnceLock::new();

/// Runs the recipe once and tells its digests.
pub fn digests() -> &'static Digests {
    DIGESTS.get_or_init(run)
}

fn run() -> Digests {
    let binaries =
        PathBuf::from(env::var("BEDPLATE_E2E_BINARIES").expect("set BEDPLATE_E2E_BINARIES to the images' binaries"));
    let folder = tempfile::tempdir().expect("a folder");
    recipe::corpus(folder.path());
    let job = |name, steps| recipe::training(name, "text", Shape { nodes: 1, steps, more: "" });
    let manifests = recipe::dataset("text") + &job("short", SHORT) + &job("long", LONG);
    fs::write(folder.path().join("all.yaml"), manifests).expect("the manifests");
    let bedplate = || {
        let mut command = Command::new(binaries.join("bedplate"));
        command.env("BEDPLATE_BIN_DIR", &binaries).current_dir(folder.path());
        command
    };
    let ran = say(bedplate().args(["run", "all.yaml", "--once", "--no-history", "--inputs", "."]), "");
    assert!(ran.ok, "bedplate run: {}\n{}", ran.out, ran.err);
    let status = say(bedplate().args(["status", "--output", "json"]), "");
    let rows: Value = serde_json::from_str(&status.out).expect("the status in JSON");
    let digest = |kind: &str, name: &str| {
        let is_it = |row: &&Value| row["kind"] == kind && row["name"] == name;
        let row = rows.as_array().expect("rows").iter().find(is_it).expect("the row of a resource");
        row["digest"].as_str().expect("its digest").to_owned()
    };
    Digests {
        dataset: digest("Dataset", "text"),
        short: digest("TrainingJob", "short"),
        long: digest("TrainingJob", "long"),
    }
}
