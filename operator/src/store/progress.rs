//! Progress events into rows: a batch of events becomes at most one statement a table, all in one transaction.
//!
//! Owns the mapping from events to tables. Order and repetition of events change nothing.

use bedplate_crds::job::progress::{ProgressBody, ProgressEvent, StepMetrics};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::{Artefact, ArtefactKind, Direction, Store, StoreError, lineage::edge_insert};

impl Store {
    /// Writes the events of an attempt and, in the same transaction, how far its progress file is stored.
    ///
    /// # Errors
    /// When the database is away, or refuses a value ([`StoreError::is_rejection`]).
    pub async fn progress_insert(
        &self,
        attempt: Uuid,
        events: &[ProgressEvent],
        progress_offset: u64,
    ) -> Result<(), StoreError> {
        let rows = Rows::from_events(events);
        let mut transaction = self.begin("begin a batch of progress").await?;
        rows.insert(attempt, &mut transaction).await?;
        let moved = sqlx::query!(
            "UPDATE bedplate.attempts SET progress_offset = greatest(progress_offset, $2) WHERE id = $1",
            attempt,
            bigint(progress_offset)
        )
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::query("write how far the progress is stored"))?;
        if moved.rows_affected() == 0 {
            return Err(StoreError::UnknownAttempt { attempt });
        }
        transaction.commit().await.map_err(StoreError::query("commit a batch of progress"))
    }

    pub(super) async fn begin(&self, attempted: &'static str) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.pool().begin().await.map_err(StoreError::query(attempted))
    }
}

/// What a batch of events says, by table.
#[derive(Default)]
struct Rows<'a> {
    steps: Vec<(DateTime<Utc>, &'a StepMetrics)>,
    /// Everything that comes a few times an attempt at most, or a few times a minute.
    rest: Vec<(DateTime<Utc>, &'a ProgressBody)>,
}

impl<'a> Rows<'a> {
    fn from_events(events: &'a [ProgressEvent]) -> Self {
        let mut rows = Self::default();
        for event in events {
            let at = timestamp(event.time_seconds);
            match &event.body {
                ProgressBody::Step(metrics) => rows.steps.push((at, metrics)),
                // A stage reports often; of one batch only its newest report counts.
                ProgressBody::Stage { stage, .. } => {
                    rows.rest.retain(|(seen, body)| !is_older_report(body, stage, *seen, at));
                    rows.rest.push((at, &event.body));
                }
                _ => rows.rest.push((at, &event.body)),
            }
        }
        rows
    }

    async fn insert(&self, attempt: Uuid, connection: &mut PgConnection) -> Result<(), StoreError> {
        step_metrics_insert(attempt, &self.steps, connection).await?;
        for (at, body) in &self.rest {
            event_insert(attempt, *at, body, connection).await?;
        }
        Ok(())
    }
}

fn is_older_report(body: &ProgressBody, stage: &str, seen: DateTime<Utc>, at: DateTime<Utc>) -> bool {
    matches!(body, ProgressBody::Stage { stage: other, .. } if other == stage) && seen <= at
}

async fn step_metrics_insert(
    attempt: Uuid,
    steps: &[(DateTime<Utc>, &StepMetrics)],
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    let Some((_, newest)) = steps.last() else { return Ok(()) };
    let column = |value: fn(&StepMetrics) -> f64| steps.iter().map(|(_, m)| value(m)).collect::<Vec<_>>();
    sqlx::query!(
        "INSERT INTO bedplate.step_metrics
             (attempt_id, step, at, loss, grad_norm, learning_rate, tokens_per_second, tokens)
         SELECT $1, * FROM unnest($2::bigint[], $3::timestamptz[], $4::double precision[], $5::double precision[],
                                  $6::double precision[], $7::double precision[], $8::bigint[])
         ON CONFLICT (attempt_id, step) DO NOTHING",
        attempt,
        &steps.iter().map(|(_, metrics)| bigint(metrics.step)).collect::<Vec<_>>(),
        &steps.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
        &column(|metrics| metrics.loss),
        &column(|metrics| metrics.grad_norm),
        &column(|metrics| metrics.learning_rate),
        &column(|metrics| metrics.tokens_per_second),
        &steps.iter().map(|(_, metrics)| bigint(metrics.tokens)).collect::<Vec<_>>(),
    )
    .execute(&mut *connection)
    .await
    .map_err(StoreError::query("write step metrics"))?;
    sqlx::query!(
        "UPDATE bedplate.attempts SET max_steps = $2 WHERE id = $1 AND max_steps IS DISTINCT FROM $2",
        attempt,
        bigint(newest.max_steps)
    )
    .execute(connection)
    .await
    .map(drop)
    .map_err(StoreError::query("write the number of steps"))
}

async fn event_insert(
    attempt: Uuid,
    at: DateTime<Utc>,
    body: &ProgressBody,
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    match body {
        ProgressBody::Stage { .. } => stage_upsert(attempt, at, body, connection).await,
        ProgressBody::Evaluation { .. } => evaluation_insert(attempt, at, body, connection).await,
        ProgressBody::Checkpoint { .. } => checkpoint_insert(attempt, at, body, connection).await,
        ProgressBody::Plan { .. } | ProgressBody::Ready { .. } | ProgressBody::Failed { .. } => {
            attempt_note(attempt, at, body, connection).await
        }
        ProgressBody::Completed { digest } => attempt_complete(attempt, at, digest, connection).await,
        // The journal says when an attempt began; samples are the report's; steps came before.
        ProgressBody::Started { .. } | ProgressBody::Sample { .. } | ProgressBody::Step(_) => Ok(()),
    }
}

async fn stage_upsert(
    attempt: Uuid,
    at: DateTime<Utc>,
    body: &ProgressBody,
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    let ProgressBody::Stage { stage, documents_in, documents_out, bytes_out, cached, done, .. } = body else {
        return Ok(());
    };
    sqlx::query!(
        "INSERT INTO bedplate.dataset_stages AS known
             (attempt_id, stage, at, documents_in, documents_out, bytes_out, cached, done)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (attempt_id, stage) DO UPDATE
         SET at = excluded.at, documents_in = excluded.documents_in, documents_out = excluded.documents_out,
             bytes_out = excluded.bytes_out, cached = excluded.cached, done = excluded.done
         WHERE (excluded.at, excluded.done) > (known.at, known.done)",
        attempt,
        text(stage),
        at,
        bigint(*documents_in),
        bigint(*documents_out),
        bigint(*bytes_out),
        *cached,
        *done
    )
    .execute(connection)
    .await
    .map(drop)
    .map_err(StoreError::query("write a dataset stage"))
}

async fn evaluation_insert(
    attempt: Uuid,
    at: DateTime<Utc>,
    body: &ProgressBody,
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    let ProgressBody::Evaluation { step, loss, bits_per_byte, tokens } = body else { return Ok(()) };
    sqlx::query!(
        "INSERT INTO bedplate.evaluations (attempt_id, step, at, loss, bits_per_byte, tokens)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (attempt_id, step) DO NOTHING",
        attempt,
        bigint(*step),
        at,
        *loss,
        *bits_per_byte,
        bigint(*tokens)
    )
    .execute(connection)
    .await
    .map(drop)
    .map_err(StoreError::query("write an evaluation"))
}

async fn checkpoint_insert(
    attempt: Uuid,
    at: DateTime<Utc>,
    body: &ProgressBody,
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    let ProgressBody::Checkpoint { step, path, digest, bytes } = body else { return Ok(()) };
    let artefact = Artefact {
        kind: ArtefactKind::Checkpoint,
        digest: text(digest),
        uri: Some(format!("file://{}", text(path))),
        size_bytes: Some(*bytes),
    };
    edge_insert(attempt, Direction::Output, &artefact, at, connection).await?;
    sqlx::query!(
        "INSERT INTO bedplate.checkpoints (attempt_id, step, at, digest, path, size_bytes)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (attempt_id, step) DO NOTHING",
        attempt,
        bigint(*step),
        at,
        artefact.digest,
        text(path),
        bigint(*bytes)
    )
    .execute(connection)
    .await
    .map(drop)
    .map_err(StoreError::query("write a checkpoint"))
}

/// Plan, endpoint and failure are mostly said once an attempt; where they are said again, the newest word stands.
async fn attempt_note(
    attempt: Uuid,
    at: DateTime<Utc>,
    body: &ProgressBody,
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    match body {
        ProgressBody::Plan { bytes, parameters } => sqlx::query!(
            "UPDATE bedplate.attempts SET memory_bytes = $2, parameters = $3 WHERE id = $1",
            attempt,
            super::attempts::storable(serde_json::json!(bytes)),
            bigint(*parameters)
        ),
        ProgressBody::Ready { url } => sqlx::query!(
            "UPDATE bedplate.attempts SET ready_at = $2, endpoint = $3 WHERE id = $1 AND (ready_at >= $2) IS NOT TRUE",
            attempt,
            at,
            text(url)
        ),
        ProgressBody::Failed { message, exit_code } => sqlx::query!(
            "UPDATE bedplate.attempts SET failed_at = $2, failure = $3, failure_code = $4
             WHERE id = $1 AND (failed_at >= $2) IS NOT TRUE",
            attempt,
            at,
            text(message),
            *exit_code
        ),
        _ => return Ok(()),
    }
    .execute(connection)
    .await
    .map(drop)
    .map_err(StoreError::query("write what an attempt reported"))
}

/// The artefact is a Dataset's token shards or a TrainingJob's final checkpoint: the kind of the run says which.
async fn attempt_complete(
    attempt: Uuid,
    at: DateTime<Utc>,
    digest: &str,
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    let completed = sqlx::query!(
        r#"UPDATE bedplate.attempts a
           SET completed_at = greatest(a.completed_at, $2),
               digest = CASE WHEN a.completed_at > $2 THEN a.digest ELSE nullif($3, '') END
           FROM bedplate.runs r WHERE a.id = $1 AND r.id = a.run_id
           RETURNING r.kind, a.job ->> 'outputDir' AS output_dir"#,
        attempt,
        at,
        text(digest)
    )
    .fetch_optional(&mut *connection)
    .await
    .map_err(StoreError::query("write that an attempt is complete"))?;
    let Some(completed) = completed.filter(|_| !digest.is_empty()) else { return Ok(()) };
    let (kind, uri) = match completed.kind.as_str() {
        "Dataset" => (ArtefactKind::Dataset, completed.output_dir.map(|dir| format!("file://{dir}"))),
        // Its folder is known from the checkpoint event.
        "TrainingJob" => (ArtefactKind::Checkpoint, None),
        _ => return Ok(()),
    };
    let artefact = Artefact { kind, digest: text(digest), uri, size_bytes: None };
    edge_insert(attempt, Direction::Output, &artefact, at, connection).await
}

/// Postgres counts in signed 64 bits; nothing that is counted here comes near the difference.
pub(super) fn bigint(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Postgres' text holds every character but NUL.
pub(super) fn text(value: &str) -> String {
    value.replace('\0', "\u{fffd}")
}

/// An event's time, in the microseconds that Postgres keeps.
pub fn timestamp(seconds: f64) -> DateTime<Utc> {
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and what is out of range becomes 1970")]
    DateTime::from_timestamp_micros((seconds * 1e6) as i64).unwrap_or(DateTime::UNIX_EPOCH)
}
