//! RMSNorm: `y[i] = x[i] * weight[i] / sqrt(mean(x^2) + eps)`.

use super::{assert_close, assert_gradient, dot, noise, on_each_isa, widen};
use crate::cpu::rms_norm::{self, Norm};

const EPS: f32 = 1e-2;

fn formula(x: &[f64], weight: &[f64]) -> Vec<f64> {
    let row = |x: &[f64]| -> Vec<f64> {
        let root = (dot(x, x) / x.len() as f64 + f64::from(EPS)).sqrt();
        x.iter().zip(weight).map(|(x, weight)| x * weight / root).collect()
    };
    x.chunks(weight.len()).flat_map(row).collect()
}

/// `forward(x, weight)` gives y; `backward(x, weight, dy)` gives what is added to the gradients of x and weight.
fn conforms(
    forward: impl Fn(&[f32], &[f32]) -> Vec<f32>,
    backward: impl Fn(&[f32], &[f32], &[f32]) -> (Vec<f32>, Vec<f32>),
) {
    for (rows, width) in [(1, 2), (3, 16), (70, 33)] {
        let (x, weight, dy) = (noise(1, rows * width), noise(2, width), noise(3, rows * width));
        assert_close("y", &forward(&x, &weight), &formula(&widen(&x), &widen(&weight)), 1e-6);
        let (dx, d_weight) = backward(&x, &weight, &dy);
        let (wide_x, wide_weight, wide_dy) = (widen(&x), widen(&weight), widen(&dy));
        assert_gradient("dx", &dx, &x, 1, |x| dot(&formula(x, &wide_weight), &wide_dy));
        assert_gradient("d_weight", &d_weight, &weight, 1, |weight| dot(&formula(&wide_x, weight), &wide_dy));
    }
}

#[test]
fn cpu_rms_norm_conforms() {
    on_each_isa(|isa| {
        let forward = |x: &[f32], weight: &[f32]| {
            let mut y = vec![f32::NAN; x.len()];
            rms_norm::forward(isa, x, Norm { weight, eps: EPS }, &mut y);
            y
        };
        let backward = |x: &[f32], weight: &[f32], dy: &[f32]| {
            let (mut dx, mut d_weight) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
            let mut partial = vec![f32::NAN; rms_norm::partial_len(x.len() / weight.len(), weight.len())];
            let sums = rms_norm::Sums { d_input: &mut dx, d_weight: &mut d_weight, partial: &mut partial };
            rms_norm::backward(isa, x, Norm { weight, eps: EPS }, dy, sums);
            (dx, d_weight)
        };
        conforms(forward, backward);
    });
}

#[test]
fn cpu_rms_norm_adds_to_the_gradients() {
    let (x, weight, dy) = (noise(1, 80), noise(2, 8), noise(3, 80));
    on_each_isa(|isa| {
        let run = |start: f32| {
            let (mut dx, mut d_weight, mut partial) = (vec![start; 80], vec![start; 8], vec![0.0; 80]);
            let sums = rms_norm::Sums { d_input: &mut dx, d_weight: &mut d_weight, partial: &mut partial };
            rms_norm::backward(isa, &x, Norm { weight: &weight, eps: EPS }, &dy, sums);
            [dx, d_weight].concat()
        };
        let raised: Vec<f64> = run(0.0).iter().map(|value| f64::from(*value) + 1.0).collect();
        assert_close("one plus the gradient", &run(1.0), &raised, 1e-6);
    });
}
