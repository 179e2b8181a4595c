//! Serving speed of one model file: the engine's side of `cargo xtask bench serve-cpu`.
//!
//!     cargo bench -p bedplate-engine --bench serve -- --model MODEL.gguf|FOLDER [--threads 2]
//!
//! Prints one JSON object of figures: tokens per second (medians of several runs) of a prompt of 512 tokens, of 64 tokens
//! decoded behind a prompt of 16, alone and in batches; loads per second; bytes. Tokens are arbitrary: speed does not
//! depend on them.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bedplate_engine::gguf::GgufFile;
use bedplate_engine::hf_folder::ModelFolder;
use bedplate_engine::serving::{Chunk, KvCache, Runner, ServingModel};
use serde_json::json;

const BLOCK_SIZE: usize = 16;
const PREFILL_LEN: usize = 512;
const PROMPT_LEN: usize = 16;
const DECODE_LEN: usize = 64;
const RUNS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value_of =
        |flag: &str| arguments.iter().position(|argument| argument == flag).and_then(|at| arguments.get(at + 1));
    let Some(path) = value_of("--model") else {
        eprintln!("usage: serve --model MODEL.gguf|FOLDER [--threads 2]");
        std::process::exit(2);
    };
    let threads = value_of("--threads").map_or(2, |threads| threads.parse().expect("--threads is a number"));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("the pool starts once");
    let start = Instant::now();
    let model = Arc::new(load(Path::new(path)));
    let load_seconds = start.elapsed().as_secs_f64();
    let mut runner = Runner::new(model.clone());
    let mut figures = json!({ "prefill 512": median(|| prefill(&mut runner, &model)) });
    figures["decode"] = median(|| decode(&mut runner, &model, 1)).into();
    for batch in [2, 4, 8, 16] {
        figures[format!("decode, {batch} at once")] = median(|| decode(&mut runner, &model, batch)).into();
    }
    figures["loads per second"] = (1.0 / load_seconds).into();
    figures["bytes of weights"] = model.weight_bytes().into();
    figures["bytes resident"] = resident_bytes().into();
    println!("{figures}");
}

fn load(path: &Path) -> ServingModel {
    if path.is_dir() {
        let mut folder = ModelFolder::open(path).expect("the folder opens");
        return ServingModel::from_folder(&mut folder, false).expect("the folder holds a model");
    }
    let file = GgufFile::open(path).expect("the file opens");
    ServingModel::from_gguf(&file).expect("the file holds a model")
}

/// The middle of several runs, after one that is not counted.
fn median(mut run: impl FnMut() -> f64) -> f64 {
    run();
    let mut rates: Vec<f64> = (0..RUNS).map(|_| run()).collect();
    rates.sort_by(f64::total_cmp);
    rates[RUNS / 2]
}

fn tokens(model: &ServingModel, len: usize) -> Vec<u32> {
    (0..len).map(|index| (index * 7919 + 13) as u32 % model.config().vocab_size as u32).collect()
}

/// Tokens per second of one prompt.
fn prefill(runner: &mut Runner, model: &ServingModel) -> f64 {
    let tokens = tokens(model, PREFILL_LEN);
    let blocks: Vec<u32> = (0..PREFILL_LEN.div_ceil(BLOCK_SIZE) as u32).collect();
    let mut cache = KvCache::new(model.config(), blocks.len(), BLOCK_SIZE);
    let start = Instant::now();
    runner.forward(&mut cache, &[Chunk { tokens: &tokens, start: 0, block_table: &blocks, wants_logits: true }]);
    PREFILL_LEN as f64 / start.elapsed().as_secs_f64()
}

/// Tokens per second of `batch` sequences together, one token of each a step.
fn decode(runner: &mut Runner, model: &ServingModel, batch: usize) -> f64 {
    let tokens = tokens(model, PROMPT_LEN + DECODE_LEN);
    let blocks_each = tokens.len().div_ceil(BLOCK_SIZE);
    let blocks: Vec<u32> = (0..(batch * blocks_each) as u32).collect();
    let mut cache = KvCache::new(model.config(), blocks.len(), BLOCK_SIZE);
    let mut step = |range: std::ops::Range<usize>| {
        let tokens = &tokens[range.clone()];
        let chunk = |block_table| Chunk { tokens, start: range.start, block_table, wants_logits: true };
        let chunks: Vec<Chunk<'_>> = blocks.chunks(blocks_each).map(chunk).collect();
        runner.forward(&mut cache, &chunks);
    };
    step(0..PROMPT_LEN);
    let start = Instant::now();
    (PROMPT_LEN..tokens.len()).for_each(|position| step(position..position + 1));
    (batch * DECODE_LEN) as f64 / start.elapsed().as_secs_f64()
}

/// Memory of this process, from the kernel; 0 where it does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}
