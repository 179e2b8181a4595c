//! Suspend and resume, time to live, deletion: what is stopped frees its pods, what is deleted leaves no object and no file.

use std::{fs, path::Path};

use crate::{
    cluster::{Cluster, wait_for},
    history, laptop,
    namespace::Namespace,
    recipe::{self, LONG, SHORT, Shape, wait_checkpoint, wait_phase},
};

/// Everything that Bedplate makes for a resource.
const CHILDREN: &str = "jobs,pods,configmaps,services,deployments,poddisruptionbudgets";
/// Files, of some 150 KB each, with which a Dataset runs for many seconds.
const BULK: usize = 100;

fn is_gone(namespace: &Namespace, object: &str) {
    wait_for(&format!("{object} is gone"), || {
        let said = namespace.try_kubectl(&["get", object]);
        if said.err.contains("NotFound") { Ok(()) } else { Err(format!("{said:?}")) }
    });
    let (kind, name) = object.split_once('/').expect("KIND/NAME");
    let selector = format!("--selector=bedplate.dev/name={name},bedplate.dev/kind={kind}");
    wait_for(&format!("nothing of {object} is left"), || {
        let left = namespace.kubectl(&["get", CHILDREN, &selector, "--output=name"]);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

/// Uid of a resource, once Postgres has an attempt at it.
fn is_known(namespace: &Namespace, object: &str) -> String {
    let uid = namespace.value(object, "{.metadata.uid}");
    wait_for(&format!("{object} is in the history"), || {
        let attempts = history::attempts(&namespace.cluster, &uid);
        if attempts.starts_with("0|") { Err(attempts) } else { Ok(uid.clone()) }
    })
}

/// No row claims that it runs.
fn is_over(namespace: &Namespace, uid: &str) {
    let attempts = history::attempts(&namespace.cluster, uid);
    assert!(attempts.ends_with("|0") && attempts != "0|0", "all|running: {attempts}");
}

/// Files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

#[test]
fn a_suspended_job_gives_its_pods_back_and_goes_on_where_it_was() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-suspended");
    namespace.apply(&recipe::dataset("text"));
    namespace.apply(&recipe::training("long", "text", Shape { nodes: 1, steps: LONG, more: "" }));
    wait_checkpoint(&namespace, "trainingjob/long", 40);
    let suspend = |value: &str| namespace.kubectl(&["patch", "trainingjob", "long", "--type=merge", "--patch", value]);
    suspend(r#"{"spec": {"suspend": true}}"#);
    wait_phase(&namespace, "trainingjob/long", "Suspended");
    wait_for("its pods are gone", || {
        let left = namespace.kubectl(&["get", "pods", "--selector=bedplate.dev/name=long", "--output=name"]);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    suspend(r#"{"spec": {"suspend": false}}"#);
    wait_phase(&namespace, "trainingjob/long", "Complete");
    assert_eq!(namespace.value("trainingjob/long", "{.status.checkpoint.digest}"), laptop::digests().long);
    assert_eq!(namespace.value("trainingjob/long", "{.status.restarts.user}"), "0");
}

#[test]
fn deleting_what_is_done_or_under_way_leaves_no_object_and_no_file() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-deleted");
    let storage = namespace.volume("bedplate-storage");
    namespace.apply(&recipe::dataset("text"));
    namespace.apply(&recipe::training("done", "text", Shape { nodes: 1, steps: SHORT, more: "" }));
    wait_phase(&namespace, "trainingjob/done", "Complete");
    namespace.apply(&recipe::training("long", "text", Shape { nodes: 1, steps: LONG, more: "" }));
    wait_checkpoint(&namespace, "trainingjob/long", 20);
    assert!(!files(&storage).is_empty());
    let uids = ["TrainingJob/long", "TrainingJob/done", "Dataset/text"].map(|object| is_known(&namespace, object));
    assert_eq!(history::attempts(&namespace.cluster, &uids[0]), "1|1", "the job that runs is said to run");
    for object in ["TrainingJob/long", "TrainingJob/done", "Dataset/text"] {
        namespace.kubectl(&["delete", object, "--wait=false"]);
        is_gone(&namespace, object);
    }
    assert_eq!(files(&storage), Vec::<String>::new());
    uids.iter().for_each(|uid| is_over(&namespace, uid));
}

#[test]
fn a_dataset_that_is_deleted_while_it_runs_leaves_nothing() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-dataset-deleted");
    let (storage, corpus) = (namespace.volume("bedplate-storage"), namespace.volume("bedplate-inputs").join("corpus"));
    // Enough text that it runs for a while.
    for copy in 0..BULK {
        let text: String =
            (0..4000).map(|line| format!("line {line} of text {copy}: {}\n", line * 7919 + copy)).collect();
        fs::write(corpus.join(format!("bulk-{copy}.md")), text).unwrap();
    }
    namespace.apply(&recipe::dataset("text").replace("vocabSize: 400", "vocabSize: 8000"));
    wait_phase(&namespace, "dataset/text", "Running");
    let uid = is_known(&namespace, "Dataset/text");
    wait_for(
        "it has written something",
        || if files(&storage).is_empty() { Err("nothing".to_owned()) } else { Ok(()) },
    );
    assert_eq!(history::attempts(&namespace.cluster, &uid), "1|1", "a Dataset that runs is said to run");
    namespace.kubectl(&["delete", "Dataset/text", "--wait=false"]);
    is_gone(&namespace, "Dataset/text");
    assert_eq!(files(&storage), Vec::<String>::new());
    is_over(&namespace, &uid);
}

#[test]
fn a_deployment_that_is_deleted_alone_leaves_its_model_and_nothing_of_itself() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-deployment-deleted");
    namespace.apply(&recipe::dataset("text"));
    namespace.apply(&recipe::training("small", "text", Shape { nodes: 1, steps: SHORT, more: "" }));
    namespace.apply(&recipe::deployment("served", "small"));
    wait_phase(&namespace, "modeldeployment/served", "Ready");
    let uid = is_known(&namespace, "ModelDeployment/served");
    let before = files(&namespace.volume("bedplate-storage"));
    namespace.kubectl(&["delete", "ModelDeployment/served", "--wait=false"]);
    is_gone(&namespace, "ModelDeployment/served");
    is_over(&namespace, &uid);
    assert_eq!(files(&namespace.volume("bedplate-storage")), before);
    assert_eq!(namespace.value("trainingjob/small", "{.status.phase}"), "Complete");
}

#[test]
fn what_never_ran_is_deleted_at_once() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-never-ran");
    namespace.apply(&recipe::training("alone", "nowhere", Shape { nodes: 1, steps: SHORT, more: "" }));
    namespace.wait_value("trainingjob/alone", "{.status.phase}", |phase| phase == "Pending");
    namespace.kubectl(&["delete", "TrainingJob/alone", "--wait=false"]);
    is_gone(&namespace, "TrainingJob/alone");
}

#[test]
fn a_finished_job_with_a_time_to_live_goes_by_itself() {
    let _shared = Cluster::shared();
    let namespace = recipe::namespace("e2e-ttl");
    namespace.apply(&recipe::dataset("text"));
    namespace.apply(&recipe::training(
        "brief",
        "text",
        Shape { nodes: 1, steps: SHORT, more: "  ttlSecondsAfterFinished: 5\n" },
    ));
    namespace.wait_value("trainingjob/brief", "{.status.phase}", |phase| phase == "Complete");
    is_gone(&namespace, "TrainingJob/brief");
}
