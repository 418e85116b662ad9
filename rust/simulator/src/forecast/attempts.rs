//! How attempts go: what the world draws for them.

use penstock_engine::{NodeId, Place, ResourceId};

use super::luck::Luck;
use super::model::{End, NodeModel, Outage, Scene, StepModel};
use super::outages::Weather;

const ATTEMPTS: u64 = 10;
const COPIES: u64 = 11;
const FRAILTY: u64 = 15;

/// How an attempt goes: what the world draws for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attempt {
    /// How it ends.
    pub end: End,
    /// Seconds until then; of no meaning if it hangs.
    pub seconds: f64,
    /// For what it spends.
    luck: Luck,
}

/// Which attempt it is: what its luck depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    /// Of the run that came as this one.
    pub run: u64,
    /// The node.
    pub node: Place,
    /// Its number, from 1.
    pub number: u32,
    /// Whether it is the second of two copies.
    pub copy: bool,
}

/// What an attempt starts into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions<'a> {
    /// The factor on its probability of failure that its run has.
    pub(super) failing: f64,
    /// How the attempt before it ended.
    pub(super) after: Option<End>,
    /// Attempts in flight in its queue, itself among them.
    pub(super) beside: u32,
    pub(super) outage: Option<&'a Outage>,
}

/// Draws how an attempt goes.
pub(super) fn attempt(
    model: &StepModel,
    seed: u64,
    which: Which,
    conditions: Conditions<'_>,
) -> Attempt {
    let Conditions { failing, after, beside, outage } = conditions;
    let Which { run, node, number, copy } = which;
    let what = if copy { COPIES } else { ATTEMPTS };
    let mut luck = Luck::of(seed, [what, run, u64::from(node.0), u64::from(number)]);
    let row =
        model.failures.iter().rev().find(|row| {
            row.attempt <= number && row.after.is_none_or(|class| Some(class) == after)
        });
    let (mut error, fatal, hang) = row.map_or((0.0, 0.0, 0.0), |row| {
        (row.error * failing, row.fatal * failing, row.hang * failing)
    });
    if let Some(outage) = outage {
        error = error.max(outage.error);
    }
    let dice = luck.share();
    let end = if dice < error {
        End::Error
    } else if dice < error + fatal {
        End::Fatal
    } else if dice < error + fatal + hang {
        End::Hang
    } else {
        End::Done
    };
    let shape = match (&model.failed_latency, end) {
        (Some(shape), End::Error | End::Fatal) => shape,
        _ => &model.latency,
    };
    let slower = outage.map_or(1.0, |outage| outage.slower);
    let seconds = shape.draw(&mut luck) * factor(&model.load, f64::from(beside)) * slower;
    Attempt { end, seconds, luck }
}

impl Attempt {
    /// What it spends until its own end, or until it is cut off: resources, units and nano-dollars.
    pub fn spends(
        self,
        model: &StepModel,
        cut: bool,
    ) -> impl Iterator<Item = (ResourceId, u64, i64)> {
        let mut luck = self.luck;
        let part = match self.end {
            _ if cut => model.cut_spend,
            End::Done => 1.0,
            _ => model.failed_spend,
        };
        let lines = if part > 0.0 { model.spend.as_slice() } else { &[] };
        lines.iter().map(move |(resource, units, price)| {
            let drawn = part * units.draw(&mut luck);
            let units = (drawn * price.scale).round();
            // What is counted by the piece is paid by the piece.
            let paid = if price.scale > 1.0 { drawn } else { units };
            (*resource, units as u64, (paid * price.nanos).round() as i64)
        })
    }
}

/// What latency is multiplied by with so many attempts in flight.
fn factor(load: &[(f64, f64)], beside: f64) -> f64 {
    let Some(after) = load.iter().position(|(at, _)| *at >= beside) else {
        return load.last().map_or(1.0, |(_, factor)| *factor);
    };
    let (at, high) = load[after];
    let Some(&(from, low)) = after.checked_sub(1).and_then(|before| load.get(before)) else {
        return high;
    };
    low + (high - low) * (beside - from) / (at - from)
}

/// How an attempt of a scene goes that starts at a time, with `beside` in flight in its queue, itself among them.
///
/// # Errors
/// The node is no step.
pub fn foretell(
    scene: &Scene,
    seed: u64,
    which: Which,
    template: NodeId,
    (at_ns, beside): (u64, u32),
    after: Option<End>,
) -> Result<(Attempt, &StepModel), NodeId> {
    let policy = scene.policies.get(template.index()).and_then(Option::as_ref);
    let (Some(NodeModel::Step(model)), Some(policy)) =
        (scene.model.nodes.get(template.index()), policy)
    else {
        return Err(template);
    };
    let outage = Weather::new(&scene.model.outages, seed).at(policy.queue, at_ns);
    let failing = failing(scene.model.frailty, seed, which.run);
    let conditions = Conditions { failing, after, beside, outage };
    Ok((attempt(model, seed, which, conditions), model))
}

/// What a run's failures are more likely by than another's.
pub(super) fn failing(frailty: f64, seed: u64, run: u64) -> f64 {
    if frailty == 0.0 {
        return 1.0;
    }
    let normal = Luck::of(seed, [FRAILTY, run, 0, 0]).normal();
    (frailty * normal - frailty * frailty / 2.0).exp()
}
