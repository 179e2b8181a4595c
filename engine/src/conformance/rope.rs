//! Rotary embedding: `y[i] = x[i] cos(a_i) - x[i + h] sin(a_i)`, `y[i + h] = x[i + h] cos(a_i) + x[i] sin(a_i)` with
//! `h = head_dim / 2` and `a_i = position * theta^(-i / h)`.

use super::{assert_close, assert_gradient, dot, noise, on_each_isa, widen};
use crate::cpu::rope::{Angles, Turn, apply};

const THETA: f64 = 100.0;
const POSITIONS: [u32; 5] = [0, 1, 2, 0, 6];

/// Rotates the first `turned` of every `width` elements.
fn formula(x: &[f64], width: usize, turned: usize, head_dim: usize) -> Vec<f64> {
    let mut y = x.to_vec();
    let half = head_dim / 2;
    for (row, position) in POSITIONS.iter().enumerate() {
        for head in (0..turned).step_by(head_dim) {
            for i in 0..half {
                let (sin, cos) = (f64::from(*position) * THETA.powf(-(i as f64) / half as f64)).sin_cos();
                let (low, high) = (row * width + head + i, row * width + head + i + half);
                y[low] = x[low] * cos - x[high] * sin;
                y[high] = x[high] * cos + x[low] * sin;
            }
        }
    }
    y
}

/// `rotate(x, width, turned, head_dim)` gives y; `rotate_back` gives the gradient of x for that of y.
fn conforms(
    rotate: impl Fn(&[f32], usize, usize, usize) -> Vec<f32>,
    rotate_back: impl Fn(&[f32], usize, usize, usize) -> Vec<f32>,
) {
    for (heads, turned_heads, head_dim) in [(1, 1, 2), (4, 3, 6), (3, 2, 64)] {
        let (width, turned) = (heads * head_dim, turned_heads * head_dim);
        let (x, dy) = (noise(1, POSITIONS.len() * width), noise(2, POSITIONS.len() * width));
        assert_close("y", &rotate(&x, width, turned, head_dim), &formula(&widen(&x), width, turned, head_dim), 1e-6);
        let (dx, wide_dy) = (rotate_back(&dy, width, turned, head_dim), widen(&dy));
        assert_gradient("dx", &dx, &x, 1, |x| dot(&formula(x, width, turned, head_dim), &wide_dy));
    }
}

#[test]
fn cpu_rope_conforms() {
    on_each_isa(|isa| {
        let turn = |turn| {
            move |x: &[f32], width: usize, turned: usize, head_dim: usize| {
                let mut y = x.to_vec();
                apply(isa, &mut y, (width, turned), &POSITIONS, &Angles::new(7, head_dim, THETA), turn);
                y
            }
        };
        conforms(turn(Turn::Forward), turn(Turn::Backward));
    });
}
