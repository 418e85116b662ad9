//! The durable side of a runtime: what its records become on disk, and who waits until they are there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use penstock_engine::{
    AttemptKey, Base, Body, Cause, Durability, Engine, Layout, Outcome, Record, RunKey, RunStatus,
    Start, ValueId,
};
use penstock_journal::{Batch, Head, Journal, Line, NewRun, Options, Reader, StoreError};
use pyo3::prelude::*;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::books::Resources;
use crate::cold::COOL_AFTER_NS;
use crate::flight::{Flight, Left};
use crate::plan::PlanParts;
use crate::state::{EndedRun, slot};
use crate::values::{Payload, Values};

/// A runtime's store, and what is on its way there.
pub(crate) struct Durable {
    pub(crate) journal: Journal,
    /// What a process that is killed leaves behind.
    flight: Arc<Flight>,
    /// Runs that an earlier process had attempts of under way when it went down.
    pub(crate) crashed: BTreeSet<u64>,
    /// Reads what is no longer in memory.
    pub(crate) reader: Reader,
    /// What the next hand-over takes along.
    outbox: Batch,
    /// Whether somebody waits for what is in the outbox.
    urgent: bool,
    /// Since when something has been in the outbox for which nobody waits.
    lazy_since_ns: Option<u64>,
    /// Who waits for a record and a batch to be on disk, by their numbers.
    acks: VecDeque<(u64, u64, Ack)>,
    /// By slot of the run's key.
    runs: Vec<Kept>,
    /// The last record that is written, or will be: not every record is.
    lsn: u64,
    /// The run that is being accepted.
    accepting: Option<Accepting>,
    /// Keys of commands from outside that the records of this call carry out.
    pub(crate) command: Option<Box<str>>,
    is_inline: bool,
    cold_count: usize,
    /// Where looking for runs to cool goes on, and when.
    look_from: usize,
    look_ns: u64,
    /// When figures are written next.
    pub(crate) figures_ns: u64,
}

/// What the store needs of a run under way.
#[derive(Clone, Copy, Default)]
struct Kept {
    number: u64,
    durability: Durability,
    /// The generation that its idempotency keys name.
    keys: u32,
    /// Records written, of a run that writes few.
    written: u32,
    /// When something was recorded of it last.
    touched_ns: u64,
    /// Whether its values are in the store only.
    cold: bool,
}

/// What waits for the disk.
pub(crate) enum Ack {
    /// A future to be set done.
    Future(Py<PyAny>),
    /// A run's end to be told.
    Ended(Box<EndedRun>),
}

/// A run that is being accepted, as the store will know it.
pub(crate) struct Accepting {
    pub(crate) run: NewRun,
    /// JSON array of its inputs.
    pub(crate) inputs: Box<[u8]>,
}

/// Records for which nobody waits are handed over when there are so many.
const LAZY_MAX: usize = 4_096;
/// Or when they are this old.
pub(crate) const LAZY_NS: u64 = 50_000_000;

impl Durable {
    /// Opens a store, or makes one. `inline` commits in the caller's thread, for virtual time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn open(path: &Path, inline: bool, attempts: u32) -> Result<Self, StoreError> {
        // Who has removed a store does not miss what was in it.
        let left = if path.exists() { Flight::read(path) } else { Left::default() };
        let flight = Arc::new(OnceLock::<Arc<Flight>>::new());
        let noted = Arc::clone(&flight);
        let note = move |lsn| {
            if let Some(flight) = noted.get() {
                flight.acked(lsn);
            }
        };
        let options = Options {
            inline,
            acked_lsn: left.acked_lsn,
            on_synced: Some(Box::new(note)),
            ..Options::default()
        };
        let journal = Journal::open(path, options)?;
        let made = Flight::create(path, attempts as usize, journal.last_lsn());
        let made = made.map_err(|error| StoreError::Io(format!("the flight file: {error}")))?;
        let flight = Arc::clone(flight.get_or_init(|| Arc::new(made)));
        let reader = Reader::open(path)?;
        let lsn = journal.last_lsn();
        Ok(Self {
            journal,
            flight,
            crashed: left.runs,
            reader,
            outbox: Batch::default(),
            urgent: false,
            lazy_since_ns: None,
            acks: VecDeque::new(),
            runs: Vec::new(),
            lsn,
            accepting: None,
            command: None,
            is_inline: inline,
            cold_count: 0,
            look_from: 0,
            look_ns: 0,
            figures_ns: 0,
        })
    }

    /// The next accepted record is this run's.
    pub(crate) fn accepting(&mut self, accepting: Accepting) {
        self.accepting = Some(accepting);
    }

    /// A run that is in the store already is under way again.
    pub(crate) fn restored(
        &mut self,
        run: RunKey,
        number: u64,
        durability: Durability,
        written: u32,
    ) {
        self.keep(run, number, durability);
        self.runs[slot(run.0)].written = written;
    }

    fn keep(&mut self, run: RunKey, number: u64, durability: Durability) {
        let slot = slot(run.0);
        if slot >= self.runs.len() {
            self.runs.resize(slot + 1, Kept::default());
        }
        self.set_cold(run, false);
        self.runs[slot] = Kept { number, durability, ..Kept::default() };
    }

    /// The generation that a run's idempotency keys name.
    pub(crate) fn keys(&self, run: RunKey) -> u32 {
        self.runs.get(slot(run.0)).map_or(0, |kept| kept.keys)
    }

    pub(crate) fn set_keys(&mut self, run: RunKey, keys: u32) {
        self.runs[slot(run.0)].keys = keys;
    }

    /// Runs whose values are in the store only.
    pub(crate) const fn cold_count(&self) -> usize {
        self.cold_count
    }

    /// Whether a run's values are in the store only.
    pub(crate) fn is_cold(&self, run: RunKey) -> bool {
        self.cold_count > 0 && self.runs.get(slot(run.0)).is_some_and(|kept| kept.cold)
    }

    pub(crate) fn set_cold(&mut self, run: RunKey, cold: bool) {
        let kept = &mut self.runs[slot(run.0)];
        self.cold_count += usize::from(cold);
        self.cold_count -= usize::from(std::mem::replace(&mut kept.cold, cold));
    }

    /// Whether nothing has been recorded of a warm run for long.
    pub(crate) fn may_cool(&self, run: RunKey, now_ns: u64) -> bool {
        let kept = &self.runs[slot(run.0)];
        !kept.cold && now_ns.saturating_sub(kept.touched_ns) >= COOL_AFTER_NS
    }

    /// The slots of the runs to look at now, if it is time to.
    pub(crate) fn next_looks(
        &mut self,
        now_ns: u64,
        most: usize,
    ) -> Option<std::ops::Range<usize>> {
        if now_ns < self.look_ns {
            return None;
        }
        let from = self.look_from.min(self.runs.len());
        let to = (from + most).min(self.runs.len());
        let is_last = to == self.runs.len();
        self.look_from = if is_last { 0 } else { to };
        self.look_ns = if is_last { now_ns + COOL_AFTER_NS } else { now_ns };
        Some(from..to)
    }

    /// Whether time is virtual.
    pub(crate) const fn is_inline(&self) -> bool {
        self.is_inline
    }

    /// When to look at runs next; never where time is virtual, as it would never stand still.
    pub(crate) const fn look_ns(&self) -> Option<u64> {
        if self.is_inline { None } else { Some(self.look_ns) }
    }

    /// An attempt is about to be called.
    pub(crate) fn takes_off(&self, start: &Start) {
        let number = self.runs[slot(start.run.0)].number;
        self.flight.takes_off(slot(start.attempt.0), number, start.node.0);
    }

    /// An attempt has ended.
    pub(crate) fn lands(&self, attempt: AttemptKey) {
        self.flight.lands(slot(attempt.0));
    }

    /// Something that is written beside records.
    pub(crate) fn outbox(&mut self) -> &mut Batch {
        self.urgent = true;
        &mut self.outbox
    }

    /// Something that is written beside records, and for which nobody waits.
    pub(crate) fn put_beside(&mut self, batch: Batch) {
        self.urgent = true;
        if !self.outbox.takes(&batch) {
            self.journal.submit(std::mem::take(&mut self.outbox));
        }
        self.outbox.append(batch);
    }

    /// Takes in a record of the engine's.
    pub(crate) fn record(
        &mut self,
        engine: &Engine,
        values: &mut Values,
        resources: &Resources,
        parts: Option<&PlanParts>,
        record: &Record,
    ) {
        let accepting = match record.body {
            Body::Accepted { .. } => self.accepting.take(),
            _ => None,
        };
        if let Some(Accepting { run, .. }) = &accepting {
            self.keep(record.run, run.run, run.durability);
        }
        let kept = &mut self.runs[slot(record.run.0)];
        kept.touched_ns = record.at_ns;
        let Kept { number, durability, .. } = *kept;
        if durability == Durability::Exit && !record.body.is_about_run() {
            return;
        }
        let mut line = Line::new(number, *record);
        line.cmd.clone_from(&self.command);
        if durability == Durability::Exit {
            let kept = &mut self.runs[slot(record.run.0)];
            line.record.seq = kept.written;
            kept.written += 1;
        }
        let lsn = record.lsn.0;
        match record.body {
            Body::Accepted { .. } => {
                if let Some(Accepting { run, inputs }) = accepting {
                    line.facts = Some(facts_of(&run));
                    line.payload = Some(inputs);
                    self.outbox.accepts.push(run);
                }
            }
            Body::Done { value, .. } | Body::Decided { value } | Body::Signal { value, .. } => {
                line.payload = values.take_fresh(value, lsn);
            }
            Body::Failed { cause: Cause::Error(error), .. } => {
                line.payload = values.take_fresh(error, lsn);
            }
            Body::Spent { resource, .. } => {
                line.facts = resources.of(resource).map(|resource| resource.facts().into());
            }
            Body::Ended { .. } => {
                if let Some(outcome) = engine.outcome(record.run) {
                    let layout = engine.layout(record.run).unwrap_or_default();
                    let (facts, payload) = end_facts(values, parts, &layout, outcome);
                    line.facts = Some(facts.into());
                    line.payload = payload;
                }
            }
            _ => {}
        }
        self.head(engine, number, record);
        let boundary = record.body.is_about_run() || matches!(record.body, Body::Started);
        if durability == Durability::Sync || boundary {
            self.urgent = true;
        } else if self.lazy_since_ns.is_none() {
            self.lazy_since_ns = Some(record.at_ns);
        }
        self.outbox.lines.push(line);
        self.lsn = lsn;
    }

    /// A run's row says where it is.
    fn head(&mut self, engine: &Engine, number: u64, record: &Record) {
        let status = match record.body {
            Body::Ended { status } => Some(status),
            Body::Paused | Body::Resumed | Body::Compensating | Body::Unknown => {
                engine.status(record.run)
            }
            Body::Recovered { .. } | Body::Retried { .. } => engine.status(record.run),
            _ => None,
        };
        let Some(status) = status else { return };
        let over =
            matches!(record.body, Body::Ended { .. }) && status != RunStatus::CompensationFailed;
        let recoveries = match record.body {
            Body::Recovered { count } => Some(count),
            // It has been looked at.
            Body::Retried { .. } => Some(0),
            _ => None,
        };
        self.outbox.heads.push(Head {
            run: number,
            status,
            ended_ns: over.then_some(record.at_ns),
            generation: match record.body {
                Body::Retried { generation, .. } => Some(generation),
                _ => None,
            },
            recoveries,
            held: None,
        });
    }

    /// Hands over what is written, if somebody waits for it or it has become much or old.
    pub(crate) fn flush(&mut self, now_ns: u64) {
        if self.outbox.is_empty() {
            return;
        }
        let old = self.flush_ns().is_none_or(|due_ns| due_ns <= now_ns);
        if self.urgent || self.outbox.lines.len() >= LAZY_MAX || old {
            // The next one will be about as large.
            let lines = Vec::with_capacity(self.outbox.lines.len().min(LAZY_MAX));
            let next = Batch { lines, ..Batch::default() };
            self.journal.submit(std::mem::replace(&mut self.outbox, next));
            self.urgent = false;
            self.lazy_since_ns = None;
        }
    }

    /// When what is written, and nobody waits for, is handed over at the latest.
    pub(crate) fn flush_ns(&self) -> Option<u64> {
        let since_ns = self.lazy_since_ns.filter(|_| !self.outbox.is_empty());
        since_ns.map(|since_ns| since_ns + LAZY_NS)
    }

    /// Hands over everything.
    pub(crate) fn flush_all(&mut self) {
        self.urgent = true;
        self.flush(u64::MAX);
    }

    /// The last record that was written, or will be.
    pub(crate) const fn lsn(&self) -> u64 {
        self.lsn
    }

    /// Whether everything up to `lsn`, and what is written beside records, is on disk.
    pub(crate) fn is_synced(&self, lsn: u64) -> bool {
        self.outbox.is_empty() && self.journal.synced() >= lsn && !self.journal.is_ahead()
    }

    /// Tells `ack` when everything up to `lsn` is on disk.
    pub(crate) fn await_disk(&mut self, lsn: u64, ack: Ack) {
        self.urgent = true;
        // What is written beside records has no lsn: the batch that it goes with is what tells.
        let batch = match &ack {
            Ack::Future(_) => self.journal.batches().0 + u64::from(!self.outbox.is_empty()),
            Ack::Ended(_) => 0,
        };
        self.acks.push_back((lsn, batch, ack));
    }

    /// Those whose record is on disk.
    pub(crate) fn due_acks(&mut self, synced: u64) -> Vec<Ack> {
        let mut due = Vec::new();
        if self.acks.is_empty() {
            return due;
        }
        let (_, written) = self.journal.batches();
        let is_due = |(lsn, batch, _): &(u64, u64, Ack)| *lsn <= synced && *batch <= written;
        while self.acks.front().is_some_and(is_due) {
            due.extend(self.acks.pop_front().map(|(.., ack)| ack));
        }
        due
    }

    /// Futures of those who wait, to be told that it will take longer than expected.
    pub(crate) fn take_futures(&mut self) -> Vec<Py<PyAny>> {
        let mut futures = Vec::new();
        let mut rest = VecDeque::new();
        for (lsn, batch, ack) in self.acks.drain(..) {
            match ack {
                Ack::Future(future) => futures.push(future),
                ended @ Ack::Ended(_) => rest.push_back((lsn, batch, ended)),
            }
        }
        self.acks = rest;
        futures
    }

    /// Everybody who waits.
    pub(crate) fn take_acks(&mut self) -> Vec<Ack> {
        self.acks.drain(..).map(|(.., ack)| ack).collect()
    }

    pub(crate) fn acks(&self) -> impl Iterator<Item = &Ack> {
        self.acks.iter().map(|(.., ack)| ack)
    }
}

/// What a run was accepted with, for who rebuilds its row; in the order of the alphabet, as all facts.
#[derive(Serialize)]
struct Facts<'a> {
    durability: &'static str,
    fingerprint: Option<String>,
    graph: &'a str,
    parent: Option<&'a str>,
    run_id: &'a str,
    tags: BTreeMap<&'a str, &'a str>,
    tenant: Option<&'a str>,
    version: &'a str,
    workflow: &'a str,
}

fn facts_of(run: &NewRun) -> Box<str> {
    let facts = Facts {
        durability: durability_name(run.durability),
        fingerprint: run.fingerprint.as_ref().map(hex),
        graph: &run.graph,
        parent: run.parent.as_deref(),
        run_id: &run.run_id,
        tags: run.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        tenant: run.tenant.as_deref(),
        version: &run.version,
        workflow: &run.workflow,
    };
    // Only a map whose keys are no text could fail.
    serde_json::to_string(&facts).unwrap_or_default().into()
}

fn hex(bytes: &[u8; 32]) -> String {
    let mut text = String::with_capacity(64);
    for byte in bytes {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What a word stands for; Python has checked it.
pub(crate) fn durability(word: &str) -> Durability {
    match word {
        "async" => Durability::Async,
        "exit" => Durability::Exit,
        _ => Durability::Sync,
    }
}

/// The word for it.
pub(crate) const fn durability_name(durability: Durability) -> &'static str {
    match durability {
        Durability::Sync => "sync",
        Durability::Async => "async",
        Durability::Exit => "exit",
    }
}

/// How a run ended, and where its result or error is; the payload is here if it is nowhere else.
fn end_facts(
    values: &mut Values,
    parts: Option<&PlanParts>,
    layout: &Layout,
    outcome: Outcome,
) -> (String, Option<Box<[u8]>>) {
    match outcome {
        Outcome::Succeeded(Base::Value(value)) => {
            let (place, payload) = place_of(values, value);
            (format!(r#"{{"result":{place}}}"#), payload)
        }
        Outcome::Succeeded(Base::Constant(node)) => {
            (format!(r#"{{"result":{{"constant":{}}}}}"#, node.0), None)
        }
        Outcome::Succeeded(Base::Nothing) => (r#"{"result":null}"#.to_owned(), None),
        Outcome::Failed { node, attempts, cause } => {
            let path = parts.map(|parts| layout.path(&parts.plan, node));
            let template = parts.map(|parts| layout.template(&parts.plan, node).0);
            let (error, payload) = match cause {
                Cause::Error(error) => place_of(values, error),
                _ => ("null".to_owned(), None),
            };
            let facts = json!({
                "path": path, "template": template, "attempts": attempts,
                "cause": cause.name(), "error": RawValue::from_string(error).ok(),
            });
            (facts.to_string(), payload)
        }
        Outcome::Cancelled => (r#"{"cause":"cancelled"}"#.to_owned(), None),
        Outcome::DeadlineExceeded => (r#"{"cause":"deadline"}"#.to_owned(), None),
    }
}

/// Where a value is, as JSON, and its payload if it is nowhere yet.
fn place_of(values: &mut Values, value: ValueId) -> (String, Option<Box<[u8]>>) {
    let payload = values.payload_mut(value);
    match *payload {
        Payload::Written { lsn, input } | Payload::Cold { lsn, input } => match input {
            None => (format!(r#"{{"lsn":{lsn}}}"#), None),
            Some(input) => (format!(r#"{{"input":{input},"lsn":{lsn}}}"#), None),
        },
        Payload::Unknown => ("null".to_owned(), None),
        Payload::Fresh(_) => match std::mem::take(payload) {
            Payload::Fresh(bytes) => (r#""here""#.to_owned(), Some(bytes)),
            _ => unreachable!("it was looked at"),
        },
    }
}
