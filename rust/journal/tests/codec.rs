//! Every record that can be written reads back as it was, whatever its numbers and texts are.

mod harness;

use harness::Folder;
use penstock_engine::{
    Body, Cause, Denial, Lsn, Place, RUN_STATES, Record, Refusal, ResourceId, RunEnd, RunKey,
    Score, Then, ValueId,
};
use penstock_journal::{Batch, INLINE_MAX, Line, Reader, SqliteStore, Store, StoreOptions};
use proptest::prelude::*;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(i64::MAX as u64),
        Just(1 << 63),
        Just(u64::MAX),
        any::<u64>()
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let value = ValueId(0);
    let causes = prop::sample::select(vec![
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
    ]);
    let denial = prop::sample::select(Denial::ALL.to_vec());
    let then = prop_oneof![
        number().prop_map(|due_ns| Then::Retry { due_ns }),
        (number(), denial.clone()).prop_map(|(due_ns, denial)| Then::Park { due_ns, denial }),
        Just(Then::Final),
        Just(Then::Denied),
    ];
    let refusal = prop::option::of(prop::sample::select(&Refusal::ALL[..]));
    let plain = prop::sample::select(vec![
        Body::Started,
        Body::Decided { value },
        Body::Fired,
        Body::Acquired,
        Body::Withdrawn,
        Body::Interrupted,
        Body::Abandoned,
        Body::Unknown,
        Body::Resolved,
        Body::Held,
        Body::Released,
        Body::CancelRequested,
        Body::DeadlinePassed,
        Body::Paused,
        Body::Resumed,
        Body::Compensating,
    ]);
    prop_oneof![
        plain,
        denial.prop_map(|denial| Body::Parked { denial }),
        (any::<Option<u8>>(), number())
            .prop_map(|(priority, deadline_ns)| Body::Accepted { priority, deadline_ns }),
        (number(), any::<bool>()).prop_map(move |(started_ns, copy)| Body::Done {
            value,
            started_ns,
            copy
        }),
        (number(), prop::option::of(any::<i64>()), any::<bool>()).prop_map(
            |(units, nanos, copy)| Body::Spent { resource: ResourceId(0), units, nanos, copy }
        ),
        (causes, number(), then, refusal).prop_map(|(cause, started_ns, then, refusal)| {
            Body::Failed { cause, started_ns, then, refusal }
        }),
        (number(), prop::option::of(any::<f64>())).prop_map(|(outcome, score)| Body::Chosen {
            outcome,
            score: score.and_then(Score::of)
        }),
        any::<u32>().prop_map(|count| Body::Opened { count }),
        any::<u32>().prop_map(move |signal| Body::Signal { signal, value }),
        any::<u32>().prop_map(|count| Body::Recovered { count }),
        (any::<(u32, u32)>(), prop::option::of(prop::sample::select(RunEnd::ALL)))
            .prop_map(|((generation, keys), was)| Body::Retried { generation, keys, was }),
        prop::sample::select(RUN_STATES).prop_map(|status| Body::Ended { status }),
    ]
}

fn line() -> impl Strategy<Value = Line> {
    let record = (number(), any::<u32>(), number(), any::<u32>(), any::<u32>(), body()).prop_map(
        |(lsn, seq, at_ns, node, attempt, body)| Record {
            lsn: Lsn(lsn),
            run: RunKey(0),
            seq,
            at_ns,
            node: Place(node % 3),
            attempt: attempt % 3 * 1_000_000_000,
            body,
        },
    );
    let payload = prop::option::of(prop_oneof![
        4 => ".{0,40}".prop_map(|text| format!("{text:?}")),
        1 => (INLINE_MAX - 2..INLINE_MAX + 3).prop_map(|length| "7".repeat(length)),
    ]);
    let facts = prop::option::of(
        "[^\"\\\\]{0,20}"
            .prop_map(|text| format!("{{\"note\":{}}}", serde_json::Value::from(text))),
    );
    let cmd = prop::option::of(".{0,20}");
    (number(), record, payload, facts, cmd).prop_map(|(run, record, payload, facts, cmd)| Line {
        run,
        record: with_value(record, payload.is_some()),
        payload: payload.map(|text| text.into_bytes().into()),
        facts: facts.map(Into::into),
        cmd: cmd.map(Into::into),
    })
}

/// The record as it reads back: its value's handle says only whether there is one.
fn with_value(mut record: Record, has_value: bool) -> Record {
    let is = if has_value { ValueId(0) } else { ValueId::NONE };
    match &mut record.body {
        Body::Done { value, .. }
        | Body::Decided { value }
        | Body::Signal { value, .. }
        | Body::Failed { cause: Cause::Error(value), .. } => *value = is,
        _ => {}
    }
    record
}

#[test]
fn lines_read_back_as_they_were_written() {
    let folder = Folder::new();
    let options = StoreOptions { sync: false, thread: false };
    let store = SqliteStore::open(&folder.store(), options).expect("a store");
    let store = std::cell::RefCell::new(store);
    let reader = Reader::open(&folder.store()).expect("a reader");
    let seen = std::cell::RefCell::new(std::collections::HashMap::new());
    proptest!(|(line in line())| {
        let lsn = line.record.lsn.0;
        let batch = Batch { lines: vec![line.clone()], ..Batch::default() };
        let written = store.borrow_mut().commit(&batch);
        let there = seen.borrow_mut().entry(lsn).or_insert_with(|| line.clone()).clone();
        // A position that is taken keeps what it has.
        prop_assert_eq!(written.is_ok(), there == line);
        prop_assert_eq!(reader.line(lsn).expect("it reads"), Some(there));
    });
}
