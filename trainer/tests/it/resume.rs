//! However a job is cut into attempts, it ends in the same bits.

use std::fs;

use bedplate_crds::job::progress::ProgressBody;

use crate::fixture::{Place, events, failure, files, steps};

#[test]
fn ten_steps_are_five_and_another_five() {
    let place = Place::new();
    let data = place.dataset("data");
    let whole = place.job("whole", &[&data]);
    let digest = place.complete(&whole);

    // The second job loses what came after its fifth step, and goes on from there.
    let halves = place.job("halves", &[&data]);
    assert_eq!(place.complete(&halves), digest);
    fs::remove_dir_all(halves.output_dir.join("checkpoints/step-0000000010")).unwrap();
    fs::remove_dir_all(halves.output_dir.join("model")).unwrap();
    fs::remove_file(&halves.progress_file).unwrap();
    assert_eq!(place.complete(&halves), digest);
    assert_eq!(steps(&halves).first().unwrap().step, 6);
    assert_eq!(files(&halves.output_dir.join("checkpoints")), files(&whole.output_dir.join("checkpoints")));
    assert_eq!(files(&halves.output_dir.join("model")), files(&whole.output_dir.join("model")));

    // Its metrics go on as if nothing had been.
    let figures = |steps: &[bedplate_crds::job::progress::StepMetrics]| {
        steps.iter().map(|step| (step.step, step.loss.to_bits(), step.tokens)).collect::<Vec<_>>()
    };
    assert_eq!(figures(&steps(&halves)), figures(&steps(&whole)[5..]));
}

#[test]
fn a_complete_job_ends_at_once_and_leaves_its_files_alone() {
    let place = Place::new();
    let job = place.job("job", &[&place.dataset("data")]);
    let digest = place.complete(&job);
    let modified = |name: &str| fs::metadata(job.output_dir.join(name)).unwrap().modified().unwrap();
    let before = (modified("model"), modified("checkpoints"), modified("running-seconds"));
    let number = events(&job).len();
    assert_eq!(place.complete(&job), digest);
    assert_eq!((modified("model"), modified("checkpoints"), modified("running-seconds")), before);
    let new = events(&job).split_off(number);
    let expected = |body: &ProgressBody| {
        matches!(body, ProgressBody::Started { .. } | ProgressBody::Plan { .. } | ProgressBody::Completed { .. })
    };
    assert!(new.iter().all(expected), "{new:?}");
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_warning() {
    let place = Place::new();
    let job = place.job("job", &[&place.dataset("data")]);
    let digest = place.complete(&job);
    let newest = job.output_dir.join("checkpoints/step-0000000010");
    let weights = newest.join("model-00001-of-00001.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let ended = place.train(&job);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("damaged checkpoint passed over"), "{}", ended.stderr);
    assert_eq!(steps(&job)[10].step, 6, "training goes on after the checkpoint before it");
    assert_eq!(crate::fixture::digest(&job), digest);
}

#[test]
fn a_job_without_a_whole_checkpoint_does_not_begin_anew_on_its_own() {
    let place = Place::new();
    let job = place.job("job", &[&place.dataset("data")]);
    place.complete(&job);
    for step in [5, 10] {
        fs::write(job.output_dir.join(format!("checkpoints/step-{step:010}/manifest.json")), "{").unwrap();
    }
    assert_eq!(place.train(&job).code, Some(16));
    let (message, exit_code) = failure(&job);
    assert_eq!(exit_code, 16);
    assert!(message.contains("no checkpoint in") && message.contains("step-0000000010: manifest.json"), "{message}");
}

#[test]
fn a_changed_recipe_is_refused_by_the_field() {
    let place = Place::new();
    let (data, other) = (place.dataset("data"), place.dataset("other"));
    let job = place.job("job", &[&data]);
    place.complete(&job);
    let refusal = |change: &dyn Fn(&mut bedplate_crds::job::TrainerJob)| {
        let mut changed = job.clone();
        change(&mut changed);
        assert_eq!(place.train(&changed).code, Some(11));
        failure(&changed).0
    };
    let message = refusal(&|job| job.spec.schedule.seed = 43);
    assert!(message.starts_with("spec.schedule.seed is 43 but was 42 when checkpoint "), "{message}");
    let message = refusal(&|job| job.spec.schedule.max_steps = 20);
    assert!(message.starts_with("spec.schedule.maxSteps is 20 but was 10"), "{message}");
    let message = refusal(&|job| job.spec.optimizer.weight_decay = 0.5);
    assert!(message.starts_with("spec.optimizer.weightDecay is 0.5 but was 0.1"), "{message}");
    let message = refusal(&|job| job.dataset_dirs = vec![other.clone()]);
    assert!(message.starts_with("spec.data[0].dataset (its digest) is "), "{message}");

    // What changes no bit may change.
    let mut changed = job.clone();
    changed.spec.evaluation.every_steps = 3;
    changed.spec.checkpoint.every_steps = 2;
    assert_eq!(place.train(&changed).code, Some(0));
}
