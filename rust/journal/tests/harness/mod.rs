//! What the tests of the store share: folders that vanish, and batches to write.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use penstock_engine::{
    AccountModel, Body, Cause, Denial, Durability, Lsn, Payer, Place, Record, Refusal, ResourceId,
    RunEnd, RunKey, RunStatus, Score, Then, Unpaid, ValueId, WhenSpent,
};
use penstock_journal::{Batch, Head, Journal, Line, NewRun, Note, Options, Rollup};

/// A folder of its own, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        Self::under(&std::env::temp_dir())
    }

    /// One in memory, where there is such a place: for tests of many stores that need no disk.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::under(memory) } else { Self::new() }
    }

    fn under(parent: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("penstock-journal-{}-{count}", std::process::id());
        let path = parent.join(name);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn store(&self) -> PathBuf {
        self.0.join("runs.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn open(path: &Path) -> Journal {
    Journal::open(path, Options::default()).expect("the store opens")
}

pub fn record(lsn: u64, seq: u32, body: Body) -> Record {
    let node = if body.is_about_run() { 0 } else { seq };
    Record {
        lsn: Lsn(lsn),
        run: RunKey(0),
        seq,
        at_ns: 1_700_000_000_000_000_000 + lsn,
        node: Place(node),
        attempt: u32::from(!body.is_about_run()),
        body,
    }
}

pub fn new_run(run: u64) -> NewRun {
    NewRun {
        run,
        run_id: format!("run-{run}"),
        workflow: "triage".to_owned(),
        version: "3".to_owned(),
        graph: "9f86d081".to_owned(),
        tenant: run.is_multiple_of(2).then(|| "acme".to_owned()),
        priority: run.is_multiple_of(3).then_some(7),
        durability: Durability::Sync,
        accepted_ns: 1_700_000_000_000_000_000 + run,
        fingerprint: (run % 2 == 1).then_some([run as u8; 32]),
        parent: run.is_multiple_of(5).then(|| "run-1".to_owned()),
        tags: vec![("customer".to_owned(), format!("c{}", run % 4))],
        generation: 0,
    }
}

/// A run that was accepted and has done one step: two records, from `2 * run - 1` on.
pub fn started(run: u64) -> Batch {
    let lsn = 2 * run - 1;
    let accepted = Body::Accepted { priority: None, deadline_ns: u64::MAX };
    let mut first = Line::new(run, record(lsn, 0, accepted));
    first.payload = Some(br#"{"ticket":1}"#.to_vec().into());
    first.facts = Some(r#"{"workflow":"triage"}"#.into());
    let done = Body::Done { value: ValueId(0), started_ns: 5, copy: false };
    let mut second = Line::new(run, record(lsn + 1, 1, done));
    second.payload = Some(format!("\"{}\"", "x".repeat(200)).into_bytes().into());
    Batch { accepts: vec![new_run(run)], lines: vec![first, second], ..Batch::default() }
}

/// Every kind of record there is, as a run of its own from position `lsn` on.
pub fn every_kind(run: u64, lsn: u64) -> Batch {
    let value = ValueId(0);
    let failed = |cause, then| Body::Failed { cause, started_ns: 6, then, refusal: None };
    let bodies = [
        Body::Accepted { priority: Some(3), deadline_ns: 1_800_000_000_000_000_000 },
        Body::Started,
        failed(Cause::Error(value), Then::Retry { due_ns: 8 }),
        failed(Cause::Timeout, Then::Final),
        failed(Cause::TotalTimeout, Then::Final),
        failed(Cause::HeartbeatTimeout, Then::Final),
        failed(Cause::QueueTimeout, Then::Final),
        failed(Cause::SignalTimeout, Then::Final),
        failed(Cause::NotEnough, Then::Final),
        failed(Cause::Exhausted, Then::Final),
        Body::Done { value, started_ns: u64::MAX, copy: false },
        Body::Decided { value },
        Body::Chosen { outcome: u64::MAX, score: None },
        Body::Opened { count: 3 },
        Body::Fired,
        Body::Signal { signal: 2, value },
        Body::Acquired,
        Body::Withdrawn,
        Body::Interrupted,
        Body::Abandoned,
        Body::Unknown,
        Body::Resolved,
        Body::Recovered { count: 2 },
        Body::Held,
        Body::Released,
        Body::Retried { generation: 1, keys: 0, was: Some(RunEnd::Failed) },
        Body::CancelRequested,
        Body::DeadlinePassed,
        Body::Paused,
        Body::Resumed,
        Body::Compensating,
        Body::Parked { denial: Denial::Breaker },
        failed(Cause::Error(value), Then::Park { due_ns: 9, denial: Denial::Budget }),
        failed(Cause::Timeout, Then::Park { due_ns: 9, denial: Denial::DeadLetter }),
        failed(Cause::Error(value), Then::Denied),
        failed(Cause::Deadline, Then::Final),
        failed(Cause::BreakerOpen, Then::Final),
        Body::Ended { status: RunStatus::Compensated },
    ];
    let lines = bodies.into_iter().zip(0..).map(|(body, seq)| {
        let mut line = Line::new(run, record(lsn + u64::from(seq), seq, body));
        let has_value = matches!(
            body,
            Body::Done { .. }
                | Body::Decided { .. }
                | Body::Signal { .. }
                | Body::Failed { cause: Cause::Error(_), .. }
        );
        line.payload = has_value.then(|| br#"{"a":[1,"\u00fc"]}"#.to_vec().into());
        line
    });
    Batch { accepts: vec![new_run(run)], lines: lines.collect(), ..Batch::default() }
}

/// The kinds that version 2 added, as a run of its own from position `lsn` on, and what is written beside runs.
pub fn kinds_of_version_2(run: u64, lsn: u64) -> Batch {
    let (value, started_ns, then) = (ValueId(0), 6, Then::Final);
    let refused = |refusal| Body::Failed { cause: Cause::Error(value), started_ns, then, refusal };
    let spent = |nanos, copy| Body::Spent { resource: ResourceId(0), units: 1_200, nanos, copy };
    let mut bodies = vec![
        Body::Accepted { priority: None, deadline_ns: u64::MAX },
        spent(Some(300_000), false),
        spent(Some(0), true),
        spent(None, false),
        Body::Done { value, started_ns, copy: true },
        Body::Failed { cause: Cause::Budget, started_ns, then, refusal: None },
        Body::Retried { generation: 1, keys: 0, was: Some(RunEnd::Compensated) },
    ];
    let (limit_nanos, degrade_ppm) = (50_000_000, 800_000);
    bodies.extend([(false, WhenSpent::Degrade), (true, WhenSpent::Pause)].map(|it| {
        let (daily, when_spent) = it;
        let model = AccountModel { limit_nanos, degrade_ppm, daily, when_spent };
        Body::Budgeted { model }
    }));
    bodies.extend(Payer::ALL.map(|payer| {
        let (asked_nanos, spent_nanos) = (3_000_000, 48_000_000);
        Body::Denied { unpaid: Unpaid { payer, asked_nanos, spent_nanos, limit_nanos } }
    }));
    bodies.extend([Body::Degraded, Body::Parked { denial: Denial::Money }]);
    bodies.extend(Refusal::ALL.map(|refusal| refused(Some(refusal))));
    bodies.extend([0.1 + 0.2, -1e-300].map(|it| Body::Chosen { outcome: 1, score: Score::of(it) }));
    let lines = bodies.into_iter().zip(0..).map(|(body, seq)| {
        let mut line = Line::new(run, record(lsn + u64::from(seq), seq, body));
        match body {
            Body::Spent { .. } => {
                line.facts = Some(r#"{"name":"small","resource":"input"}"#.into());
            }
            Body::Done { .. } | Body::Failed { cause: Cause::Error(_), .. } => {
                line.payload = Some(b"7".to_vec().into());
            }
            _ => {}
        }
        line
    });
    let lines: Vec<Line> = lines.collect();
    let counted = Some(lsn);
    let rollups = vec![Rollup {
        window_ns: 60_000_000_000,
        kind: "runs".to_owned(),
        key: r#"{"workflow":"triage"}"#.to_owned(),
        part: lsn,
        body: r#"{"accepted":1}"#.to_owned(),
    }];
    let notes = vec![Note {
        id: 0,
        key: "n-1".to_owned(),
        kind: "baseline".to_owned(),
        name: "monday".to_owned(),
        at_ns: 5,
        body: "{}".to_owned(),
    }];
    Batch { accepts: vec![new_run(run)], lines, rollups, counted, notes, ..Batch::default() }
}

/// The end of a run, as its record number `seq`.
pub fn ended(run: u64, lsn: u64, seq: u32) -> Batch {
    let status = RunStatus::Succeeded;
    let line = Line::new(run, record(lsn, seq, Body::Ended { status }));
    let head = Head {
        run,
        status,
        ended_ns: Some(line.record.at_ns),
        generation: None,
        recoveries: None,
        held: None,
    };
    Batch { lines: vec![line], heads: vec![head], ..Batch::default() }
}
