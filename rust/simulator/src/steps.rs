//! What the checker knows of the steps of one run: how often each was tried, called and answered for.

use std::collections::BTreeMap;

use penstock_engine::{Body, Cause, Lsn, Place, Policy, Record, Start, Then};

use crate::checker::Checked;

/// The steps of a run that anything was recorded of, or that were called.
#[derive(Debug, Default)]
pub(crate) struct Steps(BTreeMap<Place, Step>);

#[derive(Clone, Copy, Debug)]
struct Step {
    /// Attempts that counted and are to be followed by another.
    attempts: u32,
    /// When the next one is due.
    due_ns: u64,
    /// Its last record.
    lsn: Lsn,
    /// The start that was recorded last, if nothing has come of it yet.
    started: Option<Lsn>,
    phase: Phase,
    once: bool,
    /// Times that it was called, over all crashes.
    calls: u32,
    /// Times that somebody wanted it to be tried again.
    again: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It may be called.
    Open,
    /// It may run at most once and was called, and nothing has come of it yet.
    Called,
    /// Nobody knows what came of it.
    Unknown,
    /// It is a compensation, and failed for good.
    NotUndone,
    Over,
}

impl Steps {
    /// A record about a step.
    pub(crate) fn recorded(&mut self, record: &Record, undoes: bool) -> Checked {
        // An attempt that was given up may still spend, after all that its node has to say.
        if matches!(record.body, Body::Spent { .. }) {
            return Ok(());
        }
        let step = self.0.entry(record.node).or_insert(Step::NEW);
        step.lsn = record.lsn;
        let unsure = matches!(step.phase, Phase::Called | Phase::Unknown);
        let known = match record.body {
            Body::Failed { cause: Cause::Error(_), .. } => true,
            Body::Failed { .. } => !unsure,
            Body::Withdrawn | Body::Interrupted => step.phase != Phase::Called,
            _ => true,
        };
        let ended = step.phase == Phase::Over && !undoes;
        if ended && !matches!(record.body, Body::Abandoned) {
            return Err(format!("I2: {record:?} of a step that is over"));
        }
        if let Body::Done { .. } = record.body
            && !undoes
            && record.attempt != step.attempts + 1
        {
            return Err(format!("I2: {record:?} after {} attempts", step.attempts));
        }
        if !known {
            return Err(format!("I3: {record:?}, but nobody knows what became of it"));
        }
        let phase = match record.body {
            Body::Started => {
                step.started = Some(record.lsn);
                return Ok(());
            }
            Body::Failed { then: Then::Retry { due_ns } | Then::Park { due_ns, .. }, .. } => {
                if record.attempt != step.attempts + 1 {
                    return Err(format!("I5: {record:?} after {} attempts", step.attempts));
                }
                step.attempts = record.attempt;
                step.due_ns = due_ns;
                Phase::Open
            }
            Body::Interrupted => Phase::Open,
            Body::Failed { .. } if undoes => Phase::NotUndone,
            Body::Done { .. } | Body::Failed { .. } | Body::Withdrawn => Phase::Over,
            Body::Unknown => Phase::Unknown,
            Body::Resolved => {
                step.again += 1;
                Phase::Open
            }
            _ => return Ok(()),
        };
        step.phase = phase;
        step.started = None;
        Ok(())
    }

    /// An operator has the compensations that failed tried again: they begin anew.
    pub(crate) fn undone_again(&mut self) {
        for step in self.0.values_mut().filter(|step| step.phase == Phase::NotUndone) {
            let (calls, again) = (step.calls, step.again + 1);
            *step = Step { calls, again, lsn: step.lsn, once: step.once, ..Step::NEW };
        }
    }

    /// A second copy of an attempt is handed out.
    pub(crate) fn copies(&mut self, start: &Start) -> Checked {
        let step = self.0.entry(start.node).or_insert(Step::NEW);
        if step.phase != Phase::Open || start.number != step.attempts + 1 {
            return Err(format!("I3: {start:?} is a copy of no attempt: {step:?}"));
        }
        Ok(())
    }

    /// An attempt is handed out.
    pub(crate) fn starts(&mut self, start: &Start, policy: &Policy, now_ns: u64) -> Checked {
        let step = self.0.entry(start.node).or_insert(Step::NEW);
        if step.phase != Phase::Open {
            return Err(format!("I3: {start:?}, though it is {:?}", step.phase));
        }
        if start.number != step.attempts + 1 {
            return Err(format!("I5: {start:?} after {} attempts", step.attempts));
        }
        if now_ns < step.due_ns {
            return Err(format!("I4: {start:?} at {now_ns}, though it is due at {}", step.due_ns));
        }
        step.calls += 1;
        step.once = policy.once;
        if policy.once {
            step.phase = Phase::Called;
            if step.calls > 1 + step.again {
                return Err(format!("I3: {start:?}, though it may be called once: {step:?}"));
            }
        }
        Ok(())
    }

    /// Whether the start of a step is on disk.
    pub(crate) fn start_is_synced(&self, place: Place, synced: Lsn) -> bool {
        let started = self.0.get(&place).and_then(|step| step.started);
        started.is_some_and(|lsn| lsn <= synced)
    }

    /// Whether the last that was recorded of a step is on disk.
    pub(crate) fn is_synced(&self, place: Place, synced: Lsn) -> bool {
        self.0.get(&place).is_none_or(|step| step.lsn <= synced)
    }

    /// When a step that waits for its retry is due.
    pub(crate) fn due_ns(&self, place: Place) -> u64 {
        self.0.get(&place).map_or(u64::MAX, |step| step.due_ns)
    }

    /// Whether nobody knows what came of some step.
    pub(crate) fn any_unknown(&self) -> bool {
        self.0.values().any(|step| step.phase == Phase::Unknown)
    }

    /// Whether anything was called.
    pub(crate) fn any_called(&self) -> bool {
        self.0.values().any(|step| step.calls > 0)
    }

    /// After a crash: what is on disk says how far each step is, what was called was called all the same. Of
    /// `count` nodes the frames are on disk; the places of others may be taken by other nodes.
    pub(crate) fn remember_calls(&mut self, before: &Self, count: usize) {
        for (&place, earlier) in before.0.iter().filter(|(place, _)| place.index() < count) {
            let step = self.0.entry(place).or_insert(Step::NEW);
            (step.calls, step.once) = (earlier.calls, earlier.once);
            if step.once && step.started.is_some() && step.calls > 0 {
                step.phase = Phase::Called;
            }
        }
    }
}

impl Step {
    const NEW: Self = Self {
        attempts: 0,
        due_ns: 0,
        lsn: Lsn(0),
        started: None,
        phase: Phase::Open,
        once: false,
        calls: 0,
        again: 0,
    };
}
