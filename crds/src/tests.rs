//! What the types accept, refuse and default.

use crate::{
    dataset::{DatasetSpec, PipelineStage},
    job::exit::ExitCode,
    quantity::is_quantity,
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
    for text in ["0", "2", "1.5", ".5", "500m", "4Gi", "1e3", "1E-3", "12E"] {
        assert!(is_quantity(text), "{text}");
    }
    for text in ["", ".", "many", "-1", "4gi", "1.2.3", "e3", "1e", "4 Gi"] {
        assert!(!is_quantity(text), "{text}");
    }
}
