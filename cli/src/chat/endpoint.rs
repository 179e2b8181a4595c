//! Which endpoint is asked when no URL is given: the deployment that runs under the state folder.

use bedplate_operator::resource::Kind;

use crate::{
    args::StateArgs,
    state::{
        StateDir, StateError,
        records::{Phase, Records},
    },
};

/// Why no endpoint is known.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The records cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// None runs.
    #[error("no deployment runs in {state_dir}; start one with `bedplate run`, or name an endpoint with --url")]
    NoneRuns {
        /// Where was looked.
        state_dir: String,
    },
    /// Not that one.
    #[error("no deployment {wanted:?} runs; these do: {running}")]
    NotRunning {
        /// As asked for.
        wanted: String,
        /// What runs.
        running: String,
    },
    /// Several run.
    #[error("several deployments run; name one with --deployment: {running}")]
    Several {
        /// What runs.
        running: String,
    },
}

/// The URL of the deployment of that name, or of the only one.
pub fn running(state: &StateArgs, wanted: Option<&str>) -> Result<String, EndpointError> {
    let state = StateDir::at(&state.state_dir)?;
    let mut ready: Vec<(String, String)> = Vec::new();
    if state.is_in_use() {
        for (_, record) in Records::read(&state)?.iter().filter(|(_, record)| record.phase == Phase::Ready) {
            let resource = record.resource().filter(|resource| resource.kind() == Kind::ModelDeployment);
            ready.extend(resource.map(|resource| resource.metadata().name.clone()).zip(record.url.clone()));
        }
    }
    let names = || ready.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    match (ready.as_slice(), wanted) {
        ([], _) => Err(EndpointError::NoneRuns { state_dir: state.root().display().to_string() }),
        (_, Some(wanted)) => {
            let found = ready.iter().find(|(name, _)| name == wanted).map(|(_, url)| url.clone());
            found.ok_or_else(|| EndpointError::NotRunning { wanted: wanted.to_owned(), running: names() })
        }
        ([(_, url)], None) => Ok(url.clone()),
        (_, None) => Err(EndpointError::Several { running: names() }),
    }
}
