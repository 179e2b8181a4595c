//! Which task may start next.
//!
//! Owns the order in time: what a task waits for is finished first, and only one task at a time computes on all cores.
//! Pure.

use bedplate_operator::resource::Kind;

use crate::plan::Task;

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Not started.
    Waiting,
    /// Left out.
    LeftOut,
    /// Started.
    Running,
    /// Its artefact is made, or its server answers: others may build on it.
    Fulfilled,
    /// Ended, and nothing can build on it.
    Ended,
}

#[derive(Clone, Debug)]
struct Entry {
    waits_for: Vec<usize>,
    takes_all_cores: bool,
    place: Place,
}

/// The tasks of a run and where each is.
#[derive(Clone, Debug)]
pub struct Schedule {
    entries: Vec<Entry>,
}

impl Schedule {
    /// Nothing started.
    pub fn new(tasks: &[Task]) -> Self {
        let entries = tasks.iter().map(|task| Entry {
            waits_for: task.waits_for.clone(),
            takes_all_cores: task.key.kind != Kind::ModelDeployment,
            place: if task.suspended { Place::LeftOut } else { Place::Waiting },
        });
        Self { entries: entries.collect() }
    }

    /// The next task to start, if any may.
    pub fn next(&self) -> Option<usize> {
        let cores_taken = self.entries.iter().any(|entry| entry.takes_all_cores && entry.place == Place::Running);
        self.entries.iter().position(|entry| {
            entry.place == Place::Waiting && self.is_unblocked(entry) && !(entry.takes_all_cores && cores_taken)
        })
    }

    /// Whether what the task waits for is there.
    pub fn waits_for_nothing(&self, task: usize) -> bool {
        self.is_unblocked(&self.entries[task])
    }

    fn is_unblocked(&self, entry: &Entry) -> bool {
        entry.waits_for.iter().all(|&wanted| self.entries[wanted].place == Place::Fulfilled)
    }

    /// Moves a task.
    pub fn set(&mut self, task: usize, place: Place) {
        self.entries[task].place = place;
    }

    /// Where a task is.
    pub fn place(&self, task: usize) -> Place {
        self.entries[task].place
    }

    /// Whether everything that was to be done is done: every task fulfilled or left out.
    pub fn is_fulfilled(&self) -> bool {
        self.entries.iter().all(|entry| matches!(entry.place, Place::Fulfilled | Place::LeftOut))
    }
}
