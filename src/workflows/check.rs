//! What is wrong with workflows: everything that would make one wait for ever, run nothing, or mean something else than it
//! says. What agents there are is not known here.

use std::time::Duration;

use toml::Spanned;

use super::file::{Fault, RawFile, RawStep, RawWorkflow};
use super::{BACKOFF_MOST, RETRIES, SUFFICIENCIES, SUFFICIENCY, UNKNOWN};

mod nesting;
mod sequence;

/// The longest name of a workflow or a step, in bytes: it stands in every event of it.
const NAME_BYTES: usize = 64;

/// What is wrong, in no order.
pub(super) fn faults(file: &RawFile) -> Vec<Fault> {
    let mut faults = Faults(Vec::new());
    if file.workflows.is_empty() {
        faults.add(0, "there is no workflow: begin one with [workflows.NAME]");
    }
    for (name, workflow) in &file.workflows {
        faults.names(name, workflow);
        for step in &workflow.steps {
            faults.work(step);
            faults.conditions(step.get_ref());
            faults.retries(step.get_ref());
        }
        sequence::check(workflow, &mut faults);
    }
    nesting::check(file, &mut faults);
    faults.0
}

/// What a step is called; nothing where it has no name.
pub(super) fn name_of(step: &RawStep) -> String {
    step.name().map(|name| name.get_ref().clone()).unwrap_or_default()
}

/// Ends a message about a name that nobody knows: with the one that is meant, or with all that there are.
pub(super) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let distance = |other: &&&str| strsim::osa_distance(name, other);
    match known.iter().min_by_key(distance) {
        // With more than half of it wrong it is another name.
        Some(nearest) if distance(&nearest) * 2 <= name.len() => format!(": did you mean `{nearest}`?"),
        Some(_) => format!(": there is `{}`", known.join("`, `")),
        None => String::new(),
    }
}

/// What was found wrong so far.
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, at: usize, fault: impl Into<String>) {
        let fault = fault.into();
        self.0.push(Fault { at, fault });
    }

    fn names(&mut self, name: &Spanned<String>, workflow: &RawWorkflow) {
        self.name(name);
        if workflow.steps.is_empty() {
            let (at, name) = (name.span().start, name.get_ref());
            let fault = format!("the workflow `{name}` has no steps: add one with [[workflows.{name}.steps]]");
            self.add(at, fault);
        }
        for (index, step) in workflow.steps.iter().enumerate() {
            let Some(name) = step.get_ref().name() else {
                continue;
            };
            self.name(name);
            let mut earlier = workflow.steps[..index].iter().map(|other| name_of(other.get_ref()));
            if earlier.any(|other| other == *name.get_ref()) {
                let fault = format!(
                    "two steps are named `{}`: give one of them another `name`",
                    name.get_ref()
                );
                self.add(name.span().start, fault);
            }
        }
    }

    fn name(&mut self, name: &Spanned<String>) {
        let text = name.get_ref();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if text.is_empty() || text.len() > NAME_BYTES || !text.chars().all(is_plain) {
            let fault = format!("{text:?} can't be a name: take 1 to {NAME_BYTES} letters, digits, `_` and `-`");
            self.add(name.span().start, fault);
        }
    }

    /// That a step does one thing, and has what belongs to it.
    fn work(&mut self, step: &Spanned<RawStep>) {
        let (at, step) = (step.span().start, step.get_ref());
        if step.works() != 1 {
            self.add(
                at,
                "a step does one thing: set exactly one of `agent`, `workflow` and `choose`",
            );
        } else if step.name().is_none() {
            self.add(at, "a step that chooses has no name of its own: give it one by `name`");
        }
        if step.runs_an_agent() {
            return;
        }
        let misplaced = [
            ("retries", step.retries.as_ref().map(Spanned::span)),
            ("backoff", step.backoff.as_ref().map(Spanned::span)),
            ("timeout", step.timeout.as_ref().map(Spanned::span)),
        ];
        for (key, span) in misplaced {
            if let Some(span) = span {
                let fault = format!("`{key}` is for a step that runs an agent: set it on the steps of the workflow");
                self.add(span.start, fault);
            }
        }
    }

    /// That conditions can come true. Whom they ask is checked with the sequence.
    fn conditions(&mut self, step: &RawStep) {
        if let Some(when) = &step.when {
            if step.always.as_ref().is_some_and(|always| *always.get_ref()) {
                self.add(
                    when.span().start,
                    "`always` and `when` contradict each other: leave one of them out",
                );
            }
            let when = when.get_ref();
            if when.is.get_ref().is_empty() {
                self.add(
                    when.is.span().start,
                    "an empty `is` is never true: name at least one value",
                );
            }
            for value in when.is.get_ref() {
                self.value(when.field.as_deref(), value);
            }
        }
        if let Some(choose) = &step.choose {
            let raw = choose.get_ref();
            for value in raw.is.keys() {
                self.value(raw.field.as_deref(), value);
            }
            if !raw.is.contains_key(UNKNOWN) {
                let fault =
                    format!("`is` names no workflow for `{UNKNOWN}`, which stands for every other value: add one");
                self.add(choose.span().start, fault);
            }
        }
    }

    fn value(&mut self, field: Option<&str>, value: &Spanned<String>) {
        let text = value.get_ref().as_str();
        if field.unwrap_or(SUFFICIENCY) == SUFFICIENCY && !SUFFICIENCIES.contains(&text) {
            let hint = did_you_mean(text, SUFFICIENCIES);
            self.add(value.span().start, format!("{SUFFICIENCY} is never `{text}`{hint}"));
        }
    }

    fn retries(&mut self, step: &RawStep) {
        if let Some(retries) = &step.retries
            && *retries.get_ref() > RETRIES
        {
            self.add(retries.span().start, format!("`retries` is above {RETRIES}: lower it"));
        }
        if let Some(backoff) = &step.backoff {
            let at = backoff.span().start;
            let (first, most) = backoff.get_ref().pauses();
            if step.retries.as_ref().is_none_or(|retries| *retries.get_ref() == 0) {
                self.add(at, "`backoff` without `retries` does nothing: set `retries` above zero");
            }
            if first.is_zero() {
                self.add(
                    at,
                    "`first` is zero, which gives the fault no time to pass: set it above zero",
                );
            }
            if first > most {
                self.add(at, "`first` is above `most`: lower it or raise `most`");
            }
            if most > BACKOFF_MOST {
                let most = humantime::format_duration(BACKOFF_MOST);
                self.add(
                    at,
                    format!("a pause is above {most}: somebody waits for the answer, so lower it"),
                );
            }
        }
        if let Some(timeout) = &step.timeout
            && timeout.get_ref().0 == Duration::ZERO
        {
            self.add(
                timeout.span().start,
                "`timeout` is zero, which lets nothing through: set it above zero",
            );
        }
    }
}

#[cfg(test)]
mod tests;
