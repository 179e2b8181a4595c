//! The Postgres that the chart brings along for evaluation: the history is in it, and outlives the release.

use std::process::Command;

use crate::{
    cluster::{Cluster, say, wait_for},
    install::{Away, SYSTEM, bedplate, release, uninstall},
    recipe::{self, wait_phase},
};

/// The chart's Postgres, with an image that is on the node (`e2e/cluster/postgres-image.sh`).
const SETTINGS: [&str; 2] = ["postgres.bundled.enabled=true", "postgres.bundled.image=localhost/bedplate-postgres:e2e"];
/// The claim that its StatefulSet makes; the cluster has nothing that would make its volume.
const CLAIM: &str = "data-bedplate-postgres-0";
/// The user in the image, and by default in the chart.
const USER: &str = "999";

/// Puts the image on the node, and a volume under the claim.
fn prepare(cluster: &Cluster) {
    let folder = cluster.folder();
    let tar = folder.join("postgres.tar");
    let run = |command: &mut Command| {
        let said = say(command, "");
        assert!(said.ok, "{command:?}: {}", said.err);
    };
    run(cluster.command("postgres-image.sh").arg(&tar));
    run(cluster.command("load-images.sh").arg(folder).arg(&tar));
    run(cluster.command("volume.sh").arg(folder).args([SYSTEM, CLAIM, USER]));
}

/// Namespaces of the Datasets that the bundled Postgres knows, one a line.
fn known(cluster: &Cluster) -> Result<String, String> {
    let get = |object: &str, path: &str| {
        cluster.kubectl(&["--namespace", SYSTEM, "get", object, &format!("--output={path}")])
    };
    let dsn = get("secret/bedplate-postgres", "go-template={{.data.DATABASE_URL | base64decode}}");
    // The name of its headless Service is known in the cluster only; this machine reaches the pod.
    let address = get("pod/bedplate-postgres-0", "jsonpath={.status.podIP}");
    let dsn = dsn.replace(&format!("bedplate-postgres.{SYSTEM}.svc"), &address);
    let sql = "select namespace from bedplate.runs where kind = 'Dataset' order by namespace";
    let said = say(Command::new("psql").arg(dsn).args(["--tuples-only", "--no-align", "--command", sql]), "");
    if said.ok { Ok(said.out) } else { Err(said.err) }
}

/// A Dataset becomes Ready, and then the history holds those of these namespaces.
fn records(cluster: &Cluster, namespace: &str, all: &str) {
    let namespace = recipe::namespace(namespace);
    namespace.apply(&recipe::dataset("text"));
    wait_phase(&namespace, "dataset/text", "Ready");
    wait_for(&format!("the bundled Postgres knows {all:?}"), || {
        let known = known(cluster)?;
        if known == all { Ok(()) } else { Err(known) }
    });
}

#[test]
fn the_bundled_postgres_keeps_the_history_also_from_one_release_to_the_next() {
    let _alone = Cluster::alone();
    let cluster = bedplate();
    let away = Away::new();
    prepare(&cluster);
    release(&cluster, &SETTINGS);
    records(&cluster, "e2e-bundled-1", "e2e-bundled-1");
    uninstall(&cluster);
    release(&cluster, &SETTINGS);
    records(&cluster, "e2e-bundled-2", "e2e-bundled-1\ne2e-bundled-2");
    drop(away);
    cluster.kubectl(&["--namespace", SYSTEM, "delete", "secret/bedplate-postgres", &format!("pvc/{CLAIM}")]);
    cluster.kubectl(&["delete", "persistentvolume", &format!("{SYSTEM}-{CLAIM}")]);
}
