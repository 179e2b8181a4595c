//! `bedplate runs` and `bedplate lineage`: brings Postgres up to date, asks it, prints.
//!
//! Owns the order of these steps. Never draws: the views do.

use std::{io::Write, path::Path};

use bedplate_operator::store::{LineageStart, Store, local_server::LocalServer};
use chrono::Utc;
use serde::Serialize;
use uuid::Uuid;

use super::{HistoryError, journal::Journal, lineage_view, place::Place, runs_view, sync::Sync};
use crate::args::{HistoryArgs, LineageArgs, OutputFormat, RunsArgs};

/// Digits by which a person may name a digest. With fewer, a name of a run and a digest are too easily taken for each other.
const MIN_DIGEST_CHARS: usize = 6;

/// Lists the runs, or shows those of one name in full.
///
/// # Errors
/// When there is no history, no run of that name, or Postgres cannot be used.
pub async fn runs(args: RunsArgs) -> Result<(), HistoryError> {
    let RunsArgs { name, limit, history } = args;
    let reader = Reader::open(&history).await?;
    let text = runs_text(&reader.store, name.as_deref(), limit, history.output).await;
    reader.close().await?;
    print(&text?)
}

/// Shows everything up and down stream of a run or a digest.
///
/// # Errors
/// When there is no history, nothing of that name, or Postgres cannot be used.
pub async fn lineage(args: LineageArgs) -> Result<(), HistoryError> {
    let LineageArgs { start, history } = args;
    let reader = Reader::open(&history).await?;
    let text = lineage_text(&reader.store, &start, history.output).await;
    reader.close().await?;
    print(&text?)
}

async fn runs_text(
    store: &Store,
    name: Option<&str>,
    limit: u32,
    output: OutputFormat,
) -> Result<String, HistoryError> {
    let summaries = store.run_list(name, limit).await?;
    let Some(name) = name else {
        return Ok(match output {
            OutputFormat::Table => runs_view::list(&summaries, Utc::now()),
            OutputFormat::Json => json(&summaries),
        });
    };
    if summaries.is_empty() {
        return Err(HistoryError::NotFound { what: "run", wanted: name.to_owned() });
    }
    let mut details = Vec::new();
    for summary in summaries {
        details.push(store.run_detail(summary).await?);
    }
    Ok(match output {
        OutputFormat::Table => {
            details.iter().map(|run| runs_view::detail(run, Utc::now())).collect::<Vec<_>>().join("\n")
        }
        OutputFormat::Json => json(&details),
    })
}

async fn lineage_text(store: &Store, start: &str, output: OutputFormat) -> Result<String, HistoryError> {
    let mut found = store.lineage_walk(LineageStart::Name(start)).await?;
    if found.edges.is_empty() && start.len() >= MIN_DIGEST_CHARS {
        found = store.lineage_walk(LineageStart::Digest(start)).await?;
    }
    if found.edges.is_empty() {
        return Err(HistoryError::NotFound { what: "run or digest", wanted: start.to_owned() });
    }
    Ok(match output {
        OutputFormat::Table => lineage_view::tree(&found),
        OutputFormat::Json => json(&found),
    })
}

/// An open store that holds everything which the state folder knows.
struct Reader {
    store: Store,
    server: Option<LocalServer>,
}

impl Reader {
    async fn open(args: &HistoryArgs) -> Result<Self, HistoryError> {
        let HistoryArgs { state, database_url, output: _ } = args;
        let place = Place::new(&state.state_dir, database_url.as_deref())?;
        let here = state.state_dir.join("history").is_dir();
        if !here && matches!(place, Place::Private(_)) {
            return Err(HistoryError::NothingHere { path: state.state_dir.clone() });
        }
        let mut server = None;
        let store = place.connect(&mut server).await?;
        let reader = Self { store, server };
        if here {
            reader.catch_up(&state.state_dir).await?;
        }
        Ok(reader)
    }

    /// A reader supervises nothing, so its session is nobody's.
    async fn catch_up(&self, state_dir: &Path) -> Result<(), HistoryError> {
        Sync::new(Journal::open(state_dir)?, Uuid::nil()).pass(&self.store).await
    }

    async fn close(self) -> Result<(), HistoryError> {
        self.store.close().await;
        match self.server {
            Some(server) => Ok(server.close().await?),
            None => Ok(()),
        }
    }
}

fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("rows hold nothing that JSON cannot");
    text + "\n"
}

fn print(text: &str) -> Result<(), HistoryError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(HistoryError::Print)
}
