//! A driver in virtual time. It owns the clock and the values, evaluates inline nodes at once, and checks
//! after every call that values are dropped once and that each run is the fold of its own records.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use penstock_engine::{
    Accept, AcceptError, Action, AttemptKey, Body, CancelCause, Config, DEFAULT_PRIORITY,
    Durability, Engine, Event, Failure, Identity, Jitter, Lane, Lsn, NodeId, NodeKind, NodeSpec,
    Outcome, Plan, PlanId, Policy, QueueId, Record, RetryPolicy, Run, RunKey, Start, StepId,
    ValueId,
};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;

/// A node of a test graph.
pub(crate) struct Node {
    kind: NodeKind,
    inputs: Vec<u32>,
    after: Vec<u32>,
    policy: Policy,
}

pub(crate) fn input() -> Node {
    node(NodeKind::Input, &[])
}

pub(crate) fn constant() -> Node {
    node(NodeKind::Constant, &[])
}

pub(crate) fn apply(inputs: &[u32]) -> Node {
    node(NodeKind::Apply, inputs)
}

/// A step of one attempt, in the default queue, without limits.
pub(crate) fn step(inputs: &[u32]) -> Node {
    node(NodeKind::Step, inputs)
}

fn node(kind: NodeKind, inputs: &[u32]) -> Node {
    let policy = Policy {
        step: StepId(0),
        queue: QueueId::DEFAULT,
        lane: Lane::Loop,
        priority: None,
        step_priority: None,
        retry: RetryPolicy::ONCE,
        retry_timeouts: true,
        timeout_ns: 0,
        total_timeout_ns: 0,
        queue_timeout_ns: 0,
        heartbeat_timeout_ns: 0,
    };
    Node { kind, inputs: inputs.to_vec(), after: Vec::new(), policy }
}

impl Node {
    pub(crate) fn after(mut self, nodes: &[u32]) -> Self {
        self.after = nodes.to_vec();
        self
    }

    /// `attempts` in all, a second apart.
    pub(crate) fn attempts(self, attempts: u32) -> Self {
        self.retry(RetryPolicy {
            attempts_max: NonZeroU32::new(attempts).expect("at least one attempt"),
            initial_ns: SECOND,
            coefficient: 1.0,
            max_ns: SECOND,
            jitter: Jitter::None,
        })
    }

    pub(crate) fn retry(mut self, retry: RetryPolicy) -> Self {
        self.policy.retry = retry;
        self
    }

    pub(crate) fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }

    pub(crate) fn queue(self, queue: QueueId) -> Self {
        self.policy(|policy| policy.queue = queue)
    }

    pub(crate) fn priority(self, priority: u8) -> Self {
        self.policy(|policy| policy.priority = Some(priority))
    }

    pub(crate) fn step_priority(self, priority: u8) -> Self {
        self.policy(|policy| policy.step_priority = Some(priority))
    }

    pub(crate) fn timeout(self, timeout_ns: u64) -> Self {
        self.policy(|policy| policy.timeout_ns = timeout_ns)
    }
}

struct History {
    plan: PlanId,
    number: u64,
    inputs: Vec<ValueId>,
    durability: Durability,
    records: Vec<Record>,
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now_ns: u64,
    /// Whether inline nodes wait in `to_evaluate` for the test to answer.
    pub(crate) manual: bool,
    pub(crate) to_evaluate: VecDeque<(RunKey, NodeId)>,
    pub(crate) outcomes: BTreeMap<RunKey, Outcome>,
    pub(crate) records: Vec<Record>,
    cancels: Vec<(AttemptKey, CancelCause)>,
    values: BTreeSet<ValueId>,
    next_value: u32,
    histories: BTreeMap<RunKey, History>,
    /// Runs accepted, refused ones excluded.
    accepted: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        Self {
            engine: Engine::new(config),
            now_ns: 0,
            manual: false,
            to_evaluate: VecDeque::new(),
            outcomes: BTreeMap::new(),
            records: Vec::new(),
            cancels: Vec::new(),
            values: BTreeSet::new(),
            next_value: 0,
            histories: BTreeMap::new(),
            accepted: 0,
        }
    }

    /// Registers a graph whose output is its last node.
    pub(crate) fn plan(&mut self, nodes: Vec<Node>) -> PlanId {
        let specs: Vec<NodeSpec> = nodes
            .iter()
            .enumerate()
            .map(|(index, node)| NodeSpec {
                path: format!("test/{index}"),
                kind: node.kind,
                inputs: node.inputs.clone(),
                after: node.after.clone(),
            })
            .collect();
        let plan = Plan::compile("test", "1", &specs, specs.len() as u32 - 1).expect("a graph");
        let policies = nodes
            .into_iter()
            .map(|node| (node.kind == NodeKind::Step).then_some(node.policy))
            .collect();
        self.engine.add_plan(Arc::new(plan), policies)
    }

    /// Registers a graph of one step without inputs.
    pub(crate) fn single(&mut self, step: Node) -> PlanId {
        self.plan(vec![step])
    }

    pub(crate) fn value(&mut self) -> ValueId {
        let value = ValueId(self.next_value);
        self.next_value += 1;
        self.values.insert(value);
        value
    }

    pub(crate) fn is_kept(&self, value: ValueId) -> bool {
        self.values.contains(&value)
    }

    pub(crate) fn values_kept(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn accept(&mut self, plan: PlanId) -> RunKey {
        self.try_accept(plan, |_| ()).expect("there is room")
    }

    pub(crate) fn accept_with(
        &mut self,
        plan: PlanId,
        change: impl FnOnce(&mut Accept<'_>),
    ) -> RunKey {
        self.try_accept(plan, change).expect("there is room")
    }

    pub(crate) fn try_accept(
        &mut self,
        plan: PlanId,
        change: impl FnOnce(&mut Accept<'_>),
    ) -> Result<RunKey, AcceptError> {
        let count = self.engine.plan(plan).input_count();
        let inputs: Vec<ValueId> = (0..count).map(|_| self.value()).collect();
        let mut accept = Accept {
            plan,
            inputs: &inputs,
            priority: Some(DEFAULT_PRIORITY),
            deadline_ns: None,
            durability: Durability::Sync,
            admitted: false,
        };
        change(&mut accept);
        let durability = accept.durability;
        let result = self.engine.accept(self.now_ns, &accept);
        if let Ok(run) = result {
            let number = self.accepted;
            self.accepted += 1;
            let history = History { plan, number, inputs, durability, records: Vec::new() };
            self.histories.insert(run, history);
        } else {
            for value in &inputs {
                self.values.remove(value);
            }
        }
        self.settle();
        result
    }

    pub(crate) fn cancel(&mut self, run: RunKey) -> bool {
        let cancelled = self.engine.cancel(self.now_ns, run);
        self.settle();
        cancelled
    }

    pub(crate) fn interrupt(&mut self) {
        self.engine.interrupt(self.now_ns);
        self.settle();
    }

    pub(crate) fn handle(&mut self, event: Event) {
        self.engine.handle(self.now_ns, event);
        self.settle();
    }

    /// The next attempt, if there is one to start.
    pub(crate) fn start(&mut self) -> Option<Start> {
        let start = self.engine.dispatch(self.now_ns);
        self.settle();
        start
    }

    /// The next attempt, which there must be.
    pub(crate) fn started(&mut self) -> Start {
        self.start().expect("an attempt is ready")
    }

    pub(crate) fn start_all(&mut self) -> Vec<Start> {
        std::iter::from_fn(|| self.start()).collect()
    }

    /// The next attempt, already waiting for something.
    pub(crate) fn suspended(&mut self) -> Start {
        let start = self.started();
        self.handle(Event::Suspended { attempt: start.attempt });
        start
    }

    pub(crate) fn done(&mut self, start: Start) -> ValueId {
        let value = self.value();
        self.handle(Event::Done { attempt: start.attempt, value });
        value
    }

    /// The attempt raises something its policy retries.
    pub(crate) fn fail(&mut self, start: Start) -> ValueId {
        self.fail_with(start, Failure { retryable: true, retry_after_ns: None })
    }

    pub(crate) fn fail_with(&mut self, start: Start, failure: Failure) -> ValueId {
        let error = self.value();
        self.handle(Event::Failed { attempt: start.attempt, error, failure });
        error
    }

    /// The attempt ends as a cancelled one does.
    pub(crate) fn end_cancelled(&mut self, start: Start) {
        let error = self.value();
        self.handle(Event::Cancelled { attempt: start.attempt, error });
    }

    /// Lets time pass, stopping at each of the engine's deadlines on the way.
    pub(crate) fn advance(&mut self, by_ns: u64) {
        let until_ns = self.now_ns + by_ns;
        while let Some(at_ns) = self.engine.next_deadline_ns().filter(|&at| at <= until_ns) {
            self.now_ns = self.now_ns.max(at_ns);
            self.handle(Event::Tick);
        }
        self.now_ns = until_ns;
    }

    pub(crate) fn sync(&mut self, lsn: Lsn) {
        self.handle(Event::Synced { lsn });
    }

    /// Cancellations since the last call.
    pub(crate) fn take_cancels(&mut self) -> Vec<(AttemptKey, CancelCause)> {
        std::mem::take(&mut self.cancels)
    }

    pub(crate) fn outcome(&self, run: RunKey) -> Option<Outcome> {
        self.outcomes.get(&run).copied()
    }

    pub(crate) fn bodies(&self, run: RunKey) -> Vec<&'static str> {
        self.records.iter().filter(|it| it.run == run).map(|it| it.body.name()).collect()
    }

    /// Every due time that was recorded, as the wait from its failure.
    pub(crate) fn waits_ns(&self) -> Vec<u64> {
        self.records
            .iter()
            .filter_map(|record| match record.body {
                Body::Failed { then: penstock_engine::Then::Retry { due_ns }, .. } => {
                    Some(due_ns - record.at_ns)
                }
                _ => None,
            })
            .collect()
    }

    fn settle(&mut self) {
        while let Some(action) = self.engine.poll() {
            match action {
                Action::Evaluate { run, node } => self.to_evaluate.push_back((run, node)),
                Action::Cancel { attempt, cause } => self.cancels.push((attempt, cause)),
                Action::Drop { value } => {
                    assert!(self.values.remove(&value), "{value:?} was dropped twice");
                }
                Action::Ended { run, outcome } => {
                    assert!(self.outcomes.insert(run, outcome).is_none(), "{run:?} ended twice");
                }
            }
        }
        self.check_folds();
        if !self.manual
            && let Some((run, node)) = self.to_evaluate.pop_front()
        {
            let value = self.value();
            self.handle(Event::Decided { run, node, value });
        }
    }

    fn check_folds(&mut self) {
        let from = self.records.len();
        self.records.extend_from_slice(self.engine.records());
        self.engine.clear_records();
        for record in &self.records[from..] {
            let history = self.histories.get_mut(&record.run).expect("a run that was accepted");
            history.records.push(*record);
        }
        self.histories.retain(|key, _| self.engine.run(*key).is_some());
        for (&key, history) in &self.histories {
            let run = self.engine.run(key).expect("a run under way");
            let identity = Identity {
                number: history.number,
                plan_id: history.plan,
                plan: self.engine.plan(history.plan),
                inputs: &history.inputs,
                durability: history.durability,
            };
            let folded = Run::fold(&identity, &history.records);
            assert_eq!(run.image(), folded.image(), "{key:?} is not the fold of its records");
        }
    }
}
