//! Each filter by hand, the distribution by counting, and the fast top-p against a plain one.

use proptest::prelude::*;

use super::*;

/// The token that is drawn where one is left.
fn chosen(logits: &mut [f32], params: &SamplingParams, tokens: &[u32], prompt_len: usize) -> u32 {
    sample(logits, params, tokens, prompt_len).expect("a token is left")
}

fn params() -> SamplingParams {
    SamplingParams::default()
}

/// Which tokens can come out at all, over many positions.
fn support(logits: &[f32], params: &SamplingParams) -> Vec<u32> {
    let mut seen: Vec<u32> =
        (1..2000).map(|position| chosen(&mut logits.to_vec(), params, &vec![0; position], 0)).collect();
    seen.sort_unstable();
    seen.dedup();
    seen
}

#[test]
fn zero_temperature_takes_the_first_of_the_likeliest() {
    let greedy = SamplingParams { temperature: 0.0, ..params() };
    assert_eq!(chosen(&mut [0.0, 3.0, 3.0, -1.0], &greedy, &[0], 1), 1);
}

#[test]
fn filters_keep_what_they_say() {
    let logits = [0.5_f32, 0.25, 0.15, 0.1].map(f32::ln);
    assert_eq!(support(&logits, &params()), [0, 1, 2, 3]);
    assert_eq!(support(&logits, &SamplingParams { top_k: 2, ..params() }), [0, 1]);
    assert_eq!(support(&logits, &SamplingParams { top_p: 0.7, ..params() }), [0, 1]);
    assert_eq!(support(&logits, &SamplingParams { top_p: 0.8, ..params() }), [0, 1, 2]);
    assert_eq!(support(&logits, &SamplingParams { min_p: 0.25, ..params() }), [0, 1, 2]);
    assert_eq!(support(&logits, &SamplingParams { top_p: 1e-6, ..params() }), [0]);
}

#[test]
fn draws_follow_the_distribution() {
    let logits = [0.5_f32, 0.3, 0.2].map(f32::ln);
    let mut counts = [0_u32; 3];
    for seed in 0..20_000 {
        let drawn = chosen(&mut logits.to_vec(), &SamplingParams { seed, ..params() }, &[0, 0], 1);
        counts[drawn as usize] += 1;
    }
    for (count, expected) in counts.into_iter().zip([10_000.0, 6_000.0, 4_000.0]) {
        assert!((f64::from(count) - expected).abs() < 300.0, "{counts:?}");
    }
}

#[test]
fn temperature_sharpens() {
    let logits = [2.0_f32, 1.0, 0.0];
    let hits = |temperature| {
        let params = SamplingParams { temperature, ..params() };
        (1..1000).filter(|&position| chosen(&mut logits.to_vec(), &params, &vec![0; position], 0) == 0).count()
    };
    assert!(hits(0.25) > hits(1.0) && hits(1.0) > hits(2.0));
}

#[test]
fn penalties_and_biases_move_the_choice() {
    let greedy = SamplingParams { temperature: 0.0, ..params() };
    let choose =
        |params: &SamplingParams, tokens: &[u32], prompt_len| chosen(&mut [2.0, 1.5, -1.0], params, tokens, prompt_len);
    assert_eq!(choose(&SamplingParams { repetition_penalty: 2.0, ..greedy.clone() }, &[0], 1), 1);
    let presence = SamplingParams { presence_penalty: 1.0, ..greedy.clone() };
    assert_eq!((choose(&presence, &[0], 1), choose(&presence, &[0], 0)), (0, 1), "only the answer counts");
    let frequency = SamplingParams { frequency_penalty: 0.3, ..greedy.clone() };
    assert_eq!((choose(&frequency, &[0], 0), choose(&frequency, &[0, 0], 0)), (0, 1));
    assert_eq!(choose(&SamplingParams { logit_bias: [(2, 50.0)].into(), ..greedy }, &[], 0), 2);
}

#[test]
fn forbidden_tokens_are_never_chosen() {
    let greedy = SamplingParams { temperature: 0.0, ..params() };
    let choose = |params: &SamplingParams, answer: &[u32]| chosen(&mut [4.0, 3.0, 2.0, 1.0], params, answer, 0);
    let allowed = SamplingParams { allowed_token_ids: Some(vec![3, 1]), ..greedy.clone() };
    assert_eq!(choose(&allowed, &[]), 1);
    let words = SamplingParams { bad_words: vec![vec![0], vec![2, 3, 1]], ..greedy.clone() };
    assert_eq!(choose(&words, &[]), 1);
    assert_eq!(choose(&words, &[3, 1]), 1, "the word has not begun");
    assert_eq!(choose(&words, &[1, 2, 3]), 2, "its last token is left out where the others stand before it");
    let least = SamplingParams { min_tokens: 2, ending_tokens: vec![0, 99], ..greedy };
    assert_eq!((choose(&least, &[1]), choose(&least, &[1, 1])), (1, 0));
    let drawn = SamplingParams { allowed_token_ids: Some(vec![3, 1]), ..params() };
    assert_eq!(support(&[9.0, 0.0, 9.0, 0.0], &drawn), [1, 3]);
    let nothing = SamplingParams { bad_words: vec![vec![1, 1], vec![1, 3]], ..drawn };
    assert_eq!(sample(&mut [9.0; 4], &nothing, &[1], 0), None);
}

#[test]
fn rules_that_leave_nothing_are_refused() {
    let allowed = |ids: &[u32]| SamplingParams { allowed_token_ids: Some(ids.to_vec()), ..params() };
    assert!(allowed(&[2]).check_some_token_is_left(4).is_ok());
    let banned = SamplingParams { bad_words: vec![vec![2]], ..allowed(&[2]) };
    assert_eq!(banned.check_some_token_is_left(4).unwrap_err().param(), Some("allowed_token_ids"));
    let all = SamplingParams { bad_words: vec![vec![0], vec![1]], ..params() };
    assert_eq!(all.check_some_token_is_left(2).unwrap_err().param(), Some("bad_words"));
}

#[test]
fn ranges_are_checked() {
    let bad = [
        (SamplingParams { temperature: -0.1, ..params() }, "temperature"),
        (SamplingParams { temperature: f32::NAN, ..params() }, "temperature"),
        (SamplingParams { top_p: 0.0, ..params() }, "top_p"),
        (SamplingParams { min_p: 1.5, ..params() }, "min_p"),
        (SamplingParams { repetition_penalty: 0.0, ..params() }, "repetition_penalty"),
        (SamplingParams { presence_penalty: 3.0, ..params() }, "presence_penalty"),
        (SamplingParams { frequency_penalty: -3.0, ..params() }, "frequency_penalty"),
        (SamplingParams { logit_bias: [(1, 101.0)].into(), ..params() }, "logit_bias"),
    ];
    for (params, field) in bad {
        assert_eq!(params.validate().unwrap_err().field, field);
    }
    assert_eq!(params().validate(), Ok(()));
}

#[test]
fn logprobs_sum_to_one_and_are_sorted() {
    let logits = [1.0_f32, 3.0, 2.0, 3.0];
    let got = logprobs(&logits, 2, 4);
    assert_eq!(got.top.iter().map(|&(id, _)| id).collect::<Vec<_>>(), [1, 3, 2, 0]);
    let sum: f32 = got.top.iter().map(|&(_, logprob)| logprob.exp()).sum();
    assert!((sum - 1.0).abs() < 1e-5);
    assert_eq!(got.chosen, got.top[2]);
    assert_eq!(logprobs(&logits, 2, 0).top, []);
}

proptest! {
    #[test]
    fn top_p_equals_a_full_sort(logits in prop::collection::vec(-6.0_f32..6.0, 1..300), top_p in 0.01_f32..1.0) {
        let mut weights: Vec<(f32, u32)> = logits.iter().enumerate().map(|(id, logit)| (logit.exp(), id as u32)).collect();
        let total: f64 = weights.iter().map(|&(weight, _)| f64::from(weight)).sum();
        let mut plain = weights.clone();
        plain.sort_by(likelier);
        let mut sum = 0.0;
        let mut kept = plain.len();
        for (index, &(weight, _)) in plain.iter().enumerate() {
            sum += f64::from(weight);
            if sum >= f64::from(top_p) * total {
                kept = index + 1;
                break;
            }
        }
        keep_top_p(&mut weights, top_p);
        prop_assert_eq!(&weights[..], &plain[..kept]);
    }
}

#[test]
fn rows_that_are_no_logits_are_refused() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for row in [&[nan; 3][..], &[0.0, nan, 1.0], &[inf, 0.0], &[-inf, -inf], &[-nan, 0.0], &[]] {
        assert_eq!(check_finite(row), Err(NotFinite), "{row:?}");
    }
    for row in [&[0.0][..], &[-inf, -3.0], &[f32::MAX, f32::MIN, -0.0]] {
        assert_eq!(check_finite(row), Ok(()), "{row:?}");
    }
}
