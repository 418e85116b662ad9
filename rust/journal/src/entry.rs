//! A record in 24 bytes: what a run's history needs of it, without the values.

use penstock_engine::{Body, Denial, Payer, Place, Record, RunStatus, Then};

/// One line of a run's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Engine time.
    pub at_ns: u64,
    /// When the attempt was dispatched, for one that succeeded; when the next one is due, for one that
    /// failed and will be retried; the outcome of a decision, or the score it was taken by; the number of a map's items; nano-dollars spent,
    /// asked for in vain, or to be spent at most; else 0.
    pub when_ns: u64,
    /// The node; 0 where it is about the run.
    pub node: Place,
    /// The attempt, from 1; the largest there is stands for all beyond.
    pub attempt: u16,
    kind: u8,
    detail: u8,
}

const KINDS: [&str; 31] = [
    "accepted",
    "done",
    "failed",
    "started",
    "decided",
    "chosen",
    "opened",
    "fired",
    "signal",
    "acquired",
    "withdrawn",
    "interrupted",
    "abandoned",
    "cancel_requested",
    "deadline_passed",
    "paused",
    "resumed",
    "compensating",
    "ended",
    "unknown",
    "resolved",
    "recovered",
    "held",
    "released",
    "retried",
    "parked",
    "spent",
    "budgeted",
    "degraded",
    "denied",
    "chosen",
];
/// A decision with a score, whose outcome is the detail.
const SCORED: u8 = 30;
const CAUSES: [&str; 14] = [
    "",
    "error",
    "timeout",
    "total_timeout",
    "heartbeat_timeout",
    "queue_timeout",
    "signal_timeout",
    "not_enough",
    "exhausted",
    "outcome_unknown",
    "deadline",
    "breaker_open",
    "retry_denied",
    "budget",
];

/// The word for a cause, if it is one.
pub fn cause_word(name: &str) -> Option<&'static str> {
    CAUSES.into_iter().find(|word| *word == name && !word.is_empty())
}

/// Index of a body's word in [`KINDS`]; a jump, since each record asks.
const fn kind(body: &Body) -> u8 {
    match body {
        Body::Accepted { .. } => 0,
        Body::Done { .. } => 1,
        Body::Failed { .. } => 2,
        Body::Started => 3,
        Body::Decided { .. } => 4,
        Body::Chosen { score: None, .. } => 5,
        Body::Chosen { score: Some(_), .. } => SCORED,
        Body::Opened { .. } => 6,
        Body::Fired => 7,
        Body::Signal { .. } => 8,
        Body::Acquired => 9,
        Body::Withdrawn => 10,
        Body::Interrupted => 11,
        Body::Abandoned => 12,
        Body::CancelRequested => 13,
        Body::DeadlinePassed => 14,
        Body::Paused => 15,
        Body::Resumed => 16,
        Body::Compensating => 17,
        Body::Ended { .. } => 18,
        Body::Unknown => 19,
        Body::Resolved => 20,
        Body::Recovered { .. } => 21,
        Body::Held => 22,
        Body::Released => 23,
        Body::Retried { .. } => 24,
        Body::Parked { .. } => 25,
        Body::Spent { .. } => 26,
        Body::Budgeted { .. } => 27,
        Body::Degraded => 28,
        Body::Denied { .. } => 29,
    }
}

impl Entry {
    /// What the word for it is, as [`Body::name`] has it.
    pub fn kind(&self) -> &'static str {
        KINDS[usize::from(self.kind)]
    }

    /// Whether it is about the run rather than about one of its nodes.
    pub const fn is_about_run(&self) -> bool {
        matches!(self.kind, 0 | 8 | 13..=18 | 21..=24 | 27..=28)
    }

    /// What `when_ns` means: a time, or a number that is none. Of a failure, the number says why the next attempt is
    /// parked: a [`Denial`], from 1.
    pub fn time_or_number(&self) -> (u64, u64) {
        match self.kind() {
            "chosen" if self.kind == SCORED => (0, u64::from(self.detail)),
            "chosen" | "opened" | "signal" | "recovered" | "retried" | "spent" | "budgeted"
            | "denied" => (0, self.when_ns),
            "failed" => (self.when_ns, u64::from(self.detail >> 4)),
            _ => (self.when_ns, 0),
        }
    }

    /// How good the value was that was judged, if it was by a threshold.
    pub fn score(&self) -> Option<f64> {
        (self.kind == SCORED).then(|| f64::from_bits(self.when_ns))
    }

    /// The cause of a failure, the status a run ended with, why a step is parked, who did not pay, or nothing.
    pub fn detail(&self) -> &'static str {
        let detail = usize::from(self.detail);
        match self.kind() {
            "ended" => penstock_engine::RUN_STATES[detail].name(),
            "denied" => Payer::ALL[detail].name(),
            "parked" => Denial::ALL[detail].name(),
            "chosen" => "",
            _ => CAUSES[detail & 15],
        }
    }
}

/// Why the attempt after a failure is parked: a [`Denial`], from 1; 0 if it is not.
const fn denied(then: Then) -> u8 {
    match then {
        Then::Park { denial, .. } => denial as u8 + 1,
        _ => 0,
    }
}

impl From<&Record> for Entry {
    fn from(record: &Record) -> Self {
        let place = |words: &[&str], word: &str| {
            words.iter().position(|other| *other == word).unwrap_or(0) as u8
        };
        let status = |status: RunStatus| status as u8;
        let (detail, when_ns) = match record.body {
            Body::Done { started_ns, .. } => (0, started_ns),
            Body::Failed { cause, then, .. } => (
                place(&CAUSES, cause.name()) | denied(then) << 4,
                match then {
                    Then::Retry { due_ns } | Then::Park { due_ns, .. } => due_ns,
                    Then::Final | Then::Denied => 0,
                },
            ),
            Body::Ended { status: ended } => (status(ended), 0),
            Body::Spent { nanos, .. } => (0, nanos.unwrap_or(0).max(0).cast_unsigned()),
            Body::Budgeted { model } => (0, model.limit_nanos.max(0).cast_unsigned()),
            Body::Denied { unpaid } => {
                (unpaid.payer as u8, unpaid.asked_nanos.max(0).cast_unsigned())
            }
            Body::Parked { denial } => (denial as u8, 0),
            // The outcomes of what is judged are few.
            Body::Chosen { outcome, score: Some(score) } => (outcome as u8, score.to_bits()),
            Body::Chosen { outcome, score: None } => (0, outcome),
            Body::Opened { count } | Body::Recovered { count } => (0, u64::from(count)),
            Body::Retried { generation, .. } => (0, u64::from(generation)),
            Body::Signal { signal, .. } => (0, u64::from(signal)),
            _ => (0, 0),
        };
        Self {
            at_ns: record.at_ns,
            when_ns,
            node: record.node,
            attempt: u16::try_from(record.attempt).unwrap_or(u16::MAX),
            kind: kind(&record.body),
            detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_engine::{
        AccountModel, Cause, Lsn, ResourceId, RunEnd, RunKey, Score, Unpaid, ValueId, WhenSpent,
    };

    #[test]
    fn an_entry_says_what_its_record_says_in_24_bytes() {
        assert_eq!(size_of::<Entry>(), 24);
        let value = ValueId(0);
        let failed = |cause, then| Body::Failed { cause, started_ns: 5, then, refusal: None };
        let (payer, asked_nanos, spent_nanos, limit_nanos) = (Payer::Tenant, 5, 6, 8);
        let unpaid = Unpaid { payer, asked_nanos, spent_nanos, limit_nanos };
        let (degrade_ppm, daily, when_spent) = (1, false, WhenSpent::Fail);
        let model = AccountModel { limit_nanos, degrade_ppm, daily, when_spent };
        let bodies = [
            (Body::Accepted { priority: Some(3), deadline_ns: 9 }, "", 0),
            (Body::Done { value, started_ns: 4, copy: false }, "", 4),
            (Body::Spent { resource: ResourceId(3), units: 2, nanos: Some(8), copy: false }, "", 8),
            (failed(Cause::Error(value), Then::Retry { due_ns: 8 }), "error", 8),
            (failed(Cause::QueueTimeout, Then::Final), "queue_timeout", 0),
            (failed(Cause::Timeout, Then::Denied), "timeout", 0),
            (Body::Parked { denial: Denial::Breaker }, "breaker", 0),
            (Body::Degraded, "", 0),
            (Body::Denied { unpaid }, "tenant", 5),
            (Body::Budgeted { model }, "", 8),
            (Body::Started, "", 0),
            (Body::Decided { value }, "", 0),
            (Body::Chosen { outcome: 3, score: None }, "", 3),
            (Body::Chosen { outcome: 2, score: Score::of(0.5) }, "", 0.5_f64.to_bits()),
            (Body::Opened { count: 7 }, "", 7),
            (Body::Fired, "", 0),
            (Body::Signal { signal: 2, value }, "", 2),
            (Body::Acquired, "", 0),
            (Body::Withdrawn, "", 0),
            (Body::Interrupted, "", 0),
            (Body::Abandoned, "", 0),
            (Body::Unknown, "", 0),
            (Body::Resolved, "", 0),
            (Body::Recovered { count: 2 }, "", 2),
            (Body::Held, "", 0),
            (Body::Released, "", 0),
            (Body::Retried { generation: 2, keys: 0, was: Some(RunEnd::Failed) }, "", 2),
            (Body::CancelRequested, "", 0),
            (Body::DeadlinePassed, "", 0),
            (Body::Paused, "", 0),
            (Body::Resumed, "", 0),
            (Body::Compensating, "", 0),
            (Body::Ended { status: RunStatus::Cancelled }, "cancelled", 0),
        ];
        for (body, detail, when_ns) in bodies {
            let (run, node) = (RunKey(0), Place(2));
            let record = Record { lsn: Lsn(1), run, seq: 0, at_ns: 6, node, attempt: 70_000, body };
            let entry = Entry::from(&record);
            assert_eq!((entry.kind(), entry.detail()), (body.name(), detail));
            assert_eq!((entry.when_ns, entry.attempt), (when_ns, u16::MAX));
            assert_eq!(entry.is_about_run(), body.is_about_run());
        }
    }
}
