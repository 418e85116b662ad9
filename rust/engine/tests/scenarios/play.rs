//! One run of a sketched graph, told by the paths of its nodes.

use std::collections::BTreeMap;

use penstock_engine::{
    Accept, Cause, Config, Event, Failure, Lsn, NodeState, Outcome, Place, PlanId, Resolution,
    RunKey, RunStatus, Start, ValueId,
};

use crate::harness::World;
use crate::sketch::Sketch;

/// Steps start as soon as they can, and go on until the test ends them.
pub(crate) struct Play {
    pub(crate) world: World,
    pub(crate) plan: PlanId,
    pub(crate) run: RunKey,
    under_way: BTreeMap<String, Start>,
    told: Vec<String>,
}

impl Play {
    pub(crate) fn new(sketch: Sketch) -> Self {
        Self::scripted(sketch, &[])
    }

    /// With the answers that decisions and maps will get, by path and in order.
    pub(crate) fn scripted(sketch: Sketch, script: &[(&str, &[u64])]) -> Self {
        Self::with(Config::default(), sketch, script, |_| ())
    }

    pub(crate) fn with(
        config: Config,
        sketch: Sketch,
        script: &[(&str, &[u64])],
        change: impl FnOnce(&mut Accept<'_>),
    ) -> Self {
        let mut world = World::with(config);
        for (path, answers) in script {
            world.script.insert((*path).to_owned(), answers.iter().copied().collect());
        }
        let plan = sketch.register(&mut world);
        let run = world.accept_with(plan, change);
        let mut it = Self { world, plan, run, under_way: BTreeMap::new(), told: Vec::new() };
        it.go_on();
        it
    }

    /// Another run of the same graph; runs are told apart by switching to them.
    pub(crate) fn another(&mut self) -> RunKey {
        let run = self.world.accept(self.plan);
        self.go_on();
        run
    }

    /// Starts what can start, and notes what is told to stop.
    pub(crate) fn go_on(&mut self) {
        loop {
            for (attempt, _) in self.world.take_cancels() {
                let name = self.under_way.iter().find(|(_, start)| start.attempt == attempt);
                self.told.extend(name.map(|(name, _)| name.clone()));
            }
            let Some(start) = self.world.start() else { return };
            let name = self.name(start.run, start.node);
            assert!(!self.under_way.contains_key(&name), "{name} is under way already");
            self.under_way.insert(name, start);
            self.world.handle(Event::Suspended { attempt: start.attempt });
        }
    }

    /// The path, and of another run than the first its number too.
    fn name(&self, run: RunKey, node: Place) -> String {
        let path = self.world.path(run, node);
        match self.world.number(run) {
            0 => path,
            number => format!("{number}:{path}"),
        }
    }

    /// Paths of the steps under way.
    pub(crate) fn running(&self) -> Vec<&str> {
        self.under_way.keys().map(String::as_str).collect()
    }

    /// The attempt under way at a path.
    pub(crate) fn attempt(&self, path: &str) -> Start {
        self.under_way[path]
    }

    /// Paths of the steps told to stop since the last call.
    pub(crate) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// Whether a step under way has been told to stop.
    pub(crate) fn is_told(&self, path: &str) -> bool {
        self.told.iter().any(|told| told == path)
    }

    /// Paths of the nodes that records of this kind are about, one for each record up to `last`.
    pub(crate) fn recorded(&self, kind: &str, last: Lsn) -> Vec<String> {
        let records = self.world.records.iter().filter(|it| it.run == self.run && it.lsn <= last);
        let of_kind = records.filter(|it| it.body.name() == kind);
        of_kind.map(|it| self.world.path(self.run, it.node)).collect()
    }

    fn take(&mut self, path: &str) -> Start {
        let start = self.under_way.remove(path);
        start.unwrap_or_else(|| panic!("{path} is not among {:?}", self.running()))
    }

    pub(crate) fn done(&mut self, path: &str) -> ValueId {
        let start = self.take(path);
        let value = self.world.done(start);
        self.go_on();
        value
    }

    pub(crate) fn all_done(&mut self, paths: &[&str]) {
        for path in paths {
            self.done(path);
        }
    }

    /// The step fails for good.
    pub(crate) fn fail(&mut self, path: &str) -> ValueId {
        let start = self.take(path);
        let error = self.world.fail_with(start, Failure::FINAL);
        self.go_on();
        error
    }

    /// The step fails with something its policy retries.
    pub(crate) fn trip(&mut self, path: &str) -> ValueId {
        let start = self.take(path);
        let error = self.world.fail(start);
        self.go_on();
        error
    }

    /// The step ends as it was told.
    pub(crate) fn stops(&mut self, path: &str) {
        let start = self.take(path);
        self.world.end_cancelled(start);
        self.go_on();
    }

    /// Somebody has found out that the step at a path gave something.
    pub(crate) fn resolve_done(&mut self, path: &str) -> ValueId {
        let node = self.world.place(self.run, path);
        let value = self.world.resolve_done(self.run, node);
        self.go_on();
        value
    }

    /// Somebody has found out that the step at a path failed.
    pub(crate) fn resolve_failed(&mut self, path: &str) -> ValueId {
        let error = self.world.value();
        assert!(self.resolve(path, Resolution::Failed(error)), "nothing is unknown of {path}");
        error
    }

    /// Somebody has found out that the step at a path did nothing.
    pub(crate) fn resolve_retry(&mut self, path: &str) -> bool {
        self.resolve(path, Resolution::Retry)
    }

    fn resolve(&mut self, path: &str, resolution: Resolution) -> bool {
        let node = self.world.place(self.run, path);
        let resolved = self.world.resolve(self.run, node, resolution);
        self.go_on();
        resolved
    }

    /// The process goes down, and another restores the runs a time later.
    pub(crate) fn crash(&mut self, after_ns: u64) {
        self.under_way.clear();
        self.told.clear();
        let keys = self.world.crash(after_ns, &[]);
        self.run = keys.get(&self.run).copied().unwrap_or(RunKey(u64::MAX));
        self.go_on();
    }

    /// Everything recorded so far reaches the disk.
    pub(crate) fn sync(&mut self) {
        let lsn = self.world.engine.lsn();
        self.world.sync(lsn);
        self.go_on();
    }

    pub(crate) fn cancel(&mut self) -> bool {
        let cancelled = self.world.cancel(self.run);
        self.go_on();
        cancelled
    }

    pub(crate) fn pause(&mut self) -> bool {
        let paused = self.world.pause(self.run);
        self.go_on();
        paused
    }

    pub(crate) fn resume(&mut self) -> bool {
        let resumed = self.world.resume(self.run);
        self.go_on();
        resumed
    }

    /// Sends a signal that is kept if nobody waits for it.
    pub(crate) fn signal(&mut self, signal: u32) -> ValueId {
        self.send(signal, true).expect("it is kept")
    }

    /// Sends a signal; `None` if it was not taken in.
    pub(crate) fn send(&mut self, signal: u32, keep: bool) -> Option<ValueId> {
        let value = self.world.signal(self.run, signal, keep);
        self.go_on();
        value
    }

    pub(crate) fn advance(&mut self, by_ns: u64) {
        self.world.advance(by_ns);
        self.go_on();
    }

    /// Where the node at a path is, or was when its run ended.
    pub(crate) fn state(&self, path: &str) -> NodeState {
        let states = self.world.states(self.run);
        let found = states.iter().find(|(other, _)| other == path);
        found.unwrap_or_else(|| panic!("no {path} among {states:?}")).1
    }

    /// Where the nodes at these paths are.
    pub(crate) fn states<const N: usize>(&self, paths: [&str; N]) -> [NodeState; N] {
        paths.map(|path| self.state(path))
    }

    /// Where every node is, or was when the run ended, by its path.
    pub(crate) fn all_states(&self) -> BTreeMap<String, NodeState> {
        self.world.states(self.run).into_iter().collect()
    }

    /// How the run ended, if it has.
    pub(crate) fn status(&self) -> Option<RunStatus> {
        self.world.ended.get(&self.run).map(|(status, _)| *status)
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.world.outcome(self.run)
    }

    /// The path of the node that failed the run, and why.
    pub(crate) fn blame(&self) -> Option<(String, Cause)> {
        match self.outcome()? {
            Outcome::Failed { node, cause, .. } => Some((self.world.path(self.run, node), cause)),
            _ => None,
        }
    }

    pub(crate) fn has_succeeded(&self) -> bool {
        self.status() == Some(RunStatus::Succeeded)
    }

    /// The value the run gave.
    pub(crate) fn result(&self) -> Option<penstock_engine::Base> {
        match self.outcome()? {
            Outcome::Succeeded(base) => Some(base),
            _ => None,
        }
    }
}
