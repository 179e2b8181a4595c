//! SwiGLU: `y[i] = gate[i] * up[i] / (1 + exp(-gate[i]))`.

use super::{assert_close, assert_gradient, dot, noise, on_each_isa, widen};
use crate::cpu::swiglu;

fn formula(gate_up: &[f64], width: usize) -> Vec<f64> {
    let row =
        |row: &[f64]| -> Vec<f64> { (0..width).map(|i| row[i] * row[width + i] / (1.0 + (-row[i]).exp())).collect() };
    gate_up.chunks(2 * width).flat_map(row).collect()
}

/// `forward(gate_up, width)` gives y; `backward(gate_up, dy, width)` gives the gradient of gate_up, and y again.
fn conforms(
    forward: impl Fn(&[f32], usize) -> Vec<f32>,
    backward: impl Fn(&[f32], &[f32], usize) -> (Vec<f32>, Vec<f32>),
) {
    for (rows, width) in [(1, 1), (3, 16), (19, 37)] {
        let gate_up: Vec<f32> = noise(1, rows * 2 * width).iter().map(|value| value * 8.0).collect();
        let dy = noise(2, rows * width);
        let y = formula(&widen(&gate_up), width);
        assert_close("y", &forward(&gate_up, width), &y, 1e-6);
        let (d_gate_up, again) = backward(&gate_up, &dy, width);
        assert_close("y again", &again, &y, 1e-6);
        let dy = widen(&dy);
        assert_gradient("d_gate_up", &d_gate_up, &gate_up, 1, |gate_up| dot(&formula(gate_up, width), &dy));
    }
}

#[test]
fn cpu_swiglu_conforms() {
    on_each_isa(|isa| {
        let forward = |gate_up: &[f32], width| {
            let mut y = vec![f32::NAN; gate_up.len() / 2];
            swiglu::forward(isa, gate_up, &mut y, width);
            y
        };
        let backward = |gate_up: &[f32], dy: &[f32], width| {
            let (mut y, mut d_gate_up) = (dy.to_vec(), vec![f32::NAN; gate_up.len()]);
            swiglu::backward_and_output(isa, gate_up, &mut y, &mut d_gate_up, width);
            (d_gate_up, y)
        };
        conforms(forward, backward);
    });
}

#[test]
fn cpu_swiglu_stays_finite_for_large_gates() {
    let gate_up = [-1e4, 1e4, -100.0, 100.0, 1.0, 2.0, 3.0, 4.0];
    on_each_isa(|isa| {
        let (mut y, mut d_gate_up) = ([1.0; 4], [f32::NAN; 8]);
        swiglu::backward_and_output(isa, &gate_up, &mut y, &mut d_gate_up, 4);
        assert_eq!((y[1], y[3]), (2e4, 400.0));
        assert!(y[0].abs() < 1e-30 && y[2].abs() < 1e-30, "{y:?}");
        assert!(d_gate_up.iter().all(|value| value.is_finite()), "{d_gate_up:?}");
    });
}
