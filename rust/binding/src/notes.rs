//! Those who follow a run, and what they are told.

use penstock_engine::{AttemptKey, Body, Record, RunKey, Score, Start, Then};
use pyo3::prelude::*;

use crate::report::{HistoryRow, detail};
use crate::state::{Effects, State};

/// Something that happened to a run.
#[derive(Clone)]
pub(crate) struct Note {
    at_ns: u64,
    kind: &'static str,
    path: Box<str>,
    attempt: u32,
    detail: &'static str,
    when_ns: u64,
    number: u64,
    score: Option<f64>,
}

impl Note {
    /// As Python takes it: `(at, kind, path, attempt, detail, when, number, score)`; times in seconds since 1970.
    pub(crate) fn row(&self) -> HistoryRow {
        let (at, when) = (self.at_ns as f64 / 1e9, self.when_ns as f64 / 1e9);
        let path = self.path.to_string();
        (at, self.kind, path, self.attempt, self.detail, when, self.number, self.score)
    }
}

impl State {
    /// Notes of a run go to `follower` from now on; false if it is over.
    pub(crate) fn follow(&mut self, run: RunKey, follower: Py<PyAny>) -> bool {
        let Some(side) = self.side_mut(run) else { return false };
        side.extra.get_or_insert_default().followers.push(follower);
        self.followed += 1;
        true
    }

    /// No more notes for `follower`; it is handed back to be dropped after the lock is released.
    pub(crate) fn unfollow(
        &mut self,
        run: RunKey,
        follower: &Bound<'_, PyAny>,
    ) -> Option<Py<PyAny>> {
        let followers = &mut self.side_mut(run)?.extra.as_mut()?.followers;
        let index = followers.iter().position(|other| other.as_ptr() == follower.as_ptr())?;
        let removed = followers.swap_remove(index);
        self.followed -= 1;
        Some(removed)
    }

    /// Those who follow the run of an attempt.
    pub(crate) fn followers_of(&self, py: Python<'_>, attempt: AttemptKey) -> Vec<Py<PyAny>> {
        if self.followed == 0 {
            return Vec::new();
        }
        self.engine.attempt(attempt).map_or_else(Vec::new, |(run, ..)| self.followers(py, run))
    }

    fn followers(&self, py: Python<'_>, run: RunKey) -> Vec<Py<PyAny>> {
        let side = self.sides.get(crate::state::slot(run.0)).and_then(Option::as_ref);
        let extra = side.and_then(|side| side.extra.as_ref());
        extra.map_or_else(Vec::new, |extra| {
            extra.followers.iter().map(|follower| follower.clone_ref(py)).collect()
        })
    }

    /// Tells those who follow a run of one of its records.
    pub(crate) fn note(&self, py: Python<'_>, record: &Record, effects: &mut Effects) {
        let followers = self.followers(py, record.run);
        if followers.is_empty() {
            return;
        }
        if matches!(record.body, Body::Started) {
            return; // whoever follows is told of each start
        }
        let side = self.sides[crate::state::slot(record.run.0)].as_ref();
        let parts = side.map(|side| self.plans[side.plan.0 as usize].clone());
        let path = match (parts, self.engine.layout(record.run)) {
            (Some(parts), Some(layout)) if !record.body.is_about_run() => {
                layout.path(&parts.plan, record.node).into()
            }
            _ => Box::default(),
        };
        let when_ns = match record.body {
            Body::Done { started_ns, .. } => started_ns,
            Body::Failed { then: Then::Retry { due_ns } | Then::Park { due_ns, .. }, .. } => due_ns,
            _ => 0,
        };
        let note = Note {
            at_ns: record.at_ns,
            kind: record.body.name(),
            path,
            attempt: record.attempt,
            detail: detail(&record.body),
            when_ns,
            number: match record.body {
                Body::Chosen { outcome, .. } => outcome,
                Body::Failed { then: Then::Park { denial, .. }, .. } => denial as u64 + 1,
                Body::Opened { count } => count.into(),
                Body::Signal { signal, .. } => signal.into(),
                _ => 0,
            },
            score: match record.body {
                Body::Chosen { score, .. } => score.map(Score::number),
                _ => None,
            },
        };
        effects.rest().notes.push((followers, note));
    }

    /// Tells those who follow a run that an attempt starts; that is no record.
    pub(crate) fn note_start(&self, py: Python<'_>, start: &Start) -> Vec<(Vec<Py<PyAny>>, Note)> {
        if self.followed == 0 {
            return Vec::new();
        }
        let followers = self.followers(py, start.run);
        if followers.is_empty() {
            return Vec::new();
        }
        let note = Note {
            at_ns: self.engine.now_ns(),
            kind: "started",
            path: self.engine.path(start.run, start.node).unwrap_or_default().into(),
            attempt: start.number,
            detail: "",
            when_ns: 0,
            number: 0,
            score: None,
        };
        vec![(followers, note)]
    }
}
