//! What an engine does, as plainly as it can be said: vectors, searched from end to end.

use std::collections::VecDeque;

use penstock_engine::NodeState::{
    self, Backoff, Cancelled, Failed, Ready, Running, Succeeded, Waiting,
};

use crate::Shape;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Succeeded,
    Failed { node: usize },
    Cancelled,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) state: NodeState,
    attempts: u32,
    arrival: u64,
}

pub(crate) struct Run {
    shape: usize,
    priority: u8,
    pub(crate) nodes: Vec<Node>,
    pub(crate) ending: Option<End>,
    pub(crate) over: bool,
}

pub(crate) struct Model {
    shapes: Vec<Shape>,
    pub(crate) runs: Vec<Run>,
    /// Free slots of each queue; the last are those over all queues.
    slots: Vec<u32>,
    now: u64,
    arrivals: u64,
    inline: VecDeque<(usize, usize)>,
    /// (due, run, node) in the order they were set.
    retries: Vec<(u64, usize, usize)>,
}

impl Model {
    pub(crate) fn new(shapes: Vec<Shape>, slots: Vec<u32>) -> Self {
        let (runs, inline, retries) = (Vec::new(), VecDeque::new(), Vec::new());
        Self { shapes, runs, slots, now: 0, arrivals: 0, inline, retries }
    }

    pub(crate) fn accept(&mut self, shape: usize, priority: u8) {
        let count = self.shapes[shape].steps.len();
        let nodes = vec![Node { state: Waiting, attempts: 0, arrival: 0 }; count];
        self.runs.push(Run { shape, priority, nodes, ending: None, over: false });
        self.go_on(self.runs.len() - 1);
    }

    /// Starts the most urgent ready step that has its slots: (run, node, attempt).
    pub(crate) fn dispatch(&mut self) -> Option<(usize, usize, u32)> {
        let mut ranks = Vec::new();
        for (run, state) in self.runs.iter().enumerate() {
            for (node, cell) in state.nodes.iter().enumerate() {
                let Some(step) = self.shapes[state.shape].steps[node] else { continue };
                let slots = self.slots[step.queue].min(*self.slots.last()?);
                if cell.state == Ready && slots > 0 {
                    let priority = step.priority.unwrap_or(state.priority);
                    ranks.push((priority, cell.arrival, run, node));
                }
            }
        }
        let (_, _, run, node) = ranks.into_iter().min()?;
        self.slots_of(run, node).for_each(|slots| *slots -= 1);
        self.runs[run].nodes[node].state = Running;
        Some((run, node, self.runs[run].nodes[node].attempts + 1))
    }

    pub(crate) fn done(&mut self, run: usize, node: usize) {
        self.slots_of(run, node).for_each(|slots| *slots += 1);
        self.runs[run].nodes[node].state = Succeeded;
        self.go_on(run);
    }

    pub(crate) fn fail(&mut self, run: usize, node: usize, again: bool) {
        self.slots_of(run, node).for_each(|slots| *slots += 1);
        let step = self.shapes[self.runs[run].shape].steps[node].expect("only steps are tried");
        let going_on = self.runs[run].ending.is_none();
        let cell = &mut self.runs[run].nodes[node];
        cell.attempts += 1;
        if again && going_on && cell.attempts < step.attempts_max {
            cell.state = Backoff;
            self.retries.push((self.now + step.wait, run, node));
            return self.advance(0);
        }
        cell.state = Failed;
        self.stop(run, End::Failed { node });
    }

    /// An attempt was cut short.
    pub(crate) fn withdraw(&mut self, run: usize, node: usize) {
        self.slots_of(run, node).for_each(|slots| *slots += 1);
        if self.runs[run].ending.is_none() {
            return self.ready(run, node);
        }
        self.runs[run].nodes[node].state = Cancelled;
        self.go_on(run);
    }

    /// Ends a run, unless it is ending: what does not run is cancelled.
    pub(crate) fn stop(&mut self, run: usize, end: End) {
        let state = &mut self.runs[run];
        state.ending.get_or_insert(end);
        for cell in &mut state.nodes {
            if matches!(cell.state, Waiting | Ready | Backoff) {
                cell.state = Cancelled;
            }
        }
        self.go_on(run);
    }

    pub(crate) fn advance(&mut self, ticks: u64) {
        self.now += ticks;
        self.retries.sort_by_key(|(due, ..)| *due);
        while self.retries.first().is_some_and(|(due, ..)| *due <= self.now) {
            let (_, run, node) = self.retries.remove(0);
            if self.runs[run].nodes[node].state == Backoff {
                self.ready(run, node);
            }
        }
    }

    /// Whatever has its inputs becomes ready, inline nodes are evaluated, and the run may be over.
    fn go_on(&mut self, run: usize) {
        self.activate(run);
        while let Some((run, node)) = self.inline.pop_front() {
            self.runs[run].nodes[node].state = Succeeded;
            self.activate(run);
        }
    }

    fn activate(&mut self, run: usize) {
        for node in 0..self.runs[run].nodes.len() {
            let nodes = &self.runs[run].nodes;
            let shape = &self.shapes[self.runs[run].shape];
            let fed = shape.producers[node].iter().all(|&it| nodes[it].state == Succeeded);
            if nodes[node].state == Waiting && fed && shape.steps[node].is_some() {
                self.ready(run, node);
            } else if nodes[node].state == Waiting && fed {
                self.runs[run].nodes[node].state = Running;
                self.inline.push_back((run, node));
            }
        }
        let state = &mut self.runs[run];
        if state.nodes.iter().all(|cell| cell.state.is_terminal()) {
            state.ending.get_or_insert(End::Succeeded);
            state.over = true;
        }
    }

    fn ready(&mut self, run: usize, node: usize) {
        self.arrivals += 1;
        let cell = &mut self.runs[run].nodes[node];
        (cell.state, cell.arrival) = (Ready, self.arrivals);
    }

    fn slots_of(&mut self, run: usize, node: usize) -> impl Iterator<Item = &mut u32> {
        let queue = self.shapes[self.runs[run].shape].steps[node].map(|step| step.queue);
        let last = self.slots.len() - 1;
        let slots = self.slots.iter_mut().enumerate();
        slots.filter(move |(it, _)| Some(*it) == queue || *it == last).map(|(_, slots)| slots)
    }
}
