//! Runs as a person lists them. Never writes.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Store, StoreError,
    status::{Facts, Status},
};

/// A run in the list: its newest attempt, and the newest figures of any attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// Id of the run.
    pub id: Uuid,
    /// Whose name it is: the id of a state folder, or the uid of the resource.
    pub origin: String,
    /// Kind of the resource.
    pub kind: String,
    /// Namespace of the resource.
    pub namespace: String,
    /// Name of the resource.
    pub name: String,
    /// Attempts so far.
    pub attempts: i64,
    /// How the newest attempt stands.
    pub status: Status,
    /// Steps done.
    pub step: Option<i64>,
    /// Steps of the whole job.
    pub max_steps: Option<i64>,
    /// Loss of the newest step, in nats.
    pub loss: Option<f64>,
    /// Newest measurement of the hold-out.
    pub bits_per_byte: Option<f64>,
    /// Start of the newest attempt.
    pub started_at: DateTime<Utc>,
    /// End of the newest attempt.
    pub ended_at: Option<DateTime<Utc>>,
    /// Digest of what it made.
    pub digest: Option<String>,
}

impl Store {
    /// The runs, newest first: all, or those of one name.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn run_list(&self, name: Option<&str>, limit: u32) -> Result<Vec<RunSummary>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT r.id, r.origin, r.kind, r.namespace, r.name, count.attempts AS "attempts!",
                      a.started_at, a.ended_at, a.lost, a.exit_code, a.failure_code, a.digest, a.ready_at IS NOT NULL AS "ready!",
                      a.completed_at IS NOT NULL AS "completed!", a.failure IS NOT NULL AS "failed!",
                      m.step AS "step?", m.max_steps AS "max_steps?", m.loss AS "loss?", e.bits_per_byte AS "bits_per_byte?"
               FROM bedplate.runs r
               JOIN LATERAL (SELECT count(*) AS attempts FROM bedplate.attempts WHERE run_id = r.id) count ON true
               JOIN LATERAL (SELECT * FROM bedplate.attempts WHERE run_id = r.id
                             ORDER BY started_at DESC LIMIT 1) a ON true
               LEFT JOIN LATERAL (
                   SELECT s.step, s.loss, b.max_steps FROM bedplate.attempts b
                   JOIN LATERAL (SELECT step, loss FROM bedplate.step_metrics WHERE attempt_id = b.id
                                 ORDER BY step DESC LIMIT 1) s ON true
                   WHERE b.run_id = r.id ORDER BY b.started_at DESC LIMIT 1) m ON true
               LEFT JOIN LATERAL (
                   SELECT s.bits_per_byte FROM bedplate.attempts b
                   JOIN LATERAL (SELECT bits_per_byte FROM bedplate.evaluations WHERE attempt_id = b.id
                                 ORDER BY step DESC LIMIT 1) s ON true
                   WHERE b.run_id = r.id ORDER BY b.started_at DESC LIMIT 1) e ON true
               WHERE $1::text IS NULL OR r.name = $1
               ORDER BY a.started_at DESC, r.id LIMIT $2"#,
            name,
            i64::from(limit)
        )
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::query("read the runs"))?;
        let summaries = rows.into_iter().map(|row| {
            let facts = Facts {
                ended: row.ended_at.is_some(),
                lost: row.lost,
                ready: row.ready,
                completed: row.completed,
                failed: row.failed,
                exit_code: row.exit_code,
                failure_code: row.failure_code,
            };
            RunSummary {
                id: row.id,
                origin: row.origin,
                kind: row.kind,
                namespace: row.namespace,
                name: row.name,
                attempts: row.attempts,
                status: facts.status(),
                step: row.step,
                max_steps: row.max_steps,
                loss: row.loss,
                bits_per_byte: row.bits_per_byte,
                started_at: row.started_at,
                ended_at: row.ended_at,
                digest: row.digest,
            }
        });
        Ok(summaries.collect())
    }
}
