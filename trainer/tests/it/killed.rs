//! kill -9 in every phase of a checkpoint: nothing but the steps since the last one is lost.

use std::{env, path::Path, process::Command};

use bedplate_engine::checkpoint::CheckpointPhase;
use bedplate_trainer::{
    attempt::{self, Attempt},
    job,
    model::HubAccess,
    stop::Stop,
};

use crate::fixture::{Place, spawn, steps, wait};

const JOB: &str = "TEST_KILLED_JOB";
const PHASE: &str = "TEST_KILLED_PHASE";
/// The checkpoint that is interrupted; the one before it holds half as many steps.
const CHECKPOINT: usize = 2;

/// Plays both parts: called by the test runner it starts itself again for each phase; called with a job in its
/// environment it is the trainer that dies.
#[test]
fn in_each_phase_of_a_checkpoint_and_ends_in_the_same_bits() {
    if let (Ok(job), Ok(phase)) = (env::var(JOB), env::var(PHASE)) {
        die_in(Path::new(&job), &phase);
    }
    let place = Place::new();
    let data = place.dataset("data");
    let digest = place.complete(&place.job("undisturbed", &[&data]));
    for phase in CheckpointPhase::ALL {
        let name = format!("{phase:?}");
        let mut job = place.job(&name, &[&data]);
        job.spec.checkpoint.every_steps = 3;
        let this_test = "killed::in_each_phase_of_a_checkpoint_and_ends_in_the_same_bits";
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", this_test]).env(JOB, place.write(&job)).env(PHASE, &name);
        assert_eq!(wait(spawn(&mut child)).code, None, "{name}: the process ends by a signal");
        assert_eq!(steps(&job).len(), 3 * CHECKPOINT);

        assert_eq!(place.complete(&job), digest, "{name}");
        let is_durable = [CheckpointPhase::Published, CheckpointPhase::Pruned].contains(&phase);
        let resumed_at = steps(&job)[3 * CHECKPOINT].step;
        assert_eq!(resumed_at, if is_durable { 7 } else { 4 }, "{name}");
    }
}

fn die_in(path: &Path, phase: &str) -> ! {
    let job = job::read(path).unwrap();
    let mut seen = 0;
    let mut observe = |at: CheckpointPhase| {
        seen += usize::from(format!("{at:?}") == phase);
        if seen == CHECKPOINT {
            let me = std::process::id().to_string();
            Command::new("kill").args(["-9", &me]).status().unwrap();
        }
    };
    let attempt = Attempt { rank: 0, hub: HubAccess::default(), stop: Stop::default(), observe: &mut observe };
    let result = attempt::run(&job, attempt);
    panic!("the process outlived its end: {result:?}");
}
