//! Training steps of the quickstart's model on a pool of given size: the engine's side of `cargo xtask bench train-cpu`.
//!
//! Prints one JSON line with the median seconds of each part of a step, then one with the tokens per second of whole steps.

use std::{sync::Arc, time::Instant};

use bedplate_engine::{
    AdamW, AdamWConfig, Batch, BatchShape, Decoder, Gradients, ModelConfig, ParamLayout, Weights, clip_scale,
    global_norm,
};

const WARM_UP: usize = 3;
const SHAPE: BatchShape = BatchShape { micro_batch_size: 8, sequence_length: 256 };
const OPTIMIZER: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };

struct Bench {
    decoder: Decoder,
    weights: Weights,
    gradients: Gradients,
    optimizer: AdamW,
    batch: Batch,
}

/// Seconds of one step's parts.
struct Step {
    gradients: f64,
    optimizer: f64,
}

impl Bench {
    fn new() -> Self {
        let config = ModelConfig { vocab_size: 4096, ..ModelConfig::default() };
        let layout = Arc::new(ParamLayout::new(&config));
        Self {
            decoder: Decoder::new(&config, SHAPE).expect("the default shape is valid"),
            weights: Weights::init(layout.clone(), &config, 1),
            gradients: Gradients::zeros(layout.clone()),
            optimizer: AdamW::new(OPTIMIZER, layout),
            batch: batch(config.vocab_size),
        }
    }

    fn step(&mut self) -> Step {
        let start = Instant::now();
        self.gradients.clear();
        let loss = self.decoder.loss_and_gradients(&self.weights, &self.batch, &mut self.gradients);
        let gradients = start.elapsed().as_secs_f64();
        let mean = 1.0 / loss.tokens as f64;
        let scale = mean * clip_scale(global_norm(&self.gradients) * mean, 1.0);
        self.optimizer.step(&mut self.weights, &self.gradients, 3e-3, scale);
        Step { gradients, optimizer: start.elapsed().as_secs_f64() - gradients }
    }
}

/// Tokens without any order to learn: every product costs the same whatever the text.
fn batch(vocab_size: usize) -> Batch {
    let rows = SHAPE.micro_batch_size * SHAPE.sequence_length;
    let text: Vec<u32> =
        (0..=rows as u64).map(|index| (((index * 2_654_435_761) >> 7) % vocab_size as u64) as u32).collect();
    let segment_lengths = vec![vec![SHAPE.sequence_length as u32]; SHAPE.micro_batch_size];
    Batch { tokens: text[..rows].to_vec(), targets: text[1..].to_vec(), segment_lengths }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The number after `--name`.
fn argument(name: &str, default: usize) -> usize {
    let arguments: Vec<String> = std::env::args().collect();
    let position = arguments.iter().position(|argument| argument == name);
    let value = position.and_then(|position| arguments.get(position + 1));
    value.map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} takes a number, not {value}")))
}

fn main() {
    let threads = argument("--threads", 2);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
    let mut bench = Bench::new();
    let run = |_| pool.install(|| bench.step());
    let steps: Vec<Step> = (0..WARM_UP + argument("--steps", 12)).map(run).skip(WARM_UP).collect();
    let of = |part: fn(&Step) -> f64| median(steps.iter().map(part).collect());
    println!(
        r#"{{"threads": {threads}, "loss and gradients, seconds": {:.4}, "clip and AdamW, seconds": {:.4}}}"#,
        of(|step| step.gradients),
        of(|step| step.optimizer)
    );
    let whole = of(|step| step.gradients + step.optimizer);
    println!(r#"{{"tokens per second": {:.1}}}"#, (SHAPE.micro_batch_size * SHAPE.sequence_length) as f64 / whole);
}
