//! The final model is one that others can load: the serving engine, another job.

use std::path::Path;

use bedplate_crds::{job::progress::ProgressBody, training_job::ModelSource};
use bedplate_engine::{
    ModelConfig, ParamLayout, ParamSpec,
    hf_folder::{ModelFolder, write_model_folder},
    safetensors_file::NamedTensor,
    serving::{Chunk, KvCache, Runner, ServingModel},
};
use bedplate_tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::fixture::{Place, edit_manifest, events, failure, steps};

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

/// Name, shape and numbers.
type Tensor = (String, Vec<usize>, Vec<f32>);

/// The model in `dir`: its config as it is written, and its tensors.
fn read_model(dir: &Path) -> (Value, Vec<Tensor>) {
    let mut folder = ModelFolder::open(dir).unwrap();
    let config: ModelConfig = serde_json::from_value(folder.config().clone()).unwrap();
    let read = |param: &ParamSpec| {
        let mut values = vec![0.0; param.range.len()];
        folder.read_f32(&param.name, &param.shape, &mut values).unwrap();
        (param.name.clone(), param.shape.clone(), values)
    };
    let tensors = ParamLayout::new(&config).params().iter().map(read).collect();
    (folder.config().clone(), tensors)
}

fn write_model(dir: &Path, config: &Value, tensors: &[Tensor]) {
    let named = |tensor| {
        let (name, shape, data): &Tensor = tensor;
        NamedTensor { name: name.clone(), shape: shape.clone(), data }
    };
    write_model_folder(dir, config, &tensors.iter().map(named).collect::<Vec<_>>(), &[]).unwrap();
}

#[test]
fn a_model_that_was_trained_on_says_what_is_true_of_it_and_keeps_the_rest_of_its_config() {
    let place = Place::new();
    let data = place.dataset("data");
    let first = place.job("first", &[&data]);
    place.complete(&first);
    let (mut config, mut tensors) = read_model(&first.output_dir.join("model"));
    // As tools write it: both names of the number format, floats for integers, fields of their own; and a head that
    // differs from the embedding although the two are called tied.
    config["dtype"] = json!("bfloat16");
    config["torch_dtype"] = json!("bfloat16");
    config["hidden_size"] = json!(config["hidden_size"].as_f64().unwrap());
    config["rope_scaling"] = json!({"type": "default"});
    config["rope_theta"] = json!(20_000.0);
    config["tie_word_embeddings"] = json!(true);
    config["pad_token_id"] = json!(-1);
    config["my_field"] = json!({"kept": [1, 2]});
    let (_, shape, embedding) = tensors[0].clone();
    assert_eq!(tensors[0].0, "model.embed_tokens.weight");
    tensors.retain(|(name, ..)| name != "lm_head.weight");
    tensors.push(("lm_head.weight".to_owned(), shape, embedding.iter().map(|value| -value).collect()));
    let start = place.path("start");
    write_model(&start, &config, &tensors);
    let mut second = place.job("second", &[&data]);
    second.spec.model = ModelSource::Uri { uri: format!("file:{}", start.display()) };
    place.complete(&second);
    let (config, tensors) = read_model(&second.output_dir.join("model"));
    assert_eq!((&config["torch_dtype"], config.get("dtype")), (&json!("float32"), None));
    assert_eq!((&config["my_field"], &config["pad_token_id"]), (&json!({"kept": [1, 2]}), &json!(-1)));
    assert_eq!(config["rope_parameters"], json!({"rope_theta": 20_000.0, "rope_type": "default"}));
    assert_eq!((&config["rope_theta"], config.get("rope_scaling")), (&json!(20_000.0), None));
    assert_eq!(config["tie_word_embeddings"], false);
    let tensor = |name: &str| &tensors.iter().find(|(tensor, ..)| tensor == name).unwrap().2;
    let opposed = tensor("lm_head.weight").iter().zip(tensor("model.embed_tokens.weight"));
    let dot: f32 = opposed.map(|(head, embedding)| head * embedding).sum();
    assert!(dot < 0.0, "the head that was found is trained on as a matrix of its own: {dot}");
}

#[test]
fn a_tokenizer_with_more_tokens_than_the_model_is_refused_only_where_the_data_holds_one() {
    let place = Place::new();
    let data = place.dataset("data");
    let first = place.job("first", &[&data]);
    place.complete(&first);
    let model = first.output_dir.join("model");
    let mut second = place.job("second", &[&data]);
    second.spec.model = ModelSource::Uri { uri: format!("file:{}", model.display()) };
    // As a padding token does that was added to the tokenizer alone.
    edit_manifest(&data, |manifest| manifest.vocab_size += 1);
    place.complete(&second);

    let (mut config, mut tensors) = read_model(&model);
    let (width, rows) = (tensors[0].1[1], tensors[0].1[0] - 1);
    for (_, shape, values) in tensors.iter_mut().filter(|(_, shape, _)| shape[0] == rows + 1) {
        shape[0] = rows;
        values.truncate(rows * width);
    }
    config["vocab_size"] = json!(rows);
    let small = place.path("small");
    write_model(&small, &config, &tensors);
    let mut third = place.job("third", &[&data]);
    third.spec.model = ModelSource::Uri { uri: format!("file:{}", small.display()) };
    let ended = place.train(&third);
    let (message, _) = failure(&third);
    assert_eq!(ended.code, Some(11), "{message}");
    assert!(message.contains(&format!("holds token {rows} (")), "{message}");
    assert!(message.contains(&format!("only {rows} embeddings")), "{message}");
}
