//! What runs spend, and the rows that the books become.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};

use penstock_engine::{
    AcceptError, Amount, AttemptKey, AttemptKind, AttemptMetrics, Counts, Distribution, Engine,
    Event, HandoffCounts, Ledger, NodeId, Page, PlanId, QueueId, Refusal, ResourceId, RunEnd,
    RunKey, Spending, StepId, WINDOW_NS, Waste,
};
use penstock_journal::{Batch, Note, Reader, Rollup, RunRow, StoreError};
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use serde_json::{Map, Value as Json, json};

use crate::core::Core;
use crate::state::State;
use crate::tags::root_of;

/// What may be spent, each known by a number.
#[derive(Default)]
pub(crate) struct Resources {
    known: HashMap<Resource, ResourceId>,
    names: Vec<Resource>,
}

/// A resource as the store names it: the fields of a `spent` record's facts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Resource {
    /// Such as `input` or `tool`.
    pub(crate) kind: String,
    /// Of what: a model, a tool, a role.
    pub(crate) name: String,
    /// How it was asked for, such as `batch`.
    pub(crate) mode: String,
    /// Digest of the rates it was priced at.
    pub(crate) rate: String,
}

impl Resource {
    pub(crate) fn facts(&self) -> String {
        let Self { kind, name, mode, rate } = self;
        let mut facts = Map::new();
        for (key, text) in [("mode", mode), ("name", name), ("rate", rate), ("resource", kind)] {
            if !text.is_empty() {
                facts.insert(key.into(), text.as_str().into());
            }
        }
        Json::Object(facts).to_string()
    }

    pub(crate) fn of_facts(facts: &str) -> Self {
        let facts: Json = serde_json::from_str(facts).unwrap_or_default();
        let text = |key: &str| facts[key].as_str().unwrap_or_default().to_owned();
        Self { kind: text("resource"), name: text("name"), mode: text("mode"), rate: text("rate") }
    }

    /// What figures call it: its kind, and of what.
    fn label(&self) -> String {
        if self.name.is_empty() {
            return self.kind.clone();
        }
        format!("{}:{}", self.kind, self.name)
    }
}

impl Resources {
    /// The number of a resource, given now if it is new.
    pub(crate) fn id(&mut self, resource: Resource) -> ResourceId {
        if let Some(&id) = self.known.get(&resource) {
            return id;
        }
        let id = ResourceId(self.names.len() as u32);
        self.names.push(resource.clone());
        self.known.insert(resource, id);
        id
    }

    pub(crate) fn of(&self, id: ResourceId) -> Option<&Resource> {
        self.names.get(id.0 as usize)
    }

    fn label(&self, id: ResourceId) -> String {
        self.of(id).map(Resource::label).unwrap_or_default()
    }
}

/// What is known of steps and queues by their numbers, and what of their counts is in rows already.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) steps: HashMap<u32, String>,
    pub(crate) queues: HashMap<u32, String>,
    series: HashMap<(PlanId, StepId, QueueId, u8), AttemptMetrics>,
    asked: HashMap<QueueId, Counts>,
    /// Runs that a full or overloaded queue turned away.
    shed: HashMap<QueueId, u64>,
    /// Rows that others have made, where no store takes them.
    beside: VecDeque<Rollup>,
    /// What attempts of steps had cost before, by the step's name; and the steps that know it.
    costs_before: HashMap<String, Distribution>,
    learned: HashSet<u32>,
    /// Watched runs that had ended in an earlier process, and were counted at open.
    pub(crate) recounted: Vec<ClosedRow>,
    /// Whether figures are written when somebody says so, and not by themselves.
    pub(crate) by_hand: bool,
}

/// An entry of a run's ledger as Python sees it: `(path, attempt, resource, name, mode, rate, units, nano-dollars,
/// unpriced lines, copy, cut)`.
pub(crate) type SpentRow = (String, u32, String, String, String, String, u64, i64, u64, bool, bool);

/// `(window, kind, key, body)`: seconds since 1970, and JSON.
pub(crate) type FigureRow = (f64, String, String, String);

/// `(window in nanoseconds, kind, key, number, body)`.
pub(crate) type RollupRow = (u64, String, String, u64, String);

/// A watched run that has ended: `(run id, workflow's number, accepted, ended, body, root | None)`; the body is that of a
/// row of `runs`, with `held` in nanoseconds by queue, the longest `delay_ns`, and how many runs it has `spawned`; the
/// root is the run that it comes from, with the number of spawns between the two.
pub(crate) type ClosedRow = (String, u32, f64, f64, String, Option<(String, u32)>);

/// `(id, name, at, body)`.
pub(crate) type NoteRow = (i64, String, f64, String);

impl State {
    /// Rows of what was counted since the last time, which is forgotten here if they are taken.
    pub(crate) fn figures(&mut self, now_ns: u64, take: bool) -> Vec<Rollup> {
        let pages = if take {
            self.engine.books_mut().take()
        } else {
            self.engine.books().pages().to_vec()
        };
        let mut rows = self.rows_of(&pages);
        self.delays(now_ns, take, &mut rows);
        self.asked(now_ns, take, &mut rows);
        rows.extend(self.counted.beside.iter().cloned());
        rows
    }

    /// The rows that pages of the books become.
    fn rows_of(&self, pages: &[Page]) -> Vec<Rollup> {
        let mut rows = Vec::new();
        for page in pages {
            let key = self.key_of(page);
            let row =
                |kind, body: Json| rollup(page.key.window_ns, kind, key.clone(), body.to_string());
            let cohort = self.cohort(page);
            if cohort.as_object().is_some_and(|cohort| !cohort.is_empty()) {
                rows.push(row("runs", cohort));
            }
            if !page.cash.is_empty() {
                rows.push(row("cash", self.spending(&page.cash)));
            }
        }
        rows
    }

    /// So many runs were not accepted, and whoever wanted them does not wait.
    pub(crate) fn turned_away(&mut self, error: AcceptError, runs: u64) {
        if let AcceptError::QueueFull { queue, .. } | AcceptError::Shedding { queue, .. } = error {
            *self.counted.shed.entry(queue).or_default() += runs;
        }
    }

    /// Has the engine book what no record tells, as the run is over; the rows of it go to the store at once.
    fn book_late(&mut self, now_ns: u64, book: impl FnOnce(&mut Self)) {
        let usual = std::mem::take(self.engine.books_mut());
        book(self);
        let late = std::mem::replace(self.engine.books_mut(), usual);
        let rollups = self.rows_of(late.pages());
        if let Some(durable) = &mut self.durable {
            durable.put_beside(Batch { rollups, ..Batch::default() });
            durable.flush(now_ns);
        }
    }

    /// What was asked of queues since the last time.
    fn asked(&mut self, now_ns: u64, take: bool, rows: &mut Vec<Rollup>) {
        for queue in (0..self.engine.queue_count()).map(QueueId) {
            let seen = self.engine.queue(queue).total;
            let before = self.counted.asked.get(&queue).copied().unwrap_or_default();
            let shed = self.counted.shed.get(&queue).copied().unwrap_or(0);
            if seen == before && shed == 0 {
                continue;
            }
            let mut body = Map::new();
            put(&mut body, "first", seen.first - before.first);
            put(&mut body, "attempts", seen.sent - before.sent);
            put(&mut body, "denied", seen.denied - before.denied);
            put(&mut body, "succeeded", seen.good - before.good);
            put(&mut body, "late", seen.late - before.late);
            put(&mut body, "shed", shed);
            let key = json!({ "queue": self.counted.queues.get(&queue.0) }).to_string();
            let body = Json::Object(body).to_string();
            rows.push(rollup(window_of(now_ns), "queues", key, body));
            if take {
                self.counted.asked.insert(queue, seen);
                self.counted.shed.remove(&queue);
            }
        }
    }

    /// Watched runs that have ended since the last time; `row` is that of one whose key is not known.
    pub(crate) fn closed_rows(&mut self, row: Option<&RunRow>) -> Vec<ClosedRow> {
        let closed = self.engine.take_closed();
        let rows = closed.into_iter().filter_map(|it| {
            let known = it.run.and_then(|run| self.store.id(run)).map(ToString::to_string);
            let run_id = known.or_else(|| row.map(|row| row.run_id.clone()))?;
            let root = match row {
                Some(row) => root_of(&row.tags),
                None => it.run.and_then(|run| self.root_of_run(run)),
            };
            let mut body = self.cohort(&it.page);
            let mut held = Map::new();
            for &(queue, held_ns) in &it.load.held_ns {
                let name = self.counted.queues.get(&queue.0).cloned().unwrap_or_default();
                put(&mut held, &name, held_ns);
            }
            let content = body.as_object_mut()?;
            put(content, "held", held);
            put(content, "delay_ns", it.load.delay_ns);
            put(content, "spawned", it.spawned);
            let (accepted, ended) = (it.accepted_ns as f64 / 1e9, it.ended_ns as f64 / 1e9);
            let root = root.map(|(root, depth)| (root.to_owned(), depth));
            Some((run_id, it.page.key.plan.0, accepted, ended, body.to_string(), root))
        });
        rows.collect()
    }

    /// The run that a run comes from, that is over but for its side.
    fn root_of_run(&self, run: RunKey) -> Option<(&str, u32)> {
        let side = self.sides.get(crate::state::slot(run.0))?.as_ref()?;
        root_of(side.tags())
    }

    /// Whose figures a page has.
    fn key_of(&self, page: &Page) -> String {
        let parts = &self.plans[page.key.plan.0 as usize];
        json!({
            "overlay": parts.overlay,
            "tenant": self.tenants.name(page.key.tenant),
            "version": parts.plan.version(),
            "workflow": parts.plan.name(),
        })
        .to_string()
    }

    fn cohort(&self, page: &Page) -> Json {
        let plan = &self.plans[page.key.plan.0 as usize].plan;
        let mut body = Map::new();
        put(&mut body, "accepted", page.accepted);
        put(&mut body, "ended", by_word(RunEnd::ALL, &page.ended, RunEnd::name));
        put(&mut body, "first_outcome", by_word(RunEnd::ALL, &page.first_ended, RunEnd::name));
        put(&mut body, "first_pass", page.first_pass);
        put(&mut body, "degraded", page.degraded);
        put(&mut body, "recovered", page.recovered);
        put(&mut body, "latency", buckets(&page.latency.since(&Distribution::default())));
        let mut cost = Map::new();
        put(&mut cost, "nanos", page.nanos);
        put(&mut cost, "succeeded", page.succeeded_nanos);
        put(&mut cost, "squares", page.squares);
        put(&mut body, "cost", cost);
        let mut unpriced = Map::new();
        put(&mut unpriced, "lines", page.unpriced);
        put(&mut unpriced, "of", page.lines);
        put(&mut body, "unpriced", unpriced);
        put(&mut body, "waste", by_word(Waste::ALL, &page.waste, Waste::name));
        let mut nodes = Map::new();
        for node in 0..page.node_count() {
            let figures = self.node_figures(page, node);
            put(&mut nodes, plan.path(NodeId(node as u32)), figures);
        }
        put(&mut body, "nodes", nodes);
        Json::Object(body)
    }

    fn node_figures(&self, page: &Page, node: usize) -> Map<String, Json> {
        let Some(node) = page.node(node) else { return Map::new() };
        let mut body = by_word(AttemptKind::ALL, &node.attempts, AttemptKind::name);
        for (word, count) in
            ["succeeded", "failed", "cancelled", "skipped"].into_iter().zip(node.ended)
        {
            put(&mut body, word, count);
        }
        put(&mut body, "handoffs", handoffs(&node.handoffs));
        put(&mut body, "cross", handoffs(&node.cross));
        put(&mut body, "spend", self.spending(&node.spending));
        put(&mut body, "waste", by_word(Waste::ALL, &node.waste, Waste::name));
        put(&mut body, "kinds", by_word(AttemptKind::ALL, &node.kinds, AttemptKind::name));
        body
    }

    fn spending(&self, spending: &Spending) -> Json {
        let mut sums: HashMap<String, Amount> = HashMap::new();
        for (resource, amount) in spending.iter() {
            let sum = sums.entry(self.resources.label(resource)).or_default();
            sum.lines += amount.lines;
            sum.units += amount.units;
            sum.nanos += amount.nanos;
            sum.unpriced += amount.unpriced;
        }
        let sums = sums.into_iter().map(|(label, sum)| {
            let mut body = Map::new();
            put(&mut body, "lines", sum.lines);
            put(&mut body, "units", sum.units);
            put(&mut body, "nanos", sum.nanos);
            put(&mut body, "unpriced", sum.unpriced);
            (label, Json::Object(body))
        });
        Json::Object(sums.collect())
    }

    /// What attempts have waited and taken since the last time.
    fn delays(&mut self, now_ns: u64, take: bool, rows: &mut Vec<Rollup>) {
        let mut now_counted = Vec::new();
        for ((plan, step, queue), priority, seen) in self.engine.metrics().series() {
            let which = (plan, step, queue, priority);
            let nothing = AttemptMetrics::default();
            let before = self.counted.series.get(&which).unwrap_or(&nothing);
            let ended = seen.duration.len() != before.duration.len();
            if seen.attempts == before.attempts && seen.parked_ns == before.parked_ns && !ended {
                continue;
            }
            let parts = &self.plans[plan.0 as usize];
            let key = json!({
                "overlay": parts.overlay,
                "priority": priority,
                "queue": self.counted.queues.get(&queue.0),
                "step": self.counted.steps.get(&step.0),
                "version": parts.plan.version(),
                "workflow": parts.plan.name(),
            });
            let mut body = Map::new();
            put(&mut body, "attempts", seen.attempts - before.attempts);
            put(&mut body, "retries", seen.retries - before.retries);
            put(&mut body, "hedges", seen.hedges - before.hedges);
            put(&mut body, "succeeded", seen.succeeded - before.succeeded);
            put(&mut body, "failed", seen.failed - before.failed);
            put(&mut body, "timeouts", seen.timeouts - before.timeouts);
            put(&mut body, "held_ns", seen.held_ns - before.held_ns);
            put(&mut body, "parked_ns", seen.parked_ns - before.parked_ns);
            put(&mut body, "delay", buckets(&seen.queue_delay.since(&before.queue_delay)));
            put(&mut body, "duration", buckets(&seen.duration.since(&before.duration)));
            let (key, body) = (key.to_string(), Json::Object(body).to_string());
            rows.push(rollup(window_of(now_ns), "delays", key, body));
            if take {
                now_counted.push((which, seen.clone()));
            }
        }
        self.counted.series.extend(now_counted);
    }

    /// What a ledger says, with the words for its numbers.
    pub(crate) fn spent_rows(
        &self,
        ledger: &Ledger,
        path: impl Fn(penstock_engine::Place) -> String,
    ) -> Vec<SpentRow> {
        let entries = ledger.entries().iter();
        let rows = entries.map(|entry| {
            let what = self.resources.of(entry.resource).cloned().unwrap_or_default();
            let Resource { kind, name, mode, rate } = what;
            let Amount { units, nanos, unpriced, .. } = entry.amount;
            let (path, attempt) = (path(entry.node), entry.attempt);
            let (copy, cut) = (entry.copy, entry.cut);
            (path, attempt, kind, name, mode, rate, units, nanos, unpriced, copy, cut)
        });
        rows.collect()
    }

    /// When figures are written next; never where time is virtual, as it would never stand still.
    pub(crate) fn figures_ns(&self) -> Option<u64> {
        let durable = self.durable.as_ref().filter(|durable| !durable.is_inline())?;
        let some = !self.engine.books().pages().is_empty() && !self.counted.by_hand;
        some.then_some(durable.figures_ns)
    }

    /// Hands the figures over if it is time to.
    pub(crate) fn keep_figures_if_due(&mut self, now_ns: u64) {
        if self.figures_ns().is_some_and(|due_ns| due_ns <= now_ns) {
            self.keep_figures(now_ns, Vec::new());
            if let Some(durable) = &mut self.durable {
                durable.figures_ns = now_ns + FIGURES_NS;
            }
        }
    }

    /// Puts notes and rows into the store, together; where there is none, the rows are kept.
    fn put_figures(&mut self, notes: Vec<Note>, rows: Vec<FigureRow>) {
        let rollups = rows
            .into_iter()
            .map(|(at, kind, key, body)| rollup(window_of((at * 1e9) as u64), &kind, key, body));
        if let Some(durable) = &mut self.durable {
            durable.put_beside(Batch { rollups: rollups.collect(), notes, ..Batch::default() });
            return;
        }
        let beside = &mut self.counted.beside;
        beside.extend(rollups);
        beside.drain(..beside.len().saturating_sub(BESIDE_MAX));
    }

    /// Hands the figures over to the store, with how far they go.
    pub(crate) fn keep_figures(&mut self, now_ns: u64, states: Vec<(String, String)>) {
        if self.durable.is_none() {
            return;
        }
        let counted = Some(self.engine.lsn().0);
        let rollups = self.figures(now_ns, true);
        let mut states = states;
        if !rollups.is_empty() {
            states.extend(self.costs().map(|costs| (COSTS.to_owned(), costs)));
        }
        if let Some(durable) = &mut self.durable
            && !(rollups.is_empty() && states.is_empty())
        {
            durable.put_beside(Batch { rollups, counted, states, ..Batch::default() });
        }
    }
}

impl State {
    /// What attempts of steps have cost, by the step's name; `None` where nothing of it is known.
    fn costs(&self) -> Option<String> {
        let mut costs = Map::new();
        let mut by_name: HashMap<&str, Distribution> = HashMap::new();
        for (step, seen) in self.engine.costs() {
            let name = self.counted.steps.get(&step.0).map_or("", String::as_str);
            by_name.entry(name).or_default().merge(seen);
        }
        for (name, seen) in by_name {
            put(&mut costs, name, buckets(&seen.since(&Distribution::default())));
        }
        (!costs.is_empty()).then(|| Json::Object(costs).to_string())
    }

    /// Takes in what an earlier process has kept of that.
    pub(crate) fn read_costs(&mut self, reader: &Reader) -> Result<(), StoreError> {
        let text = reader.state(COSTS)?.unwrap_or_default();
        let kept: Json = serde_json::from_str(&text).unwrap_or_default();
        for (name, counts) in kept.as_object().into_iter().flatten() {
            let mut costs = Distribution::default();
            for (bucket, count) in counts.as_object().into_iter().flatten() {
                let count = count.as_u64().and_then(|count| u32::try_from(count).ok());
                if let (Ok(bucket), Some(count)) = (bucket.parse(), count) {
                    costs.add(bucket, count);
                }
            }
            self.counted.costs_before.insert(name.clone(), costs);
        }
        self.learn_costs();
        Ok(())
    }

    /// Lets steps that are new here know what they had cost before.
    pub(crate) fn learn_costs(&mut self) {
        let Counted { costs_before, learned, steps, .. } = &mut self.counted;
        if costs_before.is_empty() {
            return;
        }
        for (&step, name) in steps.iter() {
            if let Some(costs) = costs_before.get(name)
                && learned.insert(step)
            {
                self.engine.learn(StepId(step), costs);
            }
        }
    }
}

/// The key of what attempts have cost.
const COSTS: &str = "costs";

type Line = (ResourceId, u64, Option<i64>);

impl Core {
    /// Tells of watched runs that have ended.
    pub(crate) fn tell_closed(&self, py: Python<'_>, closed: Vec<ClosedRow>) {
        for row in closed {
            if let Err(error) = self.hooks.closed.call1(py, row) {
                self.asyncio.report(py, "the end of a run could not be told", &error);
            }
        }
    }

    /// An attempt has spent `(resource, units, nano-dollars or None)`; `after` is done when that is booked. False if it has
    /// ended.
    ///
    /// # Errors
    /// `OverflowError` where totals would leave 64 bits; nothing is booked then.
    pub(crate) fn spend_of(
        &self,
        py: Python<'_>,
        attempt: AttemptKey,
        lines: &[(u32, u64, Option<i64>)],
        after: impl FnOnce(&mut Engine, u64) -> bool,
    ) -> PyResult<bool> {
        let is_late = |engine: &Engine| {
            engine.attempt(attempt).is_some_and(|(run, ..)| engine.run(run).is_none())
        };
        let book = |engine: &mut Engine, now_ns, line| match line {
            Some((resource, units, nanos)) => {
                engine.handle(now_ns, Event::Spent { attempt, resource, units, nanos });
                true
            }
            None => engine.attempt(attempt).is_some(),
        };
        self.book(py, lines, is_late, book, after)
    }

    /// Books lines one by one; `book` is asked without a line first, whether it takes any, and `is_late` whether it is
    /// for a run that is over. `after` is done when they are booked, and says whether it
    /// did anything.
    fn book(
        &self,
        py: Python<'_>,
        lines: &[(u32, u64, Option<i64>)],
        is_late: impl Fn(&Engine) -> bool,
        book: impl Fn(&mut Engine, u64, Option<Line>) -> bool,
        after: impl FnOnce(&mut Engine, u64) -> bool,
    ) -> PyResult<bool> {
        let now_ns = self.read_clock(py);
        let mut all = crate::state::Effects::default();
        {
            let mut state = self.lock(py);
            if !book(&mut state.engine, now_ns, None) {
                return Ok(false);
            }
            let sum = lines.iter().try_fold(state.spent, |sum: i64, (_, _, nanos)| {
                sum.checked_add(nanos.unwrap_or(0))
            });
            let Some(sum) = sum else {
                return Err(PyOverflowError::new_err("more than 9.2 billion dollars in all"));
            };
            state.spent = sum;
            let book_all = |state: &mut State| {
                for &(resource, units, nanos) in lines {
                    book(&mut state.engine, now_ns, Some((ResourceId(resource), units, nanos)));
                    state.drain_into(py, &mut all);
                }
                if after(&mut state.engine, now_ns) {
                    state.drain_into(py, &mut all);
                }
            };
            if is_late(&state.engine) && state.durable.is_some() {
                state.book_late(now_ns, book_all);
            } else {
                book_all(&mut state);
            }
        }
        self.perform(py, all);
        Ok(true)
    }
}

/// Figures are written so often.
const FIGURES_NS: u64 = 10_000_000_000;

/// Rows of others that are kept where there is no store; beyond, the oldest goes.
const BESIDE_MAX: usize = 65_536;

const fn window_of(at_ns: u64) -> u64 {
    at_ns - at_ns % WINDOW_NS
}

fn rollup(window_ns: u64, kind: &str, key: String, body: String) -> Rollup {
    let part = RandomState::new().build_hasher().finish() >> 1;
    Rollup { window_ns, kind: kind.to_owned(), key, part, body }
}

/// Leaves out what is nothing.
fn put(body: &mut Map<String, Json>, key: &str, value: impl Into<Json>) {
    let value = value.into();
    let nothing = match &value {
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::Object(map) => map.is_empty(),
        _ => false,
    };
    if !nothing {
        body.insert(key.to_owned(), value);
    }
}

fn by_word<W: Copy, N: Copy + Into<Json>>(
    words: &[W],
    numbers: &[N],
    name: impl Fn(W) -> &'static str,
) -> Map<String, Json> {
    let mut body = Map::new();
    for (&word, &number) in words.iter().zip(numbers) {
        put(&mut body, name(word), number);
    }
    body
}

fn buckets(counts: &[(usize, u32)]) -> Map<String, Json> {
    counts.iter().map(|(bucket, count)| (bucket.to_string(), (*count).into())).collect()
}

fn handoffs(counts: &HandoffCounts) -> Map<String, Json> {
    let mut body = by_word(&Refusal::ALL, &counts.refused, Refusal::name);
    put(&mut body, "accepted", counts.accepted);
    body
}

#[pymethods]
impl Core {
    /// Whether every run of a workflow is told of when it ends, with its figures.
    fn watch_plan(&self, py: Python<'_>, plan: u32, on: bool) {
        self.lock(py).engine.watch_plan(PlanId(plan), on);
    }

    /// Whether figures are written by [`Core::keep_figures`] and at close alone.
    fn figures_by_hand(&self, py: Python<'_>, by_hand: bool) {
        self.lock(py).counted.by_hand = by_hand;
    }

    /// Watched runs that ended in an earlier process, and were not in the figures it has written.
    fn recounted(&self, py: Python<'_>) -> Vec<ClosedRow> {
        std::mem::take(&mut self.lock(py).counted.recounted)
    }

    /// What was kept last with the figures, under a key.
    ///
    /// # Errors
    /// `StoreError`.
    fn state(&self, py: Python<'_>, key: &str) -> PyResult<Option<String>> {
        let found = match &self.lock(py).durable {
            Some(durable) => durable.reader.state(key),
            None => Ok(None),
        };
        found.map_err(|error| self.store_error(py, &error))
    }

    /// The number of a resource.
    fn resource(
        &self,
        py: Python<'_>,
        kind: String,
        name: String,
        mode: String,
        rate: String,
    ) -> u32 {
        self.lock(py).resources.id(Resource { kind, name, mode, rate }).0
    }

    /// An attempt has spent `(resource, units, nano-dollars or None)`; from any thread. False if it has ended.
    ///
    /// # Errors
    /// `OverflowError` where totals would leave 64 bits; nothing is booked then.
    #[expect(clippy::needless_pass_by_value, reason = "what Python gives is extracted")]
    fn spend(
        &self,
        py: Python<'_>,
        attempt: u64,
        lines: Vec<(u32, u64, Option<i64>)>,
    ) -> PyResult<bool> {
        self.spend_of(py, AttemptKey(attempt), &lines, |_, _| false)
    }

    /// Somebody has spent `(resource, units, nano-dollars or None)` on a node that waits for a signal; false if
    /// it does not.
    ///
    /// # Errors
    /// As [`Core::spend`].
    #[expect(clippy::needless_pass_by_value, reason = "what Python gives is extracted")]
    fn spend_on(
        &self,
        py: Python<'_>,
        run: u64,
        path: &str,
        lines: Vec<(u32, u64, Option<i64>)>,
    ) -> PyResult<bool> {
        let run = penstock_engine::RunKey(run);
        let awaiting = |engine: &Engine| {
            let mut nodes = engine.awaiting(run).iter().copied();
            nodes.find(|&node| engine.path(run, node).as_deref() == Some(path))
        };
        let book = |engine: &mut Engine, now_ns, line| match (awaiting(engine), line) {
            (None, _) => false,
            (Some(node), Some(line)) => engine.spend_on(now_ns, run, node, line),
            (Some(_), None) => true,
        };
        self.book(py, &lines, |_| false, book, |_, _| false)
    }

    /// What a run has spent, as long as it is known here.
    fn spent(&self, py: Python<'_>, run: u64) -> Option<Vec<SpentRow>> {
        let run = penstock_engine::RunKey(run);
        let state = self.lock(py);
        if let Some(live) = state.engine.run(run) {
            let plan = state.parts_of(run)?;
            let layout = live.layout();
            let ledger = live.ledger().cloned().unwrap_or_default();
            return Some(state.spent_rows(&ledger, |place| layout.path(&plan.plan, place)));
        }
        let past = state.past(run)?;
        let plan = state.plans.get(past.plan.0 as usize)?;
        let layout = past.layout.as_deref().cloned().unwrap_or_default();
        let ledger = past.ledger.as_deref().cloned().unwrap_or_default();
        Some(state.spent_rows(&ledger, |place| layout.path(&plan.plan, place)))
    }

    /// What was counted and is not in the store yet.
    fn figures(&self, py: Python<'_>) -> Vec<FigureRow> {
        let now_ns = self.read_clock(py);
        let rows = self.lock(py).figures(now_ns, false);
        let rows = rows.into_iter();
        rows.map(|row| (row.window_ns as f64 / 1e9, row.kind, row.key, row.body)).collect()
    }

    /// Sets something down in the store, unless that was done with this key before, together with rows
    /// `(window, kind, key, body)` that count it.
    #[pyo3(signature = (key, kind, name, body, rows=Vec::new()))]
    fn note(
        slf: &Bound<'_, Self>,
        key: String,
        kind: String,
        name: String,
        body: String,
        rows: Vec<FigureRow>,
    ) -> PyResult<()> {
        let (core, py) = (slf.get(), slf.py());
        let at_ns = core.read_clock(py);
        let notes = vec![Note { id: 0, key, kind, name, at_ns, body }];
        core.lock(py).put_figures(notes, rows);
        core.schedule_pump(slf)
    }

    /// Puts rows `(window, kind, key, body)` in the place of others `(window in nanoseconds, kind, key, number)`, in one
    /// transaction with a state.
    fn replace_figures(
        slf: &Bound<'_, Self>,
        outdated: Vec<(u64, String, String, u64)>,
        rows: Vec<FigureRow>,
        states: Vec<(String, String)>,
    ) -> PyResult<()> {
        let rollups = rows
            .into_iter()
            .map(|(at, kind, key, body)| rollup((at * 1e9) as u64, &kind, key, body));
        if let Some(durable) = &mut slf.get().lock(slf.py()).durable {
            let rollups = rollups.collect();
            durable.put_beside(Batch { outdated, rollups, states, ..Batch::default() });
        }
        slf.get().schedule_pump(slf)
    }

    /// Counts rows `(window, kind, key, body)` among the figures.
    fn count(slf: &Bound<'_, Self>, rows: Vec<FigureRow>) -> PyResult<()> {
        slf.get().lock(slf.py()).put_figures(Vec::new(), rows);
        slf.get().schedule_pump(slf)
    }

    /// Writes what was counted to the store, and in the same transaction what others go on from, by key.
    #[pyo3(signature = (states=Vec::new()))]
    fn keep_figures(slf: &Bound<'_, Self>, states: Vec<(String, String)>) -> PyResult<()> {
        let (core, py) = (slf.get(), slf.py());
        let now_ns = core.read_clock(py);
        core.lock(py).keep_figures(now_ns, states);
        core.schedule_pump(slf)
    }
}
