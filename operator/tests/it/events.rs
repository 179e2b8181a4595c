//! Attempts and progress events as workloads report them.

use std::collections::BTreeMap;

use bedplate_crds::job::progress::{ProgressBody, ProgressEvent, StepMetrics};
use bedplate_operator::{
    resource::{Kind, ResourceKey},
    store::{NewAttempt, RunKey},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

/// A moment that every test counts from.
pub fn begin() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 123_456_000).unwrap()
}

pub fn seconds_later(seconds: i64) -> DateTime<Utc> {
    begin() + TimeDelta::seconds(seconds)
}

pub fn attempt(kind: Kind, name: &str, started_at: DateTime<Utc>) -> NewAttempt {
    let resource = ResourceKey { kind, namespace: "default".to_owned(), name: name.to_owned() };
    NewAttempt {
        run: RunKey { origin: "a-state-folder".to_owned(), resource },
        started_at,
        spec: json!({ "name": name }),
        job: json!({ "outputDir": "/out", "threads": 2 }),
        progress_file: String::new(),
        progress_offset: 0,
    }
}

/// An event so many seconds after the begin.
pub fn at(seconds: u32, body: ProgressBody) -> ProgressEvent {
    #[expect(clippy::cast_precision_loss, reason = "a moment in this century")]
    let start = begin().timestamp() as f64;
    ProgressEvent { time_seconds: start + f64::from(seconds), body }
}

pub fn step(step: u64) -> ProgressBody {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let loss = 8.0 / step as f64;
    ProgressBody::Step(StepMetrics {
        step,
        max_steps: 100,
        loss,
        grad_norm: 0.5,
        learning_rate: 1e-3,
        tokens_per_second: 1000.0,
        tokens: step * 512,
    })
}

pub fn stage(name: &str, documents_out: u64, done: bool) -> ProgressBody {
    ProgressBody::Stage {
        stage: name.to_owned(),
        documents_in: 10,
        documents_out,
        bytes_in: 1_000,
        bytes_out: documents_out * 100,
        left_out: std::collections::BTreeMap::new(),
        fraction: Some(0.5),
        cached: false,
        done,
    }
}

pub fn evaluation(step: u64, bits_per_byte: f64) -> ProgressBody {
    ProgressBody::Evaluation { step, loss: bits_per_byte * 2.0, bits_per_byte, tokens: 4096 }
}

pub fn checkpoint(step: u64, digest: &str) -> ProgressBody {
    ProgressBody::Checkpoint {
        step,
        path: format!("/out/checkpoints/{step}"),
        digest: digest.to_owned(),
        bytes: 12_345,
    }
}

pub fn started() -> ProgressBody {
    ProgressBody::Started { pid: 1 }
}

pub fn plan() -> ProgressBody {
    ProgressBody::Plan { bytes: BTreeMap::from([("weights".to_owned(), 4_000_000)]), parameters: 1_000_000 }
}

pub fn completed(digest: &str) -> ProgressBody {
    ProgressBody::Completed { digest: digest.to_owned() }
}

pub fn failed(message: &str, exit_code: i32) -> ProgressBody {
    ProgressBody::Failed { message: message.to_owned(), exit_code }
}

/// Everything a training reports, in its order.
pub fn training() -> Vec<ProgressEvent> {
    let mut events = vec![at(0, started()), at(0, plan())];
    for number in 1..=100 {
        events.push(at(number, step(u64::from(number))));
        if number % 50 == 0 {
            events.push(at(number, evaluation(u64::from(number), 4.0 - f64::from(number) / 50.0)));
            let sample = ProgressBody::Sample { step: u64::from(number), prompt: "a".into(), completion: "b".into() };
            events.push(at(number, sample));
            events.push(at(number, checkpoint(u64::from(number), &format!("checkpoint{number}"))));
        }
    }
    events.push(at(101, completed("checkpoint100")));
    events
}

pub fn ready(url: &str) -> ProgressBody {
    ProgressBody::Ready { url: url.to_owned() }
}
