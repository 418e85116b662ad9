//! `docs/state-machines.md` is made from the engine's tables and from what simulated worlds visit.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use penstock_engine::{
    NODE_STATES, NODE_TABLE, NodeState, RUN_STATES, RUN_TABLE, RunStatus, TABLE_VERSION,
};
use penstock_simulator::{Coverage, Workload, simulate};

const REGENERATE: &str = "PENSTOCK_BLESS=1 cargo test -p penstock-simulator --test state_docs";

#[test]
fn the_page_says_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/state-machines.md");
    let page = page(&coverage());
    if std::env::var_os("PENSTOCK_BLESS").is_some() {
        std::fs::write(&path, &page).expect("docs/ can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/state-machines.md is stale; regenerate it with\n  {REGENERATE}");
}

fn coverage() -> Coverage {
    let mut all = Coverage::default();
    for seed in 0..100 {
        for workload in [Workload::stormy(seed, 60), Workload::winding(seed, 10)] {
            let report = simulate(&workload).unwrap_or_else(|violation| panic!("{violation}"));
            all.merge(&report.coverage);
        }
    }
    all
}

fn page(coverage: &Coverage) -> String {
    let runs: Vec<Row> = RUN_TABLE.iter().map(|row| (row.0.name(), row.1.name(), row.2)).collect();
    let nodes: Vec<Row> =
        NODE_TABLE.iter().map(|row| (row.0.name(), row.1.name(), row.2)).collect();
    let ends: Vec<&str> =
        RUN_STATES.iter().filter(|it| it.is_terminal()).map(|it| it.name()).collect();
    let node_ends: Vec<&str> =
        NODE_STATES.iter().filter(|it| it.is_terminal()).map(|it| it.name()).collect();
    let mut page = format!(
        "# State machines\n\nVersion {TABLE_VERSION} of the tables, which hold the whole agreed life of a \
         run and a node. Made from `rust/engine/src/state.rs`; regenerate with\n`{REGENERATE}`.\n\n\
         A filled circle marks the rows that simulated worlds visit, 100 seeds of each kind; the others \
         belong to what is not built yet.\n"
    );
    let visited = |from: &RunStatus, to: &RunStatus| (from.name(), to.name());
    let visited: BTreeSet<Move> = coverage.runs.iter().map(|(a, b)| visited(a, b)).collect();
    section(&mut page, "Run", RunStatus::Running.name(), &runs, &ends, &visited);
    let visited: BTreeSet<Move> =
        coverage.nodes.iter().map(|(a, b)| (a.name(), b.name())).collect();
    section(&mut page, "Node", NodeState::Waiting.name(), &nodes, &node_ends, &visited);
    page
}

type Move = (&'static str, &'static str);
type Row = (&'static str, &'static str, &'static str);

fn section(
    page: &mut String,
    title: &str,
    first: &str,
    rows: &[Row],
    ends: &[&str],
    visited: &BTreeSet<Move>,
) {
    let mut write = |line: std::fmt::Arguments<'_>| {
        page.write_fmt(line).expect("a string takes all");
    };
    let (seen, all) = (visited.len(), rows.len());
    write(format_args!("\n## {title}\n\n{seen} of {all} rows visited.\n\n"));
    write(format_args!("```mermaid\nstateDiagram-v2\n    [*] --> {first}\n"));
    for (from, to, _) in rows {
        write(format_args!("    {from} --> {to}\n"));
    }
    for end in ends {
        write(format_args!("    {end} --> [*]\n"));
    }
    write(format_args!("```\n\n| from | to | cause | visited |\n| --- | --- | --- | :---: |\n"));
    for (from, to, cause) in rows {
        let mark = if visited.contains(&(*from, *to)) { "●" } else { "" };
        write(format_args!("| {from} | {to} | {cause} | {mark} |\n"));
    }
}
