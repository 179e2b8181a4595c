//! Lineage as a tree in a terminal: Dataset, its digest, who trained on it, what came out, who serves it. Pure text.

use std::collections::{BTreeMap, BTreeSet};

use bedplate_operator::store::{Lineage, LineageArtefact, LineageAttempt};
use uuid::Uuid;

use crate::figures;

/// A run or an artefact. Attempts of a run are one node: a person asks what trained on what, not which attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node<'a> {
    Run(Uuid),
    Artefact(&'a str),
}

/// The graph, ready to be drawn.
struct Graph<'a> {
    /// In the order in which they came to be.
    nodes: Vec<Node<'a>>,
    after: BTreeMap<Node<'a>, Vec<Node<'a>>>,
    has_before: BTreeSet<Node<'a>>,
    labels: BTreeMap<Node<'a>, String>,
}

/// The whole graph as a tree: each node below every node that it came from, drawn in full the first time only.
pub(super) fn tree(lineage: &Lineage) -> String {
    let graph = Graph::new(lineage);
    let mut drawn = BTreeSet::new();
    let mut text = String::new();
    let roots = graph.nodes.iter().filter(|node| !graph.has_before.contains(node));
    // A cycle has no root; its first node is as good as any.
    for node in roots.chain(&graph.nodes) {
        if !drawn.contains(node) {
            text.push_str(&graph.labels[node]);
            text.push('\n');
            graph.draw_after(*node, "", &mut drawn, &mut text);
        }
    }
    text
}

impl<'a> Graph<'a> {
    fn new(lineage: &'a Lineage) -> Self {
        let Lineage { attempts, artefacts, edges } = lineage;
        let run_of: BTreeMap<Uuid, Uuid> = attempts.iter().map(|attempt| (attempt.id, attempt.run_id)).collect();
        let mut links: Vec<(Node<'a>, Node<'a>)> = Vec::new();
        for edge in edges {
            let Some(run) = run_of.get(&edge.attempt_id).map(|run| Node::Run(*run)) else { continue };
            let artefact = Node::Artefact(&edge.digest);
            links.push(if edge.direction == "input" { (artefact, run) } else { (run, artefact) });
        }
        let mut nodes: Vec<Node<'a>> = Vec::new();
        let known = attempts.iter().map(|attempt| Node::Run(attempt.run_id));
        for node in known.chain(artefacts.iter().map(|artefact| Node::Artefact(&artefact.digest))) {
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        let after = nodes
            .iter()
            .map(|node| {
                let follows = |later: &&Node<'a>| links.contains(&(*node, **later));
                (*node, nodes.iter().filter(follows).copied().collect())
            })
            .collect();
        let has_before = links.iter().map(|(_, later)| *later).collect();
        let runs = attempts.iter().map(|attempt| (Node::Run(attempt.run_id), run_label(attempt, attempts)));
        let labels = runs.chain(artefacts.iter().map(|a| (Node::Artefact(&a.digest), artefact_label(a)))).collect();
        Self { nodes, after, has_before, labels }
    }

    fn draw_after(&self, node: Node<'a>, indent: &str, drawn: &mut BTreeSet<Node<'a>>, text: &mut String) {
        drawn.insert(node);
        let after = &self.after[&node];
        for (index, next) in after.iter().enumerate() {
            let (branch, deeper) = if index + 1 == after.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let again = drawn.contains(next);
            let mark = if again { " (above)" } else { "" };
            text.push_str(&format!("{indent}{branch}{}{mark}\n", self.labels[next]));
            if !again {
                self.draw_after(*next, &format!("{indent}{deeper}"), drawn, text);
            }
        }
    }
}

fn run_label(attempt: &LineageAttempt, all: &[LineageAttempt]) -> String {
    let of_run = || all.iter().filter(|other| other.run_id == attempt.run_id);
    let numbers: Vec<String> = of_run().map(|attempt| attempt.number.to_string()).collect();
    let endpoint = of_run().filter_map(|attempt| attempt.endpoint.as_deref()).next_back();
    let word = if numbers.len() == 1 { "attempt" } else { "attempts" };
    let mut label = format!("{} {} ({word} {})", attempt.kind, attempt.name, numbers.join(", "));
    if let Some(endpoint) = endpoint {
        label.push_str(&format!(" {endpoint}"));
    }
    label
}

fn artefact_label(artefact: &LineageArtefact) -> String {
    let LineageArtefact { digest, kind, uri, step } = artefact;
    let name = if digest.contains(':') { digest } else { figures::digest(digest) };
    let step = step.map(|step| format!(" step {step}")).unwrap_or_default();
    let place = uri.as_deref().filter(|uri| uri != digest).map(|uri| format!("  {uri}")).unwrap_or_default();
    format!("{} {name}{step}{place}", kind.to_lowercase())
}

#[cfg(test)]
mod tests {
    use bedplate_operator::store::LineageEdge;
    use chrono::DateTime;

    use super::*;

    fn attempt(id: u128, run: u128, kind: &str, name: &str, number: i64) -> LineageAttempt {
        LineageAttempt {
            id: Uuid::from_u128(id),
            run_id: Uuid::from_u128(run),
            kind: kind.to_owned(),
            namespace: "default".to_owned(),
            name: name.to_owned(),
            number,
            started_at: DateTime::UNIX_EPOCH,
            endpoint: (kind == "ModelDeployment").then(|| "http://127.0.0.1:8000".to_owned()),
        }
    }

    fn artefact(kind: &str, digest: &str, step: Option<i64>) -> LineageArtefact {
        LineageArtefact { digest: digest.to_owned(), kind: kind.to_owned(), uri: None, step }
    }

    fn edge(attempt: u128, direction: &str, digest: &str) -> LineageEdge {
        let direction = direction.to_owned();
        LineageEdge { attempt_id: Uuid::from_u128(attempt), digest: digest.to_owned(), direction }
    }

    #[test]
    fn the_whole_thread_is_one_tree() {
        let lineage = Lineage {
            attempts: vec![
                attempt(1, 10, "Dataset", "rust", 1),
                attempt(2, 20, "TrainingJob", "code", 1),
                attempt(3, 20, "TrainingJob", "code", 2),
                attempt(4, 30, "ModelDeployment", "serve", 1),
            ],
            artefacts: vec![
                artefact("Dataset", "d1", None),
                artefact("Checkpoint", "c1", Some(50)),
                artefact("Checkpoint", "c2", Some(100)),
            ],
            edges: vec![
                edge(1, "output", "d1"),
                edge(2, "input", "d1"),
                edge(2, "output", "c1"),
                edge(3, "input", "d1"),
                edge(3, "output", "c2"),
                edge(4, "input", "c2"),
            ],
        };
        let expect = "Dataset rust (attempt 1)\n\
            └─ dataset d1\n   \
               └─ TrainingJob code (attempts 1, 2)\n      \
                  ├─ checkpoint c1 step 50\n      \
                  └─ checkpoint c2 step 100\n         \
                     └─ ModelDeployment serve (attempt 1) http://127.0.0.1:8000\n";
        assert_eq!(tree(&lineage), expect);
    }

    #[test]
    fn what_came_from_two_is_drawn_in_full_once_and_a_cycle_ends() {
        let lineage = Lineage {
            attempts: vec![attempt(1, 10, "TrainingJob", "code", 1)],
            artefacts: vec![artefact("Dataset", "a", None), artefact("Dataset", "b", None)],
            edges: vec![edge(1, "input", "a"), edge(1, "input", "b"), edge(1, "output", "a")],
        };
        let text = tree(&lineage);
        assert_eq!(
            text,
            "dataset b\n└─ TrainingJob code (attempt 1)\n   └─ dataset a\n      └─ TrainingJob code (attempt 1) (above)\n"
        );
    }
}
