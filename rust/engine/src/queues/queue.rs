//! One queue: its slots, what else limits it, and what it looks like from outside.

use super::adaptive::Adaptive;
use super::breaker::Breaker;
use super::control::{Changed, Charge, Control, Gate, Verdict};
use super::demand::{Demand, Weather};
use super::parked::{Health, Parked, ParkedEntry};
use super::purse::{PartId, PartModel, Purse};
use super::shed::Shed;
use super::{BreakerState, Counts, LANES, Limits, Line, NEVER, OnDenial, Order, QueueModel};
use crate::ids::{AttemptKey, StepId};

/// What a queue looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueueView {
    /// Attempts that may be under way now.
    pub concurrency: u32,
    /// Attempts under way.
    pub running: u32,
    /// Entries that wait.
    pub waiting: u32,
    /// Nodes that are parked.
    pub parked: u32,
    /// What was counted since the beginning.
    pub total: Counts,
    /// What was counted in the last five seconds.
    pub last: Counts,
    /// Whether there is a retry storm.
    pub stormy: bool,
    /// Whether new runs are refused because those that were admitted wait too long.
    pub shedding: bool,
    /// Where the breaker is, if there is one.
    pub breaker: Option<BreakerState>,
    /// Millionths of the retries that could be paid for now, if there is a budget.
    pub tokens_ppm: Option<u64>,
}

/// Something that happened to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// More is asked for again than for the first time, and little of it succeeds.
    StormStarted,
    /// Demand and success are as usual again.
    StormEnded,
    /// Too many attempts failed: it is left alone for a while.
    BreakerOpened,
    /// It answers again.
    BreakerClosed,
}

impl News {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StormStarted => "storm_started",
            Self::StormEnded => "storm_ended",
            Self::BreakerOpened => "breaker_opened",
            Self::BreakerClosed => "breaker_closed",
        }
    }
}

/// An attempt that is about to start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started {
    pub(crate) attempt: AttemptKey,
    pub(crate) charge: Charge,
    /// If it is its node's first, for whose retries it earns.
    pub(crate) first: Option<PartId>,
    /// How long it waited.
    pub(crate) delay_ns: u64,
}

#[derive(Debug)]
pub(crate) struct Queue {
    model: QueueModel,
    limits: Limits,
    /// Attempts that may be under way: this host's share, or less if latency says so.
    concurrency: u32,
    pub(super) running: u32,
    /// Entries that wait and have not been withdrawn.
    pub(super) waiting: u32,
    /// Whether nothing of it may start before `opens_ns`: its rate is used up.
    closed: bool,
    opens_ns: u64,
    /// By lane.
    pub(crate) lines: [Line; LANES],
    /// Dispatches and the time between them, smoothed: what `retry_after` is estimated from.
    last_ns: u64,
    gap_ns: u64,
    control: Option<Box<Control>>,
    demand: Demand,
    /// Of the last ten attempts or so, how many succeeded: what tells an outage at once.
    recent: f64,
    parked: Parked,
    /// When its timer fires; [`NEVER`] if none is set.
    armed_ns: u64,
    /// From when on it wants to hear of what happens to it beyond being counted.
    listens_ns: u64,
}

const DEFAULT_GAP_NS: u64 = 100_000_000;
/// Seconds that health looks back, the present one included, and those of [`QueueView::last`].
const HEALTH: usize = 2;
const LAST: usize = 5;
/// Attempts over which `recent` is smoothed.
const RECENT: f64 = 10.0;

impl Queue {
    pub(super) fn new(model: QueueModel, seed: u64, now_ns: u64) -> Self {
        let mut queue = Self {
            limits: model.limits(),
            concurrency: 0,
            running: 0,
            waiting: 0,
            closed: false,
            opens_ns: 0,
            lines: std::array::from_fn(|_| Line::new(order(&model))),
            last_ns: 0,
            gap_ns: DEFAULT_GAP_NS,
            control: Control::new(&model, seed, now_ns),
            demand: Demand::default(),
            recent: 1.0,
            parked: Parked::default(),
            armed_ns: NEVER,
            listens_ns: 0,
            model,
        };
        queue.adapt();
        queue.listen();
        queue
    }

    pub(super) fn configure(&mut self, model: QueueModel, seed: u64, now_ns: u64) {
        let new = Control::new(&model, seed, now_ns);
        match (&mut self.control, new) {
            (Some(control), Some(new)) => control.change(*new, &model, now_ns),
            (control, new) => *control = new,
        }
        let unit = |model: &QueueModel| model.fairness.as_ref().map(|fairness| fairness.by);
        let another = unit(&model) != unit(&self.model);
        for line in &mut self.lines {
            line.entries.reorder(order(&model));
            if another {
                line.entries.start_over();
            }
        }
        self.model = model;
        self.closed = false;
        self.limit(self.model.limits());
    }

    pub(super) fn limit(&mut self, limits: Limits) {
        self.limits = limits;
        if let Some(control) = &mut self.control {
            control.limit(&limits, &self.model);
        }
        self.adapt();
        self.listen();
    }

    /// Whether it wants to hear of what happens to it beyond being counted.
    #[inline]
    pub(crate) const fn listens(&self, now_ns: u64) -> bool {
        now_ns >= self.listens_ns
    }

    /// Works out from when on it listens: at once if there is something that limits it or parked work, else when
    /// the second is over.
    fn listen(&mut self) {
        let at_once = self.control.is_some() || !self.parked.is_empty();
        self.listens_ns = if at_once { 0 } else { self.demand.ends_ns() };
    }

    /// Works out how many attempts may be under way.
    fn adapt(&mut self) {
        let adaptive = self.control.as_ref().and_then(|control| control.adaptive.as_ref());
        let adapted = adaptive.map_or(u32::MAX, Adaptive::limit);
        self.concurrency = self.limits.concurrency.min(adapted);
    }

    // What it looks like.

    pub(crate) const fn model(&self) -> &QueueModel {
        &self.model
    }

    pub(crate) fn view(&self) -> QueueView {
        let control = self.control.as_ref();
        QueueView {
            concurrency: self.concurrency,
            running: self.running,
            waiting: self.waiting,
            parked: self.parked.len(),
            total: self.demand.total(),
            last: self.demand.last(LAST),
            stormy: self.demand.is_stormy(),
            shedding: control.is_some_and(|it| it.shed.as_ref().is_some_and(Shed::is_overloaded)),
            breaker: control.and_then(|it| it.breaker.as_ref()).map(Breaker::state),
            tokens_ppm: control.and_then(|it| it.budget.as_ref()).map(Purse::total),
        }
    }

    #[inline]
    pub(crate) const fn is_full(&self) -> bool {
        self.running >= self.concurrency || self.closed
    }

    /// Entries that may still come.
    pub(crate) fn room(&self) -> u32 {
        let shed = self.control.as_ref().and_then(|control| control.shed.as_ref());
        let most = shed.map_or(u32::MAX, Shed::most).min(self.model.capacity);
        most.saturating_sub(self.waiting)
    }

    /// How long until there is likely to be room for `count` more entries, at the present pace; `None` if there
    /// is.
    pub(crate) fn lacks_room(&self, count: usize) -> Option<u64> {
        let wanted = u64::from(self.waiting) + count as u64;
        let excess = wanted.saturating_sub(u64::from(self.model.capacity));
        (excess > 0).then(|| self.gap_ns.saturating_mul(excess))
    }

    /// How long to stay away with `count` more entries, as they would wait too long; `None` if they may come.
    pub(crate) fn sheds(&self, count: usize) -> Option<u64> {
        let before = (self.waiting as usize + count).saturating_sub(1);
        self.control.as_ref()?.shed.as_ref()?.refuses(before)
    }

    /// How attempts of the last two seconds fared.
    fn health(&self) -> Health {
        let counts = self.demand.last(HEALTH);
        let succeeded = (counts.good + counts.late) as f64;
        let share = (counts.ended > 0).then(|| succeeded / counts.ended as f64);
        Health { share, recent: self.recent, per_s: succeeded / HEALTH as f64 }
    }

    // How attempts start.

    /// Whether anything but slots limits it.
    #[inline]
    pub(crate) const fn is_controlled(&self) -> bool {
        self.control.is_some()
    }

    /// Whether an attempt of so many tokens may start.
    pub(crate) fn gate(&mut self, now_ns: u64, tokens: u32) -> Gate {
        self.control.as_mut().map_or(Gate::Open, |control| control.gate(now_ns, tokens))
    }

    /// What an attempt of a step is charged.
    pub(crate) fn cost(&self, step: StepId, tokens: u32) -> u64 {
        self.control.as_ref().map_or(0, |control| control.cost(step, tokens))
    }

    /// A slot is taken.
    #[inline]
    pub(super) fn serve(&mut self, now_ns: u64, first: bool) {
        self.running += 1;
        let counts = self.demand.now();
        counts.sent += 1;
        counts.first += u64::from(first);
        let gap_ns = now_ns.saturating_sub(self.last_ns);
        if self.last_ns > 0 {
            self.gap_ns = (self.gap_ns * 7 + gap_ns) / 8;
        }
        self.last_ns = now_ns;
    }

    /// An attempt that was let through starts.
    pub(crate) fn started(&mut self, now_ns: u64, started: &Started) {
        let backlog = self.waiting > 0;
        if let Some(control) = &mut self.control {
            control.started(now_ns, started.attempt, started.charge, started.first);
            if let Some(shed) = &mut control.shed {
                shed.waited(now_ns, started.delay_ns, backlog);
            }
        }
    }

    /// Whoever came first now may start though others may not.
    pub(super) const fn ask_again(&mut self) {
        self.closed = false;
    }

    #[inline]
    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) const fn close(&mut self, until_ns: u64) {
        self.closed = true;
        self.opens_ns = until_ns;
    }

    pub(super) const fn reopen(&mut self, now_ns: u64) -> bool {
        let opens = self.closed && now_ns >= self.opens_ns;
        self.closed &= !opens;
        opens
    }

    // How they end.

    /// An attempt has said how many tokens it used.
    pub(crate) fn used(&mut self, attempt: AttemptKey, tokens: u32) {
        if let Some(control) = &mut self.control {
            control.used(attempt, tokens);
        }
    }

    /// An attempt has ended; whether its run still wanted it.
    #[inline]
    pub(crate) fn counted(&mut self, verdict: Verdict, wanted: bool) {
        let counts = self.demand.now();
        let answered = verdict == Verdict::Answered;
        counts.good += u64::from(answered && wanted);
        counts.late += u64::from(answered && !wanted);
        counts.ended += u64::from(!matches!(verdict, Verdict::Refused | Verdict::Unsaid));
    }

    #[inline]
    pub(super) fn ended(
        &mut self,
        now_ns: u64,
        attempt: AttemptKey,
        started_ns: u64,
        verdict: Verdict,
    ) -> Changed {
        let Some(control) = &mut self.control else { return Changed::default() };
        let mut reopened = false;
        if let Some((charge, cost)) = control.settled(attempt, now_ns - started_ns) {
            // What it did not use may let others start.
            reopened = self.closed && charge.used < charge.tokens;
            self.closed &= !reopened;
            if let Some(cost) = cost {
                self.lines[usize::from(charge.lane)].entries.settle(&charge, cost);
            }
        }
        match verdict {
            Verdict::Answered => self.recent += (1.0 - self.recent) / RECENT,
            Verdict::Failed | Verdict::Throttled => self.recent -= self.recent / RECENT,
            Verdict::Refused | Verdict::Unsaid => {}
        }
        // With the one that has ended.
        let changed = control.ended(now_ns, started_ns, self.running + 1, verdict);
        if changed.concurrency {
            self.adapt();
        }
        Changed { concurrency: changed.concurrency || reopened, ..changed }
    }

    // Retries.

    /// What becomes of a retry, if it is not paid for. The last attempt of a node waits for better times.
    pub(crate) fn denies(
        &mut self,
        now_ns: u64,
        timed_out: bool,
        last: bool,
        part: PartId,
    ) -> Option<OnDenial> {
        let on_denial = self.control.as_ref()?.budget.as_ref()?.model().on_denial;
        let wasted = last && on_denial == OnDenial::Park && self.health().is_bad();
        let paid = !wasted && self.control.as_mut()?.pays(now_ns, timed_out, part);
        if paid {
            return None;
        }
        self.demand.now().denied += 1;
        Some(on_denial)
    }

    /// The retry budget goes on with so many millionths of a retry, at most what it may keep.
    pub(crate) fn set_tokens(&mut self, now_ns: u64, tokens: u64) {
        let budget = self.control.as_mut().and_then(|control| control.budget.as_mut());
        if let Some(budget) = budget {
            budget.refill(now_ns, tokens);
        }
    }

    /// The retry budget has these parts from now on.
    pub(crate) fn split(&mut self, now_ns: u64, parts: &[PartModel]) {
        let budget = self.control.as_mut().and_then(|control| control.budget.as_mut());
        if let Some(budget) = budget {
            budget.split(now_ns, parts);
        }
    }

    /// Whether a second copy of an attempt is paid for.
    pub(crate) fn pays(&mut self, now_ns: u64, part: PartId) -> bool {
        self.control.as_mut().is_none_or(|control| control.pays(now_ns, false, part))
    }

    // What is parked.

    #[inline]
    pub(crate) const fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Slots that stand free beside what already waits.
    fn spare(&self) -> u32 {
        self.concurrency.saturating_sub(self.running.saturating_add(self.waiting))
    }

    pub(crate) fn park(&mut self, priority: u8, last: bool, entry: ParkedEntry) {
        self.parked.push(priority, last, entry);
        self.listen();
    }

    /// The next parked node to come back now. The caller says [`Queue::unparked`] if it still stands for one.
    pub(crate) fn pop_parked(&mut self, now_ns: u64, last: bool) -> Option<ParkedEntry> {
        self.parked.pop(now_ns, last)
    }

    /// How many parked nodes may come back now unpaid: as probes, or because the drain lets them go; and whether last
    /// attempts may be among them.
    pub(crate) fn drained(&mut self, now_ns: u64) -> (u32, bool) {
        let health = self.health();
        let (control, spare) = (self.control.as_ref(), self.spare());
        if self.parked.is_empty() {
            return (0, false);
        }
        if let Some(breaker) = control.and_then(|it| it.breaker.as_ref())
            && breaker.state() != BreakerState::Closed
        {
            return (breaker.probes_left(now_ns).min(spare), true);
        }
        if control.is_none_or(|it| it.budget.is_none() && it.breaker.is_none()) {
            // What kept them is gone.
            return (spare, true);
        }
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::DrainIsShut) {
            return (0, false);
        }
        let drain = self.parked.drain();
        let earned = drain.earn(now_ns, health);
        if drain.probes(now_ns, health) {
            return (1, true);
        }
        (earned.min(spare), health.is_good())
    }

    /// Whether enough succeed for last attempts to come back.
    pub(crate) fn is_well(&self) -> bool {
        self.health().is_good()
    }

    /// Whether a token is left over for a parked node.
    pub(crate) fn can_pay_parked(&mut self, now_ns: u64) -> bool {
        let spare = self.spare() > 0;
        let control = self.control.as_mut();
        let closed = control.as_ref().is_some_and(|it| it.is_broken());
        let budget = control.and_then(|control| control.budget.as_mut());
        spare && !closed && !self.parked.is_empty() && budget.is_some_and(|it| it.has_token(now_ns))
    }

    /// A popped entry stood for a node, which stands in line again.
    pub(crate) fn unparked(&mut self) {
        self.parked.released();
        self.listen();
    }

    /// A popped entry stands for a node for which its part can't pay yet.
    pub(crate) fn park_again(&mut self, priority: u8, last: bool, entry: ParkedEntry) {
        self.parked.released();
        self.parked.push(priority, last, entry);
    }

    /// A node is parked no longer; whether compacting pays.
    pub(crate) fn withdraw_parked(&mut self) -> bool {
        let compacts = self.parked.withdraw();
        self.listen();
        compacts
    }

    pub(crate) fn compact_parked(&mut self, keep: impl FnMut(&ParkedEntry) -> bool) {
        self.parked.compact(keep);
    }

    /// Entries of what is parked, withdrawn ones included.
    pub(crate) fn parked(&self) -> impl Iterator<Item = &ParkedEntry> {
        self.parked.iter()
    }

    // Its timer.

    /// Whether nothing but its timer will bring on what waits for it.
    pub(crate) fn must_wake(&self) -> bool {
        self.closed || (!self.parked.is_empty() && self.spare() > 0)
    }

    /// As [`Queue::roll`], with what has come of the budget meanwhile.
    pub(crate) fn look(&mut self, now_ns: u64) -> Option<News> {
        if let Some(budget) = self.control.as_mut().and_then(|control| control.budget.as_mut()) {
            budget.look(now_ns);
        }
        self.roll(now_ns)
    }

    /// Goes on to the present second, if one is over; what has changed then.
    #[inline]
    pub(crate) fn roll(&mut self, now_ns: u64) -> Option<News> {
        if self.demand.is_over(now_ns) { self.roll_on(now_ns) } else { None }
    }

    #[cold]
    fn roll_on(&mut self, now_ns: u64) -> Option<News> {
        let weather = self.demand.roll(now_ns);
        self.listen();
        weather.map(|weather| match weather {
            Weather::Storm => News::StormStarted,
            Weather::Calm => News::StormEnded,
        })
    }

    /// When something is to be done that no event will bring about, if that is before its timer fires. The
    /// timer counts as set for then.
    #[inline]
    pub(crate) fn arm(&mut self, now_ns: u64) -> Option<u64> {
        if !self.closed && self.parked.is_empty() && !self.demand.is_watched() {
            return None;
        }
        self.arm_now(now_ns)
    }

    fn arm_now(&mut self, now_ns: u64) -> Option<u64> {
        let mut at_ns = NEVER;
        if self.closed {
            at_ns = at_ns.min(self.opens_ns);
        }
        if self.demand.is_watched() {
            at_ns = at_ns.min(self.demand.ends_ns());
        }
        // Without a slot to spare, the end of an attempt is soon enough.
        if !self.parked.is_empty() && self.spare() > 0 {
            at_ns = at_ns.min(self.parked.drain().next_ns(now_ns));
            let control = self.control.as_ref();
            let breaker = control.and_then(|it| it.breaker.as_ref()).and_then(Breaker::next_ns);
            if let Some(until_ns) = breaker.filter(|&until_ns| until_ns > now_ns) {
                at_ns = until_ns;
            }
        }
        #[cfg(feature = "planted")]
        if crate::planted::has(crate::planted::Bug::QueueIsNotWoken) && !self.parked.is_empty() {
            return None;
        }
        if at_ns >= self.armed_ns {
            return None;
        }
        self.armed_ns = at_ns;
        Some(at_ns)
    }

    /// Whether its timer is set for then.
    pub(crate) const fn is_armed_for(&self, at_ns: u64) -> bool {
        self.armed_ns == at_ns
    }

    /// Its timer has fired.
    pub(crate) const fn disarm(&mut self) {
        self.armed_ns = NEVER;
    }
}

fn order(model: &QueueModel) -> Order {
    Order {
        aging_ns: model.aging_ns,
        aging_share_ppm: model.aging_share_ppm,
        weights: model.fairness.as_ref().map(|fairness| fairness.weights.clone()),
    }
}
