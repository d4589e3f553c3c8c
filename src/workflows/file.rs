//! Workflows as TOML: read, checked, and turned into steps. A fault names its place.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::check::{self, did_you_mean};
use super::{Place, Retry, SUFFICIENCY, Step, When, Work, Workflow};

/// Something that is wrong, and the byte where it stands.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) fault: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    #[serde(default)]
    pub(super) workflows: BTreeMap<Spanned<String>, RawWorkflow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWorkflow {
    #[serde(default)]
    description: String,
    #[serde(default)]
    pub(super) steps: Vec<Spanned<RawStep>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    name: Option<Spanned<String>>,
    agent: Option<Spanned<String>>,
    pub(super) workflow: Option<Spanned<String>>,
    pub(super) choose: Option<Spanned<RawChoose>>,
    pub(super) after: Option<Vec<Spanned<String>>>,
    pub(super) when: Option<Spanned<RawWhen>>,
    #[serde(default)]
    may_fail: bool,
    pub(super) always: Option<Spanned<bool>>,
    pub(super) retries: Option<Spanned<u32>>,
    pub(super) backoff: Option<Spanned<RawBackoff>>,
    pub(super) timeout: Option<Spanned<Time>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWhen {
    pub(super) step: Spanned<String>,
    pub(super) field: Option<String>,
    pub(super) is: Spanned<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawChoose {
    pub(super) step: Spanned<String>,
    pub(super) field: Option<String>,
    pub(super) is: BTreeMap<Spanned<String>, Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackoff {
    pub(super) first: Option<Time>,
    pub(super) most: Option<Time>,
}

/// A duration as people write it.
#[derive(Deserialize, Clone, Copy)]
#[serde(transparent)]
pub(super) struct Time(#[serde(with = "humantime_serde")] pub(super) Duration);

impl RawStep {
    /// What it is called: by its own name, else by what it runs. None where it has neither.
    pub(super) fn name(&self) -> Option<&Spanned<String>> {
        self.name.as_ref().or(self.agent.as_ref()).or(self.workflow.as_ref())
    }

    /// How many things it does; one is right.
    pub(super) fn works(&self) -> usize {
        [self.agent.is_some(), self.workflow.is_some(), self.choose.is_some()]
            .into_iter()
            .filter(|is_set| *is_set)
            .count()
    }

    pub(super) fn runs_an_agent(&self) -> bool {
        self.agent.is_some()
    }
}

impl RawBackoff {
    /// The first and the longest pause.
    pub(super) fn pauses(&self) -> (Duration, Duration) {
        let usual = Retry::default();
        let first = self.first.map_or(usual.first, |time| time.0);
        // Who names a long first pause alone means that one.
        (first, self.most.map_or(usual.most.max(first), |time| time.0))
    }
}

/// Reads workflows, sorted by name.
pub(super) fn parse(text: &str) -> Result<Vec<Workflow>, Vec<Fault>> {
    let raw: RawFile = toml::from_str(text).map_err(|error| {
        vec![Fault {
            at: error.span().map_or(0, |span| span.start),
            fault: error.message().to_owned(),
        }]
    })?;
    let mut faults = check::faults(&raw);
    if !faults.is_empty() {
        faults.sort();
        return Err(faults);
    }
    built(text, raw).map_err(|fault| vec![fault])
}

/// The place of the byte `at`.
pub(super) fn place(text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    Place {
        line: before.matches('\n').count() + 1,
        column: line.chars().count() + 1,
    }
}

/// Turns names into places. A name that leads nowhere was refused before; if not, it is refused here.
fn built(text: &str, raw: RawFile) -> Result<Vec<Workflow>, Fault> {
    let names: Vec<String> = raw.workflows.keys().map(|name| name.get_ref().clone()).collect();
    let build = |(name, workflow): (Spanned<String>, RawWorkflow)| {
        let steps: Vec<String> = workflow
            .steps
            .iter()
            .map(|step| check::name_of(step.get_ref()))
            .collect();
        let raw_steps = workflow.steps.into_iter().map(Spanned::into_inner).enumerate();
        Ok(Workflow {
            name: name.into_inner(),
            description: workflow.description,
            steps: raw_steps
                .map(|(index, step)| built_step(text, &names, &steps, index, step))
                .collect::<Result<_, _>>()?,
        })
    };
    raw.workflows.into_iter().map(build).collect()
}

fn built_step(text: &str, names: &[String], steps: &[String], index: usize, raw: RawStep) -> Result<Step, Fault> {
    let work = if let Some(workflow) = &raw.workflow {
        Work::Workflow(found(names, workflow)?)
    } else if let Some(choose) = &raw.choose {
        let choose = choose.get_ref();
        let pick = |(value, workflow): (&Spanned<String>, &Spanned<String>)| {
            Ok((value.get_ref().clone(), found(names, workflow)?))
        };
        Work::Choose {
            step: found(steps, &choose.step)?,
            field: choose.field.clone().unwrap_or_else(|| SUFFICIENCY.to_owned()),
            is: choose.is.iter().map(pick).collect::<Result<_, _>>()?,
        }
    } else {
        Work::Agent(
            raw.agent
                .as_ref()
                .map(|agent| agent.get_ref().clone())
                .unwrap_or_default(),
        )
    };
    let after = match &raw.after {
        Some(after) => after.iter().map(|name| found(steps, name)).collect::<Result<_, _>>()?,
        None => index.checked_sub(1).into_iter().collect(),
    };
    let when = raw.when.map(|when| {
        let when = when.into_inner();
        Ok(When {
            step: found(steps, &when.step)?,
            field: when.field.unwrap_or_else(|| SUFFICIENCY.to_owned()),
            is: when.is.into_inner().into_iter().map(Spanned::into_inner).collect(),
        })
    });
    let usual = Retry::default();
    let pauses = raw.backoff.map(|backoff| backoff.get_ref().pauses());
    let (first, most) = pauses.unwrap_or((usual.first, usual.most));
    Ok(Step {
        name: steps[index].clone(),
        at: place(text, raw.agent.as_ref().map_or(0, |agent| agent.span().start)),
        work,
        after,
        when: when.transpose()?,
        may_fail: raw.may_fail,
        always: raw.always.is_some_and(Spanned::into_inner),
        retry: Retry {
            retries: raw.retries.map_or(0, Spanned::into_inner),
            first,
            most,
        },
        timeout: raw.timeout.map(|timeout| timeout.into_inner().0),
    })
}

fn found(names: &[String], name: &Spanned<String>) -> Result<usize, Fault> {
    let place = names.iter().position(|known| known == name.get_ref());
    place.ok_or_else(|| Fault {
        at: name.span().start,
        fault: format!(
            "`{}` is not there{}",
            name.get_ref(),
            did_you_mean(name.get_ref(), names.iter().map(String::as_str))
        ),
    })
}
