//! What is in Postgres of a namespace's resources. Reads; never writes.

use std::{fs, process::Command};

use crate::cluster::{Cluster, say};

/// The tables of one attempt at one run; a `where` or `and` may follow.
const ATTEMPTS: &str = "bedplate.attempts a join bedplate.runs r on r.id = a.run_id";

/// Answer of Postgres to a query: a line for each row, `|` between columns.
pub fn psql(cluster: &Cluster, sql: &str) -> String {
    let dsn = fs::read_to_string(cluster.folder().join("dsn")).expect("the DSN");
    let said = say(Command::new("psql").arg(dsn.trim()).args(["--tuples-only", "--no-align", "--command", sql]), "");
    assert!(said.ok, "psql: {}", said.err);
    said.out
}

/// Attempts at a resource, as `ALL|THOSE THAT CLAIM TO RUN`.
pub fn attempts(cluster: &Cluster, uid: &str) -> String {
    psql(
        cluster,
        &format!("select count(*), count(*) filter (where ended_at is null) from {ATTEMPTS} where r.origin = '{uid}'"),
    )
}

/// Attempts at a TrainingJob in their order, each as `FIRST STEP|LAST STEP|STEPS|STEP OF ITS LAST CHECKPOINT`.
pub fn steps(cluster: &Cluster, uid: &str) -> Vec<Vec<u64>> {
    let rows = psql(
        cluster,
        &format!(
            "select min(m.step), max(m.step), count(*), \
             (select coalesce(max(c.step), 0) from bedplate.checkpoints c where c.attempt_id = a.id) \
             from {ATTEMPTS} join bedplate.step_metrics m on m.attempt_id = a.id where r.origin = '{uid}' \
             group by a.id, a.started_at order by a.started_at"
        ),
    );
    rows.lines().map(|row| row.split('|').map(|figure| figure.parse().expect("a number")).collect()).collect()
}
