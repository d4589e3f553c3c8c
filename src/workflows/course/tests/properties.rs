//! Whatever the workflows, whatever comes of their steps, in whatever order.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::super::super::{Place, Retry, SUFFICIENCIES, SUFFICIENCY};
use super::*;

/// What one step is made of; numbers are taken modulo what there is to choose from.
#[derive(Debug, Clone)]
struct Seed {
    work: u8,
    inner: usize,
    after: Option<Vec<usize>>,
    when: Option<(usize, usize)>,
    may_fail: bool,
    always: bool,
    retries: u32,
}

fn seed() -> impl Strategy<Value = Seed> {
    let after = prop::option::of(vec(any::<usize>(), 0..3));
    let when = prop::option::of((any::<usize>(), any::<usize>()));
    (
        0_u8..8,
        any::<usize>(),
        after,
        when,
        any::<bool>(),
        any::<bool>(),
        0_u32..3,
    )
        .prop_map(|(work, inner, after, when, may_fail, always, retries)| Seed {
            work,
            inner,
            after,
            when,
            may_fail,
            always,
            retries,
        })
}

/// Up to four workflows; each holds only later ones, and its steps come after earlier ones.
fn workflows() -> impl Strategy<Value = Vec<Workflow>> {
    vec(vec(seed(), 1..6), 1..4).prop_map(|seeds| {
        let count = seeds.len();
        let all = seeds.into_iter().enumerate();
        all.map(|(index, seeds)| grown(index, count, seeds)).collect()
    })
}

fn grown(workflow: usize, workflows: usize, seeds: Vec<Seed>) -> Workflow {
    let mut steps: Vec<Step> = Vec::new();
    for (index, seed) in seeds.into_iter().enumerate() {
        let mut after: Vec<usize> = match &seed.after {
            Some(after) if index > 0 => after.iter().map(|place| place % index).collect(),
            _ => index.checked_sub(1).into_iter().collect(),
        };
        let asked = seed.when.and_then(|(place, value)| {
            let agents: Vec<_> = (0..index)
                .filter(|place| matches!(steps[*place].work, Work::Agent(_)))
                .collect();
            let step = *agents.get(place % agents.len().max(1))?;
            Some((step, SUFFICIENCIES[value % SUFFICIENCIES.len()].to_owned()))
        });
        if let Some((step, _)) = asked {
            after.push(step);
        }
        let inner = || workflow + 1 + seed.inner % (workflows - workflow - 1);
        let work = match (seed.work, &asked) {
            (0, _) if workflow + 1 < workflows => Work::Workflow(inner()),
            (1, Some((step, _))) if workflow + 1 < workflows => Work::Choose {
                step: *step,
                field: SUFFICIENCY.to_owned(),
                is: BTreeMap::from([(UNKNOWN.to_owned(), inner())]),
            },
            _ => Work::Agent(format!("w{workflow}s{index}")),
        };
        let when = asked.filter(|_| !seed.always).map(|(step, value)| When {
            step,
            field: SUFFICIENCY.to_owned(),
            is: vec![value],
        });
        steps.push(Step {
            name: format!("s{index}"),
            work,
            after,
            when,
            may_fail: seed.may_fail,
            always: seed.always,
            retry: Retry {
                retries: seed.retries,
                ..Retry::default()
            },
            timeout: Some(Duration::from_secs(1)),
            at: Place::default(),
        });
    }
    Workflow {
        name: format!("w{workflow}"),
        description: String::new(),
        steps,
    }
}

/// What comes of a try.
fn fate(dice: u8) -> StepEnd {
    match dice {
        0 => failed(false),
        1 | 2 => failed(true),
        dice => done(json!({ SUFFICIENCY: SUFFICIENCIES[usize::from(dice) % SUFFICIENCIES.len()] })),
    }
}

/// What was seen of one step.
#[derive(Debug, Default, Clone, PartialEq)]
struct Seen {
    started: bool,
    tries: u32,
    ended: Option<StepStatus>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_course_ends_each_step_once_and_none_begins_before_what_it_comes_after(
        all in workflows(),
        dice in vec((any::<usize>(), 0_u8..12), 64),
    ) {
        let workflows = Arc::new(Workflows { file: String::new(), all });
        let mut course = Course::new(Arc::clone(&workflows), 0);
        let mut dice = dice.into_iter().cycle();
        let mut open: Vec<Effect> = Vec::new();
        let mut seen: BTreeMap<At, Seen> = BTreeMap::new();
        let mut effects = course.begin();
        // Each step ends once and is tried at most three times: beyond, the course leads round.
        for _ in 0..10_000 {
            watch(&workflows, &course, &effects, &mut seen)?;
            open.extend(effects.into_iter().filter(|e| matches!(e, Effect::Begin { .. } | Effect::Pause { .. })));
            prop_assert!(open.len() <= STEPS_AT_ONCE, "{} at once", open.len());
            if open.is_empty() {
                break;
            }
            let (place, dice) = dice.next().expect("it goes round");
            effects = match open.swap_remove(place % open.len()) {
                Effect::Begin { at, .. } => course.ended(at, fate(dice)),
                Effect::Pause { at, .. } => course.pause_over(at),
                _ => unreachable!("nothing else is kept"),
            };
        }
        prop_assert!(open.is_empty(), "it never ends");
        whole(&workflows, &course, &seen)?;
    }
}

/// Notes effects, and that each may be.
fn watch(
    workflows: &Workflows,
    course: &Course,
    effects: &[Effect],
    seen: &mut BTreeMap<At, Seen>,
) -> Result<(), TestCaseError> {
    for effect in effects {
        if let Effect::Begin { at, .. } = effect {
            let step = &workflows.all[course.frames[at.frame].workflow].steps[at.step];
            for before in &step.after {
                let before = At {
                    frame: at.frame,
                    step: *before,
                };
                prop_assert!(course.progress(before).status().is_some(), "{at:?} before {before:?}");
            }
            let noted = seen.entry(*at).or_default();
            prop_assert!(noted.ended.is_none(), "{at:?} after its end");
            noted.tries += 1;
            prop_assert!(
                noted.tries <= 1 + step.retry.retries,
                "{at:?} tried {} times",
                noted.tries
            );
        }
    }
    Ok(())
}

/// Checks a course at its end against what was seen and told.
fn whole(workflows: &Workflows, course: &Course, seen: &BTreeMap<At, Seen>) -> Result<(), TestCaseError> {
    prop_assert!(course.status().is_some());
    for (frame, it) in course.frames.iter().enumerate() {
        let steps = &workflows.all[it.workflow].steps;
        let statuses: Vec<_> = it
            .steps
            .iter()
            .map(|step| step.status().expect("every step has one"))
            .collect();
        for (index, step) in steps.iter().enumerate() {
            let at = At { frame, step: index };
            let tried = seen.get(&at).is_some();
            let holds = matches!(it.steps[index], Progress::Held { .. });
            prop_assert_eq!(tried || holds, statuses[index] != StepStatus::Skipped, "{:?}", at);
            prop_assert!(
                !step.always || statuses[index] != StepStatus::Skipped,
                "{:?} always runs",
                at
            );
        }
        let required = steps
            .iter()
            .zip(&statuses)
            .any(|(step, status)| !step.may_fail && *status == StepStatus::Failed);
        prop_assert_eq!(it.status == Some(WorkflowStatus::Failed), required);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_pairs_and_nests_and_ends_with_the_workflow(all in workflows(), dice in vec(0_u8..12, 64)) {
        let workflows = Arc::new(Workflows { file: String::new(), all });
        let mut course = Course::new(Arc::clone(&workflows), 0);
        let mut dice = dice.into_iter().cycle();
        let mut open = std::collections::VecDeque::new();
        let mut told = Vec::new();
        let mut effects = course.begin();
        loop {
            told.extend(effects.iter().cloned());
            open.extend(effects.into_iter().filter(|e| matches!(e, Effect::Begin { .. } | Effect::Pause { .. })));
            effects = match open.pop_front() {
                Some(Effect::Begin { at, .. }) => course.ended(at, fate(dice.next().expect("it goes round"))),
                Some(Effect::Pause { at, .. }) => course.pause_over(at),
                _ => break,
            };
        }
        let count = |is: fn(&Effect) -> bool| told.iter().filter(|effect| is(effect)).count();
        prop_assert_eq!(
            count(|e| matches!(e, Effect::WorkflowStarted { .. })),
            count(|e| matches!(e, Effect::WorkflowCompleted { .. }))
        );
        prop_assert_eq!(
            count(|e| matches!(e, Effect::StepStarted { .. })),
            count(|e| matches!(e, Effect::StepCompleted { status: StepStatus::Completed | StepStatus::Failed, .. }))
        );
        let announced: usize = told.iter().map(|e| if let Effect::WorkflowStarted { steps, .. } = e { steps.len() } else { 0 }).sum();
        prop_assert_eq!(announced, count(|e| matches!(e, Effect::StepCompleted { .. })));
        let last = told.last().cloned();
        let ends = matches!(&last, Some(Effect::WorkflowCompleted { workflow, .. }) if workflow == "w0");
        prop_assert!(ends, "{:?}", last);
    }
}
