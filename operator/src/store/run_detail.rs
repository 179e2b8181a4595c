//! One run in full: attempts, hold-out, checkpoints, stages and the curve of its loss. Never writes.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    RunSummary, Store, StoreError,
    status::{Facts, Status},
};

/// One run in full.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunDetail {
    /// The run as in the list.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// Its attempts, oldest first.
    pub attempt_details: Vec<AttemptDetail>,
    /// Measurements of the hold-out, by step.
    pub evaluations: Vec<EvaluationDetail>,
    /// Checkpoints, by step.
    pub checkpoints: Vec<CheckpointDetail>,
    /// Stages of the newest attempt that reported any, in the order in which they came.
    pub stages: Vec<StageDetail>,
    /// The loss over the steps, averaged in at most [`LOSS_POINTS`] stretches.
    pub losses: Vec<LossPoint>,
}

/// Points of a loss curve: the width of a narrow terminal.
pub const LOSS_POINTS: i32 = 64;

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptDetail {
    /// Id of the attempt.
    pub id: Uuid,
    /// How it stands.
    pub status: Status,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Exit status of its process.
    pub exit_code: Option<i32>,
    /// The sentence with which it ended early.
    pub failure: Option<String>,
    /// First step it took.
    pub first_step: Option<i64>,
    /// Last step it took.
    pub last_step: Option<i64>,
    /// Mean tokens per second over its steps.
    pub tokens_per_second: Option<f64>,
    /// Endpoint of a ModelDeployment.
    pub endpoint: Option<String>,
    /// Trainable parameters.
    pub parameters: Option<i64>,
    /// Digest of what it made.
    pub digest: Option<String>,
    /// The spec as it was for this attempt.
    pub spec: Value,
}

/// One measurement of the hold-out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EvaluationDetail {
    /// Step after which it was measured.
    pub step: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Mean negative log-likelihood of a token, in nats.
    pub loss: f64,
    /// The same in bits per byte of text.
    pub bits_per_byte: f64,
}

/// One checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointDetail {
    /// Step it holds.
    pub step: i64,
    /// When it became durable.
    pub at: DateTime<Utc>,
    /// Its digest.
    pub digest: String,
    /// Its folder.
    pub path: String,
    /// Its size.
    pub size_bytes: i64,
}

/// One stage of a Dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageDetail {
    /// Its name.
    pub stage: String,
    /// Documents that went in.
    pub documents_in: i64,
    /// Documents that came out.
    pub documents_out: i64,
    /// Bytes that came out.
    pub bytes_out: i64,
    /// Whether it was skipped because nothing it depends on has changed.
    pub cached: bool,
    /// Whether it is over.
    pub done: bool,
}

/// A stretch of the loss curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LossPoint {
    /// Last step of the stretch.
    pub step: i64,
    /// Mean loss over it, in nats.
    pub loss: f64,
}

impl Store {
    /// One run of the list in full.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn run_detail(&self, summary: RunSummary) -> Result<RunDetail, StoreError> {
        let run = summary.id;
        Ok(RunDetail {
            attempt_details: self.attempt_list(run).await?,
            evaluations: self.evaluation_list(run).await?,
            checkpoints: self.checkpoint_list(run).await?,
            stages: self.dataset_stage_list(run).await?,
            losses: self.loss_curve(run).await?,
            summary,
        })
    }

    async fn attempt_list(&self, run: Uuid) -> Result<Vec<AttemptDetail>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT a.id, a.started_at, a.ended_at, a.lost, a.exit_code, a.failure, a.failure_code, a.endpoint,
                      a.parameters, a.digest, a.spec, a.ready_at IS NOT NULL AS "ready!",
                      a.completed_at IS NOT NULL AS "completed!", m.first_step, m.last_step, m.tokens_per_second
               FROM bedplate.attempts a
               LEFT JOIN LATERAL (
                   SELECT min(step) AS first_step, max(step) AS last_step, avg(tokens_per_second) AS tokens_per_second
                   FROM bedplate.step_metrics WHERE attempt_id = a.id) m ON true
               WHERE a.run_id = $1 ORDER BY a.started_at, a.id"#,
            run
        )
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::query("read the attempts of a run"))?;
        let details = rows.into_iter().map(|row| {
            let facts = Facts {
                ended: row.ended_at.is_some(),
                lost: row.lost,
                ready: row.ready,
                completed: row.completed,
                failed: row.failure.is_some(),
                exit_code: row.exit_code,
                failure_code: row.failure_code,
            };
            AttemptDetail {
                id: row.id,
                status: facts.status(),
                started_at: row.started_at,
                ended_at: row.ended_at,
                exit_code: row.exit_code,
                failure: row.failure,
                first_step: row.first_step,
                last_step: row.last_step,
                tokens_per_second: row.tokens_per_second,
                endpoint: row.endpoint,
                parameters: row.parameters,
                digest: row.digest,
                spec: row.spec,
            }
        });
        Ok(details.collect())
    }

    /// Where two attempts measured one step, the later one counts: it went on from there.
    async fn evaluation_list(&self, run: Uuid) -> Result<Vec<EvaluationDetail>, StoreError> {
        sqlx::query_as!(
            EvaluationDetail,
            "SELECT DISTINCT ON (e.step) e.step, e.at, e.loss, e.bits_per_byte
             FROM bedplate.evaluations e JOIN bedplate.attempts a ON a.id = e.attempt_id
             WHERE a.run_id = $1 ORDER BY e.step, a.started_at DESC",
            run
        )
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::query("read the evaluations of a run"))
    }

    async fn checkpoint_list(&self, run: Uuid) -> Result<Vec<CheckpointDetail>, StoreError> {
        sqlx::query_as!(
            CheckpointDetail,
            "SELECT DISTINCT ON (c.step) c.step, c.at, c.digest, c.path, c.size_bytes
             FROM bedplate.checkpoints c JOIN bedplate.attempts a ON a.id = c.attempt_id
             WHERE a.run_id = $1 ORDER BY c.step, a.started_at DESC",
            run
        )
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::query("read the checkpoints of a run"))
    }

    async fn dataset_stage_list(&self, run: Uuid) -> Result<Vec<StageDetail>, StoreError> {
        sqlx::query_as!(
            StageDetail,
            "SELECT stage, documents_in, documents_out, bytes_out, cached, done FROM bedplate.dataset_stages
             WHERE attempt_id = (SELECT a.id FROM bedplate.attempts a
                                 WHERE a.run_id = $1 AND EXISTS (SELECT FROM bedplate.dataset_stages WHERE attempt_id = a.id)
                                 ORDER BY a.started_at DESC LIMIT 1)
             ORDER BY at, stage",
            run
        )
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::query("read the stages of a run"))
    }

    async fn loss_curve(&self, run: Uuid) -> Result<Vec<LossPoint>, StoreError> {
        sqlx::query_as!(
            LossPoint,
            r#"SELECT max(step) AS "step!", avg(loss) AS "loss!"
               FROM (SELECT step, loss, ntile($2) OVER (ORDER BY step) AS stretch
                     FROM (SELECT DISTINCT ON (m.step) m.step, m.loss
                           FROM bedplate.step_metrics m JOIN bedplate.attempts a ON a.id = m.attempt_id
                           WHERE a.run_id = $1 ORDER BY m.step, a.started_at DESC) newest) stretches
               GROUP BY stretch ORDER BY stretch"#,
            run,
            LOSS_POINTS
        )
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::query("read the losses of a run"))
    }
}
