//! What queues deny or put off, and how it comes back.

use std::collections::VecDeque;

use super::Engine;
use crate::accounts::{AccountId, Unpaid, Waiting, WhenSpent};
use crate::action::{Action, Start};
use crate::failure::Cause;
use crate::ids::{AttemptKey, Place, QueueId, RunKey};
use crate::metrics::Metrics;
use crate::plan::Policy;
use crate::queues::{Entry, Gate, Limits, News, ParkedEntry, Queue, QueueModel, Turn};
use crate::record::{Body, Denial};
use crate::run::Run;
use crate::state::NodeState;
use crate::timers::TimerKind;

/// Why an entry was turned away when its turn came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// The breaker is open.
    Broken,
    /// It could not end before its run's deadline.
    Late,
    /// Nobody pays for it.
    Unpaid(Unpaid, WhenSpent),
}

/// What came up while attempts were dispatched, and is acted upon with the next tick: dispatching itself asks
/// nothing of the driver.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) turned: VecDeque<(RunKey, Place, Turned)>,
    pub(super) news: VecDeque<(QueueId, News)>,
    /// Second copies of slow attempts, to be started.
    pub(super) copies: VecDeque<Start>,
    is_set: bool,
}

impl Told {
    pub(super) fn roll(&mut self, queue: QueueId, news: Option<News>) {
        self.news.extend(news.map(|news| (queue, news)));
    }
}

/// What becomes of the entry whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It starts, and its tenant is charged so much.
    Starts(u64),
    /// Nothing of its queue starts before this time.
    Waits(u64),
    /// It loses its place.
    Turned(Turned),
    /// It waits for money that is spoken for.
    Owes(AccountId),
}

/// Whether what limits its queue and its run's deadline let an entry start whose turn it is.
pub(super) fn judge(
    queue: &mut Queue,
    metrics: &mut Metrics,
    policy: &Policy,
    now_ns: u64,
    deadline_ns: Option<u64>,
) -> Judged {
    match queue.gate(now_ns, policy.tokens) {
        Gate::Open => {}
        Gate::Closed(until_ns) => return Judged::Waits(until_ns),
        Gate::Broken => return Judged::Turned(Turned::Broken),
    }
    let late = deadline_ns
        .is_some_and(|at_ns| now_ns.saturating_add(metrics.typical_ns(policy.step)) > at_ns);
    if late {
        return Judged::Turned(Turned::Late);
    }
    Judged::Starts(queue.cost(policy.step, policy.tokens))
}

impl Engine {
    /// Brings what is told of queues up to the present. Answers whether something is to be told with the next tick.
    pub fn look(&mut self, now_ns: u64) -> bool {
        self.begin(now_ns);
        for queue in (0..self.queues.len()).map(QueueId) {
            let news = self.queues.get_mut(queue).look(now_ns);
            self.tell_of(queue, news);
        }
        self.told.is_set
    }

    /// Serves a queue by another model from now on. What runs or waits is not touched.
    pub fn configure_queue(&mut self, now_ns: u64, queue: QueueId, model: QueueModel) {
        self.begin(now_ns);
        self.queues.configure(queue, model, self.config.seed, now_ns);
        self.split(queue);
        self.arm(queue);
    }

    /// A queue's retry budget goes on with what was left of it, in millionths of a retry; 0 if nobody knows.
    pub fn set_tokens(&mut self, now_ns: u64, queue: QueueId, tokens_ppm: u64) {
        self.begin(now_ns);
        self.queues.get_mut(queue).set_tokens(now_ns, tokens_ppm);
    }

    pub(super) fn limit(&mut self, queue: QueueId, limits: Limits) {
        self.queues.limit(queue, limits);
        self.arm(queue);
    }

    /// Whether it matters to an attempt's queue what the attempt says that it has used.
    pub fn counts_use(&self, attempt: AttemptKey) -> bool {
        let found = self.attempts.get(attempt.0);
        found.is_some_and(|attempt| self.queues.get(attempt.queue).is_controlled())
    }

    pub(super) fn used(&mut self, key: AttemptKey, tokens: u32) {
        if let Some(attempt) = self.attempts.get(key.0) {
            self.queues.get_mut(attempt.queue).used(key, tokens);
        }
    }

    /// Sees to a queue's timer: for what no event will bring about.
    #[inline]
    pub(super) fn arm(&mut self, queue: QueueId) {
        if let Some(at_ns) = self.queues.get_mut(queue).arm(self.now_ns) {
            self.timers.insert(at_ns, TimerKind::Queue { queue, at_ns });
        }
    }

    /// What is counted of a queue goes on to the present second.
    #[inline]
    pub(super) fn roll(&mut self, queue: QueueId) {
        let news = self.queues.get_mut(queue).roll(self.now_ns);
        self.tell_of(queue, news);
    }

    /// Something happened to a queue.
    #[inline]
    pub(super) fn tell_of(&mut self, queue: QueueId, news: Option<News>) {
        if let Some(news) = news {
            self.told.news.push_back((queue, news));
            self.set_told();
            self.arm(queue);
        }
    }

    /// An entry may not start though it is its turn.
    #[cold]
    pub(super) fn put_off(&mut self, turn: Turn, entry: &Entry, why: Judged) {
        match why {
            Judged::Starts(_) => {}
            Judged::Waits(until_ns) => {
                self.queues.close(turn.line.queue(), until_ns);
                self.arm(turn.line.queue());
            }
            Judged::Turned(why) => {
                self.turn_away(turn, entry);
                self.told.turned.push_back((entry.run, entry.node, why));
            }
            Judged::Owes(account) => {
                self.turn_away(turn, entry);
                let Entry { run, node, template, .. } = *entry;
                if let Some(accounts) = &mut self.accounts {
                    accounts.wait(account, Waiting { run, node, template });
                }
            }
        }
    }

    /// An entry loses its place in line.
    fn turn_away(&mut self, turn: Turn, entry: &Entry) {
        self.queues.turn_away(turn);
        let queue = turn.line.queue();
        // It may have stood between a parked node and a free slot.
        if self.queues.get(queue).has_parked() {
            self.arm(queue);
        }
        let Some(run) = self.runs.get_mut(entry.run.0) else { return };
        run.lined(entry.node, None);
        let policy = self.plans[run.plan.0 as usize].policy(entry.template);
        self.timers.cancel(usize::from(policy.queue_timeout_ns > 0));
        if self.accounts.is_some() {
            self.gives_back(entry.run, entry.node);
        }
    }

    /// The next tick acts upon what came up, if anything did.
    #[inline]
    pub(super) fn set_told(&mut self) {
        let told = &mut self.told;
        if !(told.is_set || told.turned.is_empty() && told.news.is_empty()) {
            told.is_set = true;
            self.timers.insert(self.now_ns, TimerKind::Told);
        }
    }

    pub(super) fn tell(&mut self) {
        self.told.is_set = false;
        while let Some((queue, news)) = self.told.news.pop_front() {
            self.actions.push_back(Action::Queue { queue, news });
            self.arm(queue);
        }
        while let Some((key, node, why)) = self.told.turned.pop_front() {
            let Some(run) = self.runs.get(key.0) else { continue };
            // It may have gone another way meanwhile.
            if run.cells[node.index()].state != NodeState::Ready || run.is_lined(node) {
                continue;
            }
            let fallback = self.plans[run.plan.0 as usize].policy_at(run, node).fallback;
            match why {
                Turned::Unpaid(unpaid, when) => self.unpaid(key, node, unpaid, when, fallback),
                Turned::Late => self.fail_wait(key, node, Cause::Deadline),
                Turned::Broken if fallback => self.fail_wait(key, node, Cause::BreakerOpen),
                Turned::Broken => {
                    self.commit(key, node, 0, Body::Parked { denial: Denial::Breaker });
                    self.settle(key);
                }
            }
        }
    }

    /// A step is parked: its queue keeps it until it is well again.
    pub(super) fn park(&mut self, key: RunKey, node: Place, due_ns: u64, denial: Denial) {
        let Some(run) = self.runs.get_mut(key.0) else { return };
        if run.cells[node.index()].state != NodeState::Parked || denial.is_for_good() {
            return;
        }
        // A slow disk may take longer than the parking.
        run.wait_for(run.gate(self.lsn));
        self.arrivals += 1;
        run.parked_as(node, self.arrivals);
        let policy = self.plans[run.plan.0 as usize].policy_at(run, node);
        let (queue, priority) = (policy.queue, run.priority(policy));
        let last = is_last(run, node, policy);
        let entry =
            ParkedEntry { seq: self.arrivals, run: key, node, due_ns, since_ns: self.now_ns };
        if policy.queue_timeout_ns > 0 {
            let at_ns = due_ns.max(self.now_ns).saturating_add(policy.queue_timeout_ns);
            let arrival = self.arrivals;
            self.timers.insert(at_ns, TimerKind::QueueTimeout { run: key, node, arrival });
        }
        self.queues.get_mut(queue).park(priority, last, entry);
        self.arm(queue);
    }

    /// Takes a step out of those that its queue keeps, if it is parked.
    pub(super) fn leave_parked(&mut self, key: RunKey, node: Place) {
        let Some(run) = self.runs.get(key.0) else { return };
        let parked = run.cells[node.index()].state == NodeState::Parked;
        if !parked || run.is_parked_for_good(node) {
            return;
        }
        let policy = self.plans[run.plan.0 as usize].policy_at(run, node);
        let queue = policy.queue;
        self.timers.cancel(usize::from(policy.queue_timeout_ns > 0));
        let runs = &self.runs;
        let queue = self.queues.get_mut(queue);
        if queue.withdraw_parked() {
            queue.compact_parked(|it| {
                runs.get(it.run.0).is_some_and(|run| run.is_parked_since(it.node, it.seq))
            });
        }
    }

    /// A parked step may stand in line again.
    pub(super) fn unpark(&mut self, key: RunKey, node: Place) {
        let Some(run) = self.runs.get_mut(key.0) else { return };
        let policy = self.plans[run.plan.0 as usize].policy_at(run, node);
        let timed = policy.queue_timeout_ns > 0 && !run.is_parked_for_good(node);
        self.timers.cancel(usize::from(timed));
        run.unparked(node);
        let gate = run.boundary();
        self.await_record(gate, key, node);
    }

    /// A queue's timer has fired.
    pub(super) fn queue_due(&mut self, id: QueueId) {
        self.queues.get_mut(id).disarm();
        self.queues.reopen(id, self.now_ns);
        self.roll(id);
        let (mut free, last) = self.queues.get_mut(id).drained(self.now_ns);
        let mut unpaid = 0;
        while free > 0 || self.queues.get_mut(id).can_pay_parked(self.now_ns) {
            let last = if free > 0 { last } else { self.queues.get(id).is_well() };
            let Some(entry) = self.queues.get_mut(id).pop_parked(self.now_ns, last) else { break };
            let run = self.runs.get(entry.run.0);
            let Some(run) = run.filter(|run| run.is_parked_since(entry.node, entry.seq)) else {
                continue;
            };
            let registered = &self.plans[run.plan.0 as usize];
            let policy = registered.policy_at(run, entry.node);
            let priority = run.priority(policy);
            let part = self.parts.of(run.plan);
            if free == 0 && !self.queues.get_mut(id).pays(self.now_ns, part) {
                let last = is_last(run, entry.node, policy);
                self.queues.get_mut(id).park_again(priority, last, entry);
                unpaid += 1;
                if unpaid == UNPAID_MAX {
                    break;
                }
                continue;
            }
            let (_, node) = run.locate(&registered.plan, entry.node);
            let metrics = self.metrics.of(registered.series[node.index()].of(priority));
            metrics.parked_ns += self.now_ns - entry.since_ns;
            self.queues.get_mut(id).unparked();
            free = free.saturating_sub(1);
            self.unpark(entry.run, entry.node);
        }
        self.arm(id);
    }
}

/// Whether a node has one attempt left, of several.
fn is_last(run: &Run, node: Place, policy: &Policy) -> bool {
    let most = policy.retry.attempts_max.get();
    run.cells[node.index()].attempts + 1 >= most && most > 1
}

/// How many parked nodes are looked at in one turn for which their part can't pay.
const UNPAID_MAX: usize = 16;
