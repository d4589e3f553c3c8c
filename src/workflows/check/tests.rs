use crate::workflows::{WorkflowError, Workflows};

/// Marks the place of a fault in a text; taken out before it is read.
const MARK: char = '§';

/// Everything that is wrong with `text`: line, column and sentence.
fn faults(text: &str) -> Vec<(usize, usize, String)> {
    let place = |error| match error {
        WorkflowError::Bad {
            line, column, fault, ..
        } => (line, column, fault),
        unreadable @ WorkflowError::Unreadable { .. } => panic!("{unreadable}"),
    };
    match Workflows::from_toml("test.toml", text) {
        Ok(workflows) => panic!("{workflows:?} for {text:?}"),
        Err(faults) => faults.into_iter().map(place).collect(),
    }
}

/// A workflow `w` of these steps, the first of them in line 2.
fn workflow(steps: &str) -> String {
    format!("[workflows.w]\n{steps}")
}

/// One step that says `keys`, in line 3.
fn step(keys: &str) -> String {
    workflow(&format!("[[workflows.w.steps]]\n{keys}"))
}

/// Fails unless one thing is wrong: what `part` says, where the mark stands.
#[track_caller]
fn refused(marked: &str, part: &str) {
    let (before, after) = marked.split_once(MARK).expect("a place is marked");
    let line = before.split('\n').count();
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let text = format!("{before}{after}");
    let told = faults(&text);
    let [(at, from, fault)] = told.as_slice() else {
        panic!("{told:#?} for {text}");
    };
    assert!(
        (*at, *from) == (line, column) && fault.contains(part),
        "{told:#?} for {text}"
    );
}

#[test]
fn what_is_no_workflow_is_refused_with_its_place() {
    for (text, part) in [
        ("§", "there is no workflow: begin one with [workflows.NAME]"),
        ("[§workflow.a]", "unknown field `workflow`, expected `workflows`"),
        ("[workflows.w]\n§step = []", "unknown field `step`"),
        ("[workflows.w]\nsteps = [§", ""),
        (
            "\n[workflows.§w]",
            "the workflow `w` has no steps: add one with [[workflows.w.steps]]",
        ),
        (
            "[workflows.§\"a b\"]\nsteps = [{ agent = \"a\" }]",
            "\"a b\" can't be a name: take 1 to 64 letters",
        ),
    ] {
        refused(text, part);
    }
}

#[test]
fn what_is_no_step_is_refused_with_its_place() {
    for (keys, part) in [
        ("§agnt = \"a\"", "unknown field `agnt`, expected one of `name`, `agent`"),
        ("agent = \"a\"\nname = §\"a/b\"", "\"a/b\" can't be a name"),
        ("agent = §\"\"", "\"\" can't be a name"),
        ("agent = \"a\"\nretries = §11", "`retries` is above 10: lower it"),
        ("agent = \"a\"\nretries = §-1", "invalid value: integer `-1`"),
        (
            "agent = \"a\"\nbackoff = §{ first = \"1s\" }",
            "`backoff` without `retries` does nothing",
        ),
        (
            "agent = \"a\"\nretries = 1\nbackoff = §{ first = \"0s\" }",
            "`first` is zero",
        ),
        (
            "agent = \"a\"\nretries = 1\nbackoff = §{ first = \"9s\", most = \"3s\" }",
            "`first` is above `most`: lower it or raise `most`",
        ),
        (
            "agent = \"a\"\nretries = 1\nbackoff = §{ most = \"6m\" }",
            "a pause is above 5m",
        ),
        ("agent = \"a\"\ntimeout = §\"0s\"", "`timeout` is zero"),
        ("agent = \"a\"\ntimeout = §\"soon\"", "duration"),
        ("agent = \"a\"\nalways = §\"yes\"", "expected a boolean"),
    ] {
        refused(&step(keys), part);
    }
    let works = "set exactly one of `agent`, `workflow` and `choose`";
    refused("[workflows.w]\n§[[workflows.w.steps]]\nname = \"a\"", works);
    refused(
        "[workflows.w]\nsteps = [§{ agent = \"a\", workflow = \"v\" }]\n[workflows.v]\nsteps = [{ agent = \"a\" }]",
        works,
    );
}

#[test]
fn a_sequence_that_leads_nowhere_or_round_is_refused_with_its_place() {
    for (steps, part) in [
        (
            "steps = [\n{ agent = \"a\" },\n{ agent = §\"a\" },\n]",
            "two steps are named `a`: give one of them another `name`",
        ),
        (
            "steps = [\n{ agent = \"triage\" },\n{ agent = \"b\", after = [§\"traige\"] },\n]",
            "`after` names `traige`, which is no step of this workflow: did you mean `triage`?",
        ),
        (
            "steps = [\n{ agent = \"a\", after = [§\"a\"] },\n]",
            "the steps a, a wait for each other",
        ),
        (
            "steps = [\n{ agent = \"a\", after = [§\"c\"] },\n{ agent = \"b\" },\n{ agent = \"c\" },\n]",
            "the steps a, c, b, a wait for each other: take one of them out of an `after`",
        ),
        // Faulty only by what stands last: the second step comes after the third by name, which comes after it by place.
        (
            "steps = [\n{ agent = \"a\" },\n{ agent = \"b\", after = [§\"c\"] },\n{ agent = \"c\" },\n]",
            "the steps b, c, b wait for each other",
        ),
    ] {
        refused(&workflow(steps), part);
    }
}

#[test]
fn a_condition_that_can_not_be_met_is_refused_with_its_place() {
    for (steps, part) in [
        (
            "{ agent = \"a\" },\n{ agent = \"b\", when = { step = §\"x\", is = [\"partial\"] } },",
            "`when` names `x`, which is no step of this workflow: there is `a`, `b`",
        ),
        (
            "{ agent = \"a\", when = { step = §\"b\", is = [\"partial\"] } },\n{ agent = \"b\" },",
            "`when` asks about `b`, which need not have ended by then: add it to `after`",
        ),
        (
            "{ agent = \"a\" },\n{ agent = \"b\", after = [], when = { step = §\"a\", is = [\"partial\"] } },",
            "add it to `after`",
        ),
        (
            "{ agent = \"a\" },\n{ agent = \"b\", when = { step = \"a\", is = §[] } },",
            "an empty `is` is never true",
        ),
        (
            "{ agent = \"a\" },\n{ agent = \"b\", when = { step = \"a\", is = [§\"partly\"] } },",
            "data_sufficiency is never `partly`: did you mean `partial`?",
        ),
        (
            "{ agent = \"a\" },\n{ agent = \"b\", always = true, when = §{ step = \"a\", is = [\"partial\"] } },",
            "`always` and `when` contradict each other",
        ),
        (
            "{ agent = \"a\" },\n{ name = \"b\", choose = §{ step = \"a\", is = { partial = \"v\" } } },",
            "`is` names no workflow for `unknown`",
        ),
        (
            "{ agent = \"a\" },\n{ name = \"b\", choose = { step = \"a\", is = { unknown = \"v\", §some = \"v\" } } },",
            "data_sufficiency is never `some`",
        ),
        (
            "{ agent = \"a\" },\n§{ choose = { step = \"a\", is = { unknown = \"v\" } } },",
            "a step that chooses has no name of its own",
        ),
        (
            "{ workflow = \"v\" },\n{ agent = \"b\", when = { step = §\"v\", is = [\"partial\"] } },",
            "`when` asks about `v`, which has no result of its own",
        ),
        (
            "{ workflow = \"v\", retries = §1 },\n{ agent = \"b\" },",
            "`retries` is for a step that runs an agent: set it on the steps of the workflow",
        ),
    ] {
        let other = "[workflows.v]\nsteps = [{ agent = \"a\" }]";
        let text = format!("{}\n{other}", workflow(&format!("steps = [\n{steps}\n]")));
        refused(&text, part);
    }
}

#[test]
fn any_value_can_be_asked_of_another_field() {
    let steps = "steps = [{ agent = \"a\" }, { agent = \"b\", when = { step = \"a\", field = \"category\", is = [\"cost\"] } }]";
    assert!(Workflows::from_toml("test.toml", &workflow(steps)).is_ok());
}

#[test]
fn workflows_that_hold_what_is_not_there_or_themselves_are_refused_with_their_place() {
    let none = "[workflows.w]\nsteps = [\n{ workflow = §\"v\" },\n]";
    refused(none, "there is no workflow `v`: there is `w`");
    let itself = "[workflows.w]\nsteps = [\n{ workflow = §\"w\" },\n]";
    refused(itself, "the workflows w, w hold each other and would never end");
    let by_choice = "[workflows.a]\nsteps = [{ workflow = §\"b\" }]\n[workflows.b]\nsteps = [\n{ agent = \"x\" },\n\
                     { name = \"y\", choose = { step = \"x\", is = { unknown = \"a\" } } },\n]";
    refused(by_choice, "the workflows a, b, a hold each other");
}

#[test]
fn a_workflow_has_sixty_four_steps_and_no_more_with_those_of_the_workflows_in_it() {
    let steps = |count: usize, last: &str| {
        let steps: String = (0..count)
            .map(|n| format!("{{ agent = \"a\", name = \"s{n}\" }},"))
            .collect();
        format!("steps = [{steps}{last}]")
    };
    let marked = |text: String| text.replace("[workflows.w]", "[workflows.§w]");
    let flat = |count| format!("[workflows.w]\n{}", steps(count, ""));
    assert!(Workflows::from_toml("test.toml", &flat(64)).is_ok());
    refused(&marked(flat(65)), "the workflow `w` has more than 64 steps");
    let nested = |count| {
        let (inner, outer) = (steps(30, ""), steps(count, "{ workflow = \"v\" }"));
        format!("[workflows.v]\n{inner}\n[workflows.w]\n{outer}")
    };
    assert!(Workflows::from_toml("test.toml", &nested(33)).is_ok());
    refused(&marked(nested(34)), "the workflow `w` has more than 64 steps");
}

#[test]
fn workflows_that_double_with_each_level_are_refused_in_no_time() {
    let level = |n: usize| {
        let steps = if n == 0 {
            "{ agent = \"a\" }".to_owned()
        } else {
            let inner = n - 1;
            format!("{{ name = \"x\", workflow = \"l{inner}\" }}, {{ name = \"y\", workflow = \"l{inner}\" }}")
        };
        format!("[workflows.l{n}]\nsteps = [{steps}]\n")
    };
    let told = faults(&(0..60).map(level).collect::<String>());
    assert!(
        told.iter().all(|(.., fault)| fault.contains("more than 64 steps")),
        "{told:#?}"
    );
    assert!(told.len() > 50, "{told:#?}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once_by_place() {
    let text =
        "[workflows.w]\nsteps = [\n{ agent = \"a\", timeout = \"0s\" },\n{ workflow = \"v\" },\n{ agent = \"a\" },\n]";
    let lines: Vec<_> = faults(text).into_iter().map(|(line, ..)| line).collect();
    assert_eq!(lines, [3, 4, 5]);
}
