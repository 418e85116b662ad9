//! Closing a run: what it adds to the page of the window it began in.

use rustc_hash::FxHashSet;

use super::ledger::{Amount, Entry, Ledger};
use super::page::{Counts, Kind, Page, RunEnd, Waste};
use crate::failure::{Cause, Refusal};
use crate::ids::{NodeId, Place, ResourceId};
use crate::plan::{NodeKind, Plan, Policy};
use crate::run::{End, Ending, Frame, Run};
use crate::state::{NodeState, RunStatus};

/// Outcomes of a tier's judge.
const REJECTED: u32 = 0;
const EXPLORED: u32 = 2;

impl Page {
    /// Counts a run that has ended. O(nodes and entries of its ledger).
    pub(crate) fn close(
        &mut self,
        plan: &Plan,
        policies: &[Option<Policy>],
        run: &Run,
        latency_ns: u64,
    ) {
        self.make_room(plan.len());
        let ledger = run.ledger();
        let again = ledger.is_some_and(|ledger| ledger.generation > 0);
        let end = RunEnd::of(run);
        self.ended[end as usize] += 1;
        if let Some(was) = ledger.and_then(|ledger| ledger.was).filter(|_| again) {
            self.ended[was as usize] -= 1;
        } else {
            self.first_ended[end as usize] += 1;
        }
        self.latency.record(latency_ns);
        let straight = if again { false } else { self.count_nodes(plan, policies, run) };
        let Some(ledger) = ledger else {
            self.first_pass += u64::from(straight && end == RunEnd::Succeeded);
            return;
        };
        let undisturbed = ledger.refusals.is_empty() && ledger.recovered == 0 && !ledger.degraded;
        let repeated = ledger.entries.iter().any(|entry| entry.cut);
        let first_pass = straight && undisturbed && !repeated && !again && end == RunEnd::Succeeded;
        self.first_pass += u64::from(first_pass);
        self.recovered += u64::from(ledger.recovered > 0);
        self.degraded += u64::from(ledger.degraded);
        self.count_again(plan, run, ledger);
        self.count_refusals(plan, policies, run, ledger);
        self.add_up(plan, policies, run, ledger, end);
    }

    /// Adds what an attempt has spent for which its run had not waited.
    pub(crate) fn add_late(
        &mut self,
        nodes: usize,
        node: NodeId,
        copy: bool,
        resource: ResourceId,
        amount: &Amount,
    ) {
        self.make_room(nodes);
        let (waste, kind) =
            if copy { (Waste::Lost, Kind::Hedge) } else { (Waste::FailedAttempt, Kind::First) };
        self.nanos += amount.nanos;
        self.lines += amount.lines;
        self.unpriced += amount.unpriced;
        self.waste[waste as usize] += amount.nanos;
        let rare = self.rare(node.index());
        rare.waste[waste as usize] += amount.nanos;
        rare.kinds[kind as usize] += amount.nanos;
        rare.spending.add(resource, amount);
    }

    fn make_room(&mut self, nodes: usize) {
        if self.counts.len() < nodes {
            self.counts.resize(nodes, Counts::default());
            self.rare.resize_with(nodes, || None);
        }
    }

    /// Counts how its nodes ended; whether each ended well at its first attempt, or was not needed.
    fn count_nodes(&mut self, plan: &Plan, policies: &[Option<Policy>], run: &Run) -> bool {
        let mut straight = true;
        for (region, frame) in run.all_frames(plan) {
            let region = &plan.regions[region];
            for node in (region.start..region.start + region.len).map(NodeId) {
                let cell = &run.cells[frame.place(node).index()];
                let Some(policy) = &policies[node.index()] else {
                    self.count_review(plan, node, cell.end());
                    continue;
                };
                let Some(end) = cell.end() else { continue };
                let counts = &mut self.counts[node.index()];
                counts.ended[end as usize] += 1;
                if cell.attempts == 0 {
                    continue;
                }
                let retries = cell.attempts - 1;
                straight &= retries == 0 && end != End::Failed && !policy.stands_in;
                if policy.stands_in || matches!(plan.kind(node), NodeKind::Undo { .. }) {
                    let kind = if policy.stands_in { Kind::Fallback } else { Kind::Compensation };
                    let rare = self.rare(node.index());
                    rare.attempts[kind as usize] += 1;
                    rare.attempts[Kind::Retry as usize] += u64::from(retries);
                    straight = false;
                    continue;
                }
                counts.first += 1;
                counts.retries += retries;
                counts.handoffs += u32::from(policy.handoffs);
                counts.cross += u32::from(policy.cross_handoffs);
            }
        }
        straight
    }

    /// Counts a node that people were handed something by: whoever they are, they are another owner.
    fn count_review(&mut self, plan: &Plan, node: NodeId, end: Option<End>) {
        let is_review =
            matches!(plan.kind(node), NodeKind::Signal { .. }) && !plan.inputs_of(node).is_empty();
        let Some(end) = end.filter(|_| is_review) else { return };
        let counts = &mut self.counts[node.index()];
        counts.ended[end as usize] += 1;
        let taken = u32::from(end == End::Succeeded);
        counts.handoffs += taken;
        counts.cross += taken;
    }

    /// Counts the attempts of a run that was tried again.
    fn count_again(&mut self, plan: &Plan, run: &Run, ledger: &Ledger) {
        for &place in &ledger.again {
            let (_, node) = run.locate(plan, place);
            self.rare(node.index()).attempts[Kind::Operator as usize] += 1;
        }
    }

    fn count_refusals(
        &mut self,
        plan: &Plan,
        policies: &[Option<Policy>],
        run: &Run,
        ledger: &Ledger,
    ) {
        for &(place, refusal) in &ledger.refusals {
            let (_, node) = run.locate(plan, place);
            let cross = policies[node.index()].is_none_or(|policy| policy.cross_handoffs > 0);
            let rare = self.rare(node.index());
            rare.refused[refusal as usize] += 1;
            // Who gives what breaks its contract does not yet know to whom.
            rare.cross_refused[refusal as usize] +=
                u64::from(cross && refusal != Refusal::Contract);
        }
    }

    /// Adds up what was spent, and on what.
    fn add_up(
        &mut self,
        plan: &Plan,
        policies: &[Option<Policy>],
        run: &Run,
        ledger: &Ledger,
        end: RunEnd,
    ) {
        let judged = Judged::of(plan, run);
        let was_cut = ledger.entries.iter().any(|entry| entry.cut);
        let mut nanos = 0i64;
        for (place, entry) in ledger.entries.iter().enumerate() {
            let Amount { lines, nanos: cost, unpriced, .. } = entry.amount;
            let (_, node) = run.locate(plan, entry.node);
            let policy = policies[node.index()].as_ref();
            let waste = if end == RunEnd::Succeeded {
                judged.waste(plan, run, ledger, entry)
            } else {
                Waste::FailedRun
            };
            let kind = kind(plan, policy, was_cut.then_some(ledger), entry, node);
            let earlier = entry.generation < ledger.generation;
            self.waste[waste as usize] += cost;
            let rare = self.rare(node.index());
            rare.waste[waste as usize] += cost;
            if earlier {
                // It has been counted when the run ended before, as of a run that did not succeed.
                rare.waste[Waste::FailedRun as usize] -= cost;
                self.waste[Waste::FailedRun as usize] -= cost;
                if end == RunEnd::Succeeded {
                    self.succeeded_nanos += cost;
                }
                continue;
            }
            rare.kinds[kind as usize] += cost;
            rare.spending.add(entry.resource, &entry.amount);
            // Beside the copy and what was cut off, the attempt has entries as another kind of one.
            let same = |it: &Entry| {
                it.node == entry.node
                    && it.attempt == entry.attempt
                    && it.copy == entry.copy
                    && it.cut == entry.cut
            };
            if matches!(kind, Kind::Hedge | Kind::Repeat)
                && !ledger.entries[..place].iter().any(same)
            {
                rare.attempts[kind as usize] += 1;
            }
            self.lines += lines;
            self.unpriced += unpriced;
            nanos += cost;
        }
        self.nanos += nanos;
        if end == RunEnd::Succeeded {
            self.succeeded_nanos += nanos;
        }
        let dollars = nanos as f64 / 1e9;
        self.squares += dollars * dollars;
    }
}

/// Why there was an attempt that spent something; the ledger is given if anything was cut off. O(its entries).
fn kind(
    plan: &Plan,
    policy: Option<&Policy>,
    ledger: Option<&Ledger>,
    entry: &Entry,
    node: NodeId,
) -> Kind {
    let cut_before = || {
        let same = |it: &Entry| it.node == entry.node && it.attempt == entry.attempt && it.cut;
        !entry.cut && ledger.is_some_and(|ledger| ledger.entries.iter().any(same))
    };
    if matches!(plan.kind(node), NodeKind::Undo { .. }) {
        Kind::Compensation
    } else if entry.generation > 0 {
        Kind::Operator
    } else if entry.copy {
        Kind::Hedge
    } else if cut_before() {
        Kind::Repeat
    } else if entry.attempt > 1 {
        Kind::Retry
    } else if policy.is_some_and(|policy| policy.stands_in) {
        Kind::Fallback
    } else {
        Kind::First
    }
}

/// What of a run's work was of no use, though the run succeeded.
struct Judged(FxHashSet<(Place, Waste)>);

impl Judged {
    /// Looks at races and at tiers, whose losers are known by now. O(nodes) where the plan has any.
    fn of(plan: &Plan, run: &Run) -> Self {
        let mut judged = Self(FxHashSet::default());
        if plan.judges {
            for (region, frame) in run.all_frames(plan) {
                let region = &plan.regions[region];
                for node in (region.start..region.start + region.len).map(NodeId) {
                    judged.look_at(plan, run, frame, node);
                }
            }
        }
        judged
    }

    fn look_at(&mut self, plan: &Plan, run: &Run, frame: Frame, node: NodeId) {
        let place = frame.place(node);
        match plan.kind(node) {
            NodeKind::Race { .. } => {
                if let Some(winner) = run.winner(place) {
                    self.mark(plan, frame, node, Waste::Lost, |it| frame.place(it) != winner);
                }
            }
            NodeKind::Accept { .. } => match run.outcome(plan, place) {
                Some(REJECTED) => self.mark(plan, frame, node, Waste::Escalation, |_| true),
                Some(EXPLORED) => self.0.extend(
                    next_tier(plan, node).map(|node| (frame.place(node), Waste::Exploration)),
                ),
                _ => {}
            },
            _ => {}
        }
    }

    /// Marks the members of the branches that end in a node.
    fn mark(
        &mut self,
        plan: &Plan,
        frame: Frame,
        consumer: NodeId,
        waste: Waste,
        is_wasted: impl Fn(NodeId) -> bool,
    ) {
        for &branch in &plan.node(consumer).branches {
            let container = &plan.containers[branch as usize];
            if is_wasted(container.producer) {
                let places = container.members.iter().map(|&node| frame.place(node));
                self.0.extend(places.map(|place| (place, waste)));
            }
        }
    }

    /// The first that holds of an entry of a run that succeeded.
    fn waste(&self, plan: &Plan, run: &Run, ledger: &Ledger, entry: &Entry) -> Waste {
        let (frame, node) = run.locate(plan, entry.node);
        let cell = &run.cells[entry.node.index()];
        let undone = matches!(
            cell.state,
            NodeState::Compensated | NodeState::Compensating | NodeState::CompensationFailed
        );
        let marked = |waste| self.holds(plan, run, (frame, entry.node), waste);
        let earlier = entry.generation < ledger.generation;
        if undone || matches!(plan.kind(node), NodeKind::Undo { .. }) {
            Waste::Compensation
        } else if entry.cut || entry.attempt < cell.attempts || cell.end() == Some(End::Failed) {
            Waste::FailedAttempt
        } else if cell.end() == Some(End::Cancelled)
            || entry.copy != cell.is_copys()
            || marked(Waste::Lost)
        {
            Waste::Lost
        } else if earlier && ledger.again.contains(&entry.node) {
            Waste::Superseded
        } else if marked(Waste::Escalation) {
            Waste::Escalation
        } else if marked(Waste::Exploration) {
            Waste::Exploration
        } else {
            Waste::Useful
        }
    }

    /// Whether a node is marked, or what opened one of the frames that it stands in. O(depth of frames).
    fn holds(
        &self,
        plan: &Plan,
        run: &Run,
        (mut frame, mut place): (Frame, Place),
        waste: Waste,
    ) -> bool {
        while !self.0.is_empty() {
            if self.0.contains(&(place, waste)) {
                return true;
            }
            let Some(opening) = frame.opening() else { break };
            place = run.opening(opening).owner;
            (frame, _) = run.locate(plan, place);
        }
        false
    }
}

/// The steps behind a judge whose value was taken all the same.
fn next_tier(plan: &Plan, judge: NodeId) -> impl Iterator<Item = NodeId> {
    let of_judge = move |&case: &NodeId| {
        matches!(plan.kind(case), NodeKind::Case { .. })
            && plan.node(case).inputs.first() == Some(&judge)
    };
    let steps = (judge.0..plan.len() as u32).map(NodeId);
    steps.filter(move |&node| {
        let gates = &plan.node(node).gates;
        plan.kind(node).is_step() && gates.iter().chain(&plan.node(node).inputs).any(of_judge)
    })
}

impl RunEnd {
    /// How a run has ended, that is over.
    pub fn of(run: &Run) -> Self {
        let compensated = run.status == RunStatus::Compensated;
        match run.ending {
            None => RunEnd::Succeeded,
            Some(Ending::Failed(blame)) => match blame.cause {
                Cause::Budget => RunEnd::Budget,
                _ if compensated => RunEnd::Compensated,
                _ => RunEnd::Failed,
            },
            Some(Ending::Cancelled) if compensated => RunEnd::CompensatedCancelled,
            Some(Ending::Cancelled) => RunEnd::Cancelled,
            Some(Ending::Deadline) if compensated => RunEnd::CompensatedDeadline,
            Some(Ending::Deadline) => RunEnd::Deadline,
        }
    }
}
