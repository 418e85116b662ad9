//! The queues of an engine: slots, lines, and which line is served next.
//!
//! A queue models a dependency: its slots are taken when an attempt is dispatched and given back when it
//! has really ended. It has one line for each lane, so that steps of the event loop pass those that wait
//! for a thread. Among the lines that have both a slot and an entry, the one whose first entry has the
//! lower (priority, arrival) is served.

use crate::ids::QueueId;
use crate::plan::Lane;
use crate::ready::{Entry, ReadyQueue};

/// Limits of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Attempts of it that may be under way.
    pub concurrency: u32,
    /// Entries that may wait before new runs are refused. Admitted work is never dropped.
    pub capacity: u32,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { concurrency: u32::MAX, capacity: Self::CAPACITY_MAX }
    }
}

impl QueueLimits {
    /// The capacity of a queue that sets none.
    pub const CAPACITY_MAX: u32 = 1_000_000;
}

/// What a queue looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueView {
    /// Its limits.
    pub limits: QueueLimits,
    /// Attempts under way.
    pub running: u32,
    /// Entries that wait.
    pub waiting: u32,
}

#[derive(Debug)]
struct Queue {
    limits: QueueLimits,
    running: u32,
    /// Entries that wait and have not been withdrawn.
    waiting: u32,
    /// By lane.
    lines: [Line; LANES],
    /// Dispatches and the time between them, smoothed: what `retry_after` is estimated from.
    last_ns: u64,
    gap_ns: u64,
}

#[derive(Debug)]
struct Line {
    entries: ReadyQueue,
    /// Passed over until [`Queues::unblock`].
    blocked: bool,
    /// Place in `Queues::heads`, or `ABSENT`.
    place: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { entries: ReadyQueue::default(), blocked: false, place: ABSENT }
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

    const fn lane(self) -> usize {
        self.0 as usize % LANES
    }
}

const LANES: usize = 2;
const ABSENT: usize = usize::MAX;
const DEFAULT_GAP_NS: u64 = 100_000_000;

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
    pub(crate) fn add(&mut self, limits: QueueLimits) -> QueueId {
        self.all.push(Queue {
            limits,
            running: 0,
            waiting: 0,
            lines: Default::default(),
            last_ns: 0,
            gap_ns: DEFAULT_GAP_NS,
        });
        QueueId(self.all.len() as u32 - 1)
    }

    pub(crate) fn len(&self) -> u32 {
        self.all.len() as u32
    }

    pub(crate) fn view(&self, queue: QueueId) -> QueueView {
        let queue = &self.all[queue.0 as usize];
        QueueView { limits: queue.limits, running: queue.running, waiting: queue.waiting }
    }

    /// Entries that may still come.
    pub(crate) fn room(&self, queue: QueueId) -> u32 {
        let queue = &self.all[queue.0 as usize];
        queue.limits.capacity.saturating_sub(queue.waiting)
    }

    /// How long until there is likely to be room for `count` entries, at the queue's present pace.
    pub(crate) fn retry_after_ns(&self, queue: QueueId, count: usize) -> u64 {
        let queue = &self.all[queue.0 as usize];
        let wanted = u64::from(queue.waiting) + count as u64;
        let excess = wanted.saturating_sub(u64::from(queue.limits.capacity));
        queue.gap_ns.saturating_mul(excess.max(1))
    }

    pub(crate) fn push(&mut self, id: QueueId, lane: Lane, priority: u8, entry: Entry) {
        let at = LineId::new(id, lane as usize);
        let queue = &mut self.all[id.0 as usize];
        queue.waiting += 1;
        let ours = &mut queue.lines[at.lane()];
        ours.entries.push(priority, entry);
        // Most runtimes serve one line at a time, which needs no order.
        match (ours.place, self.heads.len()) {
            (0, 1) => {}
            (ABSENT, 0) if queue.running < queue.limits.concurrency && !ours.blocked => {
                ours.place = 0;
                self.heads.push(at);
            }
            _ => self.refresh(at),
        }
    }

    /// The line to serve next, and its first entry.
    pub(crate) fn peek(&self) -> Option<(LineId, Entry)> {
        let id = *self.heads.first()?;
        self.line(id).entries.peek().map(|entry| (id, *entry))
    }

    /// Takes the first entry of a line without taking a slot: it was withdrawn earlier.
    pub(crate) fn discard(&mut self, id: LineId) {
        self.line_mut(id).entries.pop();
        self.refresh(id);
    }

    /// Takes the first entry of a line, and a slot for it.
    pub(crate) fn serve(&mut self, id: LineId, now_ns: u64) {
        let queue = &mut self.all[id.queue().0 as usize];
        let line = &mut queue.lines[id.lane()];
        line.entries.pop();
        let only = self.heads.len() == 1;
        if only && line.entries.is_empty() {
            line.place = ABSENT;
            self.heads.clear();
        }
        queue.waiting -= 1;
        queue.running += 1;
        let gap_ns = now_ns.saturating_sub(queue.last_ns);
        if queue.last_ns > 0 {
            queue.gap_ns = (queue.gap_ns * 7 + gap_ns) / 8;
        }
        queue.last_ns = now_ns;
        let full = queue.running >= queue.limits.concurrency;
        // The line whose first entry changed goes first: the heap bears one line out of place, not two.
        if !only || full {
            self.refresh(id);
        }
        if full {
            self.refresh_lines(id.queue());
        }
    }

    /// Gives a slot back.
    pub(crate) fn release(&mut self, id: QueueId) {
        let queue = &mut self.all[id.0 as usize];
        let full = queue.running >= queue.limits.concurrency;
        queue.running -= 1;
        if full {
            self.refresh_lines(id);
        }
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
        let servable =
            !line.blocked && queue.running < queue.limits.concurrency && !line.entries.is_empty();
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

    fn entry(seq: u64) -> Entry {
        Entry { seq, eligible_ns: 0, run: RunKey(seq), node: Place(0), template: NodeId(0) }
    }

    #[test]
    fn the_line_with_the_most_urgent_head_is_served_while_it_has_slots() {
        let mut queues = Queues::default();
        let one = queues.add(QueueLimits { concurrency: 1, ..QueueLimits::default() });
        let many = queues.add(QueueLimits::default());
        for (seq, queue, priority) in [(1, many, 3), (2, one, 1), (3, one, 1), (4, many, 2)] {
            queues.push(queue, Lane::Loop, priority, entry(seq));
        }
        let mut served = Vec::new();
        while let Some((line, entry)) = queues.peek() {
            queues.serve(line, 1);
            served.push(entry.seq);
        }
        assert_eq!(served, [2, 4, 1]);
        queues.release(one);
        assert_eq!(queues.peek().map(|(_, entry)| entry.seq), Some(3));
    }

    #[test]
    fn a_blocked_line_lets_the_others_pass_even_of_its_own_queue() {
        let mut queues = Queues::default();
        let queue = queues.add(QueueLimits::default());
        queues.push(queue, Lane::Threads, 1, entry(1));
        queues.push(queue, Lane::Loop, 5, entry(2));
        let (line, _) = queues.peek().expect("an entry");
        queues.block(line);
        assert_eq!(queues.peek().map(|(_, entry)| entry.seq), Some(2));
        queues.unblock();
        assert_eq!(queues.peek(), Some((line, entry(1))));
    }

    #[test]
    fn the_heap_of_heads_agrees_with_a_search() {
        let mut queues = Queues::default();
        let ids: Vec<QueueId> = (0..17)
            .map(|n| queues.add(QueueLimits { concurrency: 1 + n % 3, ..QueueLimits::default() }))
            .collect();
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
                0 => queues.push(id, lanes[random(2) as usize], 1 + random(5) as u8, entry(seq)),
                1 if queues.view(id).running > 0 => queues.release(id),
                _ => {
                    let best = ids
                        .iter()
                        .filter(|id| {
                            queues.view(**id).running < queues.view(**id).limits.concurrency
                        })
                        .flat_map(|id| &queues.all[id.0 as usize].lines)
                        .filter_map(|line| line.entries.head())
                        .min();
                    let head = queues.peek();
                    assert_eq!(
                        head.map(|(line, _)| queues.line(line).entries.head()),
                        best.map(Some)
                    );
                    if let Some((line, _)) = head {
                        queues.serve(line, seq);
                    }
                }
            }
        }
    }
}
