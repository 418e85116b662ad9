//! Where every run and every node stands: each is in exactly one place, and something will bring it on.
//!
//! I1: a run that was accepted is running, waits for something that will come by itself, stands parked until
//! somebody sees to it, or is over. I4: a step that waits does so in exactly one line, gate, parking place or
//! timer, and none of these stands for anything but a live node. I10, as far as it is counted: slots taken are
//! those that attempts hold.

use std::collections::{BTreeMap, BTreeSet};

use penstock_engine::{
    AttemptKey, AttemptView, Engine, Hold, Inspection, NodeKind, NodeState, Place, Policy, Run,
    RunKey, RunStatus, Stage, TimerKind,
};

use crate::checker::{Checked, broken};
use crate::workload::Workload;

/// Where a run is, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// Something of it is under way.
    Running,
    /// Something that will come by itself brings it on.
    Waiting,
    /// It stands still until somebody sees to it.
    Parked,
}

/// What brings one node on.
#[derive(Debug, Default)]
struct Held {
    lines: u32,
    gates: u32,
    parked: u32,
    keys: u32,
    money: u32,
    turned: u32,
    abandoned: u32,
    restored: u32,
    backoffs: u32,
    queue_timeouts: u32,
    total_timeouts: u32,
    waits: u32,
    attempts: u32,
    cancelling: u32,
}

/// Timers of an attempt.
#[derive(Debug, Default, PartialEq, Eq)]
struct Set {
    timeouts: u32,
    heartbeats: u32,
    graces: u32,
}

struct Seen<'a> {
    workload: &'a Workload,
    engine: &'a Engine,
    drained: bool,
    nodes: BTreeMap<(RunKey, Place), Held>,
    deadlines: BTreeMap<RunKey, u32>,
    sets: BTreeMap<AttemptKey, Set>,
}

/// Checks every run and all that the engine keeps. Answers how many runs stand where. `asked` are the inline
/// nodes that the driver has not answered for; `drained` says that nothing could be started the last time.
pub(crate) fn check(
    workload: &Workload,
    engine: &Engine,
    asked: &BTreeSet<(RunKey, Place)>,
    drained: bool,
) -> Result<[u64; 3], String> {
    let inspection = engine.inspect();
    let mut seen = Seen {
        workload,
        engine,
        drained,
        nodes: BTreeMap::new(),
        deadlines: BTreeMap::new(),
        sets: BTreeMap::new(),
    };
    seen.gather(&inspection)?;
    seen.counts(&inspection)?;
    for attempt in &inspection.attempts {
        seen.attempt(attempt)?;
    }
    let mut standings = [0; 3];
    for key in engine.runs() {
        standings[seen.run(key, asked)? as usize] += 1;
    }
    Ok(standings)
}

impl Seen<'_> {
    /// Sorts what the engine keeps by node, and refuses what stands for none.
    fn gather(&mut self, inspection: &Inspection) -> Checked {
        for &(run, node, hold) in &inspection.holds {
            let Some(state) = self.engine.node_state(run, node) else {
                // Those are looked at when they are met.
                if matches!(hold, Hold::Line | Hold::Parked) {
                    return broken(
                        4,
                        format!("{hold:?} stands for {node:?} of {run:?}, which is over"),
                    );
                }
                continue;
            };
            let held = self.nodes.entry((run, node)).or_default();
            match hold {
                Hold::Line => held.lines += 1,
                Hold::Gate(_) => held.gates += u32::from(state == NodeState::Ready),
                Hold::Parked => held.parked += 1,
                Hold::Key => held.keys += u32::from(state == NodeState::Parked),
                Hold::Money => held.money += u32::from(state == NodeState::Ready),
                Hold::Turned => held.turned += u32::from(state == NodeState::Ready),
                Hold::Abandoned => held.abandoned += u32::from(state == NodeState::Ready),
                Hold::Restored => {
                    held.restored +=
                        u32::from(matches!(state, NodeState::Ready | NodeState::Parked));
                }
            }
        }
        let mut queues = vec![0; inspection.queues.len()];
        let mut told = 0;
        for timer in &inspection.timers {
            match timer.kind {
                TimerKind::Backoff { run, node, .. } => self.held(run, node).backoffs += 1,
                TimerKind::QueueTimeout { run, node, .. } => {
                    self.held(run, node).queue_timeouts += 1;
                }
                TimerKind::TotalTimeout { run, node } => self.held(run, node).total_timeouts += 1,
                TimerKind::Wait { run, node } => self.held(run, node).waits += 1,
                TimerKind::Deadline { run } => *self.deadlines.entry(run).or_default() += 1,
                TimerKind::Queue { queue, .. } => queues[queue.0 as usize] += 1,
                TimerKind::Told => told += 1,
                TimerKind::Timeout { attempt } => self.set(attempt).timeouts += 1,
                TimerKind::Heartbeat { attempt } => self.set(attempt).heartbeats += 1,
                TimerKind::Grace { attempt } => self.set(attempt).graces += 1,
                TimerKind::Hedge { .. } | TimerKind::Midnight => {}
            }
        }
        for (index, (queue, timers)) in inspection.queues.iter().zip(queues).enumerate() {
            if (queue.must_wake && !queue.wakes) || (queue.wakes && timers == 0) {
                return broken(4, format!("queue {index} is never woken: {queue:?}"));
            }
        }
        if self.drained && inspection.tells && told == 0 {
            return broken(4, "something is to be told, and no tick comes for it".into());
        }
        Ok(())
    }

    fn held(&mut self, run: RunKey, node: Place) -> &mut Held {
        self.nodes.entry((run, node)).or_default()
    }

    fn set(&mut self, attempt: AttemptKey) -> &mut Set {
        self.sets.entry(attempt).or_default()
    }

    /// What is counted is what there is.
    fn counts(&mut self, inspection: &Inspection) -> Checked {
        let mut queues = vec![[0; 3]; inspection.queues.len()];
        let (mut running, mut threads) = (0, 0);
        for attempt in &inspection.attempts {
            queues[attempt.queue.0 as usize][0] += 1;
            running += 1;
            threads += u32::from(attempt.lane == penstock_engine::Lane::Threads);
        }
        for &(run, node, hold) in &inspection.holds {
            let Some(queue) = self.policy(run, node).map(|policy| policy.queue) else { continue };
            queues[queue.0 as usize][1] += u32::from(hold == Hold::Line);
            queues[queue.0 as usize][2] += u32::from(hold == Hold::Parked);
        }
        for (index, (counted, [running, waiting, parked])) in
            inspection.queues.iter().zip(queues).enumerate()
        {
            if counted.running != running {
                let counts = format!("{} slots of queue {index}, {running} are", counted.running);
                return broken(10, format!("it counts {counts} taken"));
            }
            if (counted.waiting, counted.parked) != (waiting, parked) {
                let there = format!("{waiting} wait and {parked} are parked");
                return broken(4, format!("queue {index} counts {counted:?}, but {there}"));
            }
        }
        if inspection.running != (running, threads) {
            let counted = inspection.running;
            return broken(
                10,
                format!("{counted:?} attempts are counted, {running} are, {threads} in threads"),
            );
        }
        Ok(())
    }

    fn policy(&self, run: RunKey, node: Place) -> Option<&Policy> {
        let plan = self.engine.plan_of(run)?;
        let template = self.engine.template(run, node)?;
        self.workload.graphs[plan.0 as usize].1[template.index()].as_ref()
    }

    /// An attempt is known to its node, will be called, and has the timers that it is to have.
    fn attempt(&mut self, attempt: &AttemptView) -> Checked {
        if attempt.to_call != usize::from(!attempt.called) {
            return broken(1, format!("{attempt:?} will be called {} times", attempt.to_call));
        }
        let set = self.sets.remove(&attempt.attempt).unwrap_or_default();
        let (run, node) = (attempt.run, attempt.node);
        let live = attempt.stage != Stage::GivenUp;
        if live {
            if self.engine.node_state(run, node) != Some(NodeState::Running) {
                return broken(4, format!("{attempt:?} is of a node that is not running"));
            }
            let held = self.held(run, node);
            held.attempts += 1;
            held.cancelling += u32::from(attempt.stage == Stage::Cancelling);
        }
        let limits = self.policy(run, node).filter(|_| live);
        let (timeout_ns, heartbeat_ns) =
            limits.map_or((0, 0), |policy| (policy.timeout_ns, policy.heartbeat_timeout_ns));
        let runs = attempt.stage == Stage::Running && attempt.suspended;
        let stops = attempt.stage == Stage::Cancelling && attempt.suspended;
        let due = Set {
            timeouts: u32::from(runs && timeout_ns > 0),
            heartbeats: u32::from(runs && heartbeat_ns > 0),
            graces: u32::from(stops),
        };
        if set == due {
            Ok(())
        } else {
            broken(4, format!("{attempt:?} has {set:?} where {due:?} is due"))
        }
    }

    /// Where a run stands.
    fn run(&self, key: RunKey, asked: &BTreeSet<(RunKey, Place)>) -> Result<Standing, String> {
        let engine = self.engine;
        let (Some(run), Some(plan), Some(status)) =
            (engine.run(key), engine.plan_of(key), engine.status(key))
        else {
            return broken(1, format!("{key:?} is nowhere"));
        };
        self.deadline(key, run, status)?;
        // What is ending stands still as well as long as an outcome is not known.
        let unknown = run.states().any(|state| state == NodeState::Unknown);
        let ending = run.is_ending();
        let paused = status == RunStatus::Paused && (!ending || unknown);
        let stalled = status == RunStatus::CompensationFailed;
        let mood = Mood { paused, ending };
        let (mut under_way, mut comes, mut parked) = (0, false, false);
        let none = Held::default();
        for (node, state) in (0..).map(Place).zip(run.states()) {
            let known = self.nodes.get(&(key, node));
            let rests = state.is_terminal() || state == NodeState::Waiting;
            if rests && known.is_none() && !run.is_asked(node) {
                continue;
            }
            let held = known.unwrap_or(&none);
            let Some(template) = engine.template(key, node) else { continue };
            let kind = engine.plan(plan).kind(template);
            let at = || format!("{node:?} of {key:?}, {status:?}: {state:?} with {held:?}");
            if run.is_asked(node) && !asked.contains(&(key, node)) {
                return broken(1, format!("nobody was asked for {}", at()));
            }
            under_way += held.attempts + u32::from(run.is_asked(node));
            let policy = self.policy(key, node);
            let (stands, by) = match state {
                NodeState::Parked if run.stays_parked(node) => {
                    let waits = paused || stalled || held.restored > 0;
                    (held.parked + held.keys == 0 && waits, Standing::Parked)
                }
                _ => held.stands(state, kind, policy, mood),
            };
            comes |= by == Standing::Waiting;
            parked |= by == Standing::Parked;
            if !stands || !held.is_timed(state, kind, policy) {
                return broken(if held.is_empty() { 1 } else { 4 }, at());
            }
        }
        if under_way != run.under_way() {
            let counted = run.under_way();
            return broken(1, format!("{key:?} counts {counted} under way, and {under_way} are"));
        }
        match (under_way > 0, comes, parked || stalled || mood.paused) {
            (true, ..) => Ok(Standing::Running),
            (_, true, _) => Ok(Standing::Waiting),
            (_, _, true) => Ok(Standing::Parked),
            _ => {
                let nodes: Vec<NodeState> = run.states().collect();
                broken(1, format!("{key:?}, {status:?}, is held by nothing: {nodes:?}"))
            }
        }
    }

    /// A run has a timer for its deadline as long as that stands.
    fn deadline(&self, key: RunKey, run: &Run, status: RunStatus) -> Checked {
        let dated = self.engine.deadline_ns(key).is_some() && !run.is_ending();
        let stands = dated && !status.is_terminal() && status != RunStatus::Compensating;
        let timers = self.deadlines.get(&key).copied().unwrap_or_default();
        if timers == u32::from(stands) {
            return Ok(());
        }
        broken(4, format!("{key:?}, {status:?}, has {timers} timers for its deadline"))
    }
}

/// How a run is that a node is of.
#[derive(Clone, Copy)]
struct Mood {
    paused: bool,
    ending: bool,
}

impl Held {
    /// Whether nothing will bring the node on.
    const fn is_empty(&self) -> bool {
        let kept = self.lines + self.gates + self.parked + self.keys + self.money + self.turned;
        let timers = self.backoffs + self.waits + self.total_timeouts;
        kept + timers + self.abandoned + self.restored + self.attempts == 0
    }

    /// Whether a node stands where it should and nowhere else, and what that makes of its run.
    fn stands(
        &self,
        state: NodeState,
        kind: NodeKind,
        policy: Option<&Policy>,
        mood: Mood,
    ) -> (bool, Standing) {
        let is_step = kind.is_step();
        // Places that were left over by a pause are passed over by whoever comes to them.
        let once = |count: u32| u32::from(count > 0 && self.lines == 0);
        let turned = once(self.turned) * u32::from(self.money == 0);
        let free = self.lines + once(self.money) + turned + self.abandoned + self.restored;
        match state {
            NodeState::Ready if is_step && mood.paused => {
                (self.lines == 0 || mood.ending, Standing::Parked)
            }
            NodeState::Ready if is_step => (free <= 1 && free + self.gates >= 1, Standing::Waiting),
            NodeState::Running if is_step => {
                let copies = u32::from(policy.is_some_and(|it| it.hedge.is_some()));
                ((1..=1 + copies).contains(&self.attempts), Standing::Running)
            }
            NodeState::Backoff => (self.backoffs == 1, Standing::Waiting),
            // A paused run asks for its keys again when it goes on.
            NodeState::Parked if !is_step && mood.paused => {
                (self.keys + self.restored <= 1, Standing::Parked)
            }
            NodeState::Parked if !is_step => (self.keys + self.restored == 1, Standing::Waiting),
            NodeState::Parked => (self.parked == 1, Standing::Waiting),
            NodeState::Awaiting => {
                let timed = match kind {
                    NodeKind::Sleep { .. } => true,
                    NodeKind::Signal { timeout_ns, .. } => timeout_ns > 0,
                    _ => false,
                };
                let by = if timed { Standing::Waiting } else { Standing::Parked };
                (self.waits == u32::from(timed), by)
            }
            NodeState::Unknown => (true, Standing::Parked),
            _ => (free + self.parked + self.backoffs + self.waits == 0, Standing::Running),
        }
    }

    /// Whether a node has the timers that its policy asks for, once each.
    fn is_timed(&self, state: NodeState, kind: NodeKind, policy: Option<&Policy>) -> bool {
        let (queue_ns, total_ns) =
            policy.map_or((0, 0), |it| (it.queue_timeout_ns, it.total_timeout_ns));
        let begun = matches!(
            state,
            NodeState::Ready | NodeState::Running | NodeState::Backoff | NodeState::Parked
        );
        let total = u32::from(begun && total_ns > 0);
        let in_all = !kind.is_step() || self.total_timeouts == total || self.cancelling > 0;
        in_all && self.queue_timeouts == (self.lines + self.parked) * u32::from(queue_ns > 0)
    }
}
