//! Manifests in, resources or one clear error out; and the whole way from YAML to job files.

use std::path::{Path, PathBuf};

use crate::{
    dataset,
    layout::Layout,
    manifest::parse,
    model_deployment,
    references::References,
    resource::{AnyResource, Kind},
    training_job,
};

const THREE: &str = include_str!("tests/three.yaml");

fn layout() -> Layout {
    let mut layout = Layout::new("/inputs".into(), "/storage".into(), "/cache".into(), "127.0.0.1:8000".to_owned());
    layout.rendezvous = Some("127.0.0.1:29500".to_owned());
    layout
}

fn refusal(yaml: &str) -> String {
    match parse("m.yaml", yaml) {
        Err(error) => error.to_string(),
        Ok(resources) => match &resources[0] {
            AnyResource::Dataset(r) => dataset::job(r, &layout()).expect_err("a refusal").to_string(),
            AnyResource::TrainingJob(r) => {
                training_job::job(r, &References::default(), &layout()).expect_err("a refusal").to_string()
            }
            AnyResource::ModelDeployment(r) => {
                model_deployment::job(r, &References::default(), &layout()).expect_err("a refusal").to_string()
            }
        },
    }
}

#[test]
fn three_documents_become_three_job_files() {
    let resources = parse("three.yaml", THREE).expect("valid manifests");
    let kinds: Vec<Kind> = resources.iter().map(AnyResource::kind).collect();
    assert_eq!(kinds, Kind::ALL);
    let references = References::new(&resources, &layout());
    for resource in &resources {
        match resource {
            AnyResource::Dataset(r) => {
                let job = dataset::job(r, &layout()).expect("a Dataset job");
                assert_eq!(job.output_dir, Path::new("/storage/default/datasets/default/sources"));
                assert!(r.spec.pipeline.len() == 2 && resource.dependencies().is_empty());
            }
            AnyResource::TrainingJob(r) => {
                let job = training_job::job(r, &references, &layout()).expect("a TrainingJob job");
                assert_eq!(job.dataset_dirs, [PathBuf::from("/storage/default/datasets/default/sources")]);
                assert_eq!(job.output_dir, Path::new("/storage/runs/training-jobs/default/tiny"));
                assert_eq!(job.rendezvous.as_deref(), Some("127.0.0.1:29500"));
                assert_eq!(resource.dependencies()[0].to_string(), "Dataset default/sources");
            }
            AnyResource::ModelDeployment(r) => {
                let job = model_deployment::job(r, &references, &layout()).expect("a ModelDeployment job");
                assert_eq!(job.model_uri, "file:///storage/runs/training-jobs/default/tiny/model");
                assert_eq!(job.served_model_name, "tiny");
                assert_eq!(resource.dependencies()[0].to_string(), "TrainingJob default/tiny");
            }
        }
    }
}

#[test]
fn errors_name_the_document_the_line_and_the_field() {
    let misspelt = THREE.replace("microBatchSize", "microBatchsize");
    let error = parse("three.yaml", &misspelt).expect_err("an unknown field").to_string();
    let line = 1 + THREE.lines().position(|line| line.contains("microBatchSize")).expect("the field is there");
    assert!(error.starts_with("three.yaml, document 2: "), "{error}");
    assert!(error.contains("microBatchsize") && error.contains(&format!("line {line}")), "{error}");
    let wrong_enum = THREE.replace("lrSchedulerType: cosine", "lrSchedulerType: cosin");
    let error = parse("three.yaml", &wrong_enum).expect_err("an unknown value").to_string();
    assert!(error.contains("cosin") && error.contains("wsd"), "{error}");
}

#[test]
fn other_kinds_and_versions_are_refused() {
    let error = refusal("apiVersion: v1\nkind: Pod\n");
    assert!(error.contains("\"v1\"") && error.contains("bedplate.dev/v1alpha1"), "{error}");
    let error = refusal("apiVersion: bedplate.dev/v1alpha1\nkind: Model\n");
    assert!(error.contains("\"Model\"") && error.contains("ModelDeployment"), "{error}");
    assert!(refusal("# nothing\n---\n").contains("holds no resource"));
    assert!(parse("twice.yaml", &format!("{THREE}\n---\n{THREE}")).expect_err("twice").to_string().contains("twice"));
    assert!(refusal("a: [").starts_with("m.yaml, document 1: "));
}

#[test]
fn a_reference_that_leads_nowhere_names_what_is_there() {
    let resources = parse("three.yaml", &THREE.replace("- dataset: sources", "- dataset: source")).expect("parses");
    let references = References::new(&resources, &layout());
    let AnyResource::TrainingJob(job) = &resources[1] else { panic!("the second is the TrainingJob") };
    let error = training_job::job(job, &references, &layout()).expect_err("no such Dataset").to_string();
    assert!(error.contains("spec.data[0].dataset") && error.contains("sources"), "{error}");
}

/// Each line: what is written, what is written instead, and what the refusal must hold.
#[test]
fn every_rule_names_its_field_and_its_remedy() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("name: sources\nspec", "name: Sources\nspec", &["metadata.name", "Sources", "lower-case"]),
        ("uri: file:corpus", "uri: ftp://corpus", &["spec.sources[0].uri", "ftp://corpus", "s3://bucket"]),
        ("uri: file:corpus", "uri: 'file:'", &["spec.sources[0].uri"]),
        ("'**/*.rs'", "'a{b'", &["spec.sources[0].include[0]", "a{b"]),
        ("minBytes: 8", "minBytes: 8, maxBytes: 4", &["spec.pipeline[1].maxBytes", "minBytes (8)"]),
        ("vocabSize: 512", "vocabSize: 256", &["spec.tokenizer.vocabSize", "256", "257"]),
        ("sequenceLength: 64", "sequenceLength: 1", &["spec.packing.sequenceLength", "from 2"]),
        ("ratio: 0.02", "ratio: 0.7", &["spec.holdout.ratio", "0.7", "from 0 to 0.5"]),
        ("num_attention_heads: 4", "num_attention_heads: 3", &["num_key_value_heads (2)", "does not divide"]),
        ("hidden_size: 64", "hidden_size: 60", &["spec.model.config.hidden_size", "head_dim"]),
        ("globalBatchSize: 8", "globalBatchSize: 7", &["spec.schedule.globalBatchSize", "microBatchSize (2)"]),
        ("globalBatchSize: 8", "globalBatchSize: 6", &["spec.parallelism.data (2)", "micro-batches"]),
        ("warmupSteps: 2", "warmupSteps: 20", &["spec.schedule.warmupSteps", "maxSteps (10)"]),
        ("learningRate: 0.001", "learningRate: -1", &["spec.schedule.learningRate", "greater than 0"]),
        ("numNodes: 2", "numNodes: 1", &["spec.parallelism.data is 2", "spec.workers.numNodes is 1"]),
        ("- dataset: sources", "- dataset: a/b", &["spec.data[0].dataset", "a/b"]),
        ("persistentVolumeClaim: runs", "persistentVolumeClaim: ../runs", &["persistentVolumeClaim", "../runs"]),
        ("name: tiny }", "name: '' }", &["spec.model.name", "1 to 63"]),
        ("maxNumSeqs: 4", "maxNumSeqs: 0", &["spec.engine.maxNumSeqs", "at least 1"]),
        ("maxNumSeqs: 4", "maxNumSeqs: 9999", &["spec.engine.maxNumBatchedTokens", "9999"]),
    ];
    for (old, new, expected) in cases {
        let yaml = THREE.replacen(old, new, 1);
        assert_ne!(yaml, THREE, "{old} is not in the manifest");
        let resources = parse("three.yaml", &yaml).unwrap_or_else(|error| panic!("{new}: {error}"));
        let references = References::new(&parse("three.yaml", THREE).expect("valid"), &layout());
        let refusals: Vec<String> = (resources.iter())
            .filter_map(|resource| match resource {
                AnyResource::Dataset(r) => dataset::job(r, &layout()).err().map(|e| e.to_string()),
                AnyResource::TrainingJob(r) => {
                    training_job::job(r, &references, &layout()).err().map(|e| e.to_string())
                }
                AnyResource::ModelDeployment(r) => {
                    model_deployment::job(r, &references, &layout()).err().map(|e| e.to_string())
                }
            })
            .collect();
        assert_eq!(refusals.len(), 1, "{new}: {refusals:?}");
        for part in *expected {
            assert!(refusals[0].contains(part), "{new}: {part:?} is not in {:?}", refusals[0]);
        }
    }
}
