//! What the types accept, refuse and default.

use crate::{
    dataset::{DatasetSpec, PipelineStage},
    job::exit::ExitCode,
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
