//! The queues of an engine: slots, lines, which line is served next, and what else limits a queue.
//!
//! A queue models a dependency: its slots are taken when an attempt is dispatched and given back when it
//! has really ended. It has one line for each lane, so that steps of the event loop pass those that wait
//! for a thread. Among the lines that have both a slot and an entry, the one whose first entry has the
//! lower (priority, arrival) is served.
//!
//! The chapters: `queue` is one queue and `model` what its user says of it, `ready` a line and `fair` the tenants
//! in it. `control` brings together `rate`, `budget`, `breaker`, `shed` and `adaptive`; `parked` is what waits
//! without standing in line; `demand` counts what is asked and what comes of it.

mod adaptive;
mod breaker;
mod budget;
mod control;
mod demand;
mod fair;
mod model;
mod parked;
mod purse;
mod queue;
mod rate;
mod ready;
mod shed;

use crate::ids::{AttemptKey, QueueId};
use crate::plan::Lane;

pub use adaptive::AdaptiveModel;
pub use breaker::{BreakerModel, BreakerState};
pub use budget::{Budget, BudgetModel, OnDenial, TOKEN};
pub(crate) use control::{Charge, Gate, Verdict};
pub use demand::Counts;
pub use model::{Cost, FairnessModel, Limits, QueueModel};
pub(crate) use parked::ParkedEntry;
pub use purse::{PartId, PartModel};
pub use queue::{News, QueueView};
pub(crate) use queue::{Queue, Started};
pub use rate::Rate;
pub use ready::{BANDS, Claim, DEFAULT_PRIORITY, Entry, NEVER, Order, ReadyQueue};
pub use shed::ShedModel;

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) entries: ReadyQueue,
    /// Passed over until [`Queues::unblock`].
    blocked: bool,
    /// Place in `Queues::heads`, or `ABSENT`.
    place: usize,
}

impl Line {
    fn new(order: Order) -> Self {
        Self { entries: ReadyQueue::new(order), blocked: false, place: ABSENT }
    }
}

/// One line of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineId(u32);

impl LineId {
    const fn new(queue: QueueId, lane: usize) -> Self {
        Self(queue.0 * LANES as u32 + lane as u32)
    }

    /// The queue it belongs to.
    pub(crate) const fn queue(self) -> QueueId {
        QueueId(self.0 / LANES as u32)
    }

    pub(crate) const fn lane(self) -> usize {
        self.0 as usize % LANES
    }
}

/// Whose turn it is: the first entry of a priority of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) line: LineId,
    pub(crate) priority: u8,
}

const LANES: usize = 2;
const ABSENT: usize = usize::MAX;

/// All queues, and a heap of the lines that can be served.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    all: Vec<Queue>,
    /// Binary heap of the lines with a slot and an entry, by their first entry.
    heads: Vec<LineId>,
    /// Lines that are passed over, to be looked at again.
    blocked: Vec<LineId>,
}

impl Queues {
    pub(crate) fn add(&mut self, model: QueueModel, seed: u64, now_ns: u64) -> QueueId {
        let id = QueueId(self.all.len() as u32);
        self.all.push(Queue::new(model, seed ^ u64::from(id.0), now_ns));
        id
    }

    /// Serves a queue by another model from now on. What runs or waits is not touched.
    pub(crate) fn configure(&mut self, id: QueueId, model: QueueModel, seed: u64, now_ns: u64) {
        self.all[id.0 as usize].configure(model, seed ^ u64::from(id.0), now_ns);
        self.refresh_lines(id);
    }

    /// Takes this host's share of a queue's limits.
    pub(crate) fn limit(&mut self, id: QueueId, limits: Limits) {
        self.all[id.0 as usize].limit(limits);
        self.refresh_lines(id);
    }

    pub(crate) fn len(&self) -> u32 {
        self.all.len() as u32
    }

    pub(crate) fn get(&self, id: QueueId) -> &Queue {
        &self.all[id.0 as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: QueueId) -> &mut Queue {
        &mut self.all[id.0 as usize]
    }

    #[inline]
    pub(crate) fn push(&mut self, id: QueueId, lane: Lane, claim: Claim, entry: Entry) {
        let at = LineId::new(id, lane as usize);
        let queue = &mut self.all[id.0 as usize];
        queue.waiting += 1;
        let (full, closed) = (queue.is_full(), queue.is_closed());
        let ours = &mut queue.lines[at.lane()];
        ours.entries.push(claim, entry);
        if closed && ours.entries.head().is_some_and(|(_, seq)| seq == entry.seq) {
            queue.ask_again();
            return self.refresh_lines(id);
        }
        // Most runtimes serve one line at a time, which needs no order.
        match (ours.place, self.heads.len()) {
            (0, 1) => {}
            (ABSENT, 0) if !full && !ours.blocked => {
                ours.place = 0;
                self.heads.push(at);
            }
            _ => self.refresh(at),
        }
    }

    /// Whether some line has a slot and an entry.
    pub(crate) const fn has_ready(&self) -> bool {
        !self.heads.is_empty()
    }

    /// The line to serve next, with which priority, and the first entry of that.
    #[inline]
    pub(crate) fn peek(&self, now_ns: u64) -> Option<(Turn, Entry)> {
        let line = *self.heads.first()?;
        let (priority, entry) = self.line(line).entries.peek(now_ns)?;
        Some((Turn { line, priority }, *entry))
    }

    /// Takes the entry whose turn it is without taking a slot: it was withdrawn earlier.
    pub(crate) fn discard(&mut self, turn: Turn) {
        self.line_mut(turn.line).entries.pop(turn.priority, None);
        self.refresh(turn.line);
    }

    /// Takes the entry whose turn it is without taking a slot: it may not start.
    pub(crate) fn turn_away(&mut self, turn: Turn) {
        self.all[turn.line.queue().0 as usize].waiting -= 1;
        self.discard(turn);
    }

    /// Takes the entry whose turn it is, and a slot for it; its tenant is charged the cost. `first` if it is its
    /// node's first attempt.
    #[inline]
    pub(crate) fn serve(&mut self, turn: Turn, now_ns: u64, cost: u64, first: bool) {
        let id = turn.line;
        let queue = &mut self.all[id.queue().0 as usize];
        let line = &mut queue.lines[id.lane()];
        line.entries.pop(turn.priority, Some(cost));
        let only = self.heads.len() == 1;
        if only && line.entries.is_empty() {
            line.place = ABSENT;
            self.heads.clear();
        }
        queue.waiting -= 1;
        queue.serve(now_ns, first);
        let full = queue.is_full();
        // The line whose first entry changed goes first: the heap bears one line out of place, not two.
        if !only || full {
            self.refresh(id);
        }
        if full {
            self.refresh_lines(id.queue());
        }
    }

    /// Takes a slot for an attempt that did not stand in line; whether there was one.
    pub(crate) fn serve_at_once(&mut self, id: QueueId, now_ns: u64) -> bool {
        let queue = &mut self.all[id.0 as usize];
        if queue.is_full() {
            return false;
        }
        queue.serve(now_ns, false);
        if queue.is_full() {
            self.refresh_lines(id);
        }
        true
    }

    /// Gives a slot back. Answers whether the queue is to hear more of the attempt's end: [`Queues::ended`] and what
    /// [`Queue::roll`] and [`Queue::arm`] bring about.
    #[inline]
    pub(crate) fn release(
        &mut self,
        id: QueueId,
        now_ns: u64,
        verdict: Verdict,
        wanted: bool,
    ) -> bool {
        let queue = &mut self.all[id.0 as usize];
        let full = queue.is_full();
        queue.running -= 1;
        queue.counted(verdict, wanted);
        let listens = queue.listens(now_ns);
        if full {
            self.refresh_lines(id);
        }
        listens
    }

    /// Nothing of a queue starts before this time.
    pub(crate) fn close(&mut self, id: QueueId, until_ns: u64) {
        self.all[id.0 as usize].close(until_ns);
        self.refresh_lines(id);
    }

    /// A queue that was closed may be served again, if it is time.
    pub(crate) fn reopen(&mut self, id: QueueId, now_ns: u64) {
        if self.all[id.0 as usize].reopen(now_ns) {
            self.refresh_lines(id);
        }
    }

    /// What an attempt was charged with is set right, and its end told to what limits the queue.
    pub(crate) fn ended(
        &mut self,
        now_ns: u64,
        id: QueueId,
        attempt: AttemptKey,
        started_ns: u64,
        verdict: Verdict,
    ) -> Option<BreakerState> {
        let queue = &mut self.all[id.0 as usize];
        let changed = queue.ended(now_ns, attempt, started_ns, verdict);
        if changed.concurrency {
            self.refresh_lines(id);
        }
        changed.breaker
    }

    /// Notes that an entry was withdrawn; it leaves its line when it is met. Answers whether most of the
    /// entries are withdrawn, so that compacting pays.
    pub(crate) fn withdraw(&mut self, id: QueueId) -> bool {
        let queue = &mut self.all[id.0 as usize];
        queue.waiting -= 1;
        let entries: usize = queue.lines.iter().map(|line| line.entries.len()).sum();
        entries > 2 * queue.waiting as usize + 1_000
    }

    pub(crate) fn compact(&mut self, id: QueueId, mut keep: impl FnMut(&Entry) -> bool) {
        for lane in 0..LANES {
            self.all[id.0 as usize].lines[lane].entries.compact(&mut keep);
            self.refresh(LineId::new(id, lane));
        }
    }

    /// Passes a line over until [`Queues::unblock`]: its lane has no room.
    pub(crate) fn block(&mut self, id: LineId) {
        self.line_mut(id).blocked = true;
        self.blocked.push(id);
        self.refresh(id);
    }

    pub(crate) fn unblock(&mut self) {
        while let Some(id) = self.blocked.pop() {
            self.line_mut(id).blocked = false;
            self.refresh(id);
        }
    }

    fn line(&self, id: LineId) -> &Line {
        &self.all[id.queue().0 as usize].lines[id.lane()]
    }

    fn line_mut(&mut self, id: LineId) -> &mut Line {
        &mut self.all[id.queue().0 as usize].lines[id.lane()]
    }

    fn refresh_lines(&mut self, id: QueueId) {
        (0..LANES).for_each(|lane| self.refresh(LineId::new(id, lane)));
    }

    /// Puts a line at its right place among those that can be served, or takes it out.
    fn refresh(&mut self, id: LineId) {
        let queue = &self.all[id.queue().0 as usize];
        let line = &queue.lines[id.lane()];
        let servable = !line.blocked && !queue.is_full() && !line.entries.is_empty();
        match (servable, line.place) {
            (true, ABSENT) => {
                self.heads.push(id);
                self.line_mut(id).place = self.heads.len() - 1;
                self.sift_up(self.heads.len() - 1);
            }
            (true, place) => {
                let place = self.sift_up(place);
                self.sift_down(place);
            }
            (false, ABSENT) => {}
            (false, _) => self.remove_head(id),
        }
    }

    fn remove_head(&mut self, id: LineId) {
        let place = std::mem::replace(&mut self.line_mut(id).place, ABSENT);
        if place == ABSENT {
            return;
        }
        let last = self.heads.len() - 1;
        self.heads.swap_remove(place);
        if place < last {
            self.line_mut(self.heads[place]).place = place;
            let place = self.sift_up(place);
            self.sift_down(place);
        }
    }

    fn key(&self, place: usize) -> Option<(u8, u64)> {
        self.line(self.heads[place]).entries.head()
    }

    fn sift_up(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.key(parent) <= self.key(place) {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        place
    }

    fn sift_down(&mut self, mut place: usize) {
        loop {
            let Some(child) = [2 * place + 1, 2 * place + 2]
                .into_iter()
                .filter(|&child| child < self.heads.len())
                .min_by_key(|&child| self.key(child))
            else {
                return;
            };
            if self.key(place) <= self.key(child) {
                return;
            }
            self.swap(place, child);
            place = child;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heads.swap(a, b);
        self.line_mut(self.heads[a]).place = a;
        self.line_mut(self.heads[b]).place = b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{NodeId, Place, RunKey};

    fn add(queues: &mut Queues, concurrency: u32) -> QueueId {
        queues.add(QueueModel { concurrency, ..QueueModel::default() }, 0, 0)
    }

    fn entry(seq: u64) -> Entry {
        Entry { seq, eligible_ns: 0, run: RunKey(seq), node: Place(0), template: NodeId(0) }
    }

    #[test]
    fn the_line_with_the_most_urgent_head_is_served_while_it_has_slots() {
        let mut queues = Queues::default();
        let one = add(&mut queues, 1);
        let many = add(&mut queues, u32::MAX);
        for (seq, queue, priority) in [(1, many, 3), (2, one, 1), (3, one, 1), (4, many, 2)] {
            queues.push(queue, Lane::Loop, Claim::of(priority), entry(seq));
        }
        let mut served = Vec::new();
        while let Some((turn, entry)) = queues.peek(0) {
            queues.serve(turn, 1, 0, true);
            served.push(entry.seq);
        }
        assert_eq!(served, [2, 4, 1]);
        queues.release(one, 0, Verdict::Answered, true);
        assert_eq!(queues.peek(0).map(|(_, entry)| entry.seq), Some(3));
    }

    #[test]
    fn a_blocked_line_lets_the_others_pass_even_of_its_own_queue() {
        let mut queues = Queues::default();
        let queue = add(&mut queues, u32::MAX);
        queues.push(queue, Lane::Threads, Claim::of(1), entry(1));
        queues.push(queue, Lane::Loop, Claim::of(5), entry(2));
        let (turn, _) = queues.peek(0).expect("an entry");
        queues.block(turn.line);
        assert_eq!(queues.peek(0).map(|(_, entry)| entry.seq), Some(2));
        queues.unblock();
        assert_eq!(queues.peek(0), Some((turn, entry(1))));
    }

    #[test]
    fn the_heap_of_heads_agrees_with_a_search() {
        let mut queues = Queues::default();
        let ids: Vec<QueueId> = (0..17).map(|n| add(&mut queues, 1 + n % 3)).collect();
        let lanes = [Lane::Loop, Lane::Threads];
        let mut seed = 1_u64;
        let mut random = move |below: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for seq in 0..5_000 {
            let id = ids[random(17) as usize];
            match random(3) {
                0 => {
                    let claim = Claim::of(1 + random(5) as u8);
                    queues.push(id, lanes[random(2) as usize], claim, entry(seq));
                }
                1 if queues.get(id).running > 0 => {
                    queues.release(id, 0, Verdict::Answered, true);
                }
                _ => {
                    let best = ids
                        .iter()
                        .filter(|id| !queues.get(**id).is_full())
                        .flat_map(|id| &queues.all[id.0 as usize].lines)
                        .filter_map(|line| line.entries.head())
                        .min();
                    let head = queues.peek(0);
                    assert_eq!(
                        head.map(|(turn, _)| queues.line(turn.line).entries.head()),
                        best.map(Some)
                    );
                    if let Some((turn, _)) = head {
                        queues.serve(turn, seq, 0, true);
                    }
                }
            }
        }
    }
}
