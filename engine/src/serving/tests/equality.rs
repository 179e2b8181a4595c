//! The same bits, however the work is cut.

use std::sync::Arc;

use super::fixtures::{Session, even_config, logits_one_by_one, tokens, uneven_config, weights_of};
use crate::serving::{Chunk, KvCache, KvFormat, Runner, ServingModel};

fn model() -> Arc<ServingModel> {
    let config = uneven_config();
    Arc::new(ServingModel::from_weights(&config, &weights_of(&config, 1)))
}

#[test]
fn a_prompt_in_chunks_has_the_bits_of_a_whole_one() {
    let model = model();
    let tokens = tokens(100, model.config().vocab_size);
    let whole = Session::new(&model, 16, KvFormat::F16).run(&tokens, 0);
    for chunk in [1, 7, 64, 99] {
        let mut session = Session::new(&model, 16, KvFormat::F16);
        let mut last = Vec::new();
        for start in (0..tokens.len()).step_by(chunk) {
            last = session.run(&tokens[start..tokens.len().min(start + chunk)], start);
        }
        assert_eq!(last, whole, "chunks of {chunk}");
    }
}

#[test]
fn any_block_size_has_the_bits_of_one_contiguous_block() {
    let model = model();
    let tokens = tokens(50, model.config().vocab_size);
    for format in [KvFormat::F16, KvFormat::F32] {
        let contiguous = Session::new(&model, 128, format).run(&tokens, 0);
        for block_size in [1, 5, 16, 24, 32] {
            let paged = Session::new(&model, block_size, format).run(&tokens, 0);
            assert_eq!(paged, contiguous, "{format:?} blocks of {block_size}");
        }
    }
}

#[test]
fn a_sequence_in_a_mixed_step_has_the_bits_of_one_alone() {
    let model = model();
    let vocab = model.config().vocab_size;
    let prompts: Vec<Vec<u32>> = [3, 40, 1, 75, 17].iter().map(|&len| tokens(len + 3, vocab)[3..].to_vec()).collect();
    let alone: Vec<Vec<f32>> =
        prompts.iter().map(|prompt| Session::new(&model, 16, KvFormat::F16).run(prompt, 0)).collect();
    let mut cache = KvCache::new(model.config(), 40, 16);
    let mut runner = Runner::new(model.clone());
    let tables: Vec<Vec<u32>> = (0..5).map(|sequence| (0..8).map(|block| block * 5 + sequence).collect()).collect();
    // The first step computes all but the last token of three prompts; the second decodes those and prefills the others.
    let chunk = |sequence: usize, range: std::ops::Range<usize>, wants_logits| Chunk {
        tokens: &prompts[sequence][range.clone()],
        start: range.start,
        block_table: &tables[sequence],
        wants_logits,
    };
    let first = [chunk(0, 0..2, false), chunk(1, 0..39, true), chunk(3, 0..74, false)];
    assert_eq!(runner.forward(&mut cache, &first).len(), vocab);
    let second = [
        chunk(2, 0..1, true),
        chunk(0, 2..3, true),
        chunk(4, 0..17, true),
        chunk(1, 39..40, true),
        chunk(3, 74..75, true),
    ];
    let logits = runner.forward(&mut cache, &second);
    for (logits, sequence) in logits.chunks(vocab).zip([2, 0, 4, 1, 3]) {
        assert_eq!(logits, alone[sequence], "sequence {sequence}");
    }
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let model = model();
    let tokens = tokens(90, model.config().vocab_size);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
        pool.install(|| {
            let mut session = Session::new(&model, 16, KvFormat::F16);
            [session.run(&tokens[..80], 0), session.run(&tokens[80..81], 80)].concat()
        })
    };
    let single = run(1);
    for threads in [2, 3, 8] {
        assert_eq!(run(threads), single, "{threads} threads");
    }
}

#[test]
fn a_step_without_wanted_logits_returns_none() {
    let model = model();
    let mut cache = KvCache::new(model.config(), 1, 16);
    let chunk = Chunk { tokens: &[1, 2], start: 0, block_table: &[0], wants_logits: false };
    assert!(Runner::new(model).forward(&mut cache, &[chunk]).is_empty());
}

#[test]
fn blocks_take_the_bytes_they_say() {
    let config = even_config();
    // Two layers, keys and values, one head of 32, 16 positions, two bytes each.
    assert_eq!(KvCache::bytes_per_block(&config, 16), 2 * 2 * 32 * 16 * 2);
    assert_eq!(KvCache::bytes_per_block_in(&config, 16, KvFormat::F32), 2 * KvCache::bytes_per_block(&config, 16));
}

#[test]
fn decoding_continues_a_prompt() {
    let model = model();
    let tokens = tokens(20, model.config().vocab_size);
    let one_by_one = logits_one_by_one(&model, &tokens, KvFormat::F16);
    let whole = Session::new(&model, 16, KvFormat::F16).run(&tokens, 0);
    assert_eq!(one_by_one.last(), Some(&whole));
}
