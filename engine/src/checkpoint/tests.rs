//! Round trips, retention, and every kind of damage.

use super::*;

type Damage = fn(&Path);

const W: [f32; 3] = [1.0, 2.0, 3.0];

fn state(step: u64) -> TrainerState {
    let recipe = [("schedule.seed".to_owned(), "42".to_owned())].into();
    TrainerState { step, samples: step * 8, tokens: step * 512, recipe }
}

fn write(store: &CheckpointStore, step: u64, weights: &[f32; 3]) -> Checkpoint {
    let tensor = |name: &str, data| NamedTensor { name: name.to_owned(), shape: vec![3], data };
    let weights = [tensor("w", weights.as_slice())];
    let optimizer = [tensor("exp_avg.w", W.as_slice())];
    let tensors = CheckpointTensors { weights: &weights, optimizer: &optimizer };
    let mut phases = Vec::new();
    let checkpoint = store.write(&state(step), tensors, &mut |phase| phases.push(phase)).unwrap();
    assert_eq!(phases, CheckpointPhase::ALL);
    checkpoint
}

fn newest(store: &CheckpointStore) -> (u64, usize) {
    let found = store.newest_whole().unwrap();
    (found.checkpoint.unwrap().manifest.state.step, found.rejected.len())
}

#[test]
fn a_checkpoint_is_read_back_and_its_digest_names_its_content() {
    let root = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(&root.path().join("a"), 2);
    assert!(store.newest_whole().unwrap().checkpoint.is_none());
    let written = write(&store, 5, &W);
    let found = store.newest_whole().unwrap().checkpoint.unwrap();
    assert_eq!((&found.digest, &found.manifest), (&written.digest, &written.manifest));
    assert_eq!(found.manifest.state, state(5));
    let mut out = [0.0; 3];
    let mut reader = CheckpointReader::open(&found).unwrap();
    reader.read_f32("exp_avg.w", &[3], &mut out).unwrap();
    assert_eq!(out, W);
    assert!(reader.read_f32("w", &[4], &mut out).unwrap_err().to_string().contains("[4]"));

    let elsewhere = CheckpointStore::new(&root.path().join("b"), 2);
    assert_eq!(write(&elsewhere, 5, &W).digest, written.digest);
    assert_ne!(write(&elsewhere, 5, &[1.0, 2.0, -3.0]).digest, written.digest);
    assert_ne!(write(&elsewhere, 6, &W).digest, written.digest);
}

#[test]
fn only_the_newest_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(root.path(), 2);
    for step in 1..=4 {
        write(&store, step, &W);
    }
    let mut names: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["step-0000000003", "step-0000000004"]);
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before_it() {
    let damage: [(&str, Damage); 4] = [
        ("truncated weights", |dir| {
            let path = dir.join("model-00001-of-00001.safetensors");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("a flipped bit", |dir| {
            let path = dir.join("optimizer-00001-of-00001.safetensors");
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, &bytes).unwrap();
        }),
        ("a changed manifest", |dir| {
            let path = dir.join(MANIFEST_FILE);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("\"samples\": 16", "\"samples\": 24")).unwrap();
        }),
        ("no manifest", |dir| fs::remove_file(dir.join(MANIFEST_FILE)).unwrap()),
    ];
    for (name, damage) in damage {
        let root = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(root.path(), 3);
        write(&store, 1, &W);
        let second = write(&store, 2, &W);
        damage(&second.path);
        assert_eq!(newest(&store), (1, 1), "{name}");
        write(&store, 2, &W);
        assert_eq!(newest(&store), (2, 0), "{name}: the damaged folder is replaced");
    }
}

#[test]
fn damage_to_all_is_an_error_that_names_them() {
    let root = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(root.path(), 3);
    for step in [1, 2] {
        fs::write(write(&store, step, &W).path.join(MANIFEST_FILE), "{").unwrap();
    }
    let message = store.newest_whole().unwrap_err().to_string();
    assert!(message.contains("step-0000000002: manifest.json") && message.contains("step-0000000001"), "{message}");
}

#[test]
fn training_on_from_an_earlier_step_removes_the_damaged_later_ones() {
    let root = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(root.path(), 2);
    write(&store, 1, &W);
    let damaged = write(&store, 3, &W).path;
    fs::remove_file(damaged.join(MANIFEST_FILE)).unwrap();
    write(&store, 2, &W);
    assert!(!damaged.exists());
    assert_eq!(newest(&store), (2, 0));
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(root.path(), 2);
    write(&store, 1, &W);
    // A file in the way of the folder that the older one of the same step would be moved to.
    fs::create_dir_all(root.path().join("step-0000000002")).unwrap();
    fs::write(root.path().join(".step-0000000002.replaced"), "in the way").unwrap();
    let tensor = NamedTensor { name: "w".to_owned(), shape: vec![3], data: W.as_slice() };
    let tensors = CheckpointTensors { weights: std::slice::from_ref(&tensor), optimizer: &[] };
    let error = store.write(&state(2), tensors, &mut |_| ()).unwrap_err();
    assert!(error.to_string().starts_with("cannot write checkpoint "), "{error}");
    assert!(!root.path().join(".step-0000000002.staging").exists());
    assert_eq!(newest(&store), (1, 1));
}
