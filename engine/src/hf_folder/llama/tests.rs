//! Folders whose config and tensors disagree: what wins, and what is refused. The right values are transformers 5.24.0's.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::*;
use crate::{
    hf_folder::{CONFIG_FILE, write_model_folder},
    params::Weights,
    safetensors_file::NamedTensor,
};

fn small(tie_word_embeddings: bool) -> ModelConfig {
    ModelConfig {
        hidden_size: 8,
        intermediate_size: 6,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 4,
        vocab_size: 10,
        tie_word_embeddings,
        ..ModelConfig::default()
    }
}

/// Writes the model with more tensors and with names changed.
fn write(dir: &Path, config: Value, weights: &Weights, more: &[(&str, Vec<f32>)], rename: impl Fn(&str) -> String) {
    let own = weights.layout().params().iter().map(|param| NamedTensor {
        name: rename(&param.name),
        shape: param.shape.clone(),
        data: &weights.as_slice()[param.range.clone()],
    });
    let more = more.iter().map(|(name, data)| {
        let shape = if data.len() == 80 { vec![10, 8] } else { vec![data.len()] };
        NamedTensor { name: (*name).to_owned(), shape, data }
    });
    write_model_folder(dir, &config, &own.chain(more).collect::<Vec<_>>(), &[]).unwrap();
}

fn folder(config: &ModelConfig, more: &[(&str, Vec<f32>)]) -> Result<FolderConfig, ModelFolderError> {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    let weights = Weights::init(ParamLayout::new(config).into(), config, 3);
    write(&dir, Value::Object(config.to_json()), &weights, more, str::to_owned);
    ModelFolder::open(&dir).unwrap().model_config()
}

fn embedding(config: &ModelConfig) -> Vec<f32> {
    Weights::init(ParamLayout::new(config).into(), config, 3).tensor(EMBEDDING).unwrap().to_vec()
}

#[test]
fn a_head_that_differs_from_a_tied_embedding_wins_and_an_equal_one_stays_tied() {
    let config = small(true);
    let mut head = embedding(&config);
    let equal = folder(&config, &[(HEAD, head.clone())]).unwrap();
    assert_eq!(equal, FolderConfig { config: config.clone(), notes: Vec::new() });
    head[79] += 1.0;
    let differing = folder(&config, &[(HEAD, head)]).unwrap();
    assert_eq!(differing.config, ModelConfig { tie_word_embeddings: false, ..config });
    assert!(differing.notes[0].starts_with("lm_head.weight differs"), "{:?}", differing.notes);
}

#[test]
fn a_head_in_another_number_format_is_compared_by_its_numbers() {
    let root = tempfile::tempdir().unwrap();
    let config = small(true);
    fs::write(root.path().join(CONFIG_FILE), Value::Object(config.to_json()).to_string()).unwrap();
    let weights = Weights::zeros(ParamLayout::new(&config).into());
    let bytes = |len: usize, width: usize| vec![0u8; len * width];
    let mut tensors: Vec<_> = weights
        .layout()
        .params()
        .iter()
        .map(|param| (param.name.clone(), safetensors::Dtype::F32, param.shape.clone(), bytes(param.range.len(), 4)))
        .collect();
    tensors.push((HEAD.to_owned(), safetensors::Dtype::BF16, vec![10, 8], bytes(80, 2)));
    for differs in [false, true] {
        if differs {
            tensors.last_mut().unwrap().3[1] = 0x3F;
        }
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name.as_str(), safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        fs::write(root.path().join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
        let read = ModelFolder::open(root.path()).unwrap().model_config().unwrap();
        assert_eq!(read.config.tie_word_embeddings, !differs);
    }
}

#[test]
fn a_missing_head_says_which_key_is_missing() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    let weights = Weights::zeros(ParamLayout::new(&small(true)).into());
    let mut config = small(true).to_json();
    config.remove("tie_word_embeddings");
    write(&dir, Value::Object(config), &weights, &[], str::to_owned);
    let error = ModelFolder::open(&dir).unwrap().model_config().unwrap_err().to_string();
    assert!(error.contains("there is no lm_head.weight; write \"tie_word_embeddings\": true"), "{error}");
}

#[test]
fn tensors_of_the_base_models_class_are_found() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    let config = small(true);
    let weights = Weights::init(ParamLayout::new(&config).into(), &config, 5);
    let mut written = config.to_json();
    written["architectures"] = json!(["LlamaModel"]);
    write(&dir, Value::Object(written), &weights, &[], |name| name.strip_prefix("model.").unwrap().to_owned());
    let mut folder = ModelFolder::open(&dir).unwrap();
    assert_eq!(folder.model_config().unwrap().config, config);
    let mut read = vec![0.0; 80];
    folder.read_f32(EMBEDDING, &[10, 8], &mut read).unwrap();
    assert_eq!(read, weights.tensor(EMBEDDING).unwrap());
}

#[test]
fn tensors_that_would_change_the_arithmetic_are_refused_and_others_are_passed_over() {
    let config = small(true);
    for name in [
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.0.self_attn.q_norm.weight",
        "model.layers.0.mlp.experts.0.w1.weight",
        "model.norm.bias",
        "lm_head.bias",
    ] {
        let error = folder(&config, &[(name, vec![0.0; 8])]).unwrap_err();
        assert!(error.to_string().starts_with(&format!("tensor {name} of ")), "{error}");
        assert!(!error.is_corruption());
    }
    for name in ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.1.mlp.up_proj.weight", "v_head.weight"] {
        assert_eq!(folder(&config, &[(name, vec![0.0; 2])]).unwrap().config, config, "{name}");
    }
}

#[test]
fn a_config_that_lies_is_refused_with_its_key() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    let weights = Weights::zeros(ParamLayout::new(&small(true)).into());
    write(&dir, Value::Object(small(true).to_json()), &weights, &[], str::to_owned);
    let text = fs::read_to_string(dir.join(CONFIG_FILE)).unwrap();
    let read = |text: String| {
        fs::write(dir.join(CONFIG_FILE), text).unwrap();
        ModelFolder::open(&dir).unwrap().model_config()
    };
    let with = |key: &str| text.replacen('{', &format!("{{{key},"), 1);
    assert_eq!(read(with("\"unread\": NaN, \"other\": [-Infinity]")).unwrap().config, small(true));
    let error = read(with("\"sliding_window\": 4")).unwrap_err().to_string();
    assert!(error.contains("config.json in") && error.contains("sliding_window is 4, below"), "{error}");
    let error = read("[]".to_owned()).unwrap_err().to_string();
    assert!(error.contains("config.json in"), "{error}");
}
