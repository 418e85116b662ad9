//! The structure of a graph: what must hold before anything else can be asked of it.

use std::collections::HashSet;

use super::spec::{GraphSpec, NodeKind, OUTCOMES_MAX, RegionSpec};

/// Frames of a recursion inside each other: withdrawing them takes stack.
const RECURSION_MAX: u32 = 1_000;

/// Every problem found, each naming its node and the remedy.
pub(super) fn check(graph: &GraphSpec) -> Vec<String> {
    let mut problems = Vec::new();
    let count = graph.nodes.len();
    for region in &graph.regions {
        if !(region.start..region.stop).contains(&region.output) || region.stop as usize > count {
            problems.push(format!(
                "workflow {}: the output of {} is node {}, but its nodes are {} to {}; return a node of this workflow",
                graph.name, region.prefix, region.output, region.start, region.stop
            ));
        }
    }
    for region in graph.regions.iter().filter(|region| region.stop as usize <= count) {
        let inputs = region.start..region.start.saturating_add(region.input_count);
        for node in region.start..region.stop {
            let spec = &graph.nodes[node as usize];
            if (spec.kind == NodeKind::Input) != inputs.contains(&node) {
                problems.push(format!(
                    "node {}: the inputs of {} are its first {} nodes; move it there",
                    spec.path, region.prefix, region.input_count
                ));
            }
        }
    }
    if graph.regions.is_empty() {
        problems
            .push(format!("workflow {}: it has no region; draw at least its output", graph.name));
    }
    let mut regions: Vec<Option<&RegionSpec>> = vec![None; count];
    for region in &graph.regions {
        if let Some(nodes) = regions.get_mut(region.start as usize..region.stop as usize) {
            nodes.fill(Some(region));
        }
    }
    let mut paths = HashSet::with_capacity(count);
    let mut dangling = !problems.is_empty();
    for (index, spec) in graph.nodes.iter().enumerate() {
        if !paths.insert(spec.path.as_str()) {
            problems.push(format!(
                "node {}: the path is used twice; give one of the calls another name=",
                spec.path
            ));
        }
        let edges = || spec.inputs.iter().chain(&spec.gates).chain(&spec.after);
        if spec.kind.is_source() && edges().next().is_some() {
            problems.push(format!(
                "node {}: an input or constant can't wait for other nodes; drop its edges",
                spec.path
            ));
        }
        let region = graph.regions.iter().find(|it| (it.start..it.stop).contains(&(index as u32)));
        for producer in edges().chain(&spec.holds) {
            if *producer as usize >= count {
                dangling = true;
                problems.push(format!(
                    "node {}: an edge comes from node {producer}, which does not exist; there are {count} nodes",
                    spec.path
                ));
            } else if !region.is_some_and(|it| (it.start..it.stop).contains(producer)) {
                dangling = true;
                problems.push(format!(
                    "node {}: an edge comes from {}, which belongs to another body; pass the value in as a shared input",
                    spec.path, graph.nodes[*producer as usize].path
                ));
            }
        }
        if let Some(problem) = reference(graph, spec.kind) {
            dangling = true;
            problems.push(format!("node {}: {problem}", spec.path));
        }
        let calls = graph.calls.len() as u32;
        if spec.call >= calls || spec.scope.is_some_and(|it| it as usize >= graph.scopes.len()) {
            dangling = true;
            problems.push(format!("node {}: its call or scope does not exist", spec.path));
        }
    }
    if !dangling && let Some(cycle) = find_cycle(graph) {
        problems.push(format!(
            "workflow {}: a cycle through {}; a graph has no cycles, so take one of these edges out",
            graph.name,
            cycle.join(" -> ")
        ));
    }
    problems
}

/// What is wrong with the numbers a node's kind holds.
fn reference(graph: &GraphSpec, kind: NodeKind) -> Option<String> {
    let missing = |what: &str, index: u32, count: usize| {
        (index as usize >= count)
            .then(|| format!("{what} {index} does not exist; there are {count}"))
    };
    match kind {
        NodeKind::Switch { outcomes } if outcomes > OUTCOMES_MAX => Some(format!(
            "{outcomes} outcomes are more than the {OUTCOMES_MAX} a switch may have; group them, or nest two switches"
        )),
        NodeKind::Loop { limit: 0, .. } => {
            Some("a loop needs max_iterations of at least 1".to_owned())
        }
        NodeKind::Recurse { limit, .. } if limit > RECURSION_MAX => Some(format!(
            "a max_depth of {limit} is more than the {RECURSION_MAX} a recursion may have; use a loop"
        )),
        NodeKind::Map { body, .. }
        | NodeKind::Loop { body, .. }
        | NodeKind::Recurse { body, .. } => missing("its body", body, graph.regions.len()),
        NodeKind::Accept { contains, .. } | NodeKind::Shield { contains } => {
            missing("the call it contains", contains, graph.calls.len())
        }
        NodeKind::Signal { signal, .. } => missing("its signal", signal, graph.signals.len()),
        NodeKind::Cancel { scope } => missing("the scope it cancels", scope, graph.scopes.len()),
        NodeKind::Undo { of } => missing("the node it undoes", of, graph.nodes.len()),
        _ => None,
    }
}

/// Paths along one cycle, first one repeated at the end. Kahn's algorithm, then a walk over what is left.
fn find_cycle(graph: &GraphSpec) -> Option<Vec<&str>> {
    let specs = &graph.nodes;
    let producers = |node: usize| {
        let spec = &specs[node];
        spec.inputs.iter().chain(&spec.gates).chain(&spec.after)
    };
    let mut pending: Vec<usize> = (0..specs.len()).map(|node| producers(node).count()).collect();
    let mut consumers: Vec<Vec<usize>> = vec![Vec::new(); specs.len()];
    for node in 0..specs.len() {
        producers(node).for_each(|&producer| consumers[producer as usize].push(node));
    }
    let mut free: Vec<usize> = (0..specs.len()).filter(|&node| pending[node] == 0).collect();
    let mut ordered = 0;
    while let Some(node) = free.pop() {
        ordered += 1;
        for &consumer in &consumers[node] {
            pending[consumer] -= 1;
            if pending[consumer] == 0 {
                free.push(consumer);
            }
        }
    }
    if ordered == specs.len() {
        return None;
    }
    // Every node that is left has a producer that is left, so walking back must meet a node twice.
    let mut met: Vec<Option<usize>> = vec![None; specs.len()];
    let mut trail: Vec<usize> = Vec::new();
    let mut node = (0..specs.len()).find(|&node| pending[node] > 0)?;
    while met[node].is_none() {
        met[node] = Some(trail.len());
        trail.push(node);
        node = producers(node).map(|&node| node as usize).find(|&node| pending[node] > 0)?;
    }
    let mut cycle: Vec<&str> =
        trail[met[node]?..].iter().rev().map(|&node| specs[node].path.as_str()).collect();
    cycle.push(cycle[0]);
    Some(cycle)
}

#[cfg(test)]
mod tests {
    use super::super::{GraphSpec, NodeKind, NodeSpec, Plan};

    fn spec(path: &str, kind: NodeKind, inputs: &[u32]) -> NodeSpec {
        NodeSpec::new(path, kind, inputs)
    }

    fn compile(specs: &[NodeSpec], output: u32) -> Result<Plan, Vec<String>> {
        Plan::compile(GraphSpec::flat("w", "1", specs.to_vec(), output))
    }

    #[test]
    fn a_cycle_is_named_node_by_node() {
        let specs = [
            spec("w/x", NodeKind::Input, &[]),
            spec("w/a", NodeKind::Step, &[0, 3]),
            spec("w/b", NodeKind::Step, &[1]),
            spec("w/c", NodeKind::Step, &[2]),
        ];
        let problems = compile(&specs, 3).unwrap_err();
        assert_eq!(problems.len(), 1);
        for path in ["w/a", "w/b", "w/c"] {
            assert!(problems[0].contains(path), "{}", problems[0]);
        }
        assert!(!problems[0].contains("w/x"));
    }

    #[test]
    fn all_problems_come_at_once() {
        let specs = [
            spec("w/a", NodeKind::Step, &[7]),
            spec("w/a", NodeKind::Step, &[]),
            spec("w/k", NodeKind::Constant, &[0]),
        ];
        assert_eq!(compile(&specs, 9).unwrap_err().len(), 4);
    }

    #[test]
    fn edges_from_inputs_and_constants_are_never_waited_for() {
        let specs = [
            spec("w/x", NodeKind::Input, &[]),
            spec("w/k", NodeKind::Constant, &[]),
            spec("w/a", NodeKind::Step, &[0, 1, 0]),
            spec("w/b", NodeKind::Step, &[2, 2]),
        ];
        let plan = compile(&specs, 3).expect("a right graph");
        assert_eq!((plan.nodes[2].pending, plan.nodes[3].pending), (0, 2));
        assert_eq!((plan.nodes[0].uses, plan.nodes[2].uses, plan.nodes[3].uses), (2, 2, 1));
    }

    #[test]
    fn a_long_chain_does_not_overflow_the_stack() {
        let mut specs = vec![spec("w/0", NodeKind::Input, &[])];
        specs.extend((0..200_000).map(|n| spec(&format!("w/{}", n + 1), NodeKind::Step, &[n])));
        assert!(compile(&specs, 200_000).is_ok());
        specs[1].inputs = vec![200_000];
        assert!(compile(&specs, 200_000).is_err());
    }
}
