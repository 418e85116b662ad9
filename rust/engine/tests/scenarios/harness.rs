//! A driver in virtual time. It owns the clock and the values, evaluates inline nodes at once, and checks
//! after every call that values are dropped once and that each run is the fold of its own records.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use penstock_engine::{
    Accept, AcceptError, AccountModel, Action, AttemptKey, Base, Body, CancelCause, Cause, Config,
    DEFAULT_PRIORITY, Durability, Engine, Evaluation, Event, Failure, GraphSpec, Identity, Jitter,
    Lane, Lsn, News, NodeId, NodeKind, NodeSpec, NodeState, Outcome, Payer, Place, Plan, PlanId,
    Policy, QueueId, Record, Resolution, Restore, RetryPolicy, Run, RunKey, RunStatus, Start,
    StepId, TenantId, ValueId,
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
    Node { kind, inputs: inputs.to_vec(), after: Vec::new(), policy: default_policy() }
}

/// One attempt in the default queue, without limits.
pub(crate) const fn default_policy() -> Policy {
    Policy {
        step: StepId(0),
        queue: QueueId::DEFAULT,
        lane: Lane::Loop,
        priority: None,
        step_priority: None,
        retry: RetryPolicy::ONCE,
        once: false,
        retry_timeouts: true,
        tokens: 0,
        fallback: false,
        stands_in: false,
        estimate_nanos: 0,
        max_nanos: 0,
        handoffs: 0,
        cross_handoffs: 0,
        hedge: None,
        timeout_ns: 0,
        total_timeout_ns: 0,
        queue_timeout_ns: 0,
        heartbeat_timeout_ns: 0,
    }
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
    tenant: TenantId,
    durability: Durability,
    records: Vec<Record>,
}

impl History {
    fn fold(&self, engine: &Engine) -> Run {
        let identity = Identity {
            number: self.number,
            plan_id: self.plan,
            plan: engine.plan(self.plan),
            inputs: &self.inputs,
            tenant: self.tenant,
            durability: self.durability,
        };
        Run::fold(&identity, &self.records)
    }

    /// What its records name, and its inputs.
    fn values(&self) -> Vec<ValueId> {
        let named = self.records.iter().filter_map(|record| match record.body {
            Body::Done { value, .. } | Body::Decided { value } | Body::Signal { value, .. } => {
                Some(value)
            }
            Body::Failed { cause: Cause::Error(error), .. } => Some(error),
            _ => None,
        });
        self.inputs.iter().copied().chain(named).collect()
    }
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now_ns: u64,
    /// Whether inline nodes wait in `to_evaluate` for the test to answer.
    pub(crate) manual: bool,
    pub(crate) to_evaluate: VecDeque<(RunKey, Place)>,
    /// What decisions and counts are answered, by path; 0, or 1 for a loop's end, once nothing is left.
    pub(crate) script: BTreeMap<String, VecDeque<u64>>,
    /// What lists were made of, by path of what gathers: paths, with `!` before what failed.
    pub(crate) lists: BTreeMap<String, Vec<String>>,
    pub(crate) ended: BTreeMap<RunKey, (RunStatus, Outcome)>,
    /// Paths of nodes that may carry nothing.
    pub(crate) nothing: BTreeSet<String>,
    /// Compensations that failed and outcomes that are not known, unless the run was resumed since.
    pub(crate) stalled: Vec<(RunKey, Place)>,
    /// What was told of queues, and when.
    pub(crate) news: Vec<(u64, QueueId, News)>,
    pub(crate) records: Vec<Record>,
    cancels: Vec<(AttemptKey, CancelCause)>,
    values: BTreeSet<ValueId>,
    /// Values and errors that ended runs gave to the driver.
    results: BTreeSet<ValueId>,
    next_value: u32,
    questions: VecDeque<(RunKey, Place, NodeId, Evaluation)>,
    histories: BTreeMap<RunKey, History>,
    /// Of runs that are over.
    left: BTreeMap<RunKey, History>,
    /// Runs that are over, as their records leave them.
    finished: BTreeMap<RunKey, (PlanId, u64, Run)>,
    /// Runs accepted, refused ones excluded.
    accepted: u64,
    rarely: bool,
    config: Config,
    plans: Vec<(Arc<Plan>, Vec<Option<Policy>>)>,
    /// What is on disk.
    synced: Lsn,
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
            script: BTreeMap::new(),
            lists: BTreeMap::new(),
            ended: BTreeMap::new(),
            nothing: BTreeSet::new(),
            stalled: Vec::new(),
            news: Vec::new(),
            records: Vec::new(),
            cancels: Vec::new(),
            values: BTreeSet::new(),
            results: BTreeSet::new(),
            next_value: 0,
            questions: VecDeque::new(),
            histories: BTreeMap::new(),
            left: BTreeMap::new(),
            finished: BTreeMap::new(),
            accepted: 0,
            rarely: false,
            config,
            plans: Vec::new(),
            synced: Lsn(0),
        }
    }

    /// Registers a graph whose output is its last node.
    pub(crate) fn plan(&mut self, nodes: Vec<Node>) -> PlanId {
        let output = nodes.len() as u32 - 1;
        self.plan_giving(nodes, output)
    }

    /// Registers a graph with this output.
    pub(crate) fn plan_giving(&mut self, nodes: Vec<Node>, output: u32) -> PlanId {
        let specs: Vec<NodeSpec> = nodes
            .iter()
            .enumerate()
            .map(|(index, node)| NodeSpec {
                after: node.after.clone(),
                ..NodeSpec::new(&format!("test/{index}"), node.kind, &node.inputs)
            })
            .collect();
        let plan = Plan::compile(GraphSpec::flat("test", "1", specs, output)).expect("a graph");
        let policies = nodes
            .into_iter()
            .map(|node| (node.kind == NodeKind::Step).then_some(node.policy))
            .collect();
        self.add_plan(Arc::new(plan), policies)
    }

    pub(crate) fn add_plan(&mut self, plan: Arc<Plan>, policies: Vec<Option<Policy>>) -> PlanId {
        self.plans.push((plan.clone(), policies.clone()));
        self.engine.add_plan(plan, policies)
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
            tenant: TenantId::NONE,
            priority: Some(DEFAULT_PRIORITY),
            deadline_ns: None,
            durability: Durability::Sync,
            budget: None,
            admitted: false,
        };
        change(&mut accept);
        let Accept { durability, tenant, .. } = accept;
        let result = self.engine.accept(self.now_ns, &accept);
        if let Ok(run) = result {
            let number = self.accepted;
            self.accepted += 1;
            let history = History { plan, number, inputs, tenant, durability, records: Vec::new() };
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

    pub(crate) fn pause(&mut self, run: RunKey) -> bool {
        let paused = self.engine.pause(self.now_ns, run);
        self.settle();
        paused
    }

    pub(crate) fn resume(&mut self, run: RunKey) -> bool {
        self.stalled.retain(|(stalled, _)| *stalled != run);
        let resumed = self.engine.resume(self.now_ns, run);
        self.settle();
        resumed
    }

    /// Somebody has found out that a step gave this.
    pub(crate) fn resolve_done(&mut self, run: RunKey, node: Place) -> ValueId {
        let value = self.value();
        assert!(self.resolve(run, node, Resolution::Done(value)), "nothing is unknown of {node:?}");
        value
    }

    pub(crate) fn resolve(&mut self, run: RunKey, node: Place, resolution: Resolution) -> bool {
        let resolved = self.engine.resolve(self.now_ns, run, node, resolution);
        self.settle();
        resolved
    }

    /// The process goes down, and after a time another restores what is on disk: everything, unless there is
    /// a journal. Answers the new key of each run. `recoveries` says of runs, by number, how often they were
    /// under way when a process went down.
    pub(crate) fn crash(
        &mut self,
        after_ns: u64,
        recoveries: &[(u64, u32)],
    ) -> BTreeMap<RunKey, RunKey> {
        self.crash_with(after_ns, recoveries, None)
    }

    /// As [`World::crash`], where the other process knows of an account that pays for a plan, and of what was spent.
    pub(crate) fn crash_charged(
        &mut self,
        after_ns: u64,
        account: (PlanId, AccountModel, i64),
    ) -> BTreeMap<RunKey, RunKey> {
        self.crash_with(after_ns, &[], Some(account))
    }

    fn crash_with(
        &mut self,
        after_ns: u64,
        recoveries: &[(u64, u32)],
        account: Option<(PlanId, AccountModel, i64)>,
    ) -> BTreeMap<RunKey, RunKey> {
        let cut = if self.config.journaled { self.synced } else { self.engine.lsn() };
        let mut engine = Engine::new(self.config);
        for queue in 1..self.engine.queue_count() {
            engine.add_queue(self.engine.queue_model(QueueId(queue)).clone());
        }
        for (plan, policies) in &self.plans {
            engine.add_plan(plan.clone(), policies.clone());
        }
        self.engine = engine;
        self.now_ns += after_ns;
        let mut before = std::mem::take(&mut self.histories);
        before.append(&mut self.left);
        self.records.clear();
        self.cancels.clear();
        self.values.clear();
        self.results.clear();
        self.questions.clear();
        self.to_evaluate.clear();
        self.ended.clear();
        self.finished.clear();
        self.stalled.clear();
        self.engine.continue_after(cut, self.accepted);
        if let Some((plan, model, spent)) = account {
            let account = self.engine.add_account(self.now_ns, Payer::Workflow, model);
            self.engine.charge_plan(plan, account);
            self.engine.carry_over(self.now_ns, account, spent);
        }
        let mut keys = BTreeMap::new();
        for (was, mut history) in before {
            history.records.retain(|record| record.lsn <= cut);
            if history.records.last().is_none_or(ends) {
                continue;
            }
            self.values.extend(history.values());
            let known = recoveries.iter().find(|(number, _)| *number == history.number);
            let restore = Restore {
                number: history.number,
                plan: history.plan,
                inputs: &history.inputs,
                tenant: history.tenant,
                durability: history.durability,
                records: &history.records,
                records_had: history.records.len() as u32,
                again: None,
                recoveries: known.map_or(0, |(_, count)| *count),
            };
            let run = self.engine.restore(self.now_ns, &restore);
            self.records.extend(history.records.iter().map(|record| Record { run, ..*record }));
            self.histories.insert(run, history);
            keys.insert(was, run);
            self.take();
        }
        self.engine.go_on(self.now_ns);
        self.settle();
        keys
    }

    /// The value sent, if it was taken in.
    pub(crate) fn signal(&mut self, run: RunKey, signal: u32, keep: bool) -> Option<ValueId> {
        let value = self.value();
        let taken = self.engine.signal(self.now_ns, run, signal, value, keep);
        if !taken {
            self.values.remove(&value);
        }
        self.settle();
        taken.then_some(value)
    }

    pub(crate) fn interrupt(&mut self) {
        self.engine.interrupt(self.now_ns);
        self.settle();
    }

    pub(crate) fn give_up(&mut self) {
        self.engine.give_up(self.now_ns);
        self.settle();
    }

    pub(crate) fn handle(&mut self, event: Event) {
        self.engine.handle(self.now_ns, event);
        self.settle();
    }

    /// The next attempt, if there is one to start.
    pub(crate) fn start(&mut self) -> Option<Start> {
        let start = self.engine.dispatch(self.now_ns);
        if let Some(start) = &start {
            self.check_inputs(start.run, start.node, start.template);
        }
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
        self.fail_with(start, Failure { retryable: true, ..Failure::FINAL })
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
        self.synced = self.synced.max(lsn);
        self.handle(Event::Synced { lsn });
    }

    /// Cancellations since the last call.
    pub(crate) fn take_cancels(&mut self) -> Vec<(AttemptKey, CancelCause)> {
        std::mem::take(&mut self.cancels)
    }

    pub(crate) fn outcome(&self, run: RunKey) -> Option<Outcome> {
        self.ended.get(&run).map(|(_, outcome)| *outcome)
    }

    /// A node's path, also after its run has ended.
    pub(crate) fn path(&self, run: RunKey, node: Place) -> String {
        match self.finished.get(&run) {
            Some((plan, _, over)) => over.layout().path(self.engine.plan(*plan), node),
            None => self.engine.path(run, node).expect("a run that was accepted"),
        }
    }

    /// The node at a path of a run under way.
    pub(crate) fn place(&self, run: RunKey, path: &str) -> Place {
        let found = self.states(run).into_iter().position(|(other, _)| other == path);
        Place(found.expect("a node of the run") as u32)
    }

    pub(crate) fn number(&self, run: RunKey) -> u64 {
        let finished = self.finished.get(&run).map(|(_, number, _)| *number);
        finished.or_else(|| self.engine.number(run)).expect("a run that was accepted")
    }

    /// Where every node of a run is, or was at its end, by path.
    pub(crate) fn states(&self, run: RunKey) -> Vec<(String, NodeState)> {
        let over = self.finished.get(&run).map(|(_, _, over)| over);
        let run_state = over.or_else(|| self.engine.run(run)).expect("a run that was accepted");
        let places = (0..).map(Place);
        places.zip(run_state.states()).map(|(it, state)| (self.path(run, it), state)).collect()
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
        self.take();
        if !self.manual
            && let Some((run, node, template, what)) = self.questions.pop_front()
        {
            self.to_evaluate.pop_front();
            self.answer(run, node, template, what);
        }
    }

    /// Takes what the engine gives, and answers nothing.
    fn take(&mut self) {
        while let Some(action) = self.engine.poll() {
            match action {
                Action::Evaluate { run, node, template, what } => {
                    self.to_evaluate.push_back((run, node));
                    self.questions.push_back((run, node, template, what));
                }
                Action::Cancel { attempt, cause } => self.cancels.push((attempt, cause)),
                Action::Drop { value } => {
                    assert!(self.values.remove(&value), "{value:?} was dropped twice");
                }
                Action::Ended { run, status, outcome, .. } => {
                    if let Outcome::Succeeded(Base::Value(value))
                    | Outcome::Failed { cause: Cause::Error(value), .. } = outcome
                    {
                        assert!(
                            self.values.contains(&value),
                            "{value:?} was dropped, but is a result"
                        );
                        self.results.insert(value);
                    }
                    let ended = self.ended.insert(run, (status, outcome));
                    assert!(ended.is_none(), "{run:?} ended twice");
                }
                Action::Stalled { run, node, .. } => self.stalled.push((run, node)),
                Action::Queue { queue, news } => self.news.push((self.now_ns, queue, news)),
            }
        }
        self.check_folds();
    }

    /// Answers the question that was asked first, where the test is to.
    pub(crate) fn answer_next(&mut self) {
        self.to_evaluate.pop_front();
        let (run, node, template, what) = self.questions.pop_front().expect("a question");
        self.answer(run, node, template, what);
    }

    /// Answers a question as the script says.
    fn answer(&mut self, run: RunKey, node: Place, template: NodeId, what: Evaluation) {
        let Some(plan) = self.engine.plan_of(run) else { return };
        let kind = self.engine.plan(plan).kind(template);
        let path = self.path(run, node);
        self.check_inputs(run, node, template);
        let scripted = self.script.get_mut(&path).and_then(VecDeque::pop_front);
        let decides = matches!(
            kind,
            NodeKind::Switch { .. }
                | NodeKind::When
                | NodeKind::Accept { .. }
                | NodeKind::Acquire { .. }
        );
        let event = match what {
            Evaluation::Count => {
                Event::Counted { run, node, count: scripted.unwrap_or_default() as u32 }
            }
            Evaluation::Until => {
                Event::Chosen { run, node, outcome: scripted.unwrap_or(1), score: None }
            }
            Evaluation::Function if decides => {
                Event::Chosen { run, node, outcome: scripted.unwrap_or_default(), score: None }
            }
            _ => Event::Decided { run, node, value: self.value() },
        };
        if what == Evaluation::Gather {
            let gathered = self.engine.gathered(run, node).into_iter();
            let list = gathered.map(|item| match item {
                Ok(place) => self.path(run, place),
                Err(blame) => format!("!{}", self.path(run, blame.node)),
            });
            self.lists.insert(path, list.collect());
        }
        self.handle(event);
    }

    /// Whatever a node is given must not have been dropped.
    fn check_inputs(&self, run: RunKey, node: Place, template: NodeId) {
        let Some(plan) = self.engine.plan_of(run) else { return };
        for input in self.engine.plan(plan).inputs_of(template) {
            let place = Place(node.0 + input.0 - template.0);
            let source = self.engine.source(run, place).expect("a run under way");
            let path = self.path(run, place);
            match source.base {
                Base::Value(value) => assert!(self.is_kept(value), "{path}, an input, was dropped"),
                Base::Constant(_) => {}
                Base::Nothing => {
                    let state = self.engine.node_state(run, place);
                    let may_be =
                        self.nothing.contains(&path) || state != Some(NodeState::Succeeded);
                    assert!(may_be, "{path}, an input, carries nothing");
                }
            }
        }
    }

    /// Checks folds as often as there is something new, but for tests of many events.
    pub(crate) fn check_rarely(&mut self) {
        self.rarely = true;
    }

    fn check_folds(&mut self) {
        let from = self.records.len();
        self.records.extend_from_slice(self.engine.records());
        self.engine.clear_records();
        for record in &self.records[from..] {
            let history = self.histories.get_mut(&record.run).expect("a run that was accepted");
            history.records.push(*record);
        }
        for (&key, history) in &self.histories {
            if self.rarely && self.engine.run(key).is_some() {
                continue;
            }
            let folded = history.fold(&self.engine);
            let Some(run) = self.engine.run(key) else {
                let open: Vec<NodeState> = folded.states().filter(|it| !it.is_terminal()).collect();
                assert!(open.is_empty(), "{key:?} ended with nodes that have not: {open:?}");
                self.finished.insert(key, (history.plan, history.number, folded));
                continue;
            };
            assert_eq!(run.image(), folded.image(), "{key:?} is not the fold of its records");
        }
        let (live, over) = std::mem::take(&mut self.histories)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(key, _)| self.engine.run(*key).is_some());
        self.histories = live;
        self.left.extend(over);
    }
}

/// Whether a run is over with a record.
fn ends(record: &Record) -> bool {
    let stalls = Body::Ended { status: RunStatus::CompensationFailed };
    matches!(record.body, Body::Ended { .. }) && record.body != stalls
}

impl Drop for World {
    /// Nothing may be left of runs that are over, but what they gave.
    fn drop(&mut self) {
        if !std::thread::panicking()
            && self.engine.run_count() + self.engine.running() as usize == 0
        {
            let leaked: Vec<&ValueId> = self.values.difference(&self.results).collect();
            assert!(leaked.is_empty(), "{leaked:?} were never dropped");
        }
    }
}
