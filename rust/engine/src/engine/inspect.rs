//! What holds each node that is to go on, for who checks the engine from outside: no driver needs it.

use super::Engine;
use crate::attempt::Phase;
use crate::ids::{AttemptKey, Lsn, Place, QueueId, RunKey};
use crate::plan::Lane;
use crate::timers::Timer;

/// What a node is held by that will bring it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// It stands in its queue's line.
    Line,
    /// It waits for a record to be on disk.
    Gate(Lsn),
    /// Its queue keeps it until it is well again.
    Parked,
    /// It waits for a concurrency key, or has been given one and is about to hear of it.
    Key,
    /// It waits for money that is spoken for.
    Money,
    /// It was turned away when its turn came, which is acted upon with the next tick.
    Turned,
    /// It waits for the end of an attempt that was given up.
    Abandoned,
    /// It is restored, and waits for [`Engine::go_on`].
    Restored,
}

/// Where an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is under way.
    Running,
    /// It was told to stop, or will be when it suspends.
    Cancelling,
    /// Nobody waits for it any more.
    GivenUp,
}

/// An attempt that holds its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptView {
    /// Its key.
    pub attempt: AttemptKey,
    /// Its run, which may be over if nobody waits for the attempt.
    pub run: RunKey,
    /// Its node.
    pub node: Place,
    /// Whose slot it holds.
    pub queue: QueueId,
    /// Where it runs.
    pub lane: Lane,
    /// Where it is.
    pub stage: Stage,
    /// Whether its timeouts run.
    pub suspended: bool,
    /// Whether the driver has been given it.
    pub called: bool,
    /// How often it stands among those that the driver is to be given.
    pub to_call: usize,
}

/// What a queue counts, and what it keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Entries in its lines that stand for a node, as it counts them.
    pub waiting: u32,
    /// Nodes that it keeps parked, as it counts them.
    pub parked: u32,
    /// Slots taken, as it counts them.
    pub running: u32,
    /// Whether it must have a timer: it is closed, or keeps parked nodes beside free slots.
    pub must_wake: bool,
    /// Whether it counts on one.
    pub wakes: bool,
}

/// Everything that the engine keeps to bring runs on.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// By node, in no order. A gate, a wait for money or a turning away may be left over by a pause: whoever comes to
    /// it passes it over.
    pub holds: Vec<(RunKey, Place, Hold)>,
    /// Timers that stand for the state they were set for, in no order.
    pub timers: Vec<Timer>,
    /// Attempts that hold slots.
    pub attempts: Vec<AttemptView>,
    /// By queue.
    pub queues: Vec<QueueCounts>,
    /// Attempts that hold slots, as they are counted, and those of them in threads.
    pub running: (u32, u32),
    /// Whether something waits for the next tick to be told.
    pub tells: bool,
}

impl Engine {
    /// What holds each node that is to go on. O(everything).
    pub fn inspect(&self) -> Inspection {
        let timers = self.timers.iter().filter(|timer| self.is_live(&timer.kind));
        Inspection {
            holds: self.holds(),
            timers: timers.copied().collect(),
            attempts: self.attempts.iter().map(|(key, _)| self.seen(AttemptKey(key))).collect(),
            queues: (0..self.queues.len()).map(|id| self.counts(QueueId(id))).collect(),
            running: (self.running, self.threads_running),
            tells: !(self.told.turned.is_empty() && self.told.news.is_empty()),
        }
    }

    fn holds(&self) -> Vec<(RunKey, Place, Hold)> {
        let mut holds = Vec::new();
        for queue in (0..self.queues.len()).map(|id| self.queues.get(QueueId(id))) {
            let lined = queue.lines.iter().flat_map(|line| line.entries.iter()).filter(|entry| {
                let run = self.runs.get(entry.run.0);
                run.is_some_and(|run| run.is_lined_since(entry.node, entry.seq))
            });
            holds.extend(lined.map(|entry| (entry.run, entry.node, Hold::Line)));
            let parked = queue.parked().filter(|entry| {
                let run = self.runs.get(entry.run.0);
                run.is_some_and(|run| run.is_parked_since(entry.node, entry.seq))
            });
            holds.extend(parked.map(|entry| (entry.run, entry.node, Hold::Parked)));
        }
        let gated = self.gated.iter().map(|&(lsn, run, node)| (run, node, Hold::Gate(lsn)));
        holds.extend(gated);
        holds.extend(self.keys.waiting().map(|(run, node)| (run, node, Hold::Key)));
        holds.extend(self.told.turned.iter().map(|&(run, node, _)| (run, node, Hold::Turned)));
        let abandoned = self.abandoned.iter().filter(|(_, waits)| **waits);
        holds.extend(abandoned.map(|(&(run, node), _)| (run, node, Hold::Abandoned)));
        let owing = self.accounts.iter().flat_map(|accounts| accounts.waiting());
        holds.extend(owing.map(|waiting| (waiting.run, waiting.node, Hold::Money)));
        holds.extend(self.restored.nodes().map(|(run, node)| (run, node, Hold::Restored)));
        holds
    }

    fn seen(&self, key: AttemptKey) -> AttemptView {
        let attempt = self.attempts.get(key.0).expect("the caller has met it");
        let started = self.starting.iter().map(|(_, start)| start.attempt);
        let copies = self.told.copies.iter().map(|start| start.attempt);
        AttemptView {
            attempt: key,
            run: attempt.run,
            node: attempt.node,
            queue: attempt.queue,
            lane: attempt.lane,
            stage: match attempt.phase {
                Phase::Running => Stage::Running,
                Phase::Cancelling(_) => Stage::Cancelling,
                Phase::Beaten | Phase::Abandoned => Stage::GivenUp,
            },
            suspended: attempt.suspended,
            called: attempt.called,
            to_call: started.chain(copies).filter(|&it| it == key).count(),
        }
    }

    fn counts(&self, id: QueueId) -> QueueCounts {
        let queue = self.queues.get(id);
        let view = queue.view();
        QueueCounts {
            waiting: view.waiting,
            parked: view.parked,
            running: view.running,
            must_wake: queue.must_wake(),
            wakes: !queue.is_armed_for(crate::queues::NEVER),
        }
    }
}
