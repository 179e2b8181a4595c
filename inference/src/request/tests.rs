//! Every refusal names its field, and what is let through can be run.

use super::*;

const LIMITS: Limits = Limits { max_model_len: 10, vocab_size: 100, max_queue_len: 8 };

fn refusal(
    options: &GenerationOptions,
    prompt: Vec<u32>,
    max_tokens: Option<u64>,
    top_logprobs: Option<u64>,
) -> ApiError {
    options.requests(vec![prompt], max_tokens, top_logprobs, "prompt", &LIMITS).expect_err("this must be refused")
}

#[test]
fn refusals_name_their_field() {
    let options = GenerationOptions::default;
    let rows = [
        ("temperature", GenerationOptions { temperature: Some(-1.0), ..options() }),
        ("top_p", GenerationOptions { top_p: Some(1.5), ..options() }),
        ("top_k", GenerationOptions { top_k: Some(-2), ..options() }),
        ("top_k", GenerationOptions { top_k: Some(1 << 40), ..options() }),
        ("min_p", GenerationOptions { min_p: Some(-0.5), ..options() }),
        ("presence_penalty", GenerationOptions { presence_penalty: Some(9.0), ..options() }),
        ("frequency_penalty", GenerationOptions { frequency_penalty: Some(-9.0), ..options() }),
        ("repetition_penalty", GenerationOptions { repetition_penalty: Some(0.0), ..options() }),
        ("logit_bias", GenerationOptions { logit_bias: Some([(100, 1.0)].into()), ..options() }),
        ("logit_bias", GenerationOptions { logit_bias: Some([(1, 101.0)].into()), ..options() }),
        ("n", GenerationOptions { n: Some(0), ..options() }),
        ("n", GenerationOptions { n: Some(129), ..options() }),
        ("prompt", GenerationOptions { n: Some(9), ..options() }),
        ("stop", GenerationOptions { stop: Some(StopStrings::One(String::new())), ..options() }),
        ("stop", GenerationOptions { stop: Some(StopStrings::Many(vec!["a".into(); 5])), ..options() }),
    ];
    for (param, options) in rows {
        assert_eq!(refusal(&options, vec![1], None, None).param(), Some(param), "{options:?}");
    }
    assert_eq!(refusal(&options(), vec![], None, None).param(), Some("prompt"));
    assert_eq!(refusal(&options(), vec![100], None, None).param(), Some("prompt"));
    assert_eq!(refusal(&options(), vec![1], Some(0), None).param(), Some("max_tokens"));
    assert_eq!(refusal(&options(), vec![1], None, Some(21)).param(), Some("top_logprobs"));
}

#[test]
fn a_prompt_beyond_the_context_is_told_both_numbers() {
    let options = GenerationOptions::default();
    let long = refusal(&options, vec![1; 10], None, None).to_string();
    assert!(long.contains("10 tokens") && long.contains("prompt has 10"), "{long}");
    let asked = refusal(&options, vec![1; 4], Some(7), None).to_string();
    assert!(asked.contains("prompt has 4 and 7 more"), "{asked}");
    assert!(refusal(&options, vec![1; 4], Some(u64::MAX), None).to_string().contains("at most 6"));
}

#[test]
fn the_answer_may_fill_the_context_and_choices_differ_in_their_seed() {
    let options = GenerationOptions { n: Some(2), seed: Some(-1), top_k: Some(-1), ..Default::default() };
    let requests = options.requests(vec![vec![1; 4], vec![2; 9]], None, None, "prompt", &LIMITS).unwrap();
    assert_eq!(requests.iter().map(|request| request.max_tokens).collect::<Vec<_>>(), [6, 6, 1, 1]);
    assert_eq!(requests.iter().map(|request| request.sampling.seed).collect::<Vec<_>>(), [u64::MAX, 0, u64::MAX, 0]);
    assert_eq!(requests[0].sampling.top_k, 0);
}

#[test]
fn without_a_seed_no_two_requests_draw_alike() {
    let options = GenerationOptions::default();
    let seed = || options.requests(vec![vec![1]], None, None, "prompt", &LIMITS).unwrap()[0].sampling.seed;
    assert_ne!(seed(), seed());
}
