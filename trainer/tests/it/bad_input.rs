//! Every mistake in a job or its data gets its exit code and one sentence that names the field and the remedy.

use std::{fs, path::Path};

use bedplate_crds::{
    job::TrainerJob,
    training_job::{ModelShape, ModelSource},
};

use crate::fixture::{Place, SEQUENCE_LENGTH, documents, edit_manifest, events, failure, spawn, trainer, wait};

/// Changes a good job, and checks how it is refused.
fn refused(code: i32, parts: &[&str], change: impl FnOnce(&Place, &mut TrainerJob)) {
    let place = Place::new();
    let mut job = place.job("job", &[&place.dataset("data")]);
    change(&place, &mut job);
    let ended = wait(place.start(&job, 0));
    assert_eq!(ended.code, Some(code), "{parts:?}: {}", ended.stderr);
    let (message, exit_code) = failure(&job);
    assert_eq!(exit_code, code);
    assert!(parts.iter().all(|part| message.contains(part)), "{message:?} lacks one of {parts:?}");
    assert!(!message.contains('\n') && !message.ends_with('.'), "{message:?}");
    assert!(!job.output_dir.join("checkpoints").exists(), "nothing is written");
}

fn shape(job: &mut TrainerJob) -> &mut ModelShape {
    match &mut job.spec.model {
        ModelSource::Config { config } => config,
        other => panic!("the fixture's model is a config, not {other:?}"),
    }
}

#[test]
fn a_job_file_that_is_none_is_told_on_the_terminal() {
    let place = Place::new();
    let run = |path: &Path| wait(spawn(trainer().arg("--config").arg(path)));
    let ended = run(&place.path("missing.json"));
    assert_eq!(ended.code, Some(11));
    assert!(ended.stderr.contains("missing.json; check --config: No such file"), "{}", ended.stderr);

    let mut json = serde_json::to_value(place.job("job", &[&place.dataset("data")])).unwrap();
    json["spec"]["schedule"]["maxStep"] = 3.into();
    fs::write(place.path("typo.json"), json.to_string()).unwrap();
    let ended = run(&place.path("typo.json"));
    assert_eq!(ended.code, Some(11));
    assert!(ended.stderr.contains("unknown field `maxStep`, expected one of `maxSteps`"), "{}", ended.stderr);
}

#[test]
fn numbers_that_do_not_fit_are_refused_by_name() {
    refused(11, &["spec.schedule.maxSteps is 0; write 1 or more"], |_, job| job.spec.schedule.max_steps = 0);
    refused(11, &["spec.schedule.globalBatchSize is 8; write a multiple of microBatchSize 3"], |_, job| {
        job.spec.schedule.micro_batch_size = 3;
    });
    refused(11, &["spec.parallelism.data is 3; write 1, 2, 4 or 8"], |_, job| job.spec.parallelism.data = 3);
    refused(11, &["rendezvous is missing"], |_, job| job.spec.parallelism.data = 2);
    refused(11, &["spec.schedule.learningRate is -1"], |_, job| job.spec.schedule.learning_rate = -1.0);
    refused(11, &["spec.data[0].weight is 0"], |_, job| job.spec.data[0].weight = 0.0);
    refused(11, &["num_key_value_heads is 3", "write a divisor"], |_, job| shape(job).num_key_value_heads = Some(3));
    refused(11, &["datasetDirs names 2 folders for the 1 Datasets"], |_, job| {
        job.dataset_dirs.push(job.dataset_dirs[0].clone());
    });
}

#[test]
fn a_rank_beyond_the_job_is_refused() {
    let place = Place::new();
    let ended = wait(place.start(&place.job("job", &[&place.dataset("data")]), 1));
    assert_eq!(ended.code, Some(11));
    assert!(ended.stderr.contains("--rank is 1; spec.parallelism.data has ranks 0 to 0"), "{}", ended.stderr);
}

#[test]
fn a_model_that_does_not_fit_the_data_is_refused() {
    refused(11, &["spec.model.config.vocab_size is 10", "tokenizer of Dataset data-0 has 280 entries"], |_, job| {
        shape(job).vocab_size = Some(10);
    });
    refused(11, &["spec.model.config.max_position_embeddings is 16", "packing.sequenceLength of 32"], |_, job| {
        shape(job).max_position_embeddings = Some(16);
    });
    refused(11, &["modelDir is missing", "TrainingJob base"], |_, job| {
        job.spec.model = ModelSource::TrainingJob { name: "base".to_owned() };
    });
    refused(11, &["cannot be read", "config.json"], |place, job| {
        job.spec.model = ModelSource::TrainingJob { name: "base".to_owned() };
        job.model_dir = Some(place.path("nowhere"));
    });
    refused(11, &["spec.model.uri cannot be fetched", "/nowhere does not exist"], |_, job| {
        job.spec.model = ModelSource::Uri { uri: "file:/nowhere".to_owned() };
    });
}

#[test]
fn a_plan_that_does_not_fit_the_memory_names_its_parts() {
    let parts = ["weights ", "gradients ", "optimizer ", "activations ", "workspace ", "samples "];
    let all = [&parts[..], &["but 64.0 KiB may be used; lower spec.schedule.microBatchSize"]].concat();
    refused(12, &all, |_, job| job.memory_limit_bytes = 64 << 10);
    refused(12, &["the machine's free memory"], |_, job| {
        shape(job).hidden_size = 1 << 20;
        shape(job).intermediate_size = 1 << 22;
    });
}

#[test]
fn data_that_is_not_there_or_not_enough_is_refused() {
    refused(11, &["spec.data[0].dataset data-0 cannot be used", "holds no finished Dataset"], |place, job| {
        job.dataset_dirs = vec![place.path("nowhere")];
    });
    refused(11, &["has no sequence to train on"], |_, job| {
        edit_manifest(&job.dataset_dirs[0], |manifest| {
            manifest.train.sequences = 0;
            manifest.train.shards.clear();
        });
    });
    refused(11, &["hold no token that follows another"], |place, job| {
        let single = vec![String::new(); 64];
        job.dataset_dirs = vec![place.dataset_of("single", 1, &single)];
    });
    refused(11, &["formatVersion 9"], |_, job| {
        edit_manifest(&job.dataset_dirs[0], |manifest| manifest.format_version = 9)
    });
}

#[test]
fn datasets_that_do_not_go_together_are_refused() {
    refused(11, &["spec.data[1].dataset data-1 has sequenceLength 64 where data-0 has 32"], |place, job| {
        let longer = place.dataset_of("longer", 2 * SEQUENCE_LENGTH, &documents("longer"));
        *job = place.job("job", &[&job.dataset_dirs[0], &longer]);
    });
    refused(11, &["spec.data[1].dataset data-1 has tokenizerSha256", "with tokenizer.type load"], |place, job| {
        let other = place.path("other");
        fs::create_dir_all(&other).unwrap();
        let tokenizer = bedplate_tokenizer::train_byte_level_bpe(documents("x").iter(), 270).unwrap();
        crate::fixture::write_dataset(&other, SEQUENCE_LENGTH, &documents("x"), &tokenizer);
        *job = place.job("job", &[&job.dataset_dirs[0], &other]);
    });
}

#[test]
fn damaged_data_is_told_from_wrong_data() {
    let shard = |job: &TrainerJob| job.dataset_dirs[0].join("train-1.tokens");
    refused(16, &["train-1.tokens is corrupt", "run it again"], |_, job| {
        let mut bytes = fs::read(shard(job)).unwrap();
        bytes[100] ^= 1;
        fs::write(shard(job), bytes).unwrap();
    });
    refused(16, &["train-1.tokens is corrupt"], |_, job| {
        let bytes = fs::read(shard(job)).unwrap();
        fs::write(shard(job), &bytes[..bytes.len() - 1]).unwrap();
    });
    refused(16, &["train-1.tokens does not match the manifest"], |_, job| {
        fs::copy(job.dataset_dirs[0].join("train-0.tokens"), shard(job)).unwrap();
    });
    refused(16, &["tokenizer.json does not match the manifest"], |_, job| {
        fs::write(job.dataset_dirs[0].join("tokenizer.json"), "{}").unwrap();
    });
    refused(16, &["manifest.json is not a Dataset manifest"], |_, job| {
        fs::write(job.dataset_dirs[0].join("manifest.json"), "{").unwrap();
    });
    refused(16, &["holds token", "but the vocabulary has"], |_, job| {
        edit_manifest(&job.dataset_dirs[0], |manifest| manifest.vocab_size = 20);
        shape(job).vocab_size = Some(20);
    });
}

#[test]
fn a_truncated_model_is_corrupt() {
    let place = Place::new();
    let data = place.dataset("data");
    let first = place.job("first", &[&data]);
    place.complete(&first);
    let weights = first.output_dir.join("model/model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() - 4]).unwrap();
    let mut second = place.job("second", &[&data]);
    second.spec.model = ModelSource::TrainingJob { name: "first".to_owned() };
    second.model_dir = Some(first.output_dir.join("model"));
    assert_eq!(place.train(&second).code, Some(16));
    let (message, _) = failure(&second);
    assert!(message.contains("model.safetensors holds") && message.contains("cut short"), "{message}");
    assert!(events(&second).len() <= 2);
}
