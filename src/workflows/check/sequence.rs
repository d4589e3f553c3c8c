//! The sequence of a workflow's steps: that `after` leads to steps and never round, and that conditions ask about what has
//! ended by then.

use std::collections::BTreeSet;

use toml::Spanned;

use super::super::file::{RawStep, RawWorkflow};
use super::{Faults, did_you_mean, name_of};

/// Adds what is wrong with the sequence of `workflow`.
pub(super) fn check(workflow: &RawWorkflow, faults: &mut Faults) {
    let sequence = Sequence::new(workflow);
    let mut is_sound = true;
    for step in workflow.steps.iter().map(Spanned::get_ref) {
        for name in step.after.iter().flatten() {
            if sequence.place(name.get_ref()).is_none() {
                faults.add(name.span().start, sequence.no_such_step("after", name.get_ref()));
                is_sound = false;
            }
        }
    }
    if is_sound && let Some(way) = round(sequence.after.len(), |index| sequence.after[index].clone()) {
        let names: Vec<_> = way.iter().map(|index| sequence.names[*index].as_str()).collect();
        let fault = format!(
            "the steps {} wait for each other: take one of them out of an `after`",
            names.join(", ")
        );
        faults.add(sequence.after_at(workflow, way[0]), fault);
        is_sound = false;
    }
    for (index, step) in workflow.steps.iter().map(Spanned::get_ref).enumerate() {
        let when = step.when.as_ref().map(|when| ("when", &when.get_ref().step));
        let choose = step.choose.as_ref().map(|choose| ("choose", &choose.get_ref().step));
        for (key, name) in [when, choose].into_iter().flatten() {
            if let Some(fault) = sequence.asks_wrong(workflow, is_sound.then_some(index), key, name.get_ref()) {
                faults.add(name.span().start, fault);
            }
        }
    }
}

/// Which step comes after which, by place.
struct Sequence {
    names: Vec<String>,
    after: Vec<Vec<usize>>,
}

impl Sequence {
    fn new(workflow: &RawWorkflow) -> Self {
        let steps = || workflow.steps.iter().map(Spanned::get_ref);
        let names: Vec<String> = steps().map(name_of).collect();
        let place = |name: &Spanned<String>| names.iter().position(|known| known == name.get_ref());
        let after = steps()
            .enumerate()
            .map(|(index, step)| match &step.after {
                Some(after) => after.iter().filter_map(place).collect(),
                None => index.checked_sub(1).into_iter().collect(),
            })
            .collect();
        Self { names, after }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    fn no_such_step(&self, key: &str, name: &str) -> String {
        let hint = did_you_mean(name, self.names.iter().map(String::as_str));
        format!("`{key}` names `{name}`, which is no step of this workflow{hint}")
    }

    /// Where the `after` of a step stands, or the step where it has none.
    fn after_at(&self, workflow: &RawWorkflow, index: usize) -> usize {
        let step = &workflow.steps[index];
        let after = step.get_ref().after.as_ref().and_then(|after| after.first());
        after.map_or(step.span().start, |name| name.span().start)
    }

    /// Why the step at `index` can't ask about `name`. Without an index the sequence is faulty, and only the name is judged.
    fn asks_wrong(&self, workflow: &RawWorkflow, index: Option<usize>, key: &str, name: &str) -> Option<String> {
        let Some(asked) = self.place(name) else {
            return Some(self.no_such_step(key, name));
        };
        if !workflow.steps[asked].get_ref().runs_an_agent() {
            return Some(format!(
                "`{key}` asks about `{name}`, which has no result of its own: ask about a step that runs an agent"
            ));
        }
        let is_late = index.is_some_and(|index| !self.before(index).contains(&asked));
        is_late.then(|| format!("`{key}` asks about `{name}`, which need not have ended by then: add it to `after`"))
    }

    /// All steps that end before this one begins.
    fn before(&self, index: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = self.after[index].clone();
        while let Some(next) = open.pop() {
            if found.insert(next) {
                open.extend(&self.after[next]);
            }
        }
        found
    }
}

/// A way that leads round: its first place stands at its end again. None where there is no such way.
pub(super) fn round(places: usize, next: impl Fn(usize) -> Vec<usize>) -> Option<Vec<usize>> {
    let mut done = BTreeSet::new();
    for start in 0..places {
        // The way so far, and for each place on it what has not been tried.
        let mut way: Vec<(usize, Vec<usize>)> = vec![(start, next(start))];
        while let Some((place, untried)) = way.last_mut() {
            let place = *place;
            let Some(step) = untried.pop() else {
                done.insert(place);
                way.pop();
                continue;
            };
            if let Some(begin) = way.iter().position(|(passed, _)| *passed == step) {
                let mut found: Vec<_> = way[begin..].iter().map(|(passed, _)| *passed).collect();
                found.push(step);
                return Some(found);
            }
            if !done.contains(&step) {
                way.push((step, next(step)));
            }
        }
    }
    None
}

/// The names of the workflows that a step may run.
pub(super) fn nested(step: &RawStep) -> impl Iterator<Item = &Spanned<String>> {
    let choices = step.choose.iter().flat_map(|choose| choose.get_ref().is.values());
    step.workflow.iter().chain(choices)
}
