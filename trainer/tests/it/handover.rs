//! The final model is one that others can load: the serving engine, another job.

use bedplate_crds::{job::progress::ProgressBody, training_job::ModelSource};
use bedplate_engine::{
    hf_folder::ModelFolder,
    serving::{Chunk, KvCache, Runner, ServingModel},
};
use bedplate_tokenizer::Tokenizer;

use crate::fixture::{Place, events, failure, steps};

#[test]
fn the_model_folder_is_served_with_its_tokenizer() {
    let place = Place::new();
    let mut job = place.job("job", &[&place.dataset("data")]);
    job.spec.schedule.max_steps = 60;
    job.spec.evaluation.sample_prompts = vec!["pub fn ".to_owned()];
    place.complete(&job);
    let dir = job.output_dir.join("model");
    let tokenizer = Tokenizer::from_folder(&dir).unwrap();
    let end_of_text = tokenizer.eos_token_ids()[0];
    assert_eq!(tokenizer.token_text(end_of_text).unwrap(), "<|endoftext|>");

    let mut folder = ModelFolder::open(&dir).unwrap();
    assert_eq!(folder.config()["eos_token_id"], end_of_text);
    let model = ServingModel::from_folder(&mut folder, true).unwrap();
    let mut cache = KvCache::new(model.config(), 1, 32);
    let mut runner = Runner::new(model.into());
    let mut tokens = tokenizer.encode("pub fn ", false).unwrap();
    let prompt = tokens.len();
    while tokens.len() < prompt + 8 {
        let chunk = Chunk { tokens: &tokens, start: 0, block_table: &[0], wants_logits: true };
        let logits = runner.forward(&mut cache, &[chunk]);
        let best = logits.iter().enumerate().max_by(|left, right| left.1.total_cmp(right.1)).unwrap();
        tokens.push(best.0 as u32);
    }
    let served = tokenizer.decode(&tokens[prompt..], true);
    let sampled = events(&job).into_iter().find_map(|body| match body {
        ProgressBody::Sample { completion, .. } => Some(completion),
        _ => None,
    });
    assert!(sampled.as_ref().unwrap().starts_with(&served), "{served:?} is not the beginning of {sampled:?}");
}

#[test]
fn another_job_goes_on_from_the_model_of_the_first() {
    let place = Place::new();
    let data = place.dataset("data");
    let mut first = place.job("first", &[&data]);
    first.spec.schedule.max_steps = 60;
    place.complete(&first);
    let mut second = place.job("second", &[&data]);
    second.spec.model = ModelSource::TrainingJob { name: "first".to_owned() };
    second.model_dir = Some(first.output_dir.join("model"));
    place.complete(&second);
    let (end, start) = (steps(&first).last().unwrap().loss, steps(&second)[0].loss);
    assert!((end - start).abs() < 0.5, "the second job starts at {start}, the first ended at {end}");

    second.output_dir = place.path("uri");
    second.progress_file = second.output_dir.join("progress.jsonl");
    second.spec.model = ModelSource::Uri { uri: format!("file:{}", first.output_dir.join("model").display()) };
    second.model_dir = None;
    place.complete(&second);
    assert_eq!(steps(&second)[0].loss.to_bits(), start.to_bits());
}

#[test]
fn a_model_of_another_tokenizer_is_refused() {
    let place = Place::new();
    let data = place.dataset("data");
    let first = place.job("first", &[&data]);
    place.complete(&first);
    let other = place.path("other");
    std::fs::create_dir_all(&other).unwrap();
    let texts: Vec<String> =
        (0..50).map(|n| format!("{} zebra quilt jumping vexed {n}\n", "wholly other words".repeat(n % 3))).collect();
    let tokenizer = bedplate_tokenizer::train_byte_level_bpe(texts.iter(), crate::fixture::VOCAB_SIZE).unwrap();
    crate::fixture::write_dataset(&other, 32, &texts, &tokenizer);
    let mut second = place.job("second", &[&other]);
    second.spec.model = ModelSource::TrainingJob { name: "first".to_owned() };
    second.model_dir = Some(first.output_dir.join("model"));
    assert_eq!(place.train(&second).code, Some(11));
    let (message, _) = failure(&second);
    assert!(message.starts_with("token ") && message.contains("give the Dataset the model's tokenizer"), "{message}");
}
