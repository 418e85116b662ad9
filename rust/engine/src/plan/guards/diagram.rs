//! Boolean functions of decisions with several outcomes, each stored once: two guards are the same function
//! exactly if they are equal, so that "never" and "always" are comparisons.
//!
//! An ordered decision diagram (Bryant 1986). Its nodes ask "has this decision this outcome?"; the last
//! outcome of a decision is what is left when all answers are no, so that n outcomes are n - 1 questions.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::ops::Range;

use crate::retry::mix;

/// When something is taken: a function of the decisions, by its number in a [`Diagram`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Guard(u32);

impl Guard {
    /// Under no assignment.
    pub(super) const NEVER: Self = Self(0);
    /// Under every assignment.
    pub(super) const ALWAYS: Self = Self(1);
}

/// How two guards are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    And,
    Or,
    /// The first and not the second.
    Without,
}

/// A table of guards over declared variables, with a budget of steps for combining them.
#[derive(Debug)]
pub(super) struct Diagram {
    questions: Vec<Question>,
    numbers: HashMap<Question, Guard, BuildHasherDefault<Mixer>>,
    results: HashMap<(Operation, Guard, Guard), Guard, BuildHasherDefault<Mixer>>,
    /// Levels of each variable; what is declared first is asked first.
    variables: Vec<Range<u32>>,
    /// The variable of each level.
    levels: Vec<u32>,
    budget: u32,
}

/// At most this part of what is left of the budget goes to one combination,
const SHARE: u32 = 4;
/// but so many steps more than its first variable has outcomes always, so that what is simple stays exact
/// when the budget is spent.
const STEPS_MIN: u32 = 16;

/// "Has the decision of this level the outcome of this level?", and what holds then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Question {
    level: u32,
    yes: Guard,
    no: Guard,
}

enum Task {
    Combine(Guard, Guard),
    /// Of the two results that were found last.
    Join(u32, Guard, Guard),
}

impl Diagram {
    /// A table without variables, that may take about `budget` steps of work.
    pub(super) fn new(budget: u32) -> Self {
        let end = |guard| Question { level: u32::MAX, yes: guard, no: guard };
        Self {
            questions: vec![end(Guard::NEVER), end(Guard::ALWAYS)],
            numbers: HashMap::default(),
            results: HashMap::default(),
            variables: Vec::new(),
            levels: Vec::new(),
            budget,
        }
    }

    /// Where a guard's first question stands in the order; what asks nothing comes last.
    pub(super) fn level(&self, guard: Guard) -> u32 {
        self.question(guard).level
    }

    /// An assignment under which a guard other than [`Guard::NEVER`] holds, as pairs of variable and
    /// outcome. Variables that do not matter for it are left out.
    pub(super) fn witness(&self, guard: Guard) -> Vec<(u32, u32)> {
        let mut assignment: Vec<(u32, u32)> = Vec::new();
        let mut at = guard;
        while at != Guard::ALWAYS && at != Guard::NEVER {
            let Question { level, yes, no } = *self.question(at);
            let variable = self.levels[level as usize];
            let outcome = level - self.variables[variable as usize].start;
            if assignment.last().is_none_or(|&(last, _)| last != variable) {
                assignment.push((variable, 0));
            }
            let Some((_, chosen)) = assignment.last_mut() else { break };
            at = no;
            if no == Guard::NEVER {
                at = yes;
                *chosen = outcome;
            } else if *chosen == outcome {
                // Outcomes are asked for in rising order, so that the next one was not denied yet.
                *chosen += 1;
            }
        }
        assignment
    }

    /// The outcomes of a variable under which a guard can hold, as bits; all of them if that is too much
    /// work to tell.
    pub(super) fn outcomes(&mut self, guard: Guard, variable: u32) -> u64 {
        let count = self.variables[variable as usize].len() + 1;
        (0..count)
            .filter(|&outcome| {
                let literal = self.literal(variable, 1 << outcome);
                self.combine(Operation::And, guard, literal, true) != Some(Guard::NEVER)
            })
            .fold(0, |outcomes, outcome| outcomes | 1 << outcome)
    }

    /// Adds a variable of at least one outcome, below those that there are.
    pub(super) fn declare(&mut self, outcomes: u32) -> u32 {
        let variable = self.variables.len() as u32;
        let first = self.levels.len() as u32;
        self.levels.extend((1..outcomes).map(|_| variable));
        self.variables.push(first..self.levels.len() as u32);
        variable
    }

    /// Holds if the variable has one of the outcomes: bit n for outcome n.
    pub(super) fn literal(&mut self, variable: u32, outcomes: u64) -> Guard {
        let levels = self.variables[variable as usize].clone();
        let ends = |outcome: u32| [Guard::NEVER, Guard::ALWAYS][(outcomes >> outcome & 1) as usize];
        let last = levels.len() as u32;
        (0..last).rev().fold(ends(last), |no, outcome| {
            self.ask(Question { level: levels.start + outcome, yes: ends(outcome), no })
        })
    }

    /// Two guards in one; `None` if that takes too many steps. Work without a limit (`is_bounded` false)
    /// costs O(product of the outcomes of the variables in both). Without recursion, since a guard may ask
    /// of thousands of decisions.
    pub(super) fn combine(
        &mut self,
        operation: Operation,
        first: Guard,
        second: Guard,
        is_bounded: bool,
    ) -> Option<Guard> {
        if let Some(known) = self.known(operation, first, second) {
            return Some(known);
        }
        let allowed = if is_bounded { self.allowance(first, second) } else { u32::MAX };
        let mut steps = 0;
        let mut tasks = vec![Task::Combine(first, second)];
        let mut found: Vec<Guard> = Vec::new();
        while let Some(task) = tasks.pop() {
            match task {
                Task::Combine(first, second) => {
                    if let Some(known) = self.known(operation, first, second) {
                        found.push(known);
                        continue;
                    }
                    steps += 1;
                    if steps > allowed {
                        self.budget = self.budget.saturating_sub(steps);
                        return None;
                    }
                    let level = self.level(first).min(self.level(second));
                    let (yes, no) = self.split(first, level);
                    let (other_yes, other_no) = self.split(second, level);
                    tasks.push(Task::Join(level, first, second));
                    tasks.push(Task::Combine(no, other_no));
                    tasks.push(Task::Combine(yes, other_yes));
                }
                Task::Join(level, first, second) => {
                    let (Some(no), Some(yes)) = (found.pop(), found.pop()) else {
                        unreachable!("both answers are found before they are joined")
                    };
                    let joined = self.ask(Question { level, yes, no });
                    self.results.insert(key(operation, first, second), joined);
                    found.push(joined);
                }
            }
        }
        if is_bounded {
            self.budget = self.budget.saturating_sub(steps);
        }
        found.pop()
    }

    fn allowance(&self, first: Guard, second: Guard) -> u32 {
        let level = self.level(first).min(self.level(second));
        let variable = self.levels[level as usize];
        let outcomes = self.variables[variable as usize].len() as u32;
        (self.budget / SHARE).max(STEPS_MIN + outcomes)
    }

    fn question(&self, guard: Guard) -> &Question {
        &self.questions[guard.0 as usize]
    }

    /// The result of a combination that needs no work.
    fn known(&self, operation: Operation, first: Guard, second: Guard) -> Option<Guard> {
        use Operation::{And, Or, Without};
        const NEVER: Guard = Guard::NEVER;
        const ALWAYS: Guard = Guard::ALWAYS;
        match (operation, first, second) {
            (And | Without, NEVER, _) | (And, _, NEVER) | (Without, _, ALWAYS) => Some(NEVER),
            (Or, ALWAYS, _) | (Or, _, ALWAYS) => Some(ALWAYS),
            (And, ALWAYS, other)
            | (And, other, ALWAYS)
            | (Or, NEVER, other)
            | (Or | Without, other, NEVER) => Some(other),
            (And | Or, same, other) if same == other => Some(same),
            (Without, same, other) if same == other => Some(NEVER),
            _ => self.results.get(&key(operation, first, second)).copied(),
        }
    }

    /// What is left of a guard when the question of a level is answered with yes, and with no.
    fn split(&self, guard: Guard, level: u32) -> (Guard, Guard) {
        let question = self.question(guard);
        if question.level == level {
            (question.yes, question.no)
        } else {
            (self.otherwise(guard, level), guard)
        }
    }

    /// What is left of a guard when the variable of a level has no outcome that the guard asks for.
    fn otherwise(&self, guard: Guard, level: u32) -> Guard {
        let stop = self.variables[self.levels[level as usize] as usize].end;
        let mut at = guard;
        while self.level(at) < stop {
            at = self.question(at).no;
        }
        at
    }

    /// Only asks for outcomes that differ from the last one, which makes guards unique.
    fn ask(&mut self, question: Question) -> Guard {
        if question.yes == self.otherwise(question.no, question.level) {
            return question.no;
        }
        *self.numbers.entry(question).or_insert_with(|| {
            self.questions.push(question);
            Guard(self.questions.len() as u32 - 1)
        })
    }
}

fn key(operation: Operation, first: Guard, second: Guard) -> (Operation, Guard, Guard) {
    if operation == Operation::Without || first < second {
        (operation, first, second)
    } else {
        (operation, second, first)
    }
}

/// Hashes a few small numbers; nothing iterates over the tables it serves.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(21) ^ number;
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        mix(self.0)
    }
}

#[cfg(test)]
impl Diagram {
    /// Whether a guard holds under an assignment of an outcome to each variable.
    pub(super) fn holds(&self, guard: Guard, outcomes: &[u32]) -> bool {
        let mut at = guard;
        while at > Guard::ALWAYS {
            let Question { level, yes, no } = *self.question(at);
            let variable = self.levels[level as usize] as usize;
            let is_yes = outcomes[variable] == level - self.variables[variable].start;
            at = if is_yes { yes } else { no };
        }
        at == Guard::ALWAYS
    }
}

#[cfg(test)]
mod tests {
    use super::Operation::{And, Or, Without};
    use super::*;

    #[test]
    fn one_function_is_one_guard_however_it_is_made() {
        let mut it = Diagram::new(1_000);
        let (one, two) = (it.declare(3), it.declare(2));
        let [first, second, last] = [1, 2, 4].map(|outcome| it.literal(one, outcome));
        let other = it.literal(two, 1);
        let either = it.combine(Or, first, second, true).expect("few steps");
        assert_eq!(it.combine(Without, Guard::ALWAYS, either, true), Some(last));
        assert_eq!(it.combine(Without, either, first, true), Some(second));
        assert_eq!(it.combine(Or, either, last, true), Some(Guard::ALWAYS));
        let both = it.combine(And, other, second, true).expect("few steps");
        assert_eq!(it.combine(And, second, other, true), Some(both));
        assert_eq!(it.combine(And, both, last, true), Some(Guard::NEVER));
        assert_eq!(it.witness(both), [(one, 1), (two, 0)]);
        assert_eq!(it.outcomes(either, one), 0b011);
    }

    #[test]
    fn what_is_simple_is_told_without_a_budget() {
        let mut it = Diagram::new(0);
        let variables: Vec<u32> = (0..100).map(|_| it.declare(2)).collect();
        let all = |it: &mut Diagram, outcomes: u64, is_bounded: bool| {
            variables.iter().try_fold(Guard::ALWAYS, |all, &variable| {
                let literal = it.literal(variable, outcomes);
                it.combine(And, all, literal, is_bounded)
            })
        };
        assert_eq!(all(&mut it, 1, true), None);
        let (ones, twos) = (all(&mut it, 1, false), all(&mut it, 2, false));
        let (Some(ones), Some(twos)) = (ones, twos) else { panic!("no limit was given") };
        assert_eq!(it.combine(And, ones, twos, true), Some(Guard::NEVER));
        let last = it.literal(variables[99], 2);
        assert_eq!(it.combine(And, ones, last, true), None);
        assert_eq!(it.combine(And, ones, last, false), Some(Guard::NEVER));
    }
}
