//! Manifests in, resources or one clear error out; and the whole way from YAML to job files.

use std::path::{Path, PathBuf};

use super::{
    documents, parse, read, shape,
    yaml::{self, Node, Yaml},
};
use crate::{
    dataset,
    layout::Layout,
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
fn other_versions_and_misspelt_kinds_are_refused() {
    let error = refusal("apiVersion: v1\nkind: Dataset\n");
    assert!(error.contains("\"v1\"") && error.contains("bedplate.dev/v1alpha1"), "{error}");
    let error = refusal("apiVersion: bedplate.dev/v1\nkind: Dataset\n");
    assert!(error.contains("\"bedplate.dev/v1\""), "{error}");
    let error = refusal("apiVersion: bedplate.dev/v1alpha1\nkind: Model\n");
    assert!(error.contains("\"Model\"") && error.contains("ModelDeployment"), "{error}");
    assert!(refusal("kind: Dataset\n").contains("apiVersion: is required"));
    assert!(refusal("apiVersion: 1\nkind: Dataset\n").contains("apiVersion: must be text"));
    assert!(refusal("just text").contains("apiVersion: is required"));
    assert!(refusal("# nothing\n---\n").contains("holds no resource"));
    assert!(parse("twice.yaml", &format!("{THREE}\n---\n{THREE}")).expect_err("twice").to_string().contains("twice"));
    assert!(refusal("a: [").starts_with("m.yaml, document 1: "));
}

#[test]
fn documents_of_other_kinds_and_empty_ones_are_passed_over() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {a: 'b'}\n";
    let pods = "apiVersion: v1\nkind: PodList\nitems: [{kind: Pod}]\n";
    let text = format!("---\n# first\n---\n{secret}---\n{THREE}\n---\nnull\n---\n{pods}");
    let manifest = read("all.yaml", &text);
    assert!(manifest.resources.iter().all(Result::is_ok) && manifest.resources.len() == 3, "{manifest:?}");
    let notes: Vec<String> = manifest.passed_over.iter().map(ToString::to_string).collect();
    assert_eq!(notes[0], "all.yaml, document 1: Secret token is not one of Bedplate's kinds and is passed over");
    assert!(notes[1].contains("PodList without a name"), "{notes:?}");
    assert!(parse("secret.yaml", secret).expect_err("nothing of ours").to_string().contains("holds no resource"));
}

/// Everything in it is what `kubectl get --output yaml` prints of a Dataset, with a managedFields entry.
const PRINTED: &str = include_str!("tests/printed.yaml");

#[test]
fn what_kubectl_prints_is_read() {
    let resources = parse("printed.yaml", PRINTED).expect("a valid manifest");
    let metadata = resources[0].metadata();
    assert_eq!((metadata.name.as_str(), metadata.namespace.as_str()), ("texts", "team"));
    assert_eq!(metadata.labels["app"], "a");
    assert!(metadata.annotations.contains_key("kubectl.kubernetes.io/last-applied-configuration"));
}

#[test]
fn a_label_that_is_null_is_empty_and_a_namespace_that_is_null_is_the_default() {
    let yaml =
        THREE.replacen("name: sources\n", "name: sources\n  namespace:\n  labels: {a: null}\n  annotations: null\n", 1);
    let resources = parse("m.yaml", &yaml).expect("valid");
    let metadata = resources[0].metadata();
    assert_eq!((metadata.namespace.as_str(), metadata.labels["a"].as_str()), ("default", ""));
    assert!(metadata.annotations.is_empty());
}

#[test]
fn lists_hold_resources_of_any_kind_or_of_their_own() {
    let indented = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let items: String = THREE.split("---\n").map(|item| format!("-\n{}", indented(item))).collect();
    let list = format!("apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n{items}");
    assert_eq!(parse("list.yaml", &list).expect("a list"), parse("three.yaml", THREE).expect("three documents"));
    let own = THREE
        .split("---\n")
        .next()
        .expect("a Dataset")
        .replace("apiVersion: bedplate.dev/v1alpha1\nkind: Dataset\n", "");
    let list = format!("apiVersion: bedplate.dev/v1alpha1\nkind: DatasetList\nitems:\n-\n{}", indented(&own));
    assert_eq!(parse("list.yaml", &list).expect("a list")[0].key().to_string(), "Dataset default/sources");
    let wrong = list.replace("vocabSize: 512", "vocabSize: many");
    let error = parse("list.yaml", &wrong).expect_err("text").to_string();
    assert!(
        error.starts_with("list.yaml, document 1, item 1: spec.tokenizer.vocabSize: must be a whole number"),
        "{error}"
    );
    assert!(refusal("apiVersion: v1\nkind: List\nitems: []\n").contains("holds no resource"));
    assert!(refusal("apiVersion: v1\nkind: List\nitems: 5\n").contains("items: must be a list"));
}

#[test]
fn json_values_may_follow_each_other() {
    let one = |name: &str| {
        format!(
            "{{\"apiVersion\": \"bedplate.dev/v1alpha1\", \"kind\": \"Dataset\",\n\t\"metadata\": {{\"name\": {name}}}, \"spec\": {{\"sources\": [{{\"uri\": \"file:a\"}}], \"tokenizer\": {{\"type\": \"train\", \"vocabSize\": 300}}, \"packing\": {{\"sequenceLength\": 64}}}}}}"
        )
    };
    let text = format!("{}\n{}{}", one("\"a\""), one("\"b\""), one("5"));
    let resources = read("three.json", &text).resources;
    let names: Vec<_> = resources.iter().flatten().map(|(_, resource)| resource.metadata().name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let error = resources[2].as_ref().expect_err("a number").to_string();
    assert!(
        error.starts_with("three.json, document 3: metadata.name: must be text") && error.contains("line 5"),
        "{error}"
    );
}

/// With each optional field of the three kinds set to null in turn, at any depth, the manifest means what it means without it.
#[test]
fn null_counts_as_absent_everywhere() {
    let full = include_str!("../../../e2e/api/good/full.yaml");
    let mut tried = 0;
    for document in documents::cut(full) {
        let node = yaml::read(&document).expect("YAML").expect("a document");
        for path in paths(&node) {
            let (without, with_null) =
                (rewritten(&node, &path, None), rewritten(&node, &path, Some(serde_json::Value::Null)));
            let found =
                |value: &serde_json::Value| parse("m.yaml", &value.to_string()).map_err(|error| error.to_string());
            let (without, with_null) = (found(&without), found(&with_null));
            let is_same = match (&without, &with_null) {
                (Ok(one), Ok(other)) => one == other,
                // Columns differ; what is missing is the same.
                (Err(one), Err(other)) => one.split(", at line").next() == other.split(", at line").next(),
                _ => false,
            };
            assert!(is_same, "{path:?}: {without:?} and with null {with_null:?}");
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried} fields");
}

/// Paths of all fields, those of objects in lists too.
fn paths(node: &Node) -> Vec<Vec<String>> {
    let below = |name: String, node: &Node| {
        let paths = paths(node).into_iter();
        paths.map(|path| [vec![name.clone()], path].concat()).collect::<Vec<_>>()
    };
    match &node.value {
        Yaml::Map(fields) => fields
            .iter()
            .flat_map(|(key, value)| [vec![vec![key.name.clone()]], below(key.name.clone(), value)].concat())
            .collect(),
        Yaml::List(items) => items.iter().enumerate().flat_map(|(i, item)| below(i.to_string(), item)).collect(),
        _ => Vec::new(),
    }
}

/// The document with another value at that path, or none.
fn rewritten(node: &Node, path: &[String], value: Option<serde_json::Value>) -> serde_json::Value {
    let mut document = shape::json(node);
    let pointer: String = path[..path.len() - 1].iter().map(|name| format!("/{}", name.replace('/', "~1"))).collect();
    let parent = document.pointer_mut(&pointer).and_then(serde_json::Value::as_object_mut).expect("an object");
    let name = &path[path.len() - 1];
    match value {
        Some(value) => drop(parent.insert(name.clone(), value)),
        None => drop(parent.shift_remove(name)),
    }
    document
}

/// Each line: what is written in the first Dataset, what is written instead, and what the refusal must hold.
#[test]
fn what_the_api_server_refuses_is_refused_in_its_words() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("name: sources\n", "name: 123\n", &["metadata.name", "123 without quotes is a number", "line 5, column 9"]),
        ("name: sources\n", "name: on\n", &["metadata.name", "on without quotes means true", "\"on\""]),
        ("name: sources\n", "name: null\n", &["metadata.name: is required"]),
        ("name: sources\n", "generateName: s-\n", &["metadata.name: is required; generateName"]),
        ("name: sources\n", "name: sources\n  labels: {a: 1}\n", &["metadata.labels[a]", "write \"1\""]),
        ("name: sources\n", "name: sources\n  labels: {'a b': c}\n", &["metadata.labels[a b]: is no key"]),
        ("name: sources\n", "name: sources\n  labels: {a: 'b c'}\n", &["metadata.labels[a]", "up to 63 letters"]),
        (
            "name: sources\n",
            "name: sources\n  annotations: {'a/b/c': d}\n",
            &["metadata.annotations[a/b/c]: is no key"],
        ),
        ("name: sources\n", "name: sources\n  nom: a\n", &["metadata.nom: unknown field"]),
        ("name: sources\n", "name: sources\n  name: b\n", &["name is there twice"]),
        ("name: sources\n", "name: [sources]\n", &["metadata.name: must be text, but is a list"]),
        ("sequenceLength: 64", "sequenceLength: '64'", &["must be a whole number, 0 or more, but is \"64\""]),
        ("sequenceLength: 64", "sequenceLength: 64.5", &["must be a whole number", "64.5"]),
        ("sequenceLength: 64", "sequenceLength: -1", &["is -1; it must be from 2"]),
        ("sequenceLength: 64", "sequenceLength: 99999999999", &["it must be from 2 to 1048576"]),
        (
            "sequenceLength: 64",
            "sequenceLength: 64, documentMask: 1",
            &["documentMask: must be true or false, but is 1"],
        ),
        ("ratio: 0.02", "ratio: .nan", &["spec.holdout.ratio: must be a number"]),
        ("include: ['**/*.rs']", "include: '**/*.rs'", &["include: must be a list"]),
        ("include: ['**/*.rs']", "include: [null]", &["include[0]: must be text, but is nothing"]),
        ("include: ['**/*.rs']", "format: no", &["format: must be text, but no without quotes means false"]),
        ("- { type: exactDedup }", "- ", &["spec.pipeline[0]: must be an object"]),
        (
            "type: exactDedup",
            "type: exactDedup, minBytes: 8",
            &["spec.pipeline[0]: minBytes goes with type length only"],
        ),
        (
            "type: train, vocabSize: 512",
            "type: load, uri: 'file:t', vocabSize: 5",
            &["vocabSize is needed with type train"],
        ),
        ("type: train, vocabSize: 512", "type: train", &["spec.tokenizer: vocabSize is needed with type train"]),
        ("type: train, ", "", &["spec.tokenizer.type: is required"]),
        ("kind: Dataset\n", "kind: Dataset\nspecs: {}\n", &["specs: unknown field"]),
    ];
    for (old, new, expected) in cases {
        let yaml = THREE.replacen(old, new, 1);
        assert_ne!(yaml, THREE, "{old} is not in the manifest");
        let error = parse("three.yaml", &yaml).expect_err(new).to_string();
        for part in *expected {
            assert!(error.contains(part), "{new}: {part:?} is not in {error:?}");
        }
        for word in ["u32", "u64", "f64", "bool,", "expected", "variant", "struct", "null,"] {
            assert!(!error.contains(word), "{new}: {word:?} is in {error:?}");
        }
    }
}

#[test]
fn every_mistake_in_a_document_is_told() {
    let yaml = THREE.replacen("vocabSize: 512", "vocabSize: x", 1).replacen("ratio: 0.02", "ratios: 0.02", 1);
    let errors: Vec<String> =
        read("m.yaml", &yaml).resources.into_iter().filter_map(Result::err).map(|e| e.to_string()).collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(
        errors[0].contains("vocabSize")
            && errors[1].contains("holdout.ratios")
            && errors[2].contains("holdout.ratio: is required")
    );
}

#[test]
fn kinds_with_a_service_have_names_that_begin_with_a_letter() {
    let training =
        THREE.replace("name: tiny\nspec:\n  model:\n    type: config", "name: 7b\nspec:\n  model:\n    type: config");
    let error = parse("m.yaml", &training).expect_err("a Service of a TrainingJob").to_string();
    assert!(error.contains("metadata.name: metadata.name becomes the name of a Service"), "{error}");
    let dataset = THREE.replace("name: sources\nspec", "name: 2026-corpus\nspec");
    assert!(parse("m.yaml", &dataset).is_ok(), "a Dataset has no Service");
}

/// What quantities and their names the API server takes.
#[test]
fn quantities_are_those_of_the_api_server() {
    let refused = |quantities: &str| {
        let yaml = THREE.replacen(
            "workers: { numNodes: 2 }",
            &format!("workers: {{ numNodes: 2, resourcesPerNode: {quantities} }}"),
            1,
        );
        match parse("m.yaml", &yaml) {
            Err(error) => Some(error.to_string()),
            Ok(resources) => match &resources[1] {
                AnyResource::TrainingJob(job) => {
                    training_job::validate::validate(job).err().map(|error| error.to_string())
                }
                _ => panic!("the second is the TrainingJob"),
            },
        }
    };
    for quantities in [
        "{cpu: 2, memory: 4Gi}",
        "{cpu: '0.5'}",
        "{cpu: 500m, nvidia.com/gpu: 1}",
        "{memory: +1.5Gi}",
        "{memory: 1e9}",
        "{nvidia.com/gpu: 2000m}",
        "{nvidia.com/gpu: '1.1e1'}",
        "{ephemeral-storage: 1G, hugepages-2Mi: 4Mi}",
        "{cpu: 2.0}",
        "{cpu: }",
    ] {
        assert_eq!(refused(quantities), None, "{quantities}");
    }
    for (quantities, words) in [
        ("{cpu: 0.5}", "write \"0.5\" in quotes"),
        ("{cpu: -1}", "a quantity such as"),
        ("{cpu: true}", "integer or string"),
        ("{cpu: many}", "a quantity such as"),
        ("{cpu: ''}", "a quantity such as"),
        ("{memory: 4 Gi}", "a quantity such as"),
        ("{'': 1}", "a resource is cpu, memory"),
        ("{gpu: 1}", "a resource is cpu, memory"),
        ("{CPU: 1}", "a resource is cpu"),
        ("{nvidia.com/: 1}", "a resource is cpu"),
        ("{'nvidia com/gpu': 1}", "a resource is cpu"),
        ("{kubernetes.io/x: 1}", "a resource is cpu"),
        ("{nvidia.com/gpu: 500m}", "whole numbers"),
        ("{nvidia.com/gpu: '0.5'}", "whole numbers"),
        ("{cpu: [2]}", "a list"),
        ("{memory: 1111111111111111111111111111111111111}", "integer or string"),
        ("{memory: '111111111111111111111111111111111'}", "a quantity such as"),
    ] {
        let error = refused(quantities).unwrap_or_else(|| panic!("{quantities} is accepted"));
        assert!(error.contains(words), "{quantities}: {words:?} is not in {error:?}");
    }
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
