//! An engine before a dependency with servers, a line of its own, and outages.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use penstock_engine::{
    Accept, AcceptError, Action, AttemptKey, CancelCause, Config, Durability, Engine, Event,
    Failure, GraphSpec, Jitter, Lane, News, NodeKind, NodeSpec, Outcome, Plan, PlanId, Policy,
    QueueId, QueueModel, RetryPolicy, RunKey, StepId, TenantId, ValueId, draw,
};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;

/// How the dependency fails in an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// It answers nothing until it is over.
    Hangs,
    /// Every call fails at once.
    Fails,
}

/// A dependency: calls wait for one of its servers, first come first served. It does not know whether a caller
/// still waits for the answer.
pub(crate) struct Dependency {
    pub(crate) servers: u32,
    pub(crate) service_ns: f64,
    /// From, to, and how.
    pub(crate) outages: Vec<(u64, u64, Outage)>,
    /// Millionths of the calls that fail although it is well.
    pub(crate) failing_ppm: u64,
    busy: u32,
    line: VecDeque<AttemptKey>,
}

impl Dependency {
    pub(crate) fn new(servers: u32, service_ns: u64) -> Self {
        let (outages, line) = (Vec::new(), VecDeque::new());
        let service_ns = service_ns as f64;
        Self { servers, service_ns, outages, failing_ppm: 0, busy: 0, line }
    }

    fn outage(&self, now_ns: u64) -> Option<(u64, Outage)> {
        let mut outages = self.outages.iter();
        let now = outages.find(|(from, to, _)| (*from..*to).contains(&now_ns))?;
        Some((now.1, now.2))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrival,
    /// A server is done with a call.
    Served(AttemptKey),
    /// A call fails.
    Fails(AttemptKey),
    /// The outage is over.
    Well,
}

/// What was counted in one second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Second {
    pub(crate) offered: u32,
    pub(crate) first: u32,
    pub(crate) attempts: u32,
    pub(crate) good: u32,
    pub(crate) refused: u32,
    pub(crate) parked: u32,
    pub(crate) waiting: u32,
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) dependency: Dependency,
    pub(crate) queue: QueueId,
    pub(crate) plan: PlanId,
    pub(crate) now_ns: u64,
    seed: u64,
    drawn: u64,
    coming: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    scheduled: u64,
    /// Starts per second until when.
    pub(crate) rate: f64,
    until_ns: u64,
    /// Seconds of a run until its deadline, if it has one.
    pub(crate) deadline_ns: Option<u64>,
    pub(crate) seconds: Vec<Second>,
    pub(crate) lost: u32,
    pub(crate) succeeded: u32,
    pub(crate) accepted: u32,
    pub(crate) news: Vec<(u64, News)>,
    /// Time from the intended start to the first dispatch, of runs that were admitted.
    pub(crate) delays_ns: Vec<u64>,
    starts: BTreeMap<RunKey, u64>,
}

pub(crate) fn policy(queue: QueueId) -> Policy {
    Policy {
        step: StepId(0),
        queue,
        lane: Lane::Loop,
        priority: None,
        step_priority: None,
        tokens: 0,
        fallback: false,
        stands_in: false,
        estimate_nanos: 0,
        max_nanos: 0,
        handoffs: 0,
        cross_handoffs: 0,
        hedge: None,
        retry: RetryPolicy {
            attempts_max: NonZeroU32::new(3).expect("3 is not 0"),
            initial_ns: 50 * MS,
            coefficient: 2.0,
            max_ns: 20 * SECOND,
            jitter: Jitter::Full,
        },
        retry_timeouts: true,
        once: false,
        timeout_ns: SECOND,
        total_timeout_ns: 0,
        queue_timeout_ns: 0,
        heartbeat_timeout_ns: 0,
    }
}

impl World {
    pub(crate) fn new(seed: u64, model: QueueModel, dependency: Dependency) -> Self {
        let config = Config { concurrency: 1_000_000, seed, ..Config::default() };
        let mut engine = Engine::new(config);
        let queue = engine.add_queue(model);
        let specs = vec![
            NodeSpec::new("calls/request", NodeKind::Input, &[]),
            NodeSpec::new("calls/call", NodeKind::Step, &[0]),
        ];
        let plan = Plan::compile(GraphSpec::flat("calls", "1", specs, 1)).expect("a graph");
        let plan = engine.add_plan(Arc::new(plan), vec![None, Some(policy(queue))]);
        Self {
            engine,
            dependency,
            queue,
            plan,
            now_ns: 0,
            seed,
            drawn: 0,
            coming: BinaryHeap::new(),
            scheduled: 0,
            rate: 0.0,
            until_ns: 0,
            deadline_ns: None,
            seconds: Vec::new(),
            lost: 0,
            succeeded: 0,
            accepted: 0,
            news: Vec::new(),
            delays_ns: Vec::new(),
            starts: BTreeMap::new(),
        }
    }

    /// Runs arrive at random, so many per second, until then; the world is played until `end_ns`.
    pub(crate) fn play(&mut self, rate: f64, until_ns: u64, end_ns: u64) {
        self.rate = rate;
        self.until_ns = until_ns;
        for (_, to_ns, _) in self.dependency.outages.clone() {
            self.schedule(to_ns, Happening::Well);
        }
        self.schedule(0, Happening::Arrival);
        loop {
            self.start();
            let coming = self.coming.peek().map(|Reverse((at_ns, ..))| *at_ns);
            let deadline = self.engine.next_deadline_ns();
            let Some(at_ns) = coming.into_iter().chain(deadline).min() else { break };
            if at_ns >= end_ns {
                break;
            }
            self.now_ns = self.now_ns.max(at_ns);
            if coming == Some(at_ns) {
                let Some(Reverse((.., happening))) = self.coming.pop() else { break };
                self.happen(happening);
            } else {
                self.handle(Event::Tick);
            }
        }
        self.now_ns = end_ns;
        self.second();
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival => {
                self.second().offered += 1;
                self.accept(TenantId::NONE, None);
                let gap_ns = self.exponential(SECOND as f64 / self.rate);
                if self.now_ns + gap_ns < self.until_ns {
                    self.schedule(self.now_ns + gap_ns, Happening::Arrival);
                }
            }
            Happening::Served(attempt) => {
                self.dependency.busy -= 1;
                let fails = self.draw() % 1_000_000 < self.dependency.failing_ppm;
                self.answer(attempt, !fails);
                self.serve();
            }
            Happening::Fails(attempt) => self.answer(attempt, false),
            Happening::Well => self.serve(),
        }
    }

    pub(crate) fn accept(&mut self, tenant: TenantId, priority: Option<u8>) -> Option<RunKey> {
        let accept = Accept {
            plan: self.plan,
            inputs: &[ValueId(0)],
            tenant,
            priority,
            deadline_ns: self.deadline_ns.map(|it| self.now_ns + it),
            durability: Durability::Sync,
            budget: None,
            admitted: false,
        };
        match self.engine.accept(self.now_ns, &accept) {
            Ok(run) => {
                self.accepted += 1;
                self.starts.insert(run, self.now_ns);
                self.drain();
                Some(run)
            }
            Err(AcceptError::Shedding { .. } | AcceptError::QueueFull { .. }) => {
                self.second().refused += 1;
                None
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn start(&mut self) {
        while let Some(start) = self.engine.dispatch(self.now_ns) {
            let second = self.second();
            second.attempts += 1;
            second.first += u32::from(start.number == 1);
            if start.number == 1
                && let Some(since_ns) = self.starts.get(&start.run)
            {
                self.delays_ns.push(self.now_ns - since_ns);
            }
            self.engine.handle(self.now_ns, Event::Suspended { attempt: start.attempt });
            self.drain();
            if let Some((_, Outage::Fails)) = self.dependency.outage(self.now_ns) {
                self.schedule(self.now_ns + 5 * MS, Happening::Fails(start.attempt));
            } else {
                self.dependency.line.push_back(start.attempt);
                self.serve();
            }
        }
    }

    /// Servers that are free take calls.
    fn serve(&mut self) {
        if let Some((_, Outage::Hangs)) = self.dependency.outage(self.now_ns) {
            return;
        }
        while self.dependency.busy < self.dependency.servers
            && let Some(attempt) = self.dependency.line.pop_front()
        {
            self.dependency.busy += 1;
            let service_ns = self.exponential(self.dependency.service_ns);
            self.schedule(self.now_ns + service_ns, Happening::Served(attempt));
        }
    }

    fn answer(&mut self, attempt: AttemptKey, well: bool) {
        // Whoever has timed out does not hear it.
        if self.engine.is_cancelled(attempt) {
            return;
        }
        if well {
            self.handle(Event::Done { attempt, value: ValueId(1) });
        } else {
            let failure = Failure { retryable: true, ..Failure::FINAL };
            self.handle(Event::Failed { attempt, error: ValueId(2), failure });
        }
    }

    pub(crate) fn handle(&mut self, event: Event) {
        self.engine.handle(self.now_ns, event);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            self.engine.clear_records();
            let mut cancelled = Vec::new();
            while let Some(action) = self.engine.poll() {
                match action {
                    Action::Cancel { attempt, cause } => {
                        assert_ne!(cause, CancelCause::Interrupt);
                        cancelled.push(attempt);
                    }
                    Action::Ended { run, outcome, .. } => {
                        self.starts.remove(&run);
                        if let Outcome::Succeeded(_) = outcome {
                            self.succeeded += 1;
                            self.second().good += 1;
                        } else {
                            self.lost += 1;
                        }
                    }
                    Action::Queue { news, .. } => self.news.push((self.now_ns, news)),
                    Action::Drop { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            if cancelled.is_empty() {
                return;
            }
            for attempt in cancelled {
                self.engine.handle(self.now_ns, Event::Cancelled { attempt, error: ValueId(3) });
            }
        }
    }

    /// The counts of the present second.
    fn second(&mut self) -> &mut Second {
        let second = (self.now_ns / SECOND) as usize;
        while self.seconds.len() <= second {
            let view = self.engine.queue(self.queue);
            let (parked, waiting) = (view.parked, view.waiting);
            self.seconds.push(Second { parked, waiting, ..Second::default() });
        }
        &mut self.seconds[second]
    }

    fn schedule(&mut self, at_ns: u64, happening: Happening) {
        self.scheduled += 1;
        self.coming.push(Reverse((at_ns, self.scheduled, happening)));
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        draw(self.seed, [self.drawn, 7, 7, 7])
    }

    fn exponential(&mut self, mean_ns: f64) -> u64 {
        let uniform = (self.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        (-(1.0 - uniform).ln() * mean_ns) as u64
    }

    /// Sums over the seconds from `from` to before `to`.
    pub(crate) fn sum(&self, from: usize, to: usize, of: impl Fn(&Second) -> u32) -> f64 {
        self.seconds[from..to.min(self.seconds.len())].iter().map(of).sum::<u32>().into()
    }
}
