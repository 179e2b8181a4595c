//! The engine's side of `scripts/parity-train.py`: a small random model, its loss and gradients on one batch, and the
//! losses of ten training steps, written where the script reads them.
//!
//! Usage: `parity FOLDER tied|untied`. Leaves `model/` (Hugging Face's layout), `gradients.safetensors` and `run.json`.

use std::{path::Path, sync::Arc};

use bedplate_engine::{
    AdamW, AdamWConfig, Batch, BatchShape, Decoder, Gradients, IGNORED_TARGET, ModelConfig, ParamLayout, Weights,
    clip_scale, global_norm,
    hf_folder::write_model_folder,
    safetensors_file::{NamedTensor, write_safetensors},
};

const SHAPE: BatchShape = BatchShape { micro_batch_size: 4, sequence_length: 96 };
const OPTIMIZER: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
const LEARNING_RATE: f64 = 1e-3;
const MAX_GRADIENT_NORM: f64 = 1.0;
const STEPS: usize = 10;
/// Documents of each sequence; the third ends in padding.
const DOCUMENTS: [&[u32]; 4] = [&[96], &[40, 56], &[1, 30, 50], &[70, 26]];

fn config(tie_word_embeddings: bool) -> ModelConfig {
    ModelConfig {
        hidden_size: 64,
        intermediate_size: 96,
        num_hidden_layers: 3,
        head_dim: 16,
        vocab_size: 300,
        max_position_embeddings: 128,
        initializer_range: 0.2,
        tie_word_embeddings,
        ..ModelConfig::default()
    }
}

/// Tokens of a linear congruential sequence; each predicts the next of its document.
fn batch(vocab_size: usize) -> Batch {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % vocab_size as u64) as u32
    };
    let tokens: Vec<u32> = (0..SHAPE.rows()).map(|_| next()).collect();
    let mut targets = vec![IGNORED_TARGET; tokens.len()];
    for (sequence, lengths) in DOCUMENTS.iter().enumerate() {
        let mut start = sequence * SHAPE.sequence_length;
        for length in lengths.iter().map(|length| *length as usize) {
            targets[start..start + length - 1].copy_from_slice(&tokens[start + 1..start + length]);
            start += length;
        }
    }
    Batch { tokens, targets, segment_lengths: DOCUMENTS.iter().map(|lengths| lengths.to_vec()).collect() }
}

fn tensors<'a>(layout: &ParamLayout, values: &'a [f32]) -> Vec<NamedTensor<'a>> {
    let tensor = |param: &bedplate_engine::ParamSpec| NamedTensor {
        name: param.name.clone(),
        shape: param.shape.clone(),
        data: &values[param.range.clone()],
    };
    layout.params().iter().map(tensor).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, head] = arguments.as_slice() else { return Err("usage: parity FOLDER tied|untied".into()) };
    let (folder, config) = (Path::new(folder), config(head == "tied"));
    let layout = Arc::new(ParamLayout::new(&config));
    let mut weights = Weights::init(layout.clone(), &config, 7);
    write_model_folder(
        &folder.join("model"),
        &serde_json::to_value(&config)?,
        &tensors(&layout, weights.as_slice()),
        &[],
    )?;

    let batch = batch(config.vocab_size);
    let mut decoder = Decoder::new(&config, SHAPE)?;
    let mut gradients = Gradients::zeros(layout.clone());
    let mut optimizer = AdamW::new(OPTIMIZER, layout.clone());
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for step in 0..STEPS {
        gradients.clear();
        let loss = decoder.loss_and_gradients(&weights, &batch, &mut gradients);
        if step == 0 {
            write_safetensors(&folder.join("gradients.safetensors"), &tensors(&layout, gradients.as_slice()))?;
        }
        let mean = 1.0 / loss.tokens as f64;
        let norm = global_norm(&gradients) * mean;
        optimizer.step(&mut weights, &gradients, LEARNING_RATE, mean * clip_scale(norm, MAX_GRADIENT_NORM));
        losses.push(loss.nll * mean);
        norms.push(norm);
    }
    let run = serde_json::json!({
        "tokens": batch.tokens, "segment_lengths": batch.segment_lengths, "sequence_length": SHAPE.sequence_length,
        "learning_rate": LEARNING_RATE, "beta1": OPTIMIZER.beta1, "beta2": OPTIMIZER.beta2, "eps": OPTIMIZER.eps,
        "weight_decay": OPTIMIZER.weight_decay, "max_gradient_norm": MAX_GRADIENT_NORM,
        "losses": losses, "gradient_norms": norms,
    });
    std::fs::write(folder.join("run.json"), serde_json::to_vec_pretty(&run)?)?;
    Ok(())
}
