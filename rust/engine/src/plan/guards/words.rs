//! Outcomes and assignments of them, as a sentence says them.

use super::super::spec::{GraphSpec, NodeKind};

/// Clauses of an assignment that are said; the rest is counted.
const CLAUSES_MAX: usize = 8;

/// "low", or "low or other": outcomes of a decision, as its cases call them.
pub(super) fn outcomes(graph: &GraphSpec, decision: u32, bits: u64) -> String {
    let label = |outcome| match named(graph, decision, outcome) {
        Some(name) => name.to_owned(),
        None => format!("outcome {outcome}"),
    };
    let labels = (0..64).filter(|outcome| bits >> outcome & 1 == 1).map(label);
    labels.collect::<Vec<_>>().join(" or ")
}

/// What the case of an outcome is called: "high" of "support/severity[high]".
fn named(graph: &GraphSpec, decision: u32, outcome: u32) -> Option<&str> {
    let case = graph.nodes.iter().find(|node| {
        node.kind == NodeKind::Case { taken: 1 << outcome }
            && node.inputs.first() == Some(&decision)
    })?;
    Some(case.path.strip_suffix(']')?.rsplit_once('[')?.1)
}

/// "when support/severity is high and support/approval times out".
pub(super) fn assignment(graph: &GraphSpec, outcomes: &[(u32, u32)]) -> String {
    if outcomes.is_empty() {
        return "in every run".to_owned();
    }
    let said = outcomes.iter().take(CLAUSES_MAX);
    let mut clauses: Vec<String> =
        said.map(|&(decision, outcome)| clause(graph, decision, outcome)).collect();
    if outcomes.len() > CLAUSES_MAX {
        clauses.push(format!("{} more decisions fall so", outcomes.len() - CLAUSES_MAX));
    }
    format!("when {}", clauses.join(" and "))
}

fn clause(graph: &GraphSpec, decision: u32, outcome: u32) -> String {
    let node = &graph.nodes[decision as usize];
    let (no, yes) = match node.kind {
        NodeKind::When => ("is false", "is true"),
        NodeKind::Shield { .. } => ("contains a failure", "contains no failure"),
        NodeKind::Signal { .. } => ("times out", "gets its signal"),
        NodeKind::Cancel { .. } => ("withdraws its scope", "withdraws nothing"),
        NodeKind::Accept { .. } => ("rejects", "accepts"),
        _ => {
            return match named(graph, decision, outcome) {
                Some(name) => format!("{} is {name}", node.path),
                None => format!("{} has outcome {outcome}", node.path),
            };
        }
    };
    format!("{} {}", node.path, if outcome == 0 { no } else { yes })
}
