//! A resource's life as text: each scene is what was seen, and what was decided, with the status carried on.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::at;
use crate::cluster::{
    child::Child,
    decision::{Decision, Finalizer},
    observed::Observed,
};

/// Seconds from one scene to the next: more than figures may be old.
const SCENE_SECONDS: i64 = 20;

/// A life so far.
pub struct Story<S> {
    /// What is seen; scenes change it.
    pub seen: Observed<S>,
    text: String,
    seconds: i64,
}

impl<S: Clone + Serialize> Story<S> {
    /// Before anything was seen.
    pub fn new(seen: Observed<S>) -> Self {
        Self { seen, text: String::new(), seconds: 0 }
    }

    /// Decides, writes it down, and carries the status on.
    pub fn scene(&mut self, title: &str, decide: impl Fn(&Observed<S>) -> Decision<S>) -> Decision<S> {
        self.seen.now = at(self.seconds);
        let decision = decide(&self.seen);
        write(&mut self.text, title, &decision);
        self.seen.previous = Some(decision.status.clone());
        self.seconds += SCENE_SECONDS;
        decision
    }

    /// The whole.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn write<S: Serialize>(text: &mut String, title: &str, decision: &Decision<S>) {
    let status = serde_json::to_value(&decision.status).unwrap();
    writeln!(text, "# {title}").unwrap();
    for condition in status["conditions"].as_array().unwrap() {
        let of = |key: &str| condition[key].as_str().unwrap().to_owned();
        let since = of("lastTransitionTime");
        let (kind, truth, reason) = (of("type"), of("status"), of("reason"));
        writeln!(text, "  {kind:14}{truth:8}{reason:24}{} {}", &since[14..19], of("message")).unwrap();
    }
    for (key, value) in status.as_object().unwrap() {
        if key != "conditions" && key != "observedGeneration" {
            writeln!(text, "  {key}: {}", compact(value)).unwrap();
        }
    }
    let names: Vec<String> = decision.apply.iter().map(name).collect();
    writeln!(text, "  -> apply {names:?}, delete {:?}", decision.delete).unwrap();
    if let Some(adjustment) = &decision.adjust_job {
        writeln!(text, "  -> suspend {}, backoffLimit {}", adjustment.suspend, adjustment.backoff_limit).unwrap();
    }
    for note in &decision.notes {
        let kind = if note.is_warning { "Warning" } else { "Normal" };
        writeln!(text, "  -> {kind} {}: {}", note.reason, note.message).unwrap();
    }
    if decision.finalizer == Finalizer::Remove {
        writeln!(text, "  -> the finalizer goes").unwrap();
    }
    if decision.delete_resource {
        writeln!(text, "  -> the resource is deleted").unwrap();
    }
    writeln!(text, "  -> again in {:?}\n", decision.requeue_after).unwrap();
}

fn name(child: &Child) -> String {
    format!("{:?} {}", child.kind(), child.name())
}

fn compact(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
