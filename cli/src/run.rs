//! `bedplate run`: carries manifests out with local processes.
//!
//! Owns the loop: start what may start, take in what is told, stop when asked. The workers do the work; the files under
//! `run/` hold each part of the way.

pub mod board;
mod chronicle;
pub mod exec;
mod finish;
mod prepare;
pub mod restart;
pub mod schedule;
mod signals;
pub mod supervise;
pub mod told;

use std::{rc::Rc, time::Duration};

use bedplate_operator::resource::Kind;
use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

pub use prepare::{RunError, places};

use self::{
    board::Board,
    chronicle::Chronicle,
    exec::{Endpoint, Executed},
    prepare::Prepared,
    schedule::{Place, Schedule},
    signals::Signals,
    supervise::Supervisor,
    told::{Ending, Stop, Update},
};
use crate::{
    args::RunArgs,
    outcome::Outcome,
    preflight::Programs,
    state::{RunLock, StateDir, records::Reason},
};

/// Updates that may wait: each task tells five times a second at most.
const UPDATES_WAITING: usize = 64;
/// Between two reports while the run goes on: a person who reloads the page sees news.
const REPORT_EVERY: Duration = Duration::from_secs(15);

/// Carries out the manifests and returns how it went. `resume` is the command line that goes on after a stop.
///
/// # Errors
/// Everything that keeps the first process from being started.
pub async fn run(args: RunArgs, resume: &str) -> Result<Outcome, RunError> {
    let prepared = prepare::prepare(&args).await?;
    let signals = Signals::new().map_err(RunError::Signals)?;
    let mut run = Run::new(args, prepared, signals);
    run.until_over().await;
    Ok(run.conclude(resume).await)
}

/// Both ends of what the tasks tell, each with its place in the plan.
type Updates = (mpsc::Sender<(usize, Update)>, mpsc::Receiver<(usize, Update)>);

struct Run {
    args: RunArgs,
    id: String,
    started_at: DateTime<Utc>,
    state: StateDir,
    programs: Programs,
    schedule: Schedule,
    /// Until the end of the run.
    chronicle: Option<Rc<Chronicle>>,
    board: Board,
    signals: Signals,
    stop: watch::Sender<Stop>,
    updates: Updates,
    running: FuturesUnordered<LocalBoxFuture<'static, (usize, Ending)>>,
    executing: Option<LocalBoxFuture<'static, Executed>>,
    executed: Option<Executed>,
    /// Whether everything was done and told.
    announced: bool,
    interrupted: bool,
    failed: Option<Reason>,
    _lock: RunLock,
}

impl Run {
    fn new(args: RunArgs, prepared: Prepared, signals: Signals) -> Self {
        let Prepared { run_id, started_at, plan, programs, state, records, lock, ended_leftovers, history } = prepared;
        let schedule = Schedule::new(&plan.tasks);
        let mut board = Board::new(plan.tasks, &run_id, records, state.clone());
        for leftover in ended_leftovers {
            board.view.line(&format!("ended {leftover}, left behind by a run that was killed"));
        }
        for notice in plan.notices {
            board.view.line(&format!("note: {notice}"));
        }
        Self {
            args,
            id: run_id,
            started_at,
            state,
            programs,
            schedule,
            chronicle: Some(Rc::new(Chronicle::new(history))),
            board,
            signals,
            stop: watch::Sender::new(Stop::No),
            updates: mpsc::channel(UPDATES_WAITING),
            running: FuturesUnordered::new(),
            executing: None,
            executed: None,
            announced: false,
            interrupted: false,
            failed: None,
            _lock: lock,
        }
    }

    /// The loop of the run.
    async fn until_over(&mut self) {
        let mut report = interval(REPORT_EVERY);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.start_what_may_start();
            self.announce_when_everything_is_ready();
            if self.running.is_empty() && self.executing.is_none() {
                return;
            }
            tokio::select! {
                Some((row, update)) = self.updates.1.recv() => self.take_in(row, &update),
                Some((row, ending)) = self.running.next() => self.end(row, &ending),
                executed = finished(&mut self.executing) => self.executed(executed),
                () = self.signals.next() => self.interrupt(),
                _ = report.tick() => self.write_report(None),
            }
        }
    }

    fn start_what_may_start(&mut self) {
        while !self.is_stopping()
            && let Some(chronicle) = &self.chronicle
            && let Some(index) = self.schedule.next()
        {
            let task = self.board.entries[index].task.clone();
            let program = self.programs[&task.key.kind].clone();
            self.schedule.set(index, Place::Running);
            let supervisor = Supervisor {
                task,
                index,
                program,
                state: self.state.clone(),
                run_id: self.id.clone(),
                chronicle: Rc::clone(chronicle),
                updates: self.updates.0.clone(),
                stop: self.stop.subscribe(),
            };
            self.running.push(supervisor.supervise().map(move |ending| (index, ending)).boxed_local());
        }
        for row in 0..self.board.entries.len() {
            if self.schedule.place(row) == Place::Waiting {
                let free = self.schedule.waits_for_nothing(row);
                self.board.waits(row, if free { Reason::WaitingForTurn } else { Reason::WaitingForDependency });
            }
        }
    }

    fn announce_when_everything_is_ready(&mut self) {
        if self.announced || self.is_stopping() || !self.schedule.is_fulfilled() {
            return;
        }
        self.announced = true;
        if self.running.is_empty() {
            return;
        }
        let endpoints = self.endpoints();
        self.write_report(None);
        self.tell_ready();
        match self.args.exec.clone() {
            Some(command) => self.executing = Some(exec::execute(command, endpoints).boxed_local()),
            None if self.args.once => self.request_stop(Stop::Gracefully),
            None => {}
        }
    }

    fn take_in(&mut self, row: usize, update: &Update) {
        self.board.apply(row, update);
        if self.board.entries[row].record.url.is_some() && self.schedule.place(row) == Place::Running {
            self.schedule.set(row, Place::Fulfilled);
        }
    }

    fn end(&mut self, row: usize, ending: &Ending) {
        // What the task told before its end comes first.
        while let Ok((row, update)) = self.updates.1.try_recv() {
            self.take_in(row, &update);
        }
        self.board.end(row, ending);
        let fulfilled = *ending == Ending::Succeeded;
        self.schedule.set(row, if fulfilled { Place::Fulfilled } else { Place::Ended });
        if let Ending::Failed(failure) = ending {
            self.tell_failure(row, failure);
            self.failed.get_or_insert(failure.reason);
            self.executing = None;
            self.request_stop(Stop::Gracefully);
        }
    }

    fn executed(&mut self, executed: Executed) {
        self.executing = None;
        self.executed = Some(executed);
        if self.args.once {
            self.request_stop(Stop::Gracefully);
        } else if !self.is_stopping() {
            self.board.view.line("the endpoints stay up; Ctrl-C stops them");
        }
        self.write_report(None);
    }

    /// The first signal asks, the second insists.
    fn interrupt(&mut self) {
        self.executing = None;
        if self.is_stopping() {
            self.request_stop(Stop::AtOnce);
            return;
        }
        self.interrupted = !self.announced || (self.args.exec.is_some() && self.executed.is_none());
        let text = if self.interrupted {
            "stopping: the workers write a checkpoint and end; Ctrl-C again kills them at once"
        } else {
            "stopping the endpoints"
        };
        self.board.view.line(text);
        self.request_stop(Stop::Gracefully);
    }

    fn request_stop(&self, stop: Stop) {
        self.stop.send_if_modified(|current| {
            let is_more = stop > *current;
            *current = stop.max(*current);
            is_more
        });
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow() != Stop::No
    }

    /// Deployments that answer, in the order of the plan.
    fn endpoints(&self) -> Vec<Endpoint> {
        let entries = self.board.entries.iter().filter(|entry| entry.task.key.kind == Kind::ModelDeployment);
        let ready = entries
            .filter_map(|entry| Some(Endpoint { name: entry.task.key.name.clone(), url: entry.record.url.clone()? }));
        ready.collect()
    }
}

/// The end of the command, if one runs.
async fn finished(executing: &mut Option<LocalBoxFuture<'static, Executed>>) -> Executed {
    match executing {
        Some(executing) => executing.await,
        None => std::future::pending().await,
    }
}
