//! Cross-entropy: `nll[n] = log(sum_v exp(logits[n, v])) - logits[n, targets[n]]`, 0 where the target is ignored.

use super::{assert_close, assert_gradient, noise, on_each_isa, widen};
use crate::{IGNORED_TARGET, cpu::cross_entropy};

fn formula(logits: &[f64], targets: &[u32]) -> Vec<f64> {
    let rows = logits.chunks(logits.len() / targets.len()).zip(targets);
    rows.map(|(logits, target)| match *target {
        IGNORED_TARGET => 0.0,
        target => logits.iter().map(|logit| logit.exp()).sum::<f64>().ln() - logits[target as usize],
    })
    .collect()
}

/// `forward(logits, targets)` gives nll; `backward` gives the gradient of its sum, and nll again.
fn conforms(forward: impl Fn(&[f32], &[u32]) -> Vec<f32>, backward: impl Fn(&[f32], &[u32]) -> (Vec<f32>, Vec<f32>)) {
    for (rows, vocab_size) in [(1, 1), (2, 16), (9, 61)] {
        let logits: Vec<f32> = noise(1, rows * vocab_size).iter().map(|value| value * 6.0).collect();
        let target = |row: usize| if row % 4 == 3 { IGNORED_TARGET } else { (row * 5 % vocab_size) as u32 };
        let targets: Vec<u32> = (0..rows).map(target).collect();
        let nll = formula(&widen(&logits), &targets);
        let (d_logits, again) = backward(&logits, &targets);
        assert_close("nll", &forward(&logits, &targets), &nll, 1e-6);
        assert_close("nll again", &again, &nll, 1e-6);
        assert_gradient("d_logits", &d_logits, &logits, 1, |logits| formula(logits, &targets).iter().sum());
    }
}

#[test]
fn cpu_cross_entropy_conforms() {
    on_each_isa(|isa| {
        let forward = |logits: &[f32], targets: &[u32]| {
            let mut nll = vec![f32::NAN; targets.len()];
            cross_entropy::forward(isa, &mut logits.to_vec(), targets, &mut nll);
            nll
        };
        let backward = |logits: &[f32], targets: &[u32]| {
            let (mut d_logits, mut nll) = (logits.to_vec(), vec![f32::NAN; targets.len()]);
            cross_entropy::forward_backward(isa, &mut d_logits, targets, &mut nll);
            (d_logits, nll)
        };
        conforms(forward, backward);
    });
}

#[test]
fn cpu_cross_entropy_keeps_large_logits_finite_and_shows_nan() {
    on_each_isa(|isa| {
        let mut nll = [f32::NAN; 2];
        cross_entropy::forward(isa, &mut [1e30, 0.0, 0.0, -1e30, 0.0, 0.0], &[0, 1], &mut nll);
        assert_eq!(nll, [0.0, 2f32.ln()]);
        cross_entropy::forward_backward(isa, &mut [0.0, f32::NAN, 0.0], &[0], &mut nll[..1]);
        assert!(nll[0].is_nan());
    });
}
