//! Ids derived from what they name, so that writing a thing twice writes it once. Never draws one at random.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::RunKey;

/// Root of every id (RFC 9562, version 5). Changing it would make every known run a stranger.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0c_3f5b_52d4_5b0e_9d0f_6b1c_41f6_7a10);

/// Id of a run: who may use the name again, kind, namespace, name.
pub fn run_id(key: &RunKey) -> Uuid {
    // Names cannot hold a NUL, so no two keys join to one text.
    let text = [&key.origin, key.resource.kind.name(), &key.resource.namespace, &key.resource.name].join("\0");
    Uuid::new_v5(&NAMESPACE, text.as_bytes())
}

/// Id of an attempt: its run and its start, in the microseconds that Postgres keeps.
pub fn attempt_id(run: Uuid, started_at: DateTime<Utc>) -> Uuid {
    Uuid::new_v5(&run, &started_at.timestamp_micros().to_be_bytes())
}
