//! Attempts as they are written: their begin, their end, and how far each is stored. Never reads for a person.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{
    AttemptPosition, LastAttempt, NewAttempt, Outcome, Store, StoreError,
    ids::run_id,
    progress::{bigint, text},
};

impl Store {
    /// Writes that an attempt begins, and its run where it is the first. Returns the attempt's id.
    ///
    /// # Errors
    /// When the database is away or refuses a value.
    pub async fn attempt_insert(&self, attempt: &NewAttempt) -> Result<Uuid, StoreError> {
        let (run, id) = (run_id(&attempt.run), attempt.id());
        let NewAttempt { run: key, started_at, spec, job, progress_file, progress_offset } = attempt;
        let mut transaction = self.begin("begin an attempt").await?;
        sqlx::query!(
            "INSERT INTO bedplate.runs AS known (id, origin, kind, namespace, name, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (id) DO UPDATE SET created_at = least(known.created_at, excluded.created_at)",
            run,
            text(&key.origin),
            key.resource.kind.name(),
            text(&key.resource.namespace),
            text(&key.resource.name),
            started_at
        )
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::query("write a run"))?;
        sqlx::query!(
            "INSERT INTO bedplate.attempts (id, run_id, started_at, spec, job, progress_file, progress_offset)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
            id,
            run,
            started_at,
            storable(spec.clone()),
            storable(job.clone()),
            text(progress_file),
            bigint(*progress_offset)
        )
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::query("write an attempt"))?;
        transaction.commit().await.map_err(StoreError::query("commit an attempt"))?;
        Ok(id)
    }

    /// Writes how an attempt ended. An end that was seen replaces a guess, never the other way round.
    ///
    /// # Errors
    /// When the database is away, or does not know the attempt.
    pub async fn attempt_end(&self, attempt: Uuid, outcome: Outcome) -> Result<(), StoreError> {
        let known = match outcome {
            Outcome::Ended { at, exit_code } => self.attempt_end_seen(attempt, at, exit_code).await?,
            Outcome::Lost => self.attempt_end_lost(attempt).await?,
        };
        if known { Ok(()) } else { Err(StoreError::UnknownAttempt { attempt }) }
    }

    async fn attempt_end_seen(
        &self,
        attempt: Uuid,
        at: DateTime<Utc>,
        exit_code: Option<i32>,
    ) -> Result<bool, StoreError> {
        sqlx::query!(
            "UPDATE bedplate.attempts SET ended_at = $2, exit_code = $3, lost = false WHERE id = $1",
            attempt,
            at,
            exit_code
        )
        .execute(self.pool())
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(StoreError::query("write the end of an attempt"))
    }

    async fn attempt_end_lost(&self, attempt: Uuid) -> Result<bool, StoreError> {
        sqlx::query!(
            "UPDATE bedplate.attempts a
             SET lost = ended_at IS NULL OR lost,
                 ended_at = CASE WHEN ended_at IS NULL OR lost THEN greatest(
                     started_at, ready_at, completed_at,
                     (SELECT max(m.at) FROM bedplate.step_metrics m WHERE m.attempt_id = a.id),
                     (SELECT max(e.at) FROM bedplate.evaluations e WHERE e.attempt_id = a.id),
                     (SELECT max(c.at) FROM bedplate.checkpoints c WHERE c.attempt_id = a.id),
                     (SELECT max(s.at) FROM bedplate.dataset_stages s WHERE s.attempt_id = a.id))
                 ELSE ended_at END
             WHERE id = $1",
            attempt
        )
        .execute(self.pool())
        .await
        .map(|done| done.rows_affected() > 0)
        .map_err(StoreError::query("write that an attempt is lost"))
    }

    /// How far each attempt of an origin is stored.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn attempt_positions(&self, origin: &str) -> Result<Vec<AttemptPosition>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT a.id, a.progress_offset, a.ended_at IS NOT NULL AS "ended!"
               FROM bedplate.attempts a JOIN bedplate.runs r ON r.id = a.run_id WHERE r.origin = $1"#,
            origin
        )
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::query("read how far attempts are stored"))?;
        let position = |id, offset: i64, ended| AttemptPosition { id, progress_offset: offset.unsigned_abs(), ended };
        Ok(rows.into_iter().map(|row| position(row.id, row.progress_offset, row.ended)).collect())
    }
}

impl Store {
    /// The newest attempt in a progress file of a run.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn attempt_last(&self, origin: &str, progress_file: &str) -> Result<Option<LastAttempt>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT a.id, a.ended_at IS NOT NULL AS "ended!", max(a.progress_offset) OVER () AS "progress_offset!"
               FROM bedplate.attempts a JOIN bedplate.runs r ON r.id = a.run_id
               WHERE r.origin = $1 AND a.progress_file = $2 ORDER BY a.started_at DESC LIMIT 1"#,
            origin,
            text(progress_file)
        )
        .fetch_optional(self.pool())
        .await
        .map_err(StoreError::query("read how far a progress file is stored"))?;
        Ok(row.map(|row| LastAttempt {
            id: row.id,
            progress_offset: row.progress_offset.unsigned_abs(),
            ended: row.ended,
        }))
    }

    /// Closes every open attempt of an origin: nothing of it runs any more, and nobody saw how it ended.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn attempts_close(&self, origin: &str) -> Result<(), StoreError> {
        for position in self.attempt_positions(origin).await?.iter().filter(|position| !position.ended) {
            self.attempt_end(position.id, Outcome::Lost).await?;
        }
        Ok(())
    }
}

/// Postgres' jsonb holds every text but those with a NUL.
pub(super) fn storable(value: Value) -> Value {
    match value {
        Value::String(value) => Value::String(text(&value)),
        Value::Array(values) => Value::Array(values.into_iter().map(storable).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (text(&name), storable(value))).collect())
        }
        other => other,
    }
}
