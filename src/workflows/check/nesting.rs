//! Workflows in workflows: that each is there, none holds itself, and together they have not too many steps.

use toml::Spanned;

use super::super::STEPS;
use super::super::file::{RawFile, RawWorkflow};
use super::sequence::{nested, round};
use super::{Faults, did_you_mean};

/// Adds what is wrong with the nesting of all workflows.
pub(super) fn check(file: &RawFile, faults: &mut Faults) {
    let all: Vec<(&Spanned<String>, &RawWorkflow)> = file.workflows.iter().collect();
    let place = |name: &Spanned<String>| all.iter().position(|(known, _)| *known == name);
    for name in all.iter().flat_map(|(_, workflow)| within(workflow)) {
        if place(name).is_none() {
            let hint = did_you_mean(name.get_ref(), all.iter().map(|(known, _)| known.get_ref().as_str()));
            faults.add(
                name.span().start,
                format!("there is no workflow `{}`{hint}", name.get_ref()),
            );
        }
    }
    let inner = |index: usize| within(all[index].1).filter_map(place).collect::<Vec<_>>();
    if let Some(way) = round(all.len(), inner) {
        let names: Vec<_> = way.iter().map(|index| all[*index].0.get_ref().as_str()).collect();
        let fault = format!(
            "the workflows {} hold each other and would never end: take one of them out",
            names.join(", ")
        );
        let holds_next = |name: &&Spanned<String>| place(name) == Some(way[1]);
        let at = within(all[way[0]].1)
            .find(holds_next)
            .map_or(0, |name| name.span().start);
        faults.add(at, fault);
        return;
    }
    for (name, workflow) in &all {
        if size(file, workflow) > STEPS {
            let fault = format!(
                "the workflow `{}` has more than {STEPS} steps with those of the workflows in it: make it shorter",
                name.get_ref()
            );
            faults.add(name.span().start, fault);
        }
    }
}

fn within(workflow: &RawWorkflow) -> impl Iterator<Item = &Spanned<String>> {
    workflow.steps.iter().flat_map(|step| nested(step.get_ref()))
}

/// How many steps a workflow may run, and no more than one beyond the bound: of a choice, the largest.
fn size(file: &RawFile, workflow: &RawWorkflow) -> usize {
    let mut steps = 0;
    for step in &workflow.steps {
        let inner = nested(step.get_ref()).filter_map(|name| file.workflows.get(name));
        steps += 1 + inner.map(|workflow| size(file, workflow)).max().unwrap_or(0);
        // Workflows that hold others twice grow too fast to be counted to the end.
        if steps > STEPS {
            return STEPS + 1;
        }
    }
    steps
}
