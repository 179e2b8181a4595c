//! Every refusal names its field, and what is let through can be run.

use super::*;

const LIMITS: Limits = Limits { max_model_len: 10, vocab_size: 100, max_queue_len: 8 };

fn asked(prompts: Vec<Vec<u32>>, max_tokens: Option<u64>) -> Asked {
    let length = AnswerLength { asked: max_tokens, default: None };
    Asked { prompts, prompt_param: "prompt", length, top_logprobs: None }
}

fn requests(options: &GenerationOptions, asked: Asked) -> Result<Vec<GenerateRequest>, ApiError> {
    let rules = TokenRules { eos_token_ids: vec![9], bad_words: vec![vec![8], vec![6, 7]] };
    options.requests(asked, &rules, &LIMITS)
}

fn refusal(options: &GenerationOptions, prompt: Vec<u32>, max_tokens: Option<u64>) -> ApiError {
    requests(options, asked(vec![prompt], max_tokens)).expect_err("this must be refused")
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
        ("stop", GenerationOptions { stop: Some(StopStrings::Many(vec!["a".into(); 33])), ..options() }),
        ("allowed_token_ids", GenerationOptions { allowed_token_ids: Some(vec![1, 100]), ..options() }),
        ("allowed_token_ids", GenerationOptions { allowed_token_ids: Some(vec![]), ..options() }),
        ("allowed_token_ids", GenerationOptions { allowed_token_ids: Some(vec![8]), ..options() }),
        (
            "allowed_token_ids",
            GenerationOptions { allowed_token_ids: Some(vec![8, 9]), min_tokens: Some(2), ..options() },
        ),
        ("min_tokens", GenerationOptions { min_tokens: Some(11), ..options() }),
        ("truncate_prompt_tokens", GenerationOptions { truncate_prompt_tokens: Some(0), ..options() }),
        ("truncate_prompt_tokens", GenerationOptions { truncate_prompt_tokens: Some(-2), ..options() }),
        ("truncate_prompt_tokens", GenerationOptions { truncate_prompt_tokens: Some(10), ..options() }),
    ];
    for (param, options) in rows {
        assert_eq!(refusal(&options, vec![1], None).param(), Some(param), "{options:?}");
    }
    assert_eq!(refusal(&options(), vec![], None).param(), Some("prompt"));
    assert_eq!(refusal(&options(), vec![100], None).param(), Some("prompt"));
    assert_eq!(refusal(&options(), vec![1], Some(0)).param(), Some("max_tokens"));
    let too_many = Asked { top_logprobs: Some(21), ..asked(vec![vec![1]], None) };
    assert_eq!(requests(&options(), too_many).expect_err("more than 20").param(), Some("top_logprobs"));
}

#[test]
fn a_prompt_beyond_the_context_is_told_both_numbers() {
    let options = GenerationOptions::default();
    let long = refusal(&options, vec![1; 10], None).to_string();
    assert!(long.contains("10 tokens") && long.contains("prompt has 10"), "{long}");
    let asked = refusal(&options, vec![1; 4], Some(7)).to_string();
    assert!(asked.contains("prompt has 4 and 7 more"), "{asked}");
    assert!(refusal(&options, vec![1; 4], Some(u64::MAX)).to_string().contains("at most 6"));
}

#[test]
fn the_answer_may_fill_the_context() {
    let options = GenerationOptions { n: Some(2), top_k: Some(-1), ..Default::default() };
    let all = requests(&options, asked(vec![vec![1; 4], vec![2; 9]], None)).unwrap();
    assert_eq!(all.iter().map(|request| request.max_tokens).collect::<Vec<_>>(), [6, 6, 1, 1]);
    assert_eq!(all[0].sampling.top_k, 0);
    let length = AnswerLength { asked: None, default: Some(4) };
    let all = requests(&options, Asked { length, ..asked(vec![vec![1; 4], vec![2; 9]], None) }).unwrap();
    assert_eq!(all.iter().map(|request| request.max_tokens).collect::<Vec<_>>(), [4, 4, 1, 1]);
}

#[test]
fn choices_differ_in_their_seed_and_can_be_had_again() {
    let seeds = |seed: Option<Seed>| -> Vec<u64> {
        let options = GenerationOptions { n: Some(2), seed, ..Default::default() };
        let all = requests(&options, asked(vec![vec![1], vec![2]], None)).unwrap();
        all.iter().map(|request| request.sampling.seed).collect()
    };
    let fixed = seeds(Some(Seed::Fixed(3)));
    assert_eq!(fixed, seeds(Some(Seed::Fixed(3))));
    assert_eq!((fixed[0], &fixed[..2]), (3, &fixed[2..]));
    assert!(fixed[1] != fixed[0] && fixed[1] != seeds(Some(Seed::Fixed(4)))[0]);
    for random in [None, Some(Seed::Random)] {
        let (first, second) = (seeds(random), seeds(random));
        assert!(first[0] != second[0] && first[0] != first[2], "every prompt of every request draws anew");
    }
}

#[test]
fn a_prompt_is_cut_where_the_client_says() {
    let cut = |truncate, side, max_tokens| {
        let options =
            GenerationOptions { truncate_prompt_tokens: Some(truncate), truncation_side: side, ..Default::default() };
        requests(&options, asked(vec![(0..20).collect()], max_tokens)).unwrap().remove(0)
    };
    assert_eq!(cut(3, None, None).prompt, [17, 18, 19]);
    assert_eq!(cut(3, Some(TruncationSide::Left), None).prompt, [17, 18, 19]);
    assert_eq!(cut(3, Some(TruncationSide::Right), None).prompt, [0, 1, 2]);
    let filled = cut(-1, None, Some(4));
    assert_eq!((filled.prompt.len(), filled.max_tokens), (6, 4));
    assert_eq!(cut(-1, None, None).prompt.len(), 9);
}

#[test]
fn rules_of_tokens_reach_the_sampler() {
    let options =
        GenerationOptions { min_tokens: Some(3), stop_token_ids: Some(vec![5, 70_000]), ..Default::default() };
    let request = requests(&options, asked(vec![vec![1]], None)).unwrap().remove(0);
    assert_eq!(request.sampling.ending_tokens, [9, 5, 70_000]);
    assert_eq!((request.sampling.min_tokens, request.text.min_tokens), (3, 3));
    assert_eq!(request.sampling.bad_words, [vec![8], vec![6, 7]]);
    let ignoring = GenerationOptions { ignore_eos: Some(true), ..options };
    let request = requests(&ignoring, asked(vec![vec![1]], None)).unwrap().remove(0);
    assert_eq!(request.sampling.ending_tokens, [5, 70_000]);
}
