//! Linear layer: `y[n, o] = sum_i x[n, i] * weight[o, i]`.

use super::{assert_close, noise, on_each_isa, widen};
use crate::{cpu::linear, isa::Isa};

/// `[m, k] x [k, n]` where `a(i, k)` and `b(k, j)` read the matrices.
fn product(
    (m, n, k): (usize, usize, usize),
    a: impl Fn(usize, usize) -> f64,
    b: impl Fn(usize, usize) -> f64,
) -> Vec<f64> {
    (0..m * n).map(|at| (0..k).map(|depth| a(at / n, depth) * b(depth, at % n)).sum()).collect()
}

/// What an implementation gives for `(x, weight, dy, inputs)`: y, dx and what is added to the weight's gradient.
type Results = (Vec<f32>, Vec<f32>, Vec<f32>);

/// The layer is linear in each argument, so its gradients are products too and need no differences.
fn conforms(layer: impl Fn(&[f32], &[f32], &[f32], usize) -> Results) {
    for (rows, inputs, outputs) in [(1, 1, 1), (1, 7, 5), (5, 3, 1), (33, 17, 9), (130, 70, 95), (700, 64, 48)] {
        let (x, weight, dy) = (noise(1, rows * inputs), noise(2, outputs * inputs), noise(3, rows * outputs));
        let (y, dx, d_weight) = layer(&x, &weight, &dy, inputs);
        let (x, weight, dy) = (widen(&x), widen(&weight), widen(&dy));
        let forward = product((rows, outputs, inputs), |n, i| x[n * inputs + i], |i, o| weight[o * inputs + i]);
        let by_input = product((rows, inputs, outputs), |n, o| dy[n * outputs + o], |o, i| weight[o * inputs + i]);
        let by_weight = product((outputs, inputs, rows), |o, n| dy[n * outputs + o], |n, i| x[n * inputs + i]);
        assert_close("y", &y, &forward, 1e-6);
        assert_close("dx", &dx, &by_input, 1e-6);
        assert_close("d_weight", &d_weight, &by_weight, 1e-6);
    }
}

#[test]
fn cpu_linear_conforms() {
    on_each_isa(|isa| {
        conforms(|x, weight, dy, inputs| {
            let (mut y, mut dx, mut d_weight) =
                (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()], vec![0.0; weight.len()]);
            linear::forward(isa, x, weight, &mut y, inputs);
            linear::input_gradient(isa, dy, weight, &mut dx, inputs);
            linear::weight_gradient(isa, dy, x, &mut d_weight, inputs);
            (y, dx, d_weight)
        });
    });
}

#[test]
fn each_instruction_set_has_its_own_kernels() {
    let (x, weight) = (noise(1, 90 * 300), noise(2, 80 * 300));
    let run = |isa: Isa| {
        let mut y = vec![f32::NAN; 90 * 80];
        linear::forward(isa, &x, &weight, &mut y, 300);
        y
    };
    let fused = Isa::available().into_iter().filter(|isa| *isa != Isa::PORTABLE);
    for isa in fused {
        assert_ne!(run(isa), run(Isa::PORTABLE), "{isa}: with fused multiply-add a sum of 300 rounds differently");
    }
}

#[test]
fn cpu_linear_adds_where_it_says_so() {
    let (x, weight, dy) = (noise(1, 40 * 12), noise(2, 20 * 12), noise(3, 40 * 20));
    on_each_isa(|isa| {
        let run = |start: f32| {
            let (mut y, mut d_weight) = (vec![f32::NAN; dy.len()], vec![start; weight.len()]);
            linear::forward_onto(isa, &vec![start; dy.len()], &x, &weight, &mut y, 12);
            linear::weight_gradient(isa, &dy, &x, &mut d_weight, 12);
            [y, d_weight].concat()
        };
        let raised: Vec<f64> = run(0.0).iter().map(|value| f64::from(*value) + 1.0).collect();
        assert_close("one plus the product", &run(1.0), &raised, 1e-6);
    });
}
