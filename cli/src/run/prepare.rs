//! Everything before the first process: manifests, lock, leftovers, plan, preflight.
//!
//! Owns the order of the refusals: what a person wrote comes before what the machine is like.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::{
    args::RunArgs,
    binaries::Binaries,
    history::{History, HistoryError},
    manifests::{self, Loaded},
    outcome::Outcome,
    plan::{self, Places, Plan},
    preflight::{self, PreflightError, Programs},
    refusal::Refused,
    state::{
        RunLock, StateDir, StateError, leftovers,
        records::{Reason, Records},
    },
};

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The manifests are refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The machine is not ready.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The history cannot be kept: its URL is none, or its folder cannot be written.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The folder of the inputs has no absolute path.
    #[error("could not resolve --inputs {path}", path = path.display())]
    Inputs {
        /// As given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Signals cannot be caught.
    #[error("could not listen for Ctrl-C")]
    Signals(#[source] std::io::Error),
}

impl RunError {
    /// The exit code of `bedplate run`.
    pub fn exit_code(&self) -> u8 {
        let reason = match self {
            Self::Refused(_) | Self::Preflight(PreflightError::Refused(_)) | Self::Inputs { .. } => {
                Reason::InvalidConfig
            }
            Self::Preflight(PreflightError::PortTaken { .. }) | Self::State(StateError::InUse { .. }) => {
                Reason::Retryable
            }
            Self::State(StateError::Damaged { .. }) => Reason::CorruptData,
            Self::State(_) => Reason::StorageFailed,
            Self::History(HistoryError::Journal(_)) => Reason::StorageFailed,
            Self::History(_) => Reason::InvalidConfig,
            Self::Signals(_) => return 1,
        };
        Outcome::Failed(reason).exit_code()
    }
}

/// What a run starts from.
pub struct Prepared {
    /// The run's name; sorts by time.
    pub run_id: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// What is to be done.
    pub plan: Plan,
    /// The workers.
    pub programs: Programs,
    /// Where state is kept.
    pub state: StateDir,
    /// What earlier runs left.
    pub records: Records,
    /// Keeps other runs out.
    pub lock: RunLock,
    /// Processes of a killed run that were ended.
    pub ended_leftovers: Vec<String>,
    /// What ran before, and where this run is noted down.
    pub history: Option<History>,
}

/// Reads, locks, plans and looks around.
///
/// # Errors
/// Everything that can be known before the first process starts.
pub async fn prepare(args: &RunArgs) -> Result<Prepared, RunError> {
    let Loaded { located, notes } = manifests::load(&args.files)?;
    for note in notes {
        eprintln!("note: {note}");
    }
    let state = StateDir::at(&args.state.state_dir)?;
    state.create()?;
    let lock = state.lock()?;
    let mut records = Records::read(&state)?;
    let ended_leftovers = leftovers::end(&mut records).await;
    let places = places(&args.inputs, &state, args.port)?;
    let plan = plan::plan(&located, &records.finished(), &places)?;
    let own = std::env::current_exe().ok();
    let path = std::env::var_os("PATH");
    let binaries = Binaries::new(args.bin_dir.as_deref(), own.as_deref(), path.as_deref());
    let programs = preflight::check(&plan, &places, &binaries)?;
    let history = match args.no_history {
        true => None,
        false => Some(History::open(state.root(), args.database_url.as_deref())?),
    };
    let started_at = Utc::now();
    let run_id = run_id(started_at);
    state.begin_run(&run_id)?;
    Ok(Prepared { run_id, started_at, plan, programs, state, records, lock, ended_leftovers, history })
}

/// Where a run with these arguments reads and writes.
pub fn places(inputs: &Path, state: &StateDir, first_port: u16) -> Result<Places, RunError> {
    let absolute = std::path::absolute(inputs);
    let inputs = absolute.map_err(|source| RunError::Inputs { path: inputs.to_path_buf(), source })?;
    // `--inputs .` would otherwise show in every message as `/folder/.`.
    let inputs = inputs.components().filter(|part| *part != std::path::Component::CurDir).collect();
    Ok(Places { inputs, storage: state.storage(), cache: state.cache(), first_port })
}

/// Time to the second for people, and a few random digits because two runs may begin in the same second.
fn run_id(started_at: DateTime<Utc>) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{}-{}", started_at.format("%Y%m%d-%H%M%S"), &random[..4])
}
