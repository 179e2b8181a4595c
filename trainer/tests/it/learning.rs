//! The model learns, the figures are right, and how a batch is cut up does not matter.

use bedplate_crds::{
    job::{TrainerJob, progress::ProgressBody},
    training_job::LrSchedulerType,
};

use bedplate_tokenizer::{TokenShard, Tokenizer};

use crate::fixture::{Place, edit_manifest, events, steps};

#[test]
fn loss_falls_on_data_that_can_be_learnt_and_the_hold_out_with_it() {
    let place = Place::new();
    let mut job = place.job("job", &[&place.dataset("data")]);
    job.spec.schedule.max_steps = 150;
    job.spec.evaluation.every_steps = 50;
    job.spec.evaluation.sample_prompts = vec!["pub fn ".to_owned()];
    place.complete(&job);
    let losses: Vec<f64> = steps(&job).iter().map(|step| step.loss).collect();
    // The first loss is that of a model that knows nothing: the logarithm of the vocabulary.
    assert!((losses[0] - f64::from(crate::fixture::VOCAB_SIZE).ln()).abs() < 0.2, "{}", losses[0]);
    assert!(losses[149] < 0.3 * losses[0], "from {} to {}", losses[0], losses[149]);

    let mut evaluations = Vec::new();
    let mut samples = Vec::new();
    for body in events(&job) {
        match body {
            ProgressBody::Evaluation { step, bits_per_byte, .. } => evaluations.push((step, bits_per_byte)),
            ProgressBody::Sample { step, prompt, completion } => samples.push((step, prompt, completion)),
            _ => {}
        }
    }
    assert_eq!(evaluations.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [50, 100, 150]);
    assert!(evaluations[2].1 < evaluations[0].1, "{evaluations:?}");
    assert_eq!(samples.len(), 3);
    assert_eq!((samples[2].0, samples[2].1.as_str()), (150, "pub fn "));
    assert!(samples[2].2.contains("(value: u64)"), "{:?}", samples[2].2);
}

#[test]
fn cutting_the_batch_otherwise_gives_the_same_training() {
    let place = Place::new();
    let data = place.dataset("data");
    let figures = |micro: u32| {
        let mut job = place.job(&format!("micro-{micro}"), &[&data]);
        job.spec.schedule.micro_batch_size = micro;
        place.complete(&job);
        steps(&job).iter().map(|step| (step.loss, step.grad_norm, step.tokens)).collect::<Vec<_>>()
    };
    let one_by_one = figures(1);
    for micro in [2, 4, 8] {
        for (step, (here, there)) in figures(micro).iter().zip(&one_by_one).enumerate() {
            assert!((here.0 - there.0).abs() < 1e-4 * there.0, "loss of step {step}: {here:?} is not {there:?}");
            assert!((here.1 - there.1).abs() < 1e-3 * there.1, "norm of step {step}: {here:?} is not {there:?}");
            assert_eq!(here.2, there.2, "tokens of step {step}");
        }
    }
}

#[test]
fn the_learning_rate_follows_the_schedule() {
    let place = Place::new();
    let data = place.dataset("data");
    let rates = |kind: LrSchedulerType| {
        let mut job = place.job(&format!("{kind:?}"), &[&data]);
        job.spec.schedule.lr_scheduler_type = kind;
        job.spec.schedule.decay_steps = Some(3);
        place.complete(&job);
        steps(&job).iter().map(|step| (step.learning_rate * 1e4).round()).collect::<Vec<_>>()
    };
    assert_eq!(rates(LrSchedulerType::Constant), [50., 100., 100., 100., 100., 100., 100., 100., 100., 100.]);
    assert_eq!(rates(LrSchedulerType::Wsd), [50., 100., 100., 100., 100., 100., 100., 70., 40., 10.]);
    let linear = rates(LrSchedulerType::Linear);
    assert_eq!((linear[0], linear[1], linear[2], linear[9]), (50., 100., 100., 10.));
}

#[test]
fn a_rate_that_is_far_too_high_ends_with_the_step_s_number_and_saves_nothing_of_it() {
    let place = Place::new();
    let mut job = place.job("job", &[&place.dataset("data")]);
    job.spec.schedule.learning_rate = 1e30;
    job.spec.schedule.max_steps = 100;
    job.spec.checkpoint.every_steps = 1;
    assert_eq!(place.train(&job).code, Some(11));
    let (message, _) = crate::fixture::failure(&job);
    assert!(message.contains(" of step ") && message.contains("training has diverged"), "{message}");
    assert!(message.contains("lower spec.schedule.learningRate"), "{message}");
    let saved = steps_saved(&job);
    assert!(saved.iter().all(|step| message_step(&message) > *step), "{message}: {saved:?}");
}

fn steps_saved(job: &TrainerJob) -> Vec<u64> {
    let step = |body| if let ProgressBody::Checkpoint { step, .. } = body { Some(step) } else { None };
    events(job).into_iter().filter_map(step).collect()
}

fn message_step(message: &str) -> u64 {
    let number = message.split(" of step ").nth(1).unwrap();
    number.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn datasets_are_mixed_by_weight() {
    let place = Place::new();
    // The second Dataset's documents are one token and the end: one target a sequence where the first has many.
    let (rich, poor) = (place.dataset("rich"), place.dataset_of("poor", 32, &vec!["a".to_owned(); 400]));
    let tokens = |name: &str, weights: [f64; 2]| {
        let mut job = place.job(name, &[&rich, &poor]);
        for (source, weight) in job.spec.data.iter_mut().zip(weights) {
            source.weight = weight;
        }
        place.complete(&job);
        steps(&job).last().unwrap().tokens
    };
    let (mostly_rich, mostly_poor) = (tokens("rich-first", [9.0, 1.0]), tokens("poor-first", [1.0, 9.0]));
    assert!(mostly_rich > 2 * mostly_poor, "{mostly_rich} and {mostly_poor}");
}

#[test]
fn without_a_document_mask_a_document_predicts_the_one_behind_it() {
    let place = Place::new();
    let short: Vec<String> = (0..64).map(|number| format!("let value = {number};")).collect();
    let data = place.dataset_of("data", 64, &short);
    let masked = place.job("masked", &[&data]);
    place.complete(&masked);
    edit_manifest(&data, |manifest| manifest.document_mask = false);
    let open = place.job("open", &[&data]);
    place.complete(&open);
    let tokens = |job: &TrainerJob| steps(job).last().unwrap().tokens;
    // Each of the eighty sequences holds two documents, and has one target more.
    assert_eq!(tokens(&open), tokens(&masked) + 80);
}

/// The hold-out is counted again here, from the shard and the tokenizer.
#[test]
fn bits_per_byte_are_nats_over_the_bytes_of_the_predicted_text() {
    let place = Place::new();
    let data = place.dataset("data");
    let mut job = place.job("job", &[&data]);
    job.spec.evaluation.max_sequences = 1_000;
    job.spec.schedule.micro_batch_size = 4;
    place.complete(&job);
    let tokenizer = Tokenizer::from_folder(&data).unwrap();
    let shard = TokenShard::open(data.join("holdout-0.tokens")).unwrap();
    let (mut row, mut lengths, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..shard.num_sequences() {
        shard.read(index, &mut row, &mut lengths);
        let mut rest = row.as_slice();
        for length in &lengths {
            let (segment, after) = rest.split_at(*length as usize);
            targets.extend_from_slice(&segment[1..]);
            rest = after;
        }
    }
    let bytes: usize = targets.iter().map(|token| tokenizer.decode(&[*token], true).len()).sum();
    let evaluation = events(&job).into_iter().find_map(|body| match body {
        ProgressBody::Evaluation { loss, bits_per_byte, tokens, .. } => Some((loss, bits_per_byte, tokens)),
        _ => None,
    });
    let (loss, bits_per_byte, tokens) = evaluation.unwrap();
    assert_eq!(tokens, targets.len() as u64);
    let wanted = loss * tokens as f64 / std::f64::consts::LN_2 / bytes as f64;
    assert!((bits_per_byte / wanted - 1.0).abs() < 1e-12, "{bits_per_byte} is not {wanted}");
}
