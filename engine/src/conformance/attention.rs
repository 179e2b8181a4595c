//! Attention of a query over the keys of its document up to itself:
//! `o = sum_s p_s v_s` with `p = softmax(q . k_s / sqrt(head_dim))`; query head h reads key/value head h / group.

use super::{assert_close, assert_gradient, dot, noise, on_each_isa, widen};
use crate::{
    cpu::attention::{Gradients, Inputs, Outputs, Shape, backward, forward},
    isa::Isa,
};

/// The output, and the logarithm of each query's sum of exponentials as `[sequences, heads, sequence_length]`.
fn formula(qkv: &[f64], starts: &[u32], shape: &Shape) -> (Vec<f64>, Vec<f64>) {
    let Shape { sequence_length, heads, kv_heads, head_dim } = *shape;
    let width = (heads + 2 * kv_heads) * head_dim;
    let head_of = |row: usize, head: usize| &qkv[row * width + head * head_dim..][..head_dim];
    let mut output = vec![0.0; starts.len() * heads * head_dim];
    let mut log_sums = vec![0.0; starts.len() * heads];
    for row in 0..starts.len() {
        let (sequence, position) = (row / sequence_length, row % sequence_length);
        let first = sequence * sequence_length + starts[row] as usize;
        for head in 0..heads {
            let key_head = heads + head / (heads / kv_heads);
            let score = |key| dot(head_of(row, head), head_of(key, key_head)) / (head_dim as f64).sqrt();
            let largest = (first..=row).map(score).fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = (first..=row).map(|key| (score(key) - largest).exp()).collect();
            let sum: f64 = weights.iter().sum();
            log_sums[(sequence * heads + head) * sequence_length + position] = largest + sum.ln();
            let out = &mut output[(row * heads + head) * head_dim..][..head_dim];
            for (key, weight) in (first..=row).zip(weights) {
                let value = head_of(key, key_head + kv_heads);
                out.iter_mut().zip(value).for_each(|(out, value)| *out += weight / sum * value);
            }
        }
    }
    (output, log_sums)
}

/// Starts of documents of these lengths, sequence by sequence.
fn starts_of(sequences: &[&[usize]]) -> Vec<u32> {
    let mut starts = Vec::new();
    for lengths in sequences {
        let mut start = 0;
        for length in *lengths {
            starts.extend(std::iter::repeat_n(start as u32, *length));
            start += length;
        }
    }
    starts
}

/// Documents of each sequence, heads, key/value heads, head_dim, and of how many elements one is compared.
type Case<'a> = (&'a [&'a [usize]], usize, usize, usize, usize);

/// `run(qkv, starts, d_output, shape)` gives output, log-sums and the gradient of qkv.
fn conforms(run: impl Fn(&[f32], &[u32], &[f32], &Shape) -> (Vec<f32>, Vec<f32>, Vec<f32>)) {
    let cases: [Case<'_>; 6] = [
        (&[&[1]], 1, 1, 2, 1),
        (&[&[9], &[4, 5]], 4, 2, 6, 1),
        (&[&[64]], 2, 2, 16, 13),
        (&[&[65], &[1, 64]], 2, 1, 4, 5),
        (&[&[150], &[3, 70, 1, 60, 16]], 4, 2, 8, 61),
        (&[&[200]], 3, 1, 64, 997),
    ];
    for (sequences, heads, kv_heads, head_dim, stride) in cases {
        let starts = starts_of(sequences);
        let shape = Shape { sequence_length: starts.len() / sequences.len(), heads, kv_heads, head_dim };
        let qkv: Vec<f32> = noise(1, starts.len() * shape.qkv_width()).iter().map(|value| value * 3.0).collect();
        let d_output = noise(2, starts.len() * heads * head_dim);
        let (output, log_sums, d_qkv) = run(&qkv, &starts, &d_output, &shape);
        let (want_output, want_log_sums) = formula(&widen(&qkv), &starts, &shape);
        assert_close("output", &output, &want_output, 2e-6);
        assert_close("log_sum_exp", &log_sums, &want_log_sums, 1e-6);
        let d_output = widen(&d_output);
        assert_gradient("d_qkv", &d_qkv, &qkv, stride, |qkv| dot(&formula(qkv, &starts, &shape).0, &d_output));
    }
}

fn run_on_cpu(
    isa: Isa,
    qkv: &[f32],
    starts: &[u32],
    d_attention: &[f32],
    shape: &Shape,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let inputs = Inputs { isa, qkv, starts };
    let tasks = starts.len() / shape.sequence_length * shape.kv_heads;
    let mut scratch = vec![f32::NAN; tasks * shape.scratch_len()];
    let mut attention = vec![f32::NAN; d_attention.len()];
    let mut log_sum_exp = vec![f32::NAN; starts.len() * shape.heads];
    let outputs = Outputs { attention: &mut attention, log_sum_exp: &mut log_sum_exp };
    forward(inputs, outputs, &mut scratch, shape);
    scratch.fill(f32::NAN);
    let mut d_qkv = vec![f32::NAN; qkv.len()];
    let gradients = Gradients { attention: &attention, log_sum_exp: &log_sum_exp, d_attention, d_qkv: &mut d_qkv };
    backward(inputs, gradients, &mut scratch, shape);
    (attention, log_sum_exp, d_qkv)
}

#[test]
fn cpu_attention_conforms() {
    on_each_isa(|isa| conforms(|qkv, starts, d_output, shape| run_on_cpu(isa, qkv, starts, d_output, shape)));
}

#[test]
fn cpu_attention_holds_for_scores_far_beyond_the_range_of_exp() {
    let shape = Shape { sequence_length: 80, heads: 1, kv_heads: 1, head_dim: 4 };
    let qkv: Vec<f32> = noise(5, 80 * shape.qkv_width()).iter().map(|value| value * 40.0).collect();
    let (want_output, want_log_sums) = formula(&widen(&qkv), &[0; 80], &shape);
    assert!(want_log_sums.iter().any(|sum| *sum > 400.0), "the case is as extreme as its name");
    on_each_isa(|isa| {
        let (output, log_sums, d_qkv) = run_on_cpu(isa, &qkv, &[0; 80], &noise(6, 80 * 4), &shape);
        assert_close("output", &output, &want_output, 1e-4);
        assert_close("log_sum_exp", &log_sums, &want_log_sums, 1e-6);
        assert!(d_qkv.iter().all(|value| value.is_finite()));
    });
}
