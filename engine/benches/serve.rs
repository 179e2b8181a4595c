//! Serving speed of one model file: `cargo bench -p bedplate-engine --bench serve -- MODEL [THREADS]`.
//!
//! Prints one JSON object a line. Rates are tokens per second, the best and the median of several runs; decoding starts
//! behind a prompt of 64 tokens. Tokens are arbitrary: speed does not depend on them.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bedplate_engine::gguf::GgufFile;
use bedplate_engine::hf_folder::ModelFolder;
use bedplate_engine::serving::{Chunk, KvCache, Runner, ServingModel};
use serde_json::json;

const BLOCK_SIZE: usize = 16;
const PROMPT_LEN: usize = 512;
const DECODE_START: usize = 64;
const DECODE_LEN: usize = 32;
const BATCHES: [usize; 5] = [1, 2, 4, 8, 16];
const RUNS: usize = 7;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [path, threads @ ..] = &arguments[..] else {
        eprintln!("usage: serve MODEL.gguf|FOLDER [THREADS]");
        std::process::exit(2);
    };
    let threads = threads.first().map_or(2, |threads| threads.parse().expect("THREADS is a number"));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("the pool starts once");
    let start = Instant::now();
    let model = Arc::new(load(Path::new(path)));
    let load_seconds = start.elapsed().as_secs_f64();
    println!("{}", json!({"measure": "load", "seconds": load_seconds, "weight_bytes": model.weight_bytes()}));
    let mut runner = Runner::new(model.clone());
    report("prefill", 1, &rates(|| prefill(&mut runner, &model)));
    for batch in BATCHES {
        report("decode", batch, &rates(|| decode(&mut runner, &model, batch)));
    }
    println!("{}", json!({"measure": "resident", "bytes": resident_bytes()}));
}

fn load(path: &Path) -> ServingModel {
    if path.is_dir() {
        let mut folder = ModelFolder::open(path).expect("the folder opens");
        return ServingModel::from_folder(&mut folder, false).expect("the folder holds a model");
    }
    let file = GgufFile::open(path).expect("the file opens");
    ServingModel::from_gguf(&file).expect("the file holds a model")
}

fn rates(mut run: impl FnMut() -> f64) -> Vec<f64> {
    run();
    let mut rates: Vec<f64> = (0..RUNS).map(|_| run()).collect();
    rates.sort_by(f64::total_cmp);
    rates
}

fn report(measure: &str, batch: usize, rates: &[f64]) {
    let (best, median) = (rates[RUNS - 1], rates[RUNS / 2]);
    println!("{}", json!({"measure": measure, "batch": batch, "best": best.round(), "median": median.round()}));
}

fn tokens(model: &ServingModel, len: usize) -> Vec<u32> {
    (0..len).map(|index| (index * 7919 + 13) as u32 % model.config().vocab_size as u32).collect()
}

/// Tokens per second of one prompt.
fn prefill(runner: &mut Runner, model: &ServingModel) -> f64 {
    let tokens = tokens(model, PROMPT_LEN);
    let blocks: Vec<u32> = (0..PROMPT_LEN.div_ceil(BLOCK_SIZE) as u32).collect();
    let mut cache = KvCache::new(model.config(), blocks.len(), BLOCK_SIZE);
    let start = Instant::now();
    runner.forward(&mut cache, &[Chunk { tokens: &tokens, start: 0, block_table: &blocks, wants_logits: true }]);
    PROMPT_LEN as f64 / start.elapsed().as_secs_f64()
}

/// Tokens per second of `batch` sequences together, one token of each a step.
fn decode(runner: &mut Runner, model: &ServingModel, batch: usize) -> f64 {
    let tokens = tokens(model, DECODE_START + DECODE_LEN);
    let blocks_each = tokens.len().div_ceil(BLOCK_SIZE);
    let blocks: Vec<u32> = (0..(batch * blocks_each) as u32).collect();
    let mut cache = KvCache::new(model.config(), blocks.len(), BLOCK_SIZE);
    let mut step = |range: std::ops::Range<usize>| {
        let tokens = &tokens[range.clone()];
        let chunk = |block_table| Chunk { tokens, start: range.start, block_table, wants_logits: true };
        let chunks: Vec<Chunk<'_>> = blocks.chunks(blocks_each).map(chunk).collect();
        runner.forward(&mut cache, &chunks);
    };
    step(0..DECODE_START);
    let start = Instant::now();
    (DECODE_START..tokens.len()).for_each(|position| step(position..position + 1));
    (batch * DECODE_LEN) as f64 / start.elapsed().as_secs_f64()
}

/// Memory of this process, from the kernel; 0 where it does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}
