//! A record as it is on disk, and its columns: nothing else knows how a record is written.

use std::fmt::Write as _;

use penstock_engine::{
    AccountModel, Body, Cause, Denial, Lsn, Payer, Place, Record, Refusal, ResourceId, RunEnd,
    RunKey, Score, Then, Unpaid, ValueId, WhenSpent,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::checksum::Checksum;
use crate::error::StoreError;
use crate::row::status_named;

/// A record as it is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The run's number in the store, 1 and up.
    pub run: u64,
    /// The record. On disk it names its run by [`Line::run`] and its value by [`Line::payload`]: when read,
    /// the run is `RunKey(0)`, and the value `ValueId(0)` where there is a payload, else `ValueId::NONE`. What was
    /// spent is named by [`Line::facts`], and is `ResourceId(0)` when read.
    pub record: Record,
    /// JSON of the record's value or error, at most 8 MiB; the caller sees to both.
    pub payload: Option<Box<[u8]>>,
    /// What else is to be known, as a JSON object: what a run was accepted with, why it ended.
    pub facts: Option<Box<str>>,
    /// The key of the command that it carries out, so that a second one with that key changes nothing.
    pub cmd: Option<Box<str>>,
}

/// Payloads above this many bytes have a table of their own, so that lines stay quick to read.
pub const INLINE_MAX: usize = 16 << 10;

impl Line {
    /// A line of nothing but a record.
    pub const fn new(run: u64, record: Record) -> Self {
        Self { run, record, payload: None, facts: None, cmd: None }
    }

    /// Where it is, for messages.
    pub fn place(&self) -> String {
        place(self.record.lsn.0, self.run, self.record.seq)
    }

    /// Bytes it takes, roughly.
    pub fn size_bytes(&self) -> usize {
        96 + self.payload.as_deref().map_or(0, <[u8]>::len)
            + self.facts.as_deref().map_or(0, str::len)
            + self.cmd.as_deref().map_or(0, str::len)
    }

    /// Whether the payload is in the table for large ones.
    pub(crate) fn is_large(&self) -> bool {
        self.payload.as_deref().is_some_and(|payload| payload.len() > INLINE_MAX)
    }

    /// The node's column: NULL where the record is about the run.
    pub(crate) fn node(&self) -> Option<u32> {
        let node = self.record.node.0;
        (node != 0 || !self.record.body.is_about_run()).then_some(node)
    }

    /// The attempt's column: NULL where there is none.
    pub(crate) fn attempt(&self) -> Option<u32> {
        (self.record.attempt != 0).then_some(self.record.attempt)
    }

    /// Writes the body's column into `text`, which stays empty where that is NULL.
    #[expect(clippy::too_many_lines, reason = "what each body is made of")]
    pub(crate) fn write_body(&self, text: &mut String) {
        text.clear();
        let mut fields = Writer(text);
        match self.record.body {
            Body::Accepted { priority, deadline_ns } => {
                if let Some(priority) = priority {
                    fields.number("priority", priority.into());
                }
                if deadline_ns != u64::MAX {
                    fields.number("deadline", deadline_ns);
                }
            }
            Body::Budgeted { model } => {
                let AccountModel { limit_nanos, degrade_ppm, daily, when_spent } = model;
                fields.json("limit", &limit_nanos.to_string());
                fields.number("degrade_ppm", degrade_ppm.into());
                if daily {
                    fields.word("per", "day");
                }
                fields.word("when_spent", when_spent.name());
            }
            Body::Denied { unpaid } => {
                let Unpaid { payer, asked_nanos, spent_nanos, limit_nanos } = unpaid;
                fields.word("payer", payer.name());
                fields.json("asked", &asked_nanos.to_string());
                fields.json("spent", &spent_nanos.to_string());
                fields.json("limit", &limit_nanos.to_string());
            }
            Body::Done { started_ns, copy, .. } => {
                fields.number("started", started_ns);
                if copy {
                    fields.json("copy", "true");
                }
            }
            Body::Spent { units, nanos, copy, .. } => {
                fields.number("units", units);
                if let Some(nanos) = nanos {
                    fields.json("nanos", &nanos.to_string());
                }
                if copy {
                    fields.json("copy", "true");
                }
            }
            Body::Failed { cause, started_ns, then, refusal } => {
                fields.word("cause", cause.name());
                fields.number("started", started_ns);
                match then {
                    Then::Retry { due_ns } => {
                        fields.word("then", "retry");
                        fields.number("due", due_ns);
                    }
                    Then::Park { due_ns, denial } => {
                        fields.word("then", "park");
                        fields.number("due", due_ns);
                        fields.word("denial", denial.name());
                    }
                    Then::Final => fields.word("then", "final"),
                    Then::Denied => fields.word("then", "denied"),
                }
                if let Some(refusal) = refusal {
                    fields.word("refusal", refusal.name());
                }
            }
            Body::Chosen { outcome, score } => {
                fields.number("outcome", outcome);
                if let Some(score) = score {
                    // As Debug has it, a number is the shortest JSON that reads as the same one.
                    fields.json("score", &format!("{:?}", score.number()));
                }
            }
            Body::Opened { count } | Body::Recovered { count } => {
                fields.number("count", count.into());
            }
            Body::Signal { signal, .. } => fields.number("signal", signal.into()),
            Body::Retried { generation, keys, was } => {
                fields.number("generation", generation.into());
                fields.number("keys", keys.into());
                if let Some(was) = was {
                    fields.word("was", was.name());
                }
            }
            Body::Ended { status } => fields.word("status", status.name()),
            Body::Parked { denial } => fields.word("denial", denial.name()),
            Body::Degraded
            | Body::Started
            | Body::Decided { .. }
            | Body::Fired
            | Body::Acquired
            | Body::Withdrawn
            | Body::Interrupted
            | Body::Abandoned
            | Body::Unknown
            | Body::Resolved
            | Body::CancelRequested
            | Body::DeadlinePassed
            | Body::Paused
            | Body::Resumed
            | Body::Held
            | Body::Released
            | Body::Compensating => {}
        }
        if self.is_large() {
            fields.number("large", self.payload.as_deref().map_or(0, <[u8]>::len) as u64);
        }
        if let Some(cmd) = &self.cmd {
            fields.json("cmd", &serde_json::Value::from(&**cmd).to_string());
        }
        if let Some(facts) = &self.facts {
            debug_assert!(serde_json::from_str::<&RawValue>(facts).is_ok(), "facts are no JSON");
            fields.json("facts", facts);
        }
        fields.close();
    }

    /// What the record says beyond its kind, as the column has it: a JSON object, or empty.
    pub fn body_text(&self) -> String {
        let mut text = String::new();
        self.write_body(&mut text);
        text
    }

    /// The row's checksum; `body` is what [`Line::write_body`] wrote.
    pub(crate) fn crc(&self, body: &str, checksum: &mut Checksum) -> u32 {
        let Record { lsn, seq, at_ns, body: what, .. } = self.record;
        checksum
            .number(lsn.0)
            .number(self.run)
            .number(u64::from(seq))
            .number(at_ns)
            .text(what.name())
            .number(self.node().map(u64::from))
            .number(self.attempt().map(u64::from))
            .bytes((!body.is_empty()).then_some(body.as_bytes()))
            .bytes(self.payload.as_deref())
            .take()
    }
}

/// Where a line is, for messages.
pub(crate) fn place(lsn: u64, run: u64, seq: u32) -> String {
    format!("journal lsn {lsn} (run {run}, seq {seq})")
}

/// A row of the journal's table as it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) lsn: u64,
    pub(crate) run: u64,
    pub(crate) seq: u32,
    pub(crate) at_ns: u64,
    pub(crate) kind: &'a str,
    pub(crate) node: Option<u32>,
    pub(crate) attempt: Option<u32>,
    pub(crate) body: Option<&'a str>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) crc: u32,
}

impl Row<'_> {
    /// The line it stands for. `large` fetches the payload of one that says it is elsewhere.
    pub(crate) fn line(
        &self,
        checksum: &mut Checksum,
        large: impl FnOnce(u64) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Line, StoreError> {
        let corrupt = |why: String| StoreError::corrupt(place(self.lsn, self.run, self.seq), why);
        let fields = match self.body {
            None => Fields::default(),
            Some(body) => serde_json::from_str(body)
                .map_err(|error| corrupt(format!("its body can't be read: {error}")))?,
        };
        let elsewhere = match fields.large {
            None => None,
            Some(bytes) => {
                let found = large(self.lsn)?;
                if found.as_ref().map(|found| found.len() as u64) != Some(bytes) {
                    return Err(corrupt(format!("its payload of {bytes} bytes is not there")));
                }
                found
            }
        };
        let value = elsewhere.as_deref().or(self.value);
        let crc = checksum
            .number(self.lsn)
            .number(self.run)
            .number(u64::from(self.seq))
            .number(self.at_ns)
            .text(self.kind)
            .number(self.node.map(u64::from))
            .number(self.attempt.map(u64::from))
            .bytes(self.body.map(str::as_bytes))
            .bytes(value)
            .take();
        if crc != self.crc {
            return Err(corrupt("its checksum is wrong".to_owned()));
        }
        let body = fields.body(self.kind, value.is_some()).map_err(corrupt)?;
        let record = Record {
            lsn: Lsn(self.lsn),
            run: RunKey(0),
            seq: self.seq,
            at_ns: self.at_ns,
            node: Place(self.node.unwrap_or(0)),
            attempt: self.attempt.unwrap_or(0),
            body,
        };
        let payload = match elsewhere {
            Some(bytes) => Some(bytes.into_boxed_slice()),
            None => self.value.map(Box::from),
        };
        let facts = fields.facts.map(|facts| facts.get().into());
        Ok(Line { run: self.run, record, payload, facts, cmd: fields.cmd })
    }
}

/// What bodies are made of.
#[derive(Debug, Default, Deserialize)]
struct Fields<'a> {
    priority: Option<u8>,
    deadline: Option<u64>,
    started: Option<u64>,
    due: Option<u64>,
    cause: Option<&'a str>,
    then: Option<&'a str>,
    denial: Option<&'a str>,
    outcome: Option<u64>,
    score: Option<f64>,
    count: Option<u32>,
    generation: Option<u32>,
    keys: Option<u32>,
    was: Option<&'a str>,
    units: Option<u64>,
    nanos: Option<i64>,
    copy: Option<bool>,
    limit: Option<i64>,
    degrade_ppm: Option<u32>,
    per: Option<&'a str>,
    when_spent: Option<&'a str>,
    payer: Option<&'a str>,
    asked: Option<i64>,
    spent: Option<i64>,
    refusal: Option<&'a str>,
    signal: Option<u32>,
    status: Option<&'a str>,
    large: Option<u64>,
    cmd: Option<Box<str>>,
    #[serde(borrow)]
    facts: Option<&'a RawValue>,
}

impl Fields<'_> {
    fn body(&self, kind: &str, has_value: bool) -> Result<Body, String> {
        let value = if has_value { ValueId(0) } else { ValueId::NONE };
        Ok(match kind {
            "accepted" => Body::Accepted {
                priority: self.priority,
                deadline_ns: self.deadline.unwrap_or(u64::MAX),
            },
            "budgeted" => Body::Budgeted {
                model: AccountModel {
                    limit_nanos: needed(self.limit, "limit")?,
                    degrade_ppm: needed(self.degrade_ppm, "degrade_ppm")?,
                    daily: self.per == Some("day"),
                    when_spent: when_spent(needed(self.when_spent, "when_spent")?)?,
                },
            },
            "degraded" => Body::Degraded,
            "denied" => Body::Denied {
                unpaid: Unpaid {
                    payer: payer(needed(self.payer, "payer")?)?,
                    asked_nanos: needed(self.asked, "asked")?,
                    spent_nanos: needed(self.spent, "spent")?,
                    limit_nanos: needed(self.limit, "limit")?,
                },
            },
            "done" => Body::Done {
                value,
                started_ns: needed(self.started, "started")?,
                copy: self.copy.unwrap_or(false),
            },
            "spent" => Body::Spent {
                resource: ResourceId(0),
                units: needed(self.units, "units")?,
                nanos: self.nanos,
                copy: self.copy.unwrap_or(false),
            },
            "failed" => Body::Failed {
                cause: cause(needed(self.cause, "cause")?, value)?,
                started_ns: needed(self.started, "started")?,
                then: match needed(self.then, "then")? {
                    "retry" => Then::Retry { due_ns: needed(self.due, "due")? },
                    "park" => Then::Park {
                        due_ns: needed(self.due, "due")?,
                        denial: denial(needed(self.denial, "denial")?)?,
                    },
                    "final" => Then::Final,
                    "denied" => Then::Denied,
                    other => return Err(format!("nothing follows a failure as {other:?}")),
                },
                refusal: self.refusal.map(refusal).transpose()?,
            },
            "started" => Body::Started,
            "decided" => Body::Decided { value },
            "chosen" => Body::Chosen {
                outcome: needed(self.outcome, "outcome")?,
                score: self.score.and_then(Score::of),
            },
            "opened" => Body::Opened { count: needed(self.count, "count")? },
            "fired" => Body::Fired,
            "signal" => Body::Signal { signal: needed(self.signal, "signal")?, value },
            "acquired" => Body::Acquired,
            "parked" => Body::Parked { denial: denial(needed(self.denial, "denial")?)? },
            "withdrawn" => Body::Withdrawn,
            "interrupted" => Body::Interrupted,
            "abandoned" => Body::Abandoned,
            "unknown" => Body::Unknown,
            "resolved" => Body::Resolved,
            "recovered" => Body::Recovered { count: needed(self.count, "count")? },
            "held" => Body::Held,
            "released" => Body::Released,
            "retried" => Body::Retried {
                generation: needed(self.generation, "generation")?,
                keys: needed(self.keys, "keys")?,
                was: self.was.and_then(RunEnd::named),
            },
            "cancel_requested" => Body::CancelRequested,
            "deadline_passed" => Body::DeadlinePassed,
            "paused" => Body::Paused,
            "resumed" => Body::Resumed,
            "compensating" => Body::Compensating,
            "ended" => {
                let name = needed(self.status, "status")?;
                let status = status_named(name);
                Body::Ended { status: status.ok_or_else(|| format!("no status is {name:?}"))? }
            }
            _ => return Err(format!("its kind {kind:?} is unknown to this version")),
        })
    }
}

fn denial(name: &str) -> Result<Denial, String> {
    let found = Denial::ALL.into_iter().find(|it| it.name() == name);
    found.ok_or_else(|| format!("no step is parked for {name:?}"))
}

fn refusal(name: &str) -> Result<Refusal, String> {
    Refusal::named(name).ok_or_else(|| format!("no handoff is refused for {name:?}"))
}

fn when_spent(name: &str) -> Result<WhenSpent, String> {
    WhenSpent::named(name)
        .ok_or_else(|| format!("a budget that is spent does nothing like {name:?}"))
}

fn payer(name: &str) -> Result<Payer, String> {
    Payer::named(name).ok_or_else(|| format!("no money is of a {name:?}"))
}

fn needed<T>(field: Option<T>, name: &str) -> Result<T, String> {
    field.ok_or_else(|| format!("its body lacks {name:?}"))
}

fn cause(name: &str, value: ValueId) -> Result<Cause, String> {
    let causes = [
        Cause::Error(value),
        Cause::Timeout,
        Cause::TotalTimeout,
        Cause::HeartbeatTimeout,
        Cause::QueueTimeout,
        Cause::SignalTimeout,
        Cause::NotEnough,
        Cause::Exhausted,
        Cause::Deadline,
        Cause::BreakerOpen,
        Cause::Budget,
    ];
    let found = causes.into_iter().find(|cause| cause.name() == name);
    found.ok_or_else(|| format!("no failure is caused by {name:?}"))
}

/// Writes a flat JSON object.
struct Writer<'a>(&'a mut String);

impl Writer<'_> {
    fn name(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        // Writing to a string can't fail.
        let _ = write!(self.0, "{number}");
    }

    /// A word that needs no escapes.
    fn word(&mut self, name: &str, word: &str) {
        self.name(name);
        self.0.push('"');
        self.0.push_str(word);
        self.0.push('"');
    }

    /// A value that is JSON already.
    fn json(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.push_str(json);
    }

    fn close(self) {
        if !self.0.is_empty() {
            self.0.push('}');
        }
    }
}
