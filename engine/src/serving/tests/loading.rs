//! Models from files: the same numbers whatever the container and format, and clear refusals.

use std::sync::Arc;

use half::{bf16, f16};
use safetensors::{Dtype, tensor::TensorView};

use super::fixtures::{even_config, logits_one_by_one, tokens, weights_of};
use super::reference::{self, relative_error};
use crate::config::ModelConfig;
use crate::gguf::GgufFile;
use crate::gguf::testing::Builder;
use crate::hf_folder::ModelFolder;
use crate::params::Weights;
use crate::quant::{Format, dequantise, testing::stored};
use crate::serving::{KvFormat, ServingError, ServingModel};

const FORMATS: [(Format, u32); 6] =
    [(Format::F32, 0), (Format::F16, 1), (Format::Q4_0, 2), (Format::Q4_1, 3), (Format::Q8_0, 8), (Format::BF16, 30)];

/// llama.cpp's names of the tensors of one block and whether their rows are rotary pairs.
const BLOCK_TENSORS: [(&str, &str, bool); 9] = [
    ("input_layernorm", "attn_norm", false),
    ("self_attn.q_proj", "attn_q", true),
    ("self_attn.k_proj", "attn_k", true),
    ("self_attn.v_proj", "attn_v", false),
    ("self_attn.o_proj", "attn_output", false),
    ("post_attention_layernorm", "ffn_norm", false),
    ("mlp.gate_proj", "ffn_gate", false),
    ("mlp.up_proj", "ffn_up", false),
    ("mlp.down_proj", "ffn_down", false),
];

fn metadata(config: &ModelConfig) -> Builder {
    Builder::default()
        .str("general.architecture", "llama")
        .u32("llama.block_count", config.num_hidden_layers as u32)
        .u32("llama.embedding_length", config.hidden_size as u32)
        .u32("llama.feed_forward_length", config.intermediate_size as u32)
        .u32("llama.attention.head_count", config.num_attention_heads as u32)
        .u32("llama.attention.head_count_kv", config.num_key_value_heads as u32)
        .u32("llama.context_length", config.max_position_embeddings as u32)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .u32("tokenizer.ggml.eos_token_id", 7)
}

/// Swaps the rows of every head from halves to neighbours, as llama.cpp's converter does.
fn neighbours(rows: &[Vec<u8>], head_dim: usize) -> Vec<Vec<u8>> {
    let head = |rows: &[Vec<u8>]| -> Vec<Vec<u8>> {
        let (first, second) = rows.split_at(head_dim / 2);
        first.iter().zip(second).flat_map(|(a, b)| [a.clone(), b.clone()]).collect()
    };
    rows.chunks(head_dim).flat_map(head).collect()
}

/// A GGUF file of random stored bytes, and the same numbers as weights.
fn random_file(config: &ModelConfig, (format, kind): (Format, u32)) -> (Builder, Weights) {
    let mut weights = weights_of(config, 3);
    let mut file = metadata(config);
    let params = weights.layout().params().to_vec();
    for (index, param) in params.iter().enumerate() {
        let values = weights.tensor_mut(&param.name).expect("the layout names it");
        let (name, rotated) = gguf_name(&param.name);
        if let [len] = param.shape[..] {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            file = file.tensor(&name, &[len as u64], 0, bytes);
            continue;
        }
        let columns = param.shape[1];
        let bytes = stored(format, values.len(), index as u64 + 1);
        dequantise(format, &bytes, values);
        let mut rows: Vec<Vec<u8>> = bytes.chunks(format.num_bytes(columns)).map(<[u8]>::to_vec).collect();
        if rotated {
            rows = neighbours(&rows, config.head_dim);
        }
        file = file.tensor(&name, &[columns as u64, param.shape[0] as u64], kind, rows.concat());
    }
    (file, weights)
}

fn gguf_name(name: &str) -> (String, bool) {
    match name {
        "model.embed_tokens.weight" => ("token_embd.weight".to_owned(), false),
        "model.norm.weight" => ("output_norm.weight".to_owned(), false),
        "lm_head.weight" => ("output.weight".to_owned(), false),
        _ => {
            let (layer, part) = name["model.layers.".len()..].split_once('.').expect("a block's tensor");
            let part = part.strip_suffix(".weight").expect("a weight");
            let (_, gguf, rotated) = BLOCK_TENSORS.iter().find(|(hub, ..)| *hub == part).expect("a known tensor");
            (format!("blk.{layer}.{gguf}.weight"), *rotated)
        }
    }
}

fn open(file: &Builder) -> Result<ServingModel, ServingError> {
    ServingModel::from_gguf(&GgufFile::from_bytes(file.build()).expect("the container is sound"))
}

#[test]
fn a_gguf_file_of_every_format_gives_the_logits_of_its_exact_numbers() {
    let untied = ModelConfig { tie_word_embeddings: false, ..even_config() };
    for (config, format) in FORMATS.iter().map(|format| (even_config(), *format)).chain([(untied, FORMATS[3])]) {
        let (file, weights) = random_file(&config, format);
        let model = Arc::new(open(&file).expect("loads"));
        assert_eq!(model.config().eos_token_id.as_ref().expect("named").to_vec(), [7]);
        let tokens = tokens(12, config.vocab_size);
        let found = logits_one_by_one(&model, &tokens, KvFormat::F32);
        let tensors = |name: &str| weights.tensor(name).expect("exists").to_vec();
        let error = relative_error(&found, &reference::logits(&config, &tensors, &tokens));
        let bound = if format.0.is_quantised() { 1e-3 } else { 2e-5 };
        assert!(error < bound, "{:?}: relative error {error}", format.0);
    }
}

#[test]
fn quantised_weights_stay_as_small_in_memory_as_in_the_file() {
    let (file, _) = random_file(&even_config(), FORMATS[3]);
    let matrices: usize = file.tensors.iter().map(|(_, _, _, bytes)| bytes.len()).sum();
    let model = open(&file).expect("loads");
    // Rows are filled up to whole panels and to cache lines.
    assert!((matrices as u64..matrices as u64 * 21 / 20).contains(&model.weight_bytes()));
}

/// Writes a folder whose matrices have `dtype`, and gives the numbers in it.
fn write_folder(dir: &std::path::Path, config: &ModelConfig, dtype: Dtype) -> Weights {
    let mut weights = weights_of(config, 4);
    let params = weights.layout().params().to_vec();
    let mut tensors = Vec::new();
    for param in &params {
        let values = weights.tensor_mut(&param.name).expect("the layout names it");
        let mut bytes = Vec::new();
        for value in values {
            match dtype {
                Dtype::F16 => bytes.extend(f16::from_f32(*value).to_le_bytes()),
                Dtype::BF16 => bytes.extend(bf16::from_f32(*value).to_le_bytes()),
                _ => bytes.extend(value.to_le_bytes()),
            }
            *value = match dtype {
                Dtype::F16 => f16::from_f32(*value).to_f32(),
                Dtype::BF16 => bf16::from_f32(*value).to_f32(),
                _ => *value,
            };
        }
        tensors.push((param.name.clone(), param.shape.clone(), bytes));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(dtype, shape.clone(), bytes).expect("shape and bytes agree"))
    });
    let json = serde_json::to_vec(config).expect("a config is serialisable");
    std::fs::write(dir.join("config.json"), json).expect("is written");
    safetensors::serialize_to_file(views, None, &dir.join("model.safetensors")).expect("is written");
    weights
}

#[test]
fn a_folder_gives_the_bits_of_its_numbers_as_weights() {
    let config = even_config();
    let tokens = tokens(9, config.vocab_size);
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        let dir = tempfile::tempdir().expect("a folder");
        let weights = write_folder(dir.path(), &config, dtype);
        let expected = ServingModel::from_weights(&config, &weights);
        let expected_logits = logits_one_by_one(&Arc::new(expected), &tokens, KvFormat::F16);
        let mut folder = ModelFolder::open(dir.path()).expect("opens");
        let sizes = [false, true].map(|as_f32| {
            let model = ServingModel::from_folder(&mut folder, as_f32).expect("loads");
            let bytes = model.weight_bytes();
            assert_eq!(logits_one_by_one(&Arc::new(model), &tokens, KvFormat::F16), expected_logits, "{dtype:?}");
            bytes
        });
        assert_eq!(sizes[0] < sizes[1], dtype != Dtype::F32, "halves stay halves unless asked otherwise");
    }
}

#[test]
fn every_refusal_names_what_is_wrong_and_what_to_use() {
    let config = even_config();
    let file = |change: fn(Builder) -> Builder| change(random_file(&config, FORMATS[0]).0);
    let refusal = |change| open(&file(change)).expect_err("is refused").to_string();
    let with = |key: &'static str, change: fn(Builder) -> Builder| {
        let mut file = random_file(&config, FORMATS[0]).0;
        file.metadata.retain(|(name, ..)| name != key);
        open(&change(file)).expect_err("is refused").to_string()
    };
    assert_eq!(
        with("general.architecture", |file| file.str("general.architecture", "mamba")),
        "general.architecture is \"mamba\", which is not supported; use a model of the architecture \"llama\""
    );
    assert_eq!(with("llama.block_count", |file| file), "metadata key \"llama.block_count\" is missing");
    assert!(refusal(|file| file.str("llama.rope.scaling.type", "yarn")).contains("llama.rope.scaling.type \"yarn\""));
    assert!(refusal(|file| file.tensor("rope_freqs.weight", &[16], 0, vec![0; 64])).contains("rotary scaling"));
    assert!(refusal(|file| file.u32("llama.expert_count", 8)).contains("llama.expert_count 8"));
    assert!(refusal(|file| file.tensor("blk.0.attn_q.bias", &[128], 0, vec![0; 512])).contains("blk.0.attn_q.bias"));
    assert!(refusal(|file| file.tensor("blk.1.attn_q_norm.weight", &[1], 0, vec![0; 4])).contains("blk.1.attn_q_norm"));
    assert!(refusal(|file| file.u32("split.count", 3)).starts_with("a model in 3 files is not supported; join them"));
    assert!(refusal(|file| file.str("general.type", "adapter")).contains("general.type \"adapter\""));
    assert!(refusal(|file| file.f32("llama.rope.scale_linear", 4.0)).contains("llama.rope.scale_linear 4"));
    assert!(refusal(|file| file.u32("llama.rope.dimension_count", 16)).contains("llama.rope.dimension_count 16"));
    let vocab = refusal(|file| file.u32("llama.vocab_size", 161));
    assert!(vocab.starts_with("llama.vocab_size is 161 but token_embd.weight has 160 rows"), "{vocab}");
    let tokens = refusal(|file| file.strings("tokenizer.ggml.tokens", &["a", "b"]));
    assert!(tokens.contains("tokenizer.ggml.tokens is 2"), "{tokens}");
    assert!(
        with("llama.attention.head_count_kv", |file| file.u32("llama.attention.head_count_kv", 3))
            .starts_with("num_key_value_heads is 3")
    );
}

#[test]
fn a_head_count_for_every_layer_is_read_where_all_are_alike() {
    let with_heads = |heads: [u32; 2]| {
        let mut file = random_file(&even_config(), FORMATS[0]).0;
        file.metadata.retain(|(name, ..)| name != "llama.attention.head_count_kv");
        let mut list = [&4u32.to_le_bytes()[..], &2u64.to_le_bytes()].concat();
        heads.iter().for_each(|heads| list.extend(heads.to_le_bytes()));
        file.metadata.push(("llama.attention.head_count_kv".into(), 9, list));
        open(&file)
    };
    let heads = even_config().num_key_value_heads as u32;
    assert_eq!(with_heads([heads; 2]).expect("loads").config().num_key_value_heads as u32, heads);
    let error = with_heads([heads, heads + 1]).expect_err("is refused");
    assert!(error.to_string().contains("\"llama.attention.head_count_kv\" differs from layer to layer"), "{error}");
    assert!(!error.is_corruption());
}

#[test]
fn a_weight_of_an_unsupported_type_is_refused_by_name_before_anything_is_packed() {
    let mut file = random_file(&even_config(), FORMATS[0]).0;
    let name = "blk.1.ffn_down.weight";
    file.tensors.retain(|(tensor, ..)| tensor != name);
    let config = even_config();
    let (columns, rows) = (config.intermediate_size as u64, config.hidden_size as u64);
    let bytes = vec![0; (columns.div_ceil(32) * 22 * rows) as usize];
    let file = file.tensor(name, &[columns, rows], 6, bytes);
    let file = GgufFile::from_bytes(file.build()).expect("the container is sound");
    for error in
        [ServingModel::check_gguf(&file).expect_err("is refused"), ServingModel::from_gguf(&file).expect_err("too")]
    {
        assert!(error.to_string().starts_with("tensor \"blk.1.ffn_down.weight\" is Q5_0, which is not"), "{error}");
        assert!(!error.is_corruption());
    }
}

#[test]
fn ids_that_are_none_keep_no_model_from_loading() {
    let mut file = random_file(&even_config(), FORMATS[0]).0;
    file.metadata.retain(|(name, ..)| name != "tokenizer.ggml.eos_token_id");
    let file = file.u32("tokenizer.ggml.eos_token_id", u32::MAX).u32("tokenizer.ggml.bos_token_id", 5);
    let model = open(&file).expect("loads");
    assert_eq!((model.config().bos_token_id, model.config().eos_token_id.clone()), (Some(5), None));
}

#[test]
fn a_head_of_its_own_is_served_although_the_config_ties_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let untied = ModelConfig { tie_word_embeddings: false, ..even_config() };
    let weights = write_folder(dir.path(), &untied, Dtype::BF16);
    let mut lying = untied.to_json();
    lying["tie_word_embeddings"] = true.into();
    std::fs::write(dir.path().join("config.json"), serde_json::to_vec(&lying).expect("is JSON")).expect("is written");
    let mut folder = ModelFolder::open(dir.path()).expect("opens");
    let served = ServingModel::from_folder(&mut folder, false).expect("loads");
    assert_eq!(served.notes().len(), 1);
    let expected = ServingModel::from_weights(&untied, &weights);
    let tokens = tokens(9, untied.vocab_size);
    let [served, expected] =
        [served, expected].map(|model| logits_one_by_one(&Arc::new(model), &tokens, KvFormat::F16));
    assert_eq!(served, expected);
}

#[test]
fn missing_and_misshapen_tensors_are_named() {
    let without = |name: &str| {
        let mut file = random_file(&even_config(), FORMATS[0]).0;
        file.tensors.retain(|(tensor, ..)| tensor != name);
        file
    };
    let error = |file: &Builder| open(file).expect_err("is refused").to_string();
    let name = "blk.1.ffn_up.weight";
    assert_eq!(error(&without(name)), "tensor \"blk.1.ffn_up.weight\" is missing");
    let misshapen = without(name).tensor(name, &[128, 2], 0, vec![0; 1024]);
    assert_eq!(
        error(&misshapen),
        "tensor blk.1.ffn_up.weight has shape [2, 128] where the model's config asks for [192, 128]"
    );
}
