//! Virtual time, and what happens in it: the driver of the simulated engine.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use penstock_engine::{
    Action, AttemptKey, CancelCause, Cause, Engine, Evaluation, Event, Failure, Lsn, NodeId,
    NodeKind, Outcome, Place, Record, RunKey, Score, Start, draw,
};

use crate::checker::{Checked, Checker, Violation, broken};
use crate::coverage::Coverage;
use crate::disk::{Disk, Point};
use crate::workload::{MS, Workload};

/// What came of a simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Runs that succeeded.
    pub succeeded: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Runs that were cancelled.
    pub cancelled: u64,
    /// Runs whose deadline passed.
    pub late: u64,
    /// Runs that were not accepted.
    pub refused: u64,
    /// Runs whose acceptance was lost in a crash, so that nobody was told of it.
    pub vanished: u64,
    /// Times that a compensation failed for good.
    pub stalled: u64,
    /// Times that nobody knew what had become of a step.
    pub unknown: u64,
    /// Times that the process went down.
    pub crashes: u64,
    /// Runs that went on after that.
    pub restored: u64,
    /// Attempts started.
    pub attempts: u64,
    /// Calls that changed the engine: events, dispatches, commands.
    pub events: u64,
    /// Time that passed in the world.
    pub elapsed_ns: u64,
    /// A digest of every action and start, in order.
    pub hash: u64,
    /// Points passed at which the process may go down.
    pub points: u64,
    /// Where it did: records written down, handed over, on disk, told to be, a step about to be called.
    pub down_at: [u64; 5],
    /// Transactions that were refused.
    pub refusals: u64,
    /// Times that the loop's timer came late.
    pub late_ticks: u64,
    /// Jumps of the clock.
    pub jumps: u64,
    /// Releases of a new version.
    pub releases: u64,
    /// Time from the last fault to the last run's end.
    pub calmed_ns: u64,
    /// Moves that were seen.
    pub coverage: Coverage,
}

/// Plays a workload to its end.
///
/// # Errors
/// The first thing that must not happen, with the command that replays it; a panic of the engine too.
pub fn simulate(workload: &Workload) -> Result<Report, Violation> {
    let played = catch_unwind(AssertUnwindSafe(|| World::new(workload).play()));
    let what = match played {
        Ok(Ok(report)) => return Ok(report),
        Ok(Err(what)) => what,
        Err(panic) => match panic.downcast::<String>() {
            Ok(text) => format!("the engine panicked: {text}"),
            Err(_) => "the engine panicked".into(),
        },
    };
    Err(Violation::of(workload, what))
}

impl Report {
    /// Adds what came of another world.
    pub fn merge(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.late += other.late;
        self.refused += other.refused;
        self.vanished += other.vanished;
        self.stalled += other.stalled;
        self.unknown += other.unknown;
        self.crashes += other.crashes;
        self.restored += other.restored;
        self.attempts += other.attempts;
        self.events += other.events;
        self.elapsed_ns += other.elapsed_ns;
        self.hash ^= other.hash;
        self.points += other.points;
        self.down_at.iter_mut().zip(other.down_at).for_each(|(sum, it)| *sum += it);
        self.refusals += other.refusals;
        self.late_ticks += other.late_ticks;
        self.jumps += other.jumps;
        self.releases += other.releases;
        self.calmed_ns = self.calmed_ns.max(other.calmed_ns);
        self.coverage.merge(&other.coverage);
    }

    /// What was covered, for people.
    pub fn summary(&self) -> String {
        let Self { succeeded, failed, cancelled, late, refused, vanished, .. } = self;
        let Self { stalled, unknown, crashes, restored, attempts, events, coverage, .. } = self;
        let Self { down_at, refusals, late_ticks, jumps, releases, .. } = self;
        format!(
            "runs: {succeeded} succeeded, {failed} failed, {cancelled} cancelled, {late} late, {refused} refused, \
             {vanished} vanished with a crash\n\
             {attempts} attempts, {events} events, {unknown} outcomes unknown, {stalled} compensations stalled\n\
             {crashes} crashes, after which {restored} runs went on; {down_at:?} with records written down, handed \
             over, on disk, told to be, a step about to be called\n\
             {refusals} transactions refused, {late_ticks} late ticks, {jumps} jumps of the clock, {releases} releases\n\
             the last run was over {:.1} s after the last fault\n\
             rows of the state tables visited: {} of runs, {} of nodes",
            self.calmed_ns as f64 / 1e9,
            coverage.runs.len(),
            coverage.nodes.len()
        )
    }

    /// How many runs ended in a way, which is known by its tag in the hash.
    pub(crate) const fn ended(&mut self, tag: u64) -> &mut u64 {
        match tag {
            4 => &mut self.succeeded,
            5 => &mut self.failed,
            6 => &mut self.cancelled,
            _ => &mut self.late,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Happening {
    Arrival(u64),
    Crash,
    Ends(AttemptKey, End),
    Heartbeat(AttemptKey),
    UserCancels(RunKey),
    Pauses(RunKey),
    Resumes(RunKey),
    Resolves(RunKey, Place),
    Signal(RunKey, u32),
    Answered(Question),
    /// What nobody waits for is handed over to the store.
    Flush,
    /// A transaction ends.
    Commits(Lsn),
    Synced(Lsn),
    /// The clock jumps ahead.
    Jumps(u64),
    /// A queue gets other limits.
    Reconfigured(usize, u64),
    /// A release begins, or is over.
    Released(bool),
    /// Faults stop.
    Calm,
    /// People see to what waits for them.
    Attends,
}

/// What the engine wants to know of an inline node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Question {
    run: RunKey,
    node: Place,
    template: NodeId,
    what: What,
}

/// [`Evaluation`], in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    Function,
    Count,
    Gather,
    Until,
}

impl From<Evaluation> for What {
    fn from(what: Evaluation) -> Self {
        match what {
            Evaluation::Function => Self::Function,
            Evaluation::Count => Self::Count,
            Evaluation::Gather => Self::Gather,
            Evaluation::Until => Self::Until,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Done,
    Failed,
    FailedForGood,
    Cancelled,
    Interrupted,
}

pub(crate) struct World<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) engine: Engine,
    pub(crate) checker: Checker<'a>,
    pub(crate) now_ns: u64,
    pub(crate) coming: BinaryHeap<Reverse<Coming>>,
    scheduled: u64,
    /// Attempts under way, by slot of their key.
    pub(crate) attempts: Vec<Option<Start>>,
    pub(crate) evaluating: Vec<Question>,
    /// When faults stopped.
    pub(crate) calm_ns: Option<u64>,
    /// When time moved the last time, and how many calls had been made.
    pub(crate) moved: (u64, u64),
    /// The deadline that the loop's timer was set for, and when it comes.
    pub(crate) wakes: Option<(u64, u64)>,
    /// Whether nothing could be started the last time.
    pub(crate) drained: bool,
    records: Vec<Record>,
    /// The number that the next run to be accepted will have.
    pub(crate) number: u64,
    pub(crate) disk: Disk,
    /// The process goes down at this point, after it was passed so often.
    pub(crate) doomed: Option<(Point, u64)>,
    /// It has: nothing of it reaches the disk or a step any more.
    pub(crate) down: bool,
    /// By number, how runs ended that may have to be restored.
    pub(crate) ends: BTreeMap<u64, u64>,
    /// Of 1,000 runs, how many are of a new version.
    pub(crate) share: u64,
    pub(crate) report: Report,
}

/// When something happens, which of those scheduled it is, and what.
pub(crate) type Coming = (u64, u64, Happening);

/// An engine that knows of the workload, and nothing of its runs.
pub(crate) fn engine(workload: &Workload) -> Engine {
    let mut engine = Engine::new(workload.config);
    for model in &workload.queues {
        engine.add_queue(model.clone());
    }
    for (plan, policies) in workload.plans() {
        engine.add_plan(Arc::new(plan), policies.to_vec());
    }
    engine
}

impl<'a> World<'a> {
    fn new(workload: &'a Workload) -> Self {
        let mut checker = Checker::new(workload);
        let mut engine = engine(workload);
        checker.money.open(workload, &mut engine, workload.begin_ns);
        Self {
            workload,
            engine,
            checker,
            now_ns: workload.begin_ns,
            coming: BinaryHeap::new(),
            scheduled: 0,
            attempts: Vec::new(),
            evaluating: Vec::new(),
            calm_ns: None,
            moved: (u64::MAX, 0),
            wakes: None,
            drained: true,
            records: Vec::new(),
            number: 0,
            disk: Disk::after(Lsn(0)),
            doomed: None,
            down: false,
            ends: BTreeMap::new(),
            share: 0,
            report: Report::default(),
        }
    }

    fn play(mut self) -> Result<Report, String> {
        self.schedule(0, Happening::Arrival(0));
        self.schedule_faults();
        self.schedule_release();
        loop {
            if self.is_down() {
                self.crash()?;
            }
            self.start_what_can_start()?;
            self.is_in_time()?;
            let over = self.is_calm() && self.engine.run_count() == 0 && self.engine.running() == 0;
            let coming = self.coming.peek().map(|Reverse((at_ns, ..))| *at_ns);
            let deadline = self.engine.next_deadline_ns().map(|at_ns| self.wakes_ns(at_ns));
            match (coming, deadline) {
                _ if over => break,
                (None, None) => {
                    return broken(8, format!("nothing will ever happen: {:?}", self.stuck()));
                }
                (Some(at_ns), deadline) if deadline.is_none_or(|deadline| at_ns < deadline) => {
                    self.now_ns = self.now_ns.max(at_ns);
                    if let Some(Reverse((_, _, happening))) = self.coming.pop() {
                        self.happen(happening)?;
                    }
                }
                (_, deadline) => {
                    self.now_ns = self.now_ns.max(deadline.unwrap_or_default());
                    self.handle(Event::Tick)?;
                }
            }
        }
        self.checker.finish(&self.engine)?;
        self.checker.money.check(self.workload, &self.engine)?;
        self.report.elapsed_ns = self.now_ns - self.workload.begin_ns;
        let calm_ns = self.calm_ns.unwrap_or_default();
        self.report.calmed_ns = self.now_ns - calm_ns.min(self.now_ns);
        self.report.coverage = self.checker.coverage;
        Ok(self.report)
    }

    /// Whether the process has gone down, or has nothing left to do.
    pub(crate) const fn is_down(&self) -> bool {
        self.down
    }

    fn start_what_can_start(&mut self) -> Checked {
        while let Some(start) = self.engine.dispatch(self.now_ns) {
            self.drained = false;
            self.report.attempts += 1;
            let parts =
                [start.attempt.0, start.run.0, u64::from(start.node.0), start.number.into()];
            self.hash(parts);
            self.drain(false)?;
            self.checker.started(&self.engine, &start)?;
            let slot = slot(start.attempt);
            if slot >= self.attempts.len() {
                self.attempts.resize(slot + 1, None);
            }
            self.attempts[slot] = Some(start);
            self.reach(Point::Called);
            if self.is_down() {
                self.crash()?;
                continue;
            }
            self.run_step(&start)?;
        }
        self.drained = true;
        // Starts that are to reach the disk first were recorded, though none was given.
        self.drain(false)
    }

    fn run_step(&mut self, start: &Start) -> Checked {
        let behaviour = &self.workload.behaviour;
        let dice = |what: u64| {
            let number = self.engine.number(start.run).unwrap_or_default();
            let place = u64::from(start.node.0) << 32 | u64::from(start.number);
            draw(self.workload.seed, [what, number, place, 0])
        };
        let share = |what| dice(what) % 1_000;
        // An interrupted attempt keeps its number, and a resumed compensation starts from 1 again: it is the
        // key that tells one from the next.
        let once = |what| draw(self.workload.seed, [what, start.attempt.0, self.now_ns, 3]) % 1_000;
        let interrupted = once(2) < behaviour.interrupted;
        let kind = self.workload.graphs[start.plan.0 as usize].0.nodes[start.template.index()].kind;
        let undoes = matches!(kind, NodeKind::Undo { .. });
        let stalls = undoes && once(9) < behaviour.stalling;
        let end = match share(1) {
            _ if self.is_calm() => End::Done,
            _ if stalls => End::FailedForGood,
            _ if undoes && interrupted => End::Interrupted,
            _ if undoes => End::Done,
            it if it < behaviour.failing => End::Failed,
            it if it < behaviour.failing + behaviour.fatal => End::FailedForGood,
            _ if interrupted => End::Interrupted,
            _ => End::Done,
        };
        let length_ns = exponential(behaviour.duration_ns, dice(3));
        let hangs = share(4) < behaviour.hanging && !undoes && !self.is_calm();
        let instant = share(5) < behaviour.instant;
        let attempt = start.attempt;
        if instant && !hangs {
            return self.happen(Happening::Ends(attempt, end));
        }
        self.handle(Event::Suspended { attempt })?;
        if !hangs {
            self.schedule(length_ns, Happening::Ends(attempt, end));
            self.schedule(length_ns / 2, Happening::Heartbeat(attempt));
        }
        Ok(())
    }

    pub(crate) fn happen(&mut self, happening: Happening) -> Checked {
        match happening {
            Happening::Arrival(number) => self.arrive(number),
            Happening::Heartbeat(attempt) => {
                self.handle(Event::Heartbeat { attempt })?;
                self.spend(attempt)
            }
            Happening::Synced(lsn) => {
                self.checker.synced(lsn);
                self.handle(Event::Synced { lsn })?;
                self.reach(Point::Told);
                Ok(())
            }
            Happening::Flush => {
                self.flush_lazily();
                Ok(())
            }
            Happening::Commits(lsn) => {
                self.commits(lsn);
                Ok(())
            }
            Happening::Jumps(by_ns) => {
                self.now_ns += if self.is_calm() { 0 } else { by_ns };
                self.report.jumps += 1;
                Ok(())
            }
            Happening::Reconfigured(queue, concurrency) => {
                if self.is_calm() {
                    Ok(())
                } else {
                    self.configure(queue, concurrency)
                }
            }
            Happening::Released(begins) => {
                self.release(begins);
                Ok(())
            }
            Happening::Calm => self.calm(),
            Happening::Attends => self.attend(),
            Happening::Crash => {
                let dice = |what| draw(self.workload.seed, [11, what, self.now_ns, 0]);
                if !self.is_calm() {
                    let point = Point::ALL[(dice(1) % Point::ALL.len() as u64) as usize];
                    self.doomed = Some((point, dice(2) % 6));
                }
                Ok(())
            }
            Happening::Resolves(run, node) => self.resolve(run, node),
            Happening::UserCancels(run) => {
                self.report.events += 1;
                self.engine.cancel(self.now_ns, run);
                self.drain(false)
            }
            Happening::Pauses(run) => {
                self.report.events += 1;
                if self.engine.pause(self.now_ns, run) {
                    self.schedule(self.workload.behaviour.duration_ns, Happening::Resumes(run));
                }
                self.drain(false)
            }
            Happening::Resumes(run) => {
                self.report.events += 1;
                if draw(self.workload.seed, [27, run.0, self.now_ns, 0]).is_multiple_of(3) {
                    self.provide(run)?;
                }
                let unknown = !self.engine.unknown(run).is_empty();
                if self.engine.resume(self.now_ns, run) && unknown {
                    return Err(format!("{run:?} is resumed though an outcome is not known"));
                }
                self.drain(false)
            }
            Happening::Signal(run, signal) => self.signal(run, signal),
            Happening::Answered(question) => self.answer(question),
            Happening::Ends(attempt, end) => {
                let slot = slot(attempt);
                if let Some(start) = self.attempts[slot].filter(|start| start.attempt == attempt) {
                    self.attempts[slot] = None;
                    self.checker.stopped(&start);
                }
                self.end(attempt, end)?;
                let again = draw(self.workload.seed, [6, attempt.0, self.now_ns, 0]) % 1_000;
                if again < self.workload.behaviour.repeated {
                    self.handle(Event::Suspended { attempt })?;
                    self.end(attempt, end)?;
                }
                Ok(())
            }
        }
    }

    fn end(&mut self, attempt: AttemptKey, end: End) -> Checked {
        if end == End::Interrupted {
            return self.handle(Event::Interrupted { attempt });
        }
        let value = self.checker.value();
        let failure = Failure { retryable: end == End::Failed, ..Failure::FINAL };
        self.handle(match end {
            End::Done | End::Interrupted => Event::Done { attempt, value },
            End::Failed | End::FailedForGood => Event::Failed { attempt, error: value, failure },
            End::Cancelled => Event::Cancelled { attempt, error: value },
        })
    }

    pub(crate) fn handle(&mut self, event: Event) -> Checked {
        self.report.events += 1;
        self.engine.handle(self.now_ns, event);
        self.drain(event == Event::Tick)
    }

    /// Performs what the engine asks for, and has everything checked.
    pub(crate) fn drain(&mut self, tick: bool) -> Checked {
        loop {
            self.take(tick)?;
            let Some(question) = self.evaluating.pop() else { return Ok(()) };
            let dice = draw(self.workload.seed, [8, self.report.events, 0, 0]) % 1_000;
            if dice < self.workload.behaviour.deferred {
                self.schedule(1 + dice, Happening::Answered(question));
            } else {
                self.answer_now(question)?;
            }
        }
    }

    /// Takes what the engine gives, and answers nothing yet.
    pub(crate) fn take(&mut self, tick: bool) -> Checked {
        self.records.extend_from_slice(self.engine.records());
        self.engine.clear_records();
        let mut records = std::mem::take(&mut self.records);
        for record in &records {
            self.checker.recorded(&self.engine, record)?;
        }
        self.appended(&records)?;
        records.clear();
        self.records = records;
        while let Some(action) = self.engine.poll() {
            self.perform(&action)?;
        }
        self.ends_are_told()?;
        if tick {
            self.checker.ticked_ns = self.now_ns;
        }
        self.checker.settle(&self.engine, tick)?;
        if !self.report.events.is_multiple_of(self.workload.inspect_one_in) {
            return Ok(());
        }
        self.checker.money.check(self.workload, &self.engine)?;
        self.checker.runs_are_known(&self.engine)?;
        crate::standing::check(self.workload, &self.engine, &self.checker.asked, self.drained)
            .map(|_| ())
    }

    fn answer(&mut self, question: Question) -> Checked {
        self.answer_now(question)?;
        self.drain(false)
    }

    /// Answers at random.
    fn answer_now(&mut self, question: Question) -> Checked {
        let Question { run, node, template, what } = question;
        self.checker.asked.remove(&(run, node));
        self.report.events += 1;
        let number = self.engine.number(run).unwrap_or_default();
        let dice = |what| draw(self.workload.seed, [7, what, number, self.report.events]);
        let graph = self.engine.plan_of(run).map(|plan| &self.workload.graphs[plan.0 as usize].0);
        let kind = graph.map(|graph| graph.nodes[template.index()].kind);
        let under_way =
            self.engine.node_state(run, node) == Some(penstock_engine::NodeState::Running);
        if under_way && what == What::Function {
            self.checker.inputs_are_there(&self.engine, run, node, template)?;
        }
        if dice(1).is_multiple_of(50) && self.workload.behaviour.fatal > 0 {
            let error = self.checker.value();
            self.engine
                .handle(self.now_ns, Event::DecidedFailed { run, node, error, refusal: None });
            return Ok(());
        }
        let outcomes = match (what, kind) {
            (What::Function, Some(NodeKind::Switch { outcomes })) => Some(u64::from(outcomes)),
            (What::Function, Some(NodeKind::Acquire { .. })) => Some(crate::winding::KEYS),
            (What::Function, Some(NodeKind::When | NodeKind::Accept { .. })) | (What::Until, _) => {
                Some(2)
            }
            _ => None,
        };
        let event = match (what, outcomes) {
            (What::Count, _) => Event::Counted { run, node, count: (dice(2) % 4) as u32 },
            (What::Function, Some(_)) if matches!(kind, Some(NodeKind::Accept { .. })) => {
                let accepted = dice(2).is_multiple_of(2);
                let score = Score::of(f64::from(u8::from(accepted)));
                Event::Judged { run, node, accepted, score }
            }
            (_, Some(outcomes)) => {
                Event::Chosen { run, node, outcome: dice(2) % outcomes, score: None }
            }
            _ => Event::Decided { run, node, value: self.checker.value() },
        };
        self.engine.handle(self.now_ns, event);
        Ok(())
    }

    fn perform(&mut self, action: &Action) -> Checked {
        match *action {
            Action::Evaluate { run, node, template, what } => {
                self.hash([1, run.0, node.0.into(), 0]);
                self.evaluating.push(Question { run, node, template, what: what.into() });
                self.checker.asked.insert((run, node));
                self.checker.is_under_way(run)
            }
            Action::Cancel { attempt, cause } => {
                self.hash([2, attempt.0, cause as u64, 0]);
                self.cancel(attempt, cause)
            }
            Action::Drop { value } => {
                self.hash([3, value.0.into(), 0, 0]);
                self.checker.give_up(value)
            }
            Action::Ended { run, ref ledger, outcome, .. } => {
                let tag = match outcome {
                    Outcome::Succeeded(_) => 4,
                    Outcome::Failed { .. } => 5,
                    Outcome::Cancelled => 6,
                    Outcome::DeadlineExceeded => 7,
                };
                *self.report.ended(tag) += 1;
                self.hash([tag, run.0, 0, 0]);
                let entries = ledger.as_ref().map_or(&[][..], |ledger| ledger.entries());
                let number = self.checker.ended(&self.engine, run, outcome, entries)?;
                if self.workload.behaviour.crashes > 0 {
                    self.ends.insert(number, tag);
                }
                Ok(())
            }
            Action::Queue { queue, news } => {
                self.hash([10, queue.0.into(), news as u64, 0]);
                Ok(())
            }
            Action::Stalled { run, node, cause: Cause::OutcomeUnknown } => {
                self.hash([9, run.0, node.0.into(), 0]);
                self.report.unknown += 1;
                let dice = draw(self.workload.seed, [13, run.0, node.0.into(), self.now_ns]);
                let patience_ns = exponential(5 * self.workload.behaviour.duration_ns, dice);
                self.schedule(patience_ns / 2, Happening::Resumes(run));
                self.schedule(patience_ns, Happening::Resolves(run, node));
                self.checker.is_under_way(run)
            }
            Action::Stalled { run, cause, .. } => {
                self.hash([8, run.0, 0, 0]);
                self.report.stalled += 1;
                // Who has no money asks for it again, but not at once.
                let least_ns = if cause == Cause::Budget { 100 * MS } else { 0 };
                let patience_ns = least_ns.max(10 * self.workload.behaviour.duration_ns);
                self.schedule(patience_ns, Happening::Resumes(run));
                self.checker.is_under_way(run)
            }
        }
    }

    fn cancel(&mut self, attempt: AttemptKey, cause: CancelCause) -> Checked {
        let start = self.attempts.get(slot(attempt)).copied().flatten();
        let Some(start) = start.filter(|start| start.attempt == attempt) else {
            return Err(format!("I4: {attempt:?} is cancelled, but not under way"));
        };
        self.checker.told(&start, cause, self.now_ns)?;
        let behaviour = &self.workload.behaviour;
        let dice = |what: u64| draw(self.workload.seed, [what, attempt.0, self.now_ns, 2]);
        let share = dice(1) % 1_000;
        let quickly_ns = exponential(1 + behaviour.duration_ns / 10, dice(2));
        if self.is_calm() || share >= behaviour.stuck + behaviour.stubborn {
            self.schedule(quickly_ns, Happening::Ends(attempt, End::Cancelled));
        } else if share >= behaviour.stuck {
            let late_ns = self.workload.config.cancel_grace_ns + quickly_ns;
            self.schedule(late_ns, Happening::Ends(attempt, End::Cancelled));
        }
        Ok(())
    }

    pub(crate) fn schedule(&mut self, after_ns: u64, happening: Happening) {
        self.scheduled += 1;
        self.coming.push(Reverse((self.now_ns + after_ns, self.scheduled, happening)));
    }

    pub(crate) fn hash(&mut self, parts: [u64; 4]) {
        self.report.hash = draw(self.report.hash, parts);
    }
}

/// A time from an exponential distribution, at least 1 ns.
pub(crate) fn exponential(mean_ns: u64, dice: u64) -> u64 {
    let uniform = ((dice >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
    1 + (-uniform.ln() * mean_ns as f64) as u64
}

const fn slot(attempt: AttemptKey) -> usize {
    (attempt.0 & 0xffff_ffff) as usize
}
