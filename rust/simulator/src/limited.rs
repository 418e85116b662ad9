//! Queues with everything that limits them, drawn from the seed apart from the rest of a world.

use std::collections::BTreeMap;

use penstock_engine::{
    AdaptiveModel, BreakerModel, BudgetModel, Cost, FairnessModel, Hedge, NodeId, NodeKind,
    OnDenial, Policy, QueueModel, Rate, ShedModel, TenantId,
};

use crate::dice::Dice;
use crate::effects::is_undone;
use crate::workload::{MS, Workload};

/// Tenants of a world, and nobody.
pub(crate) const TENANTS: u64 = 6;

/// In half of all worlds, limits some queues by more than slots, and lets some steps be hedged.
pub(crate) fn limit(workload: &mut Workload) {
    let mut dice = Dice::new(workload.seed ^ 0x5eed_0f11);
    if dice.one_in(2) {
        return;
    }
    for model in &mut workload.queues {
        *model = QueueModel {
            concurrency: model.concurrency,
            capacity: model.capacity,
            ..drawn(&mut dice)
        };
    }
    for (spec, policies) in &mut workload.graphs {
        for (node, policy) in (0..).zip(policies) {
            let Some(policy) = policy else { continue };
            let kind = spec.nodes[node as usize].kind;
            let twice = kind == NodeKind::Step && !policy.once && !is_undone(spec, NodeId(node));
            let tokens = if dice.one_in(2) { dice.below(50) as u32 } else { 0 };
            let hedge = (twice && dice.one_in(3)).then(|| match dice.below(2) {
                0 => Hedge::After(dice.below(20) * MS),
                _ => Hedge::Quantile(0.5 + dice.below(50) as f64 / 100.0),
            });
            *policy = Policy { tokens, hedge, fallback: dice.one_in(8), ..*policy };
        }
    }
}

fn drawn(dice: &mut Dice) -> QueueModel {
    let rate = |dice: &mut Dice, gap_us: u64| Rate {
        gap_ps: (1 + dice.below(gap_us)) * 1_000_000,
        burst: 1 + dice.below(20) as u32,
    };
    let weights = |dice: &mut Dice| {
        let weights =
            (0..TENANTS).map(|tenant| (TenantId(tenant as u32), 0.5 + dice.below(4) as f64));
        weights.collect::<BTreeMap<_, _>>()
    };
    QueueModel {
        requests: dice.one_in(3).then(|| rate(dice, 5_000)),
        tokens: dice.one_in(4).then(|| rate(dice, 200)),
        fairness: dice.one_in(2).then(|| FairnessModel {
            by: [Cost::Time, Cost::Tokens, Cost::Attempts][dice.below(3) as usize],
            weights: weights(dice),
        }),
        aging_ns: dice.below(50) * MS,
        aging_share_ppm: if dice.one_in(2) { 0 } else { dice.below(500_000) as u32 },
        budget: dice.one_in(2).then(|| BudgetModel {
            ratio_ppm: dice.below(300_000) as u32,
            floor_ppm: 1 + dice.below(20_000_000) as u32,
            stored_ppm: 1_000_000 * (1 + dice.below(5) as u32),
            window_ns: (1 + dice.below(2_000)) * MS,
            on_denial: [OnDenial::Park, OnDenial::Park, OnDenial::Fail, OnDenial::DeadLetter]
                [dice.below(4) as usize],
        }),
        breaker: dice.one_in(3).then(|| {
            let open_ns = (1 + dice.below(100)) * MS;
            BreakerModel {
                failure_ppm: 100_000 + dice.below(900_000) as u32,
                calls_min: 1 + dice.below(10) as u32,
                window_ns: (1 + dice.below(500)) * MS,
                open_ns,
                open_max_ns: 4 * open_ns,
                probes: 1 + dice.below(4) as u32,
            }
        }),
        shed: dice.one_in(4).then(|| {
            let target_ns = (1 + dice.below(20)) * MS;
            ShedModel { target_ns, interval_ns: 2 * target_ns }
        }),
        adaptive: dice.one_in(4).then(|| {
            let least = 1 + dice.below(3) as u32;
            AdaptiveModel { initial: least + 1, least, most: least + dice.below(20) as u32 }
        }),
        ..QueueModel::default()
    }
}
