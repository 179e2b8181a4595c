//! The proof of every operation: forward against its formula in f64, backward against central differences of that formula.
//!
//! One body per operation. A body takes the implementation as closures over host vectors, so that another backend goes
//! through the same bodies. Holds no arithmetic of the engine.

mod attention;
mod cross_entropy;
mod embedding;
mod linear;
mod rms_norm;
mod rope;
mod swiglu;

use crate::isa::Isa;

/// Runs `proof` for every instruction set of this machine; what it prints names the set that a failure belongs to.
fn on_each_isa(proof: impl Fn(Isa)) {
    for isa in Isa::available() {
        println!("instruction set {isa}");
        proof(isa);
    }
}

/// Numbers in [-1, 1) that f32 holds exactly, so that both sides see the same inputs.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0xd129_0dd5_3c5e_8a3d);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Asserts that `have` differs from `want` nowhere by more than `tolerance` of the largest element of `want`.
fn assert_close(what: &str, have: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(have.len(), want.len(), "{what}: length");
    let scale = want.iter().fold(1e-30, |most: f64, value| most.max(value.abs()));
    for (index, (have, want)) in have.iter().zip(want).enumerate() {
        let error = (f64::from(*have) - want).abs() / scale;
        assert!(error <= tolerance, "{what}[{index}]: {have} is not {want}; relative error {error:.1e}");
    }
}

/// Asserts that `gradient` is the gradient by `input` of `loss`, by central differences at every `stride`-th element.
fn assert_gradient(what: &str, gradient: &[f32], input: &[f32], stride: usize, loss: impl Fn(&[f64]) -> f64) {
    let mut point = widen(input);
    let places: Vec<usize> = (0..input.len()).step_by(stride).collect();
    let differences: Vec<f64> = places.iter().map(|index| central_difference(&mut point, *index, &loss)).collect();
    let picked: Vec<f32> = places.iter().map(|index| gradient[*index]).collect();
    assert_eq!(gradient.len(), input.len(), "{what}: length");
    assert_close(what, &picked, &differences, GRADIENT_TOLERANCE);
}

/// Error of f32 arithmetic over the few hundred terms of these sums, with room; a wrong term shows at 1e-2.
const GRADIENT_TOLERANCE: f64 = 5e-6;

fn central_difference(point: &mut [f64], index: usize, loss: impl Fn(&[f64]) -> f64) -> f64 {
    // The error is of order STEP^2 from the third derivative and 1e-16 / STEP from rounding: both below 1e-9.
    const STEP: f64 = 1e-5;
    let start = point[index];
    point[index] = start + STEP;
    let above = loss(point);
    point[index] = start - STEP;
    let below = loss(point);
    point[index] = start;
    (above - below) / (2.0 * STEP)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
