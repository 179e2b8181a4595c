//! The decoder against an independent f64 model, and against itself where two ways of saying the same must agree.

use bedplate_engine::{BatchShape, Decoder, Gradients, IGNORED_TARGET, Isa, LossSum, ModelConfig};

use crate::{
    models::{assert_gradients_close, batch, decoder_for, largest, odd_config, relative_error, run, run_on, weights},
    reference::Reference,
};

/// How far a gradient in f32 may be from the exact one: each of `additions` roundings errs by up to half of f32's epsilon of
/// what is added up (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2). Roundings err in no common
/// direction, so that they really grow like the root of their number: that leaves room for what cancels within a term.
fn rounding_bound(additions: usize, magnitude: f64) -> f64 {
    additions as f64 * f64::from(f32::EPSILON) / 2.0 * magnitude
}

/// A wrong term shows at 1% of a tensor's largest gradient and above: a bound that came near it would prove nothing.
const MOST_BOUND: f64 = 1e-3;

/// Compares loss and, for every tensor, each `stride`-th element of its gradient, for every instruction set of the machine.
/// Prints the error of each tensor.
fn agrees_with_reference(tied: bool, sequence_length: usize, documents: &[&[u32]], stride: usize) {
    let config = odd_config(tied);
    let (weights, batch) = (weights(&config, 11), batch(&config, sequence_length, documents, 12));
    let reference = Reference { config: &config, layout: weights.layout() };
    let wide: Vec<f64> = weights.as_slice().iter().map(|weight| f64::from(*weight)).collect();
    let want = reference.loss(&wide, &batch);
    let have: Vec<_> = Isa::available().into_iter().map(|isa| (isa, run_on(isa, &config, &weights, &batch))).collect();
    for (isa, (loss, _)) in &have {
        println!("{isa}: loss {} reference {want} relative error {:.1e}", loss.nll, (loss.nll / want - 1.0).abs());
        assert!((loss.nll / want - 1.0).abs() < 1e-6, "{isa}: loss {} is not {want}", loss.nll);
    }
    for param in weights.layout().params() {
        let places: Vec<usize> = param.range.clone().step_by(stride).collect();
        let want = reference.gradient(&wide, &batch, &places);
        let magnitude = want.magnitudes.iter().fold(0.0, |most: f64, value| most.max(*value));
        let bound = rounding_bound(reference.additions(&batch), magnitude);
        for (isa, (_, gradients)) in &have {
            let scale = largest(&gradients.as_slice()[param.range.clone()]);
            let picked: Vec<f32> = places.iter().map(|place| gradients.as_slice()[*place]).collect();
            let (error, bound) = (relative_error(&picked, &want.values, scale), bound / scale);
            println!("{isa:<12} {:<48} {error:.1e} of {bound:.1e} ({} elements)", param.name, places.len());
            assert!(bound < MOST_BOUND, "{}: the bound {bound:.1e} lets faults pass", param.name);
            assert!(error < bound, "{isa}: {}: relative error {error:.1e}, at most {bound:.1e}", param.name);
        }
    }
}

#[test]
fn every_gradient_agrees_with_the_reference_tied() {
    agrees_with_reference(true, 12, &[&[5, 7], &[1, 6, 3]], 1);
}

#[test]
fn every_gradient_agrees_with_the_reference_untied() {
    agrees_with_reference(false, 12, &[&[12], &[4, 2, 5]], 1);
}

#[test]
fn gradients_agree_with_the_reference_across_tiles_of_attention() {
    agrees_with_reference(true, 140, &[&[3, 70, 50, 10], &[140]], 43);
}

#[test]
fn each_position_has_the_references_loss() {
    let config = odd_config(false);
    let (weights, batch) = (weights(&config, 21), batch(&config, 16, &[&[7, 6]], 22));
    let reference = Reference { config: &config, layout: weights.layout() };
    let wide: Vec<f64> = weights.as_slice().iter().map(|weight| f64::from(*weight)).collect();
    let mut decoder = decoder_for(&config, &batch);
    for position in (0..13).filter(|position| batch.targets[*position] != IGNORED_TARGET) {
        let mut one = batch.clone();
        one.targets.fill(IGNORED_TARGET);
        one.targets[position] = batch.targets[position];
        let (have, want) = (decoder.loss(&weights, &one), reference.loss(&wide, &one));
        assert_eq!(have.tokens, 1);
        assert!((have.nll - want).abs() < 1e-5 * want.max(1.0), "position {position}: {} is not {want}", have.nll);
    }
}

#[test]
fn documents_packed_give_what_they_give_alone() {
    let config = odd_config(true);
    let weights = weights(&config, 31);
    let packed = batch(&config, 100, &[&[10, 66, 24]], 32);
    let mut alone = batch(&config, 100, &[&[10], &[66], &[24]], 33);
    for (sequence, document) in [0..10, 10..76, 76..100].into_iter().enumerate() {
        let to = sequence * 100..sequence * 100 + document.len();
        alone.tokens[to.clone()].copy_from_slice(&packed.tokens[document.clone()]);
        alone.targets[to].copy_from_slice(&packed.targets[document]);
    }
    let ((packed_loss, packed), (alone_loss, alone)) =
        (run(&config, &weights, &packed), run(&config, &weights, &alone));
    assert_eq!(packed_loss.tokens, alone_loss.tokens);
    assert!((packed_loss.nll / alone_loss.nll - 1.0).abs() < 1e-6);
    assert_gradients_close(&packed, &alone, 1e-5);
}

#[test]
fn micro_batches_add_up_to_the_whole_batch() {
    let config = odd_config(false);
    let weights = weights(&config, 41);
    let whole = batch(&config, 40, &[&[40], &[8, 20], &[11, 11, 11], &[39]], 42);
    let (whole_loss, whole_gradients) = run(&config, &weights, &whole);
    let shape = BatchShape { micro_batch_size: 3, sequence_length: 40 };
    let mut decoder = Decoder::new(&config, shape).unwrap();
    let (mut loss, mut gradients) = (LossSum::default(), Gradients::zeros(weights.layout().clone()));
    for sequences in [0..3, 3..4] {
        let mut part = whole.clone();
        part.tokens = whole.tokens[sequences.start * 40..sequences.end * 40].to_vec();
        part.targets = whole.targets[sequences.start * 40..sequences.end * 40].to_vec();
        part.segment_lengths = whole.segment_lengths[sequences].to_vec();
        loss += decoder.loss_and_gradients(&weights, &part, &mut gradients);
    }
    assert_eq!(loss.tokens, whole_loss.tokens);
    assert!((loss.nll / whole_loss.nll - 1.0).abs() < 1e-6);
    assert_gradients_close(&gradients, &whole_gradients, 1e-5);
}

#[test]
fn what_lies_in_the_padding_changes_no_bit() {
    let config = odd_config(true);
    let weights = weights(&config, 51);
    let batch = batch(&config, 80, &[&[30, 20], &[70]], 52);
    let mut other = batch.clone();
    other.tokens[50..80].fill(3);
    other.tokens[150..160].fill(4);
    assert_ne!(batch, other);
    for isa in Isa::available() {
        assert_eq!(run_on(isa, &config, &weights, &batch), run_on(isa, &config, &weights, &other), "{isa}");
    }
}

#[test]
fn a_decoder_remembers_nothing_of_the_batch_before() {
    let config = odd_config(true);
    let weights = weights(&config, 61);
    let (first, second) = (batch(&config, 70, &[&[70], &[9, 60]], 62), batch(&config, 70, &[&[20, 40]], 63));
    let mut decoder = decoder_for(&config, &first);
    let mut used = Gradients::zeros(weights.layout().clone());
    decoder.loss_and_gradients(&weights, &first, &mut used);
    used.clear();
    let loss = decoder.loss_and_gradients(&weights, &second, &mut used);
    assert_eq!((loss, used), run(&config, &weights, &second));
    assert_eq!(decoder.loss(&weights, &second), loss);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let config = ModelConfig { num_hidden_layers: 2, vocab_size: 1500, ..ModelConfig::default() };
    let weights = weights(&config, 71);
    let batch = batch(&config, 230, &[&[230], &[100, 100], &[1, 2, 3, 200], &[64, 64, 64], &[230]], 72);
    assert!(batch.tokens.len() > 1024, "the rows fill more than one chunk");
    let with = |isa, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run_on(isa, &config, &weights, &batch))
    };
    for isa in Isa::available() {
        let (loss, gradients) = with(isa, 1);
        assert!(loss.nll.is_finite() && gradients.as_slice().iter().all(|value| value.is_finite()));
        for threads in [2, 5] {
            let (other_loss, other_gradients) = with(isa, threads);
            assert_eq!(loss.nll.to_bits(), other_loss.nll.to_bits(), "{isa}: {threads} threads");
            let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
            assert!(gradients.as_slice().iter().zip(other_gradients.as_slice()).all(same), "{isa}: {threads} threads");
        }
    }
}

#[test]
fn weights_that_are_not_numbers_show_in_the_loss() {
    let config = odd_config(true);
    let mut weights = weights(&config, 81);
    let place = weights.layout().find("model.layers.1.self_attn.q_proj.weight").unwrap().range.start;
    weights.as_mut_slice()[place] = f32::NAN;
    let (loss, _) = run(&config, &weights, &batch(&config, 10, &[&[10]], 82));
    assert!(loss.nll.is_nan(), "{}", loss.nll);
}
