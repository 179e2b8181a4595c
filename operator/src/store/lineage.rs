//! Lineage: which attempt consumed and produced which artefact, and the walk along those edges.
//!
//! The shape is OpenLineage's (runs with input and output datasets). Never says how it is drawn.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Artefact, Direction, Store, StoreError,
    progress::{bigint, text},
};

/// Edges a walk returns at most: a graph with more is not read by a person.
const MAX_EDGES: i64 = 10_000;

/// Where a walk begins.
#[derive(Clone, Copy, Debug)]
pub enum LineageStart<'a> {
    /// Every run of that name.
    Name(&'a str),
    /// Every artefact whose digest begins so.
    Digest(&'a str),
}

/// Everything upstream and downstream of a start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lineage {
    /// The attempts on the way, oldest first.
    pub attempts: Vec<LineageAttempt>,
    /// The artefacts on the way, first seen first.
    pub artefacts: Vec<LineageArtefact>,
    /// Who consumed or produced what.
    pub edges: Vec<LineageEdge>,
}

/// An attempt on the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LineageAttempt {
    /// Id of the attempt.
    pub id: Uuid,
    /// Id of its run.
    pub run_id: Uuid,
    /// Kind of the run.
    pub kind: String,
    /// Namespace of the run.
    pub namespace: String,
    /// Name of the run.
    pub name: String,
    /// Its place among the run's attempts, from 1.
    pub number: i64,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// Endpoint of a ModelDeployment.
    pub endpoint: Option<String>,
}

/// An artefact on the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LineageArtefact {
    /// Content digest, or the uri of what nobody hashed.
    pub digest: String,
    /// `Dataset`, `Checkpoint` or `Model`.
    pub kind: String,
    /// Where it was last seen.
    pub uri: Option<String>,
    /// The training step it holds, if it is a checkpoint.
    pub step: Option<i64>,
}

/// Who consumed or produced what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LineageEdge {
    /// The attempt.
    pub attempt_id: Uuid,
    /// The artefact.
    pub digest: String,
    /// `input` or `output`.
    pub direction: String,
}

impl Store {
    /// Writes that an attempt consumed or produced an artefact.
    ///
    /// # Errors
    /// When the database is away or refuses a value.
    pub async fn lineage_edge_insert(
        &self,
        attempt: Uuid,
        direction: Direction,
        artefact: &Artefact,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin("begin a lineage edge").await?;
        edge_insert(attempt, direction, artefact, at, &mut transaction).await?;
        transaction.commit().await.map_err(StoreError::query("commit a lineage edge"))
    }

    /// Everything that led to the start and everything that came of it; siblings are left out.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn lineage_walk(&self, start: LineageStart<'_>) -> Result<Lineage, StoreError> {
        let edges = self.lineage_edges(start).await?;
        let mut attempt_ids: Vec<Uuid> = edges.iter().map(|edge| edge.attempt_id).collect();
        let mut digests: Vec<String> = edges.iter().map(|edge| edge.digest.clone()).collect();
        attempt_ids.dedup();
        digests.sort_unstable();
        digests.dedup();
        let attempts = sqlx::query_as!(
            LineageAttempt,
            r#"SELECT id AS "id!", run_id AS "run_id!", kind AS "kind!", namespace AS "namespace!", name AS "name!",
                      number AS "number!", started_at AS "started_at!", endpoint
               FROM (SELECT a.id, a.run_id, r.kind, r.namespace, r.name, a.started_at, a.endpoint,
                            row_number() OVER (PARTITION BY a.run_id ORDER BY a.started_at, a.id) AS number
                     FROM bedplate.attempts a JOIN bedplate.runs r ON r.id = a.run_id
                     WHERE a.run_id IN (SELECT run_id FROM bedplate.attempts WHERE id = ANY($1))) numbered
               WHERE id = ANY($1) ORDER BY started_at, id"#,
            &attempt_ids
        )
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::query("read the attempts of a lineage"))?;
        let artefacts = sqlx::query_as!(
            LineageArtefact,
            r#"SELECT digest, kind, uri,
                      (SELECT max(c.step) FROM bedplate.checkpoints c WHERE c.digest = artefacts.digest) AS step
               FROM bedplate.artefacts WHERE digest = ANY($1) ORDER BY first_seen_at, digest"#,
            &digests
        )
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::query("read the artefacts of a lineage"))?;
        Ok(Lineage { attempts, artefacts, edges })
    }

    async fn lineage_edges(&self, start: LineageStart<'_>) -> Result<Vec<LineageEdge>, StoreError> {
        let (name, digest) = match start {
            LineageStart::Name(name) => (Some(name), None),
            LineageStart::Digest(digest) => (None, Some(digest)),
        };
        // Two walks of one edge at a time: from an attempt to its inputs and on to who produced them, and the other way.
        // UNION drops what was seen, so a cycle (a stage that yields what it read) ends too.
        sqlx::query_as!(
            LineageEdge,
            r#"WITH RECURSIVE
               start AS (
                   SELECT e.* FROM bedplate.lineage_edges e
                   LEFT JOIN bedplate.attempts a ON a.id = e.attempt_id
                   LEFT JOIN bedplate.runs r ON r.id = a.run_id
                   WHERE r.name = $1 OR starts_with(e.digest, $2)),
               upstream AS (
                   SELECT attempt_id, digest, direction FROM start WHERE $1 IS NOT NULL OR direction = 'output'
                   UNION
                   SELECT e.attempt_id, e.digest, e.direction FROM upstream u
                   JOIN bedplate.lineage_edges e ON
                       (u.direction = 'output' AND e.attempt_id = u.attempt_id AND e.direction = 'input')
                       OR (u.direction = 'input' AND e.digest = u.digest AND e.direction = 'output')),
               downstream AS (
                   SELECT attempt_id, digest, direction FROM start WHERE $1 IS NOT NULL OR direction = 'input'
                   UNION
                   SELECT e.attempt_id, e.digest, e.direction FROM downstream d
                   JOIN bedplate.lineage_edges e ON
                       (d.direction = 'input' AND e.attempt_id = d.attempt_id AND e.direction = 'output')
                       OR (d.direction = 'output' AND e.digest = d.digest AND e.direction = 'input'))
               SELECT attempt_id AS "attempt_id!", digest AS "digest!", direction AS "direction!"
               FROM (SELECT attempt_id, digest, direction FROM upstream
                     UNION SELECT attempt_id, digest, direction FROM downstream) edges
               ORDER BY attempt_id, direction, digest LIMIT $3"#,
            name,
            digest,
            MAX_EDGES
        )
        .fetch_all(self.pool())
        .await
        .map_err(StoreError::query("walk the lineage"))
    }
}

/// The artefact's row and the edge to it. What is known of an artefact already is only added to.
pub(super) async fn edge_insert(
    attempt: Uuid,
    direction: Direction,
    artefact: &Artefact,
    at: DateTime<Utc>,
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    let Artefact { kind, digest, uri, size_bytes } = artefact;
    sqlx::query!(
        "INSERT INTO bedplate.artefacts AS known (digest, kind, uri, size_bytes, first_seen_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (digest) DO UPDATE
         SET uri = coalesce(excluded.uri, known.uri), size_bytes = coalesce(excluded.size_bytes, known.size_bytes),
             first_seen_at = least(excluded.first_seen_at, known.first_seen_at)",
        text(digest),
        kind.word(),
        uri.as_deref().map(text),
        size_bytes.map(bigint),
        at
    )
    .execute(&mut *connection)
    .await
    .map_err(StoreError::query("write an artefact"))?;
    sqlx::query!(
        "INSERT INTO bedplate.lineage_edges AS known (attempt_id, digest, direction, at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (attempt_id, direction, digest) DO UPDATE SET at = excluded.at WHERE excluded.at < known.at",
        attempt,
        text(digest),
        direction.word(),
        at
    )
    .execute(connection)
    .await
    .map(drop)
    .map_err(StoreError::query("write a lineage edge"))
}
