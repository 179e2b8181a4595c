//! Bad input: each mistake gets its exact sentence, before the first process starts.

use crate::scratch::{Scratch, THREE, Told};

/// What a command says with the folder's own path taken out.
fn said(scratch: &Scratch, told: &Told) -> String {
    let text = told.err.replace(&scratch.path().display().to_string(), "[folder]");
    format!("exit code {}\n{text}", told.code.expect("an exit code"))
}

/// What `bedplate run` says to the three resources with one thing written differently.
fn refusal(written: &str, instead: &str) -> String {
    let scratch = Scratch::new();
    let yaml = THREE.replacen(written, instead, 1);
    assert_ne!(yaml, THREE, "{written:?} is not in the manifests");
    scratch.write("three.yaml", &yaml);
    let told = scratch.run(&["--once"]);
    assert!(!scratch.state("storage").exists(), "something was started: {told:?}");
    said(&scratch, &told)
}

#[test]
fn what_is_no_manifest() {
    insta::assert_snapshot!("wrong_yaml", refusal("metadata: { name: sources }", "metadata: { name: sources"));
    insta::assert_snapshot!("wrong_enum", refusal("type: exactDedup", "type: exactDedupe"));
    insta::assert_snapshot!("unknown_field", refusal("learningRate: 0.001", "learningrate: 0.001"));
    insta::assert_snapshot!("wrong_type", refusal("maxSteps: 4", "maxSteps: four"));
    insta::assert_snapshot!("missing_field", refusal("  packing: { sequenceLength: 32 }\n", ""));
    insta::assert_snapshot!("other_kind", refusal("kind: Dataset", "kind: Datasets"));
    insta::assert_snapshot!("other_version", refusal("bedplate.dev/v1alpha1", "bedplate.dev/v1"));
}

#[test]
fn what_cannot_work() {
    insta::assert_snapshot!("dims_that_do_not_divide", refusal("hidden_size: 16", "hidden_size: 18"));
    insta::assert_snapshot!("batch_that_does_not_divide", refusal("microBatchSize: 1", "microBatchSize: 3"));
    insta::assert_snapshot!("dataset_not_found", refusal("dataset: sources", "dataset: source"));
    insta::assert_snapshot!(
        "model_not_found",
        refusal("type: trainingJob, name: tiny", "type: trainingJob, name: tinny")
    );
    insta::assert_snapshot!("source_not_found", refusal("file:corpus", "file:corpses"));
    insta::assert_snapshot!("wrong_scheme", refusal("file:corpus", "ftp://corpus"));
}

#[test]
fn several_mistakes_in_several_files_are_told_at_once() {
    let scratch = Scratch::new();
    scratch.write(
        "manifests/a.yaml",
        &THREE.replace("maxSteps: 4", "maxSteps: 0").replace("hidden_size: 16", "hidden_size: 0"),
    );
    scratch.write("manifests/b.yaml", &THREE.replace("kind: TrainingJob", "kind: Training"));
    scratch.write("manifests/c.yml", "a: [");
    scratch.write("manifests/notes.txt", "not a manifest");
    let told = scratch.bedplate(&["validate", "manifests", "nowhere.yaml"]);
    insta::assert_snapshot!("unreadable_and_twice", said(&scratch, &told));
    scratch.write("manifests/b.yaml", "# nothing\n");
    std::fs::remove_file(scratch.path().join("manifests/c.yml")).expect("it was there");
    insta::assert_snapshot!("empty_manifest", said(&scratch, &scratch.bedplate(&["validate", "manifests"])));
    std::fs::remove_file(scratch.path().join("manifests/b.yaml")).expect("it was there");
    insta::assert_snapshot!("several_fields", said(&scratch, &scratch.bedplate(&["validate", "manifests"])));
}

#[test]
fn what_is_no_text_and_what_is_nothing() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("binary.yaml"), b"a: \xff").expect("a file");
    insta::assert_snapshot!("not_utf8", said(&scratch, &scratch.bedplate(&["validate", "binary.yaml"])));
    insta::assert_snapshot!("folder_without_manifests", said(&scratch, &scratch.bedplate(&["validate", "corpus"])));
}

#[test]
fn trainings_that_wait_for_each_other() {
    let scratch = Scratch::new();
    let job = |name: &str, from: &str| {
        let training = THREE.split("---\n").nth(1).expect("three documents");
        let model = training.lines().skip_while(|line| !line.contains("model:")).take(3).collect::<Vec<_>>().join("\n");
        let model_from = format!("  model: {{ type: trainingJob, name: {from} }}");
        training.replace(&model, &model_from).replace("name: tiny }", &format!("name: {name} }}"))
    };
    let dataset = THREE.split("---\n").next().expect("three documents");
    let yaml = [dataset.to_owned(), job("a", "b"), job("b", "c"), job("c", "a"), job("d", "a")].join("---\n");
    scratch.write("circle.yaml", &yaml);
    insta::assert_snapshot!("circle", said(&scratch, &scratch.bedplate(&["validate", "circle.yaml"])));
}

#[test]
fn programs_that_are_not_there() {
    let scratch = Scratch::new();
    std::fs::remove_file(scratch.path().join("bin/bedplate-trainer")).expect("it was there");
    insta::assert_snapshot!("missing_program", said(&scratch, &scratch.run(&[])));
}

#[test]
fn a_state_folder_that_cannot_be_used() {
    let scratch = Scratch::new();
    insta::assert_snapshot!("state_is_a_file", said(&scratch, &scratch.run(&["--state-dir", "three.yaml"])));
    std::fs::create_dir_all(scratch.state("")).expect("a folder");
    std::fs::write(scratch.state("state.json"), "{").expect("a file");
    insta::assert_snapshot!("damaged_records", said(&scratch, &scratch.run(&[])));
}

#[test]
fn a_valid_manifest_is_said_to_be_so_from_standard_input_as_well() {
    let scratch = Scratch::new();
    let mut command = scratch.command(&["validate", "-"]);
    command.stdin(std::fs::File::open(scratch.path().join("three.yaml")).expect("a file"));
    let told = Told::from(command.output().expect("it starts"));
    assert_eq!(told.code, Some(0), "{told:?}");
    insta::assert_snapshot!("valid", told.out);
}
