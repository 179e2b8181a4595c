//! One task from its first attempt to its end: start, watch, stop, start again.
//!
//! Owns the processes of the task. Never prints and never writes a record: it tells, and the run's loop does.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use bedplate_crds::job::{
    exit::ExitCode,
    progress::{ProgressBody, ProgressEvent},
    secret::Secret,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    chronicle::{Chronicle, job_json},
    restart::{Budget, Decision},
    told::{Ending, Failure, Stop, Update},
};
use crate::{
    history::{Attempt, HistoryError},
    plan::{Job, Task},
    process::{Command, GRACE, Gang},
    progress::tail::Tail,
    state::{StateDir, records::Reason, write_private},
};

/// Between two looks at the progress file: smooth to the eye, nothing to the disk.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A task under supervision.
pub struct Supervisor {
    /// What is to be done.
    pub task: Task,
    /// Its place in the plan.
    pub index: usize,
    /// The worker's program.
    pub program: PathBuf,
    /// Where files go.
    pub state: StateDir,
    /// The run.
    pub run_id: String,
    /// Where attempts are noted down.
    pub chronicle: Rc<Chronicle>,
    /// What is told, with the task's place in the plan.
    pub updates: mpsc::Sender<(usize, Update)>,
    /// What the run wants.
    pub stop: watch::Receiver<Stop>,
}

/// How one attempt ended.
enum AttemptEnd {
    Succeeded,
    Stopped,
    Failed { exit_code: i32, failure: Failure },
}

/// What is seen of an attempt while it runs.
#[derive(Default)]
struct Watch {
    /// The exit code that decides, and which process had it.
    exit: Option<(usize, i32)>,
    completed: bool,
    message: Option<String>,
    /// Step of the newest checkpoint.
    checkpoint_step: u64,
    signalled: bool,
}

impl Supervisor {
    /// Carries the task through.
    pub async fn supervise(mut self) -> Ending {
        let mut budget = Budget::new(self.task.job.failure_policy());
        for attempt in 1.. {
            if *self.stop.borrow() != Stop::No {
                return Ending::Stopped;
            }
            let (end, watch) = match self.attempt(attempt).await {
                Ok(seen) => seen,
                Err(failure) => return Ending::Failed(failure),
            };
            let (exit_code, failure) = match end {
                AttemptEnd::Succeeded => return Ending::Succeeded,
                AttemptEnd::Stopped => return Ending::Stopped,
                AttemptEnd::Failed { exit_code, failure } => (exit_code, failure),
            };
            let is_server = matches!(self.task.job, Job::Inference(_));
            match budget.decide(exit_code, watch.checkpoint_step) {
                Decision::Restart { pause, left } if !is_server => {
                    self.tell(Update::Restarting { failure, pause, left }).await;
                    self.pause(pause).await;
                }
                Decision::Restart { .. } | Decision::Fail => return Ending::Failed(failure),
            }
        }
        unreachable!("attempts end with the budget")
    }

    async fn attempt(&mut self, attempt: u32) -> Result<(AttemptEnd, Watch), Failure> {
        let job_file = self.write_job_file()?;
        let noted = self.note_begin().await;
        let mut tail = Tail::from_end(self.task.job.progress_file());
        let commands = self.commands(&job_file);
        let mut gang = Gang::start(&commands)?;
        self.tell(Update::Started { attempt, processes: gang.identities().to_vec() }).await;
        let mut watch = Watch::default();
        self.watch(&mut gang, &mut tail, &mut watch).await;
        self.forward(&mut tail, &mut watch).await;
        let (index, exit_code) = watch.exit.unwrap_or((0, 0));
        self.note_end(noted, exit_code).await;
        self.tell(Update::AttemptEnded).await;
        // Rank 0 alone reports: when another one failed first, its log says why.
        watch.message = watch.message.take().filter(|_| index == 0);
        let end = self.judge(&watch, exit_code, &commands[index].log);
        Ok((end, watch))
    }

    /// Until every process has ended.
    async fn watch(&mut self, gang: &mut Gang, tail: &mut Tail, watch: &mut Watch) {
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut kill_at: Option<Instant> = None;
        // A stop that came before this attempt's first look counts as well.
        self.stop.mark_changed();
        loop {
            tokio::select! {
                exit = gang.next_exit() => match exit {
                    None => return,
                    Some((index, code)) => {
                        watch.see_exit(index, code);
                        // Without one rank the others cannot go on.
                        if code != 0 && kill_at.is_none() {
                            gang.terminate();
                            watch.signalled = true;
                            kill_at = Some(Instant::now() + GRACE);
                        }
                    }
                },
                _ = tick.tick() => self.forward(tail, watch).await,
                Ok(()) = self.stop.changed() => match *self.stop.borrow_and_update() {
                    Stop::No => {}
                    Stop::Gracefully => {
                        gang.terminate();
                        watch.signalled = true;
                        kill_at = Some(Instant::now() + GRACE);
                    }
                    Stop::AtOnce => gang.kill(),
                },
                () = at(kill_at) => {
                    gang.kill();
                    kill_at = None;
                }
            }
        }
    }

    fn judge(&self, watch: &Watch, exit_code: i32, log: &Path) -> AttemptEnd {
        let stopped = *self.stop.borrow() != Stop::No;
        let gave_way = [ExitCode::Success, ExitCode::Preempted, ExitCode::PeerLost].map(|exit| i32::from(exit.code()));
        let is_server = matches!(self.task.job, Job::Inference(_));
        if exit_code == 0 && watch.completed && !is_server {
            return AttemptEnd::Succeeded;
        }
        if stopped && (gave_way.contains(&exit_code) || exit_code > 128) {
            return AttemptEnd::Stopped;
        }
        let reason = Reason::of_exit(exit_code);
        let message = watch.message.clone().unwrap_or_else(|| self.explain(reason, exit_code));
        AttemptEnd::Failed { exit_code, failure: Failure { reason, message, log: Some(log.to_path_buf()) } }
    }

    fn explain(&self, reason: Reason, exit_code: i32) -> String {
        match reason {
            Reason::Signalled if exit_code == 128 + 9 => {
                "killed by SIGKILL; the system may have run out of memory".to_owned()
            }
            Reason::Signalled => format!("killed by signal {}", exit_code - 128),
            Reason::NoResult if matches!(self.task.job, Job::Inference(_)) => "the server ended by itself".to_owned(),
            Reason::NoResult => "ended without a result".to_owned(),
            _ => format!("ended with exit code {exit_code}"),
        }
    }

    fn write_job_file(&mut self) -> Result<PathBuf, Failure> {
        if let Job::Trainer(job) = &mut self.task.job
            && job.rendezvous.is_some()
        {
            job.rendezvous = Some(free_address()?);
            job.rendezvous_token = Some(new_token());
        }
        let path = self.state.job_file(&self.task.key);
        let text = serde_json::to_vec_pretty(&job_json(&self.task.job)).expect("job files are plain data");
        write_private(&path, &text)?;
        Ok(path)
    }

    fn commands(&self, job_file: &Path) -> Vec<Command> {
        let ranks = self.task.job.ranks();
        let command = |rank: u32| {
            let mut args = vec!["--config".into(), job_file.into()];
            if matches!(self.task.job, Job::Trainer(_)) {
                args.extend(["--rank".into(), rank.to_string().into()]);
            }
            let log = self.state.log_file(&self.run_id, &self.task.key, rank, ranks);
            Command { program: self.program.clone(), args, log }
        };
        (0..ranks).map(command).collect()
    }

    async fn note_begin(&self) -> Option<Attempt> {
        match self.chronicle.begin(&self.task) {
            Ok(attempt) => attempt,
            Err(error) => {
                self.warn(&error).await;
                None
            }
        }
    }

    async fn note_end(&self, attempt: Option<Attempt>, exit_code: i32) {
        if let Some(Err(error)) = attempt.map(|attempt| self.chronicle.end(&attempt, exit_code)) {
            self.warn(&error).await;
        }
    }

    async fn warn(&self, error: &HistoryError) {
        self.tell(Update::Warning(format!("history: {}", bedplate_telemetry::chain::Chain(error)))).await;
    }

    async fn forward(&self, tail: &mut Tail, watch: &mut Watch) {
        let mut events = Vec::new();
        tail.read_all(|event| events.push(event));
        if events.is_empty() {
            return;
        }
        events.iter().for_each(|event| watch.see(event));
        self.tell(Update::Events(events)).await;
    }

    async fn pause(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        let stop = &mut self.stop;
        tokio::select! {
            () = sleep_until(end) => {}
            _ = stop.wait_for(|stop| *stop != Stop::No) => {}
        }
    }

    /// A run that no longer listens is at its end: then nothing needs telling.
    async fn tell(&self, update: Update) {
        let _ = self.updates.send((self.index, update)).await;
    }
}

impl Watch {
    fn see(&mut self, event: &ProgressEvent) {
        match &event.body {
            ProgressBody::Completed { .. } => self.completed = true,
            ProgressBody::Failed { message, .. } => self.message = Some(message.clone()),
            ProgressBody::Checkpoint { step, .. } => self.checkpoint_step = self.checkpoint_step.max(*step),
            _ => {}
        }
    }

    /// The first failure decides; that a peer went away is only its consequence.
    fn see_exit(&mut self, index: usize, code: i32) {
        let peer_lost = i32::from(ExitCode::PeerLost.code());
        let preempted = i32::from(ExitCode::Preempted.code());
        let is_consequence = code == peer_lost || (self.signalled && (code == preempted || code > 128));
        match self.exit {
            None => self.exit = Some((index, code)),
            Some((_, 0)) if code != 0 => self.exit = Some((index, code)),
            Some((_, earlier)) if earlier == peer_lost && code != 0 && !is_consequence => {
                self.exit = Some((index, code));
            }
            Some(_) => {}
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// What the ranks of one start know: 244 random bits.
fn new_token() -> Secret {
    Secret::new(format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()))
}

/// An address that was free a moment ago. Somebody may take it before rank 0 does; the job is then started again.
fn free_address() -> Result<String, Failure> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let failed = |error| Failure::new(Reason::StartFailed, format!("no free port for the rendezvous: {error}"));
    Ok(address.map_err(failed)?.to_string())
}
