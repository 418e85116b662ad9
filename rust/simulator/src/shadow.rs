//! What the checker knows of one run, in this process and in those before it.

use std::collections::{BTreeMap, BTreeSet};

use penstock_engine::{
    Body, Cause, Durability, Engine, GraphSpec, Identity, Layout, Lsn, NodeId, NodeKind, NodeState,
    Place, PlanId, Record, Run, RunKey, RunStatus, TenantId, Then, ValueId,
};

use crate::checker::Checked;
use crate::effects::Effects;
use crate::steps::Steps;

pub(crate) struct Shadow {
    pub(crate) key: RunKey,
    pub(crate) number: u64,
    pub(crate) plan: PlanId,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) durability: Durability,
    pub(crate) tenant: TenantId,
    pub(crate) seq: u32,
    pub(crate) status: RunStatus,
    pub(crate) over: bool,
    /// Whether it is paused because of unknown outcomes alone.
    pub(crate) stands_still: bool,
    /// When the process that it is in began to go on with it.
    pub(crate) restored_ns: u64,
    pub(crate) watched: Option<Watched>,
}

/// What is kept of a run that is compared with the fold of its records.
#[derive(Default)]
pub(crate) struct Watched {
    pub(crate) records: Vec<Record>,
    pub(crate) states: Vec<NodeState>,
    pub(crate) retried: BTreeSet<Place>,
    pub(crate) effects: Effects,
    pub(crate) steps: Steps,
    /// Nodes that wait, and until when at most.
    pub(crate) waits: BTreeMap<Place, u64>,
    /// Steps that have begun, and when all their attempts and waits together are to be over, if that is known.
    pub(crate) limits: BTreeMap<Place, Option<u64>>,
    /// As it was after the last event.
    pub(crate) layout: Layout,
}

/// What says how long a node may wait, or take in all.
#[derive(Clone, Copy)]
pub(crate) struct Until {
    pub(crate) now_ns: u64,
    /// Limit of all attempts and waits; 0 for none.
    pub(crate) total_ns: u64,
    /// Whether somebody wanted it to be tried again.
    pub(crate) anew: bool,
}

impl Shadow {
    pub(crate) fn new(
        key: RunKey,
        number: u64,
        plan: PlanId,
        inputs: Vec<ValueId>,
        (tenant, durability): (TenantId, Durability),
    ) -> Self {
        Self {
            key,
            number,
            plan,
            inputs,
            durability,
            tenant,
            seq: 0,
            status: RunStatus::Running,
            over: false,
            stands_still: false,
            restored_ns: 0,
            watched: None,
        }
    }

    /// Whether it is paused for nothing.
    pub(crate) fn is_forgotten(&self) -> bool {
        let unknown = self.watched.as_ref().is_none_or(|watched| watched.steps.any_unknown());
        self.stands_still && !unknown
    }

    /// Takes a record in. `template` is the place in the plan of the node it is about.
    pub(crate) fn recorded(
        &mut self,
        spec: &GraphSpec,
        record: &Record,
        template: NodeId,
    ) -> Checked {
        if self.over || record.seq != self.seq {
            return Err(format!(
                "I2: {record:?} comes after {} records, or after the end",
                self.seq
            ));
        }
        self.seq += 1;
        let from = self.status;
        self.status = match record.body {
            Body::Paused => RunStatus::Paused,
            Body::Unknown if from == RunStatus::Running => RunStatus::Paused,
            Body::Resumed if from == RunStatus::Paused => RunStatus::Running,
            Body::Resumed | Body::Compensating => RunStatus::Compensating,
            Body::Ended { status } => status,
            _ => from,
        };
        if from != self.status {
            self.stands_still = matches!(record.body, Body::Unknown);
        }
        let ends = matches!(record.body, Body::Ended { .. });
        self.over = ends && self.status != RunStatus::CompensationFailed;
        let Some(watched) = &mut self.watched else { return Ok(()) };
        if matches!(record.body, Body::Failed { then: Then::Retry { .. } | Then::Park { .. }, .. })
        {
            watched.retried.insert(record.node);
        }
        watched.effects.recorded(spec, record, template)?;
        let kind = spec.nodes[template.index()].kind;
        if !record.body.is_about_run() && kind.is_step() {
            watched.steps.recorded(record, matches!(kind, NodeKind::Undo { .. }))?;
        }
        if matches!(record.body, Body::Resumed) && from == RunStatus::CompensationFailed {
            watched.steps.undone_again();
        }
        let until_ns = match record.body {
            Body::Fired | Body::Failed { cause: Cause::SignalTimeout, .. } => {
                watched.waits.get(&record.node)
            }
            Body::Failed { cause: Cause::TotalTimeout, .. } => {
                watched.limits.get(&record.node).and_then(Option::as_ref)
            }
            _ => None,
        };
        match until_ns.filter(|&&until_ns| record.at_ns < until_ns) {
            Some(until_ns) => Err(format!("I4: {record:?}, though there is time until {until_ns}")),
            None => Ok(()),
        }
    }

    pub(crate) fn fold(&self, engine: &Engine, watched: &Watched) -> Run {
        let identity = Identity {
            number: self.number,
            plan_id: self.plan,
            plan: engine.plan(self.plan),
            inputs: &self.inputs,
            tenant: self.tenant,
            durability: self.durability,
        };
        Run::fold(&identity, &watched.records)
    }

    /// Whether nothing of the run is on disk.
    pub(crate) fn is_lost_with(&self, cut: Lsn) -> bool {
        let first = self.watched.as_ref().and_then(|watched| watched.records.first());
        first.is_none_or(|record| record.lsn > cut)
    }

    /// Its last record.
    pub(crate) fn lsn(&self) -> Lsn {
        let last = self.watched.as_ref().and_then(|watched| watched.records.last());
        last.map_or(Lsn(0), |record| record.lsn)
    }

    /// The process went down: only what is on disk has happened, and what was called.
    pub(crate) fn after_crash(&mut self, engine: &Engine, spec: &GraphSpec, cut: Lsn) -> Checked {
        let Some(mut watched) = self.watched.take() else { return Ok(()) };
        watched.records.retain(|record| record.lsn <= cut);
        let run = self.fold(engine, &watched);
        let plan = engine.plan(self.plan);
        let layout = run.layout();
        (self.seq, self.status, self.over) = (0, RunStatus::Running, false);
        self.stands_still = false;
        self.watched = Some(Watched { layout: layout.clone(), ..Watched::default() });
        for record in &watched.records {
            self.recorded(spec, record, layout.template(plan, record.node))?;
        }
        let Some(now) = &mut self.watched else { return Ok(()) };
        now.states = run.states().collect();
        now.steps.remember_calls(&watched.steps, now.states.len());
        now.effects.remember_begun(&watched.effects, self.seq);
        let states = &now.states;
        let state = |place: &Place| states.get(place.index()).copied();
        now.waits = watched.waits;
        now.waits.retain(|place, _| state(place) == Some(NodeState::Awaiting));
        // What became ready and ended in the same call has not been seen to be ready.
        let begun = (0..).map(Place).zip(states);
        let begun = begun.filter(|(_, it)| {
            matches!(it, NodeState::Ready | NodeState::Backoff | NodeState::Parked)
        });
        now.limits =
            begun.map(|(it, _)| (it, watched.limits.get(&it).copied().flatten())).collect();
        now.records = watched.records;
        now.retried.clear();
        Ok(())
    }

    /// Whether its deadline, or the time at which its process began, is behind. One that has stalled in its
    /// last compensations has none any more.
    pub(crate) fn is_late(&self, now_ns: u64) -> bool {
        let records = self.watched.as_ref().map_or(&[][..], |watched| &watched.records);
        let stalled = Body::Ended { status: RunStatus::CompensationFailed };
        let first = records.first().filter(|_| records.iter().all(|it| it.body != stalled));
        first.is_some_and(|record| match record.body {
            Body::Accepted { deadline_ns, .. } => deadline_ns.max(self.restored_ns) < now_ns,
            _ => false,
        })
    }

    /// The handles that its records name, and its inputs.
    pub(crate) fn values(&self) -> impl Iterator<Item = ValueId> {
        let records = self.watched.iter().flat_map(|watched| &watched.records);
        let named = records.filter_map(|record| match record.body {
            Body::Done { value, .. } | Body::Decided { value } | Body::Signal { value, .. } => {
                Some(value)
            }
            Body::Failed { cause: Cause::Error(error), .. } => Some(error),
            _ => None,
        });
        self.inputs.iter().copied().chain(named)
    }

    /// How often attempts of it were under way when the process went down, as far as is known.
    pub(crate) fn recoveries(&self) -> u32 {
        let records = self.watched.iter().flat_map(|watched| watched.records.iter().rev());
        let counts = records.filter_map(|record| match record.body {
            Body::Recovered { count } => Some(count),
            _ => None,
        });
        counts.take(1).sum()
    }
}

impl Watched {
    /// Notes how long a node may wait, or take in all.
    pub(crate) fn moved(&mut self, node: Place, kind: NodeKind, to: NodeState, until: Until) {
        let Until { now_ns, total_ns, anew } = until;
        let waits_ns = match kind {
            NodeKind::Sleep { duration_ns } => Some(duration_ns),
            NodeKind::Signal { timeout_ns: limit_ns @ 1.., .. } => Some(limit_ns),
            _ => None,
        };
        match waits_ns.filter(|_| to == NodeState::Awaiting) {
            Some(waits_ns) => _ = self.waits.insert(node, now_ns + waits_ns),
            None => _ = self.waits.remove(&node),
        }
        let begun = matches!(
            to,
            NodeState::Ready | NodeState::Running | NodeState::Backoff | NodeState::Parked
        );
        if anew {
            self.limits.remove(&node);
        }
        if begun && total_ns > 0 {
            self.limits.entry(node).or_insert(Some(now_ns + total_ns));
        }
    }

    /// When all attempts and waits of a step together are to be over.
    pub(crate) fn limit_ns(&self, node: Place) -> u64 {
        self.limits.get(&node).copied().flatten().unwrap_or_default()
    }

    /// Whether a timer should have fired by now that has not.
    pub(crate) fn overdue(&self, restored_ns: u64, now_ns: u64) -> Option<Place> {
        let nodes = (0..).map(Place).zip(&self.states);
        let late = nodes.filter(|(node, state)| {
            let due_ns = match state {
                NodeState::Awaiting => self.waits.get(node).copied(),
                NodeState::Backoff => Some(self.steps.due_ns(*node)),
                NodeState::Ready => self.limits.get(node).copied().flatten(),
                _ => None,
            };
            due_ns.is_some_and(|due_ns| due_ns.max(restored_ns) < now_ns)
        });
        late.map(|(node, _)| node).next()
    }
}
