//! Outcomes and assignments of them, as a sentence says them.

use super::super::spec::{GraphSpec, NodeKind};

/// Clauses of an assignment that are said; the rest is counted.
const CLAUSES_MAX: usize = 8;

/// "outcome 2", or "outcome 0 or 3".
pub(super) fn outcomes(bits: u64) -> String {
    let numbers: Vec<String> =
        (0..64).filter(|outcome| bits >> outcome & 1 == 1).map(|it| it.to_string()).collect();
    format!("outcome {}", numbers.join(" or "))
}

/// "when support/severity has outcome 2 and support/approval times out".
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
        _ => return format!("{} has outcome {outcome}", node.path),
    };
    format!("{} {}", node.path, if outcome == 0 { no } else { yes })
}
