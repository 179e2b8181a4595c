//! What the types accept, refuse and default.

use crate::{
    dataset::{DatasetSpec, OnError, PipelineStage, Source},
    job::{exit::ExitCode, manifest::StageCounts},
    quantity::{amount, is_quantity, is_resource_name, may_be},
    training_job::Workers,
};

#[test]
fn exit_codes_are_distinct_and_found_again() {
    for exit in ExitCode::ALL {
        assert_eq!(ExitCode::from_code(i32::from(exit.code())), Some(exit));
    }
    assert_eq!(ExitCode::from_code(1), None);
}

#[test]
fn dataset_defaults_are_filled_in() {
    let spec: DatasetSpec = serde_json::from_value(serde_json::json!({
        "sources": [{ "uri": "file:corpus" }],
        "pipeline": [{ "type": "exactDedup" }, { "type": "length", "minBytes": 8 }],
        "tokenizer": { "type": "train", "vocabSize": 512 },
        "packing": { "sequenceLength": 64 }
    }))
    .expect("a minimal Dataset");
    assert!(spec.packing.document_mask);
    assert_eq!(spec.pipeline[1], PipelineStage::Length { min_bytes: 8, max_bytes: None });
    assert_eq!(spec.holdout.ratio, 0.01);
    assert_eq!((spec.sources[0].on_error, spec.sources[0].tolerated_errors()), (OnError::Fail, 0));
    let written = serde_json::to_string(&spec).expect("a spec");
    assert!(!written.contains("onError"), "a default is not written, so that no spec of before changes: {written}");
}

#[test]
fn errors_are_skipped_up_to_a_bound() {
    let source = |fields: &str| -> Source {
        serde_json::from_str(&format!(r#"{{"uri":"file:a","onError":"skip"{fields}}}"#)).expect("a source")
    };
    assert_eq!(source("").tolerated_errors(), 100);
    assert_eq!(source(r#","maxErrors":7"#).tolerated_errors(), 7);
}

#[test]
fn counts_of_earlier_releases_are_read() {
    let text = r#"{"stage":"read","documentsIn":2,"documentsOut":1,"bytesIn":20,"bytesOut":10}"#;
    let counts: StageCounts = serde_json::from_str(text).expect("counts without what was left out");
    assert!(counts.left_out.is_empty());
    assert_eq!(serde_json::to_string(&counts).expect("counts"), text, "so that their seal still holds");
}

#[test]
fn unknown_fields_are_refused_by_name() {
    let refused = serde_json::from_value::<DatasetSpec>(serde_json::json!({
        "sources": [], "tokenizer": { "type": "train", "vocabSize": 512 }, "packing": { "sequenceLength": 64 }, "pipelines": []
    }));
    assert!(refused.expect_err("a misspelt field").to_string().contains("pipelines"));
}

#[test]
fn quantities_are_numbers_or_strings() {
    let workers: Workers =
        serde_json::from_value(serde_json::json!({ "resourcesPerNode": { "cpu": 2, "memory": "4Gi", "share": 0.5 } }))
            .expect("workers");
    let texts: Vec<&str> = workers.resources_per_node.values().map(String::as_str).collect();
    assert_eq!(texts, ["2", "4Gi", "0.5"]);
    let refused = serde_json::from_value::<Workers>(serde_json::json!({ "resourcesPerNode": { "cpu": [2] } }));
    assert!(refused.expect_err("a list").to_string().contains("a quantity such as"));
}

#[test]
fn a_quantity_is_a_number_with_a_known_suffix() {
    for text in ["+2", "0", "2", "1.5", ".5", "500m", "4Gi", "1e3", "1E-3", "12E"] {
        assert!(is_quantity(text), "{text}");
    }
    for text in ["+", "++2", "", ".", "many", "-1", "4gi", "1.2.3", "e3", "1e", "4 Gi"] {
        assert!(!is_quantity(text), "{text}");
    }
}

#[test]
fn amounts_are_exact_where_they_are_whole() {
    for (text, expected) in
        [("+2", 2.0), ("1.1e1", 11.0), ("2000m", 2.0), ("1.5Mi", 1_572_864.0), ("3E", 3e18), ("1e-3", 0.001)]
    {
        assert_eq!(amount(text), Some(expected), "{text}");
    }
    assert_eq!(amount("-"), None);
}

#[test]
fn resources_have_names_and_those_with_a_domain_are_whole() {
    for name in ["cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "nvidia.com/gpu", "example.com/a_b.c"] {
        assert!(is_resource_name(name), "{name}");
    }
    for name in [
        "",
        "gpu",
        "CPU",
        "hugepages-",
        "hugepages-x",
        "nvidia.com/",
        "/gpu",
        "a..b/c",
        "requests.cpu",
        "kubernetes.io/x",
    ] {
        assert!(!is_resource_name(name), "{name}");
    }
    for quantity in ["1", "2000m", "1e3", "1k"] {
        assert!(may_be("nvidia.com/gpu", quantity), "{quantity}");
    }
    for quantity in ["0.5", "500m", "1e400", "1.1"] {
        assert!(!may_be("nvidia.com/gpu", quantity), "{quantity}");
    }
    assert!(may_be("cpu", "0.5"));
}
