//! Trying again: what of a run's records still holds when it begins anew at some of its nodes.
//!
//! A run that is retried keeps what its steps have given, and so does a fork of it, up to where it differs. What
//! is kept is again a run's records: folded, they leave the run as it was before it went wrong.

use std::collections::BTreeSet;

use super::restore::Open;
use crate::ids::Place;
use crate::plan::{NodeKind, Plan};
use crate::record::{Body, Record};
use crate::run::{Changes, Identity, Run};
use crate::state::NodeState;

/// Which records of a run, by their index, still hold if it is done again at nodes of which `redone` says so, at
/// those that failed or were undone, and at all that comes after either. Failures that were contained hold, and so
/// do signals; held concurrency keys are asked for anew. O(records), and a copy of the run for each failure.
///
/// # Panics
/// If the records are not those of one run of this plan, in order.
pub fn kept(
    identity: &Identity<'_>,
    records: &[Record],
    redone: impl Fn(&Run, Place) -> bool,
) -> Vec<usize> {
    let plan = identity.plan;
    let old = Run::fold(identity, records);
    let undone = undone(&old, plan, records);
    let completed = completed(records);
    let mut changes = Changes::default();
    let mut open = Open::default();
    let mut run = Run::accepted(identity, &records[0], &mut changes);
    open.take(records[0].at_ns, &mut changes);
    let mut kept = vec![0];
    let mut ending = false;
    for (index, record) in records.iter().enumerate().skip(1) {
        ending |= matches!(record.body, Body::CancelRequested | Body::DeadlinePassed);
        let node = record.node;
        let about_node = !record.body.is_about_run();
        if about_node {
            let gone = undone.contains(&node) || redone(&old, node);
            if gone || !run.has_place_of(&old, plan, node) {
                continue;
            }
        }
        if !holds(&run, plan, &open, record, ending) {
            continue;
        }
        if record.body == Body::Started && !completed.contains(&index) {
            continue;
        }
        let renumbered = Record { seq: run.seq, ..*record };
        if matches!(record.body, Body::Failed { .. }) {
            let mut tried = run.clone();
            tried.apply(plan, &renumbered, &mut Changes::default());
            if tried.ending.is_some() {
                ending = true;
                continue;
            }
        }
        open.answered(record);
        run.apply(plan, &renumbered, &mut changes);
        open.take(record.at_ns, &mut changes);
        kept.push(index);
    }
    kept
}

/// Whether a record makes sense for a run as it is.
fn holds(run: &Run, plan: &Plan, open: &Open, record: &Record, ending: bool) -> bool {
    let node = record.node;
    let state = run.cells.get(node.index()).map(|cell| cell.state);
    let eligible = matches!(state, Some(NodeState::Ready | NodeState::Backoff));
    let is_step = || plan.kind(run.locate(plan, node).1) == NodeKind::Step;
    match record.body {
        Body::Signal { .. } | Body::Spent { .. } | Body::Budgeted { .. } | Body::Degraded => true,
        Body::Done { .. } | Body::Started => eligible && is_step(),
        Body::Decided { .. } | Body::Chosen { .. } | Body::Opened { .. } => {
            state == Some(NodeState::Ready) || open.is_asked(node)
        }
        Body::Fired => state == Some(NodeState::Awaiting),
        Body::Failed { then, .. } if then.is_final() => {
            let live =
                eligible || matches!(state, Some(NodeState::Awaiting)) || open.is_asked(node);
            live && !ending
        }
        Body::Withdrawn => eligible && !ending && run.is_withdrawn(node),
        _ => false,
    }
}

/// Nodes whose effects were undone, or were to be.
fn undone(old: &Run, plan: &Plan, records: &[Record]) -> BTreeSet<Place> {
    let ends = records.iter().filter(|record| {
        matches!(record.body, Body::Done { .. } | Body::Failed { .. } | Body::Interrupted)
    });
    ends.filter_map(|record| {
        let (frame, node) = old.locate(plan, record.node);
        match plan.kind(node) {
            NodeKind::Undo { of } => Some(frame.place(crate::ids::NodeId(of))),
            _ => None,
        }
    })
    .collect()
}

/// Indices of the starts whose attempt gave a value.
fn completed(records: &[Record]) -> BTreeSet<usize> {
    let mut done = BTreeSet::new();
    let mut completed = BTreeSet::new();
    for (index, record) in records.iter().enumerate().rev() {
        match record.body {
            Body::Done { .. } => {
                done.insert(record.node);
            }
            Body::Started if done.remove(&record.node) => {
                completed.insert(index);
            }
            _ => {}
        }
    }
    completed
}
