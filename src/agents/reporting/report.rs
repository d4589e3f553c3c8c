//! The report as Markdown. The same facts give the same report, and any facts give one.

use rust_decimal::Decimal;

use super::facts::Facts;
use crate::agents::actions::listed;
use crate::agents::data;
use crate::agents::markdown::{dollars, escape, name, percent, table};
use crate::agents::shapes::{Action, Analysis, Group, Savings, Sufficiency};

/// Rows of a table of models or features. Beyond them the rest is one row.
const ROWS: usize = 20;

/// Writes the report under a summary, which is Markdown already.
pub fn write(facts: &Facts, summary: &str) -> String {
    let mut sections = vec![format!("# Report on the use of language models\n\n{summary}\n")];
    if let Some((_, analysis)) = &facts.analysis {
        sections.extend(spending("Cost by model", "Model", &analysis.by_model, analysis));
        sections.extend(spending("Cost by feature", "Feature", &analysis.by_feature, analysis));
    }
    if let Some((_, savings)) = &facts.savings {
        sections.push(strategies(savings));
    }
    if !facts.plan.is_empty() {
        sections.push(plan(&facts.plan));
    }
    sections.extend(totals(facts));
    sections.push(missing(facts));
    sections.push(assumptions(facts));
    sections.join("\n").trim_end().to_owned()
}

/// The summary, where no model writes one.
pub fn summary(facts: &Facts) -> String {
    let mut told = Vec::new();
    match &facts.analysis {
        Some((_, analysis)) => {
            told.push(data::spent(analysis));
            if let Some(group) = analysis.by_model.first() {
                told.push(format!(
                    "{} has the largest part: {}.",
                    name(&group.name),
                    percent(group.share_percent)
                ));
            }
        }
        None => told.push("Nothing is known yet of what was spent.".to_owned()),
    }
    match &facts.savings {
        Some((_, savings)) if savings.strategies.is_empty() => {
            told.push("No known strategy saves anything.".to_owned());
        }
        Some((_, savings)) => {
            let share = match savings.baseline_usd.is_zero() {
                true => String::new(),
                false => {
                    let share = savings.combined_saves_usd * Decimal::ONE_HUNDRED / savings.baseline_usd;
                    format!(", {} of it", percent(share))
                }
            };
            told.push(format!(
                "Up to {} can be saved{share}, where every assumption holds.",
                dollars(savings.combined_saves_usd)
            ));
        }
        None => told.push("Nothing can be said of savings yet.".to_owned()),
    }
    if let Some(first) = facts.plan.first() {
        told.push(format!("The first step: {}.", escape(&first.title)));
    }
    told.join(" ")
}

/// The table of what models or features cost. The last row makes up for those that have none, so that the sum is the total.
fn spending(title: &str, kind: &str, groups: &[Group], analysis: &Analysis) -> Option<String> {
    if groups.is_empty() {
        return None;
    }
    let shown = &groups[..groups.len().min(ROWS)];
    let mut rows: Vec<Vec<String>> = shown
        .iter()
        .map(|group| {
            vec![
                name(&group.name),
                group.figures.requests.to_string(),
                group.figures.input_tokens.to_string(),
                group.figures.output_tokens.to_string(),
                dollars(group.figures.cost_usd),
                percent(group.share_percent),
            ]
        })
        .collect();
    let sum = |figure: fn(&Group) -> u64| shown.iter().map(figure).fold(0, u64::saturating_add);
    let all = &analysis.totals;
    let requests = all.requests.saturating_sub(sum(|group| group.figures.requests));
    if requests > 0 {
        let cost = all.cost_usd - shown.iter().map(|group| group.figures.cost_usd).sum::<Decimal>();
        let share = match all.cost_usd.is_zero() {
            true => Decimal::ZERO,
            false => cost * Decimal::ONE_HUNDRED / all.cost_usd,
        };
        rows.push(vec![
            "all others".to_owned(),
            requests.to_string(),
            all.input_tokens
                .saturating_sub(sum(|group| group.figures.input_tokens))
                .to_string(),
            all.output_tokens
                .saturating_sub(sum(|group| group.figures.output_tokens))
                .to_string(),
            dollars(cost),
            percent(share),
        ]);
    }
    rows.push(vec![
        "**all**".to_owned(),
        all.requests.to_string(),
        all.input_tokens.to_string(),
        all.output_tokens.to_string(),
        dollars(all.cost_usd),
        percent(if all.cost_usd.is_zero() {
            Decimal::ZERO
        } else {
            Decimal::ONE_HUNDRED
        }),
    ]);
    let header = [kind, "Requests", "Input tokens", "Output tokens", "Cost", "Share"];
    let numbers = [false, true, true, true, true, true];
    Some(format!("## {title}\n\n{}", table(&header, &numbers, &rows)))
}

fn strategies(savings: &Savings) -> String {
    if savings.strategies.is_empty() {
        return "## What could be saved\n\nNo known strategy saves anything.\n".to_owned();
    }
    let rows: Vec<Vec<String>> = savings
        .strategies
        .iter()
        .map(|strategy| {
            vec![
                name(&strategy.title),
                dollars(strategy.saves_usd),
                percent(strategy.saves_percent),
                match strategy.counts_usd {
                    Some(counts) if counts.is_zero() => "-".to_owned(),
                    counts => dollars(counts.unwrap_or(strategy.saves_usd)),
                },
                strategy.effort.word().to_owned(),
                strategy.risk.word().to_owned(),
            ]
        })
        .collect();
    let header = ["Strategy", "Saves by itself", "Of the cost", "Counts", "Effort", "Risk"];
    let table = table(&header, &[false, true, true, true, false, false], &rows);
    let note = savings
        .note
        .as_deref()
        .map_or(String::new(), |note| format!("\n{}\n", escape(note)));
    format!("## What could be saved\n\n{table}{note}")
}

fn plan(plan: &[Action]) -> String {
    let rows: Vec<Vec<String>> = plan
        .iter()
        .map(|action| {
            vec![
                action.order.to_string(),
                name(&action.title),
                name(&action.owner),
                action.effort.word().to_owned(),
                dollars(action.saves_usd),
                if action.depends_on.is_empty() {
                    "-".to_owned()
                } else {
                    listed(&action.depends_on)
                },
            ]
        })
        .collect();
    let header = ["No.", "Action", "Who", "Effort", "Saves by itself", "After"];
    let table = table(&header, &[true, false, false, false, true, false], &rows);
    let mut text = format!("## Plan\n\n{table}");
    for action in plan.iter().filter(|action| !action.steps.is_empty()) {
        text += &format!("\n{}. {}\n", action.order, name(&action.title));
        for step in &action.steps {
            text += &format!("    - {}\n", escape(step));
        }
    }
    text
}

/// The totals to the cent. What remains is reckoned from exact amounts, and then rounded.
fn totals(facts: &Facts) -> Option<String> {
    let mut rows = Vec::new();
    let mut row = |what: &str, amount: Decimal| rows.push(vec![what.to_owned(), dollars(amount)]);
    if let Some((_, analysis)) = &facts.analysis {
        row("Spent", analysis.totals.cost_usd);
    }
    if let Some((_, savings)) = &facts.savings {
        let spent = facts.analysis.as_ref().map(|(_, analysis)| analysis.totals.cost_usd);
        if spent != Some(savings.baseline_usd) {
            row("Looked at for savings", savings.baseline_usd);
        }
        row("All strategies together save", savings.combined_saves_usd);
        row("What then remains", savings.baseline_usd - savings.combined_saves_usd);
    }
    if rows.is_empty() {
        return None;
    }
    Some(format!(
        "## Totals\n\n{}",
        table(&["Total", "US dollars"], &[false, true], &rows)
    ))
}

fn missing(facts: &Facts) -> String {
    let mut lines: Vec<String> = facts.problems.iter().map(|problem| escape(problem)).collect();
    lines.extend(facts.missing());
    if facts.analysis.is_none() && facts.requests.is_empty() {
        lines.push(
            "Needed: usage data with timestamp, model, feature, input_tokens and output_tokens, one row for each request."
                .to_owned(),
        );
    }
    let is_enough = |analysis: &Analysis| analysis.sufficiency == Sufficiency::Sufficient;
    let urge = match facts.analysis.as_ref().is_some_and(|(_, analysis)| is_enough(analysis)) {
        true => "Would help",
        false => "Needed",
    };
    for request in &facts.requests {
        let (field, why, example) = (name(&request.field), escape(&request.why), name(&request.example));
        lines.push(format!("{urge}: {field}, {why}. For example: {example}"));
    }
    lines.extend(
        facts
            .questions
            .iter()
            .map(|question| format!("Asked: {}", escape(question))),
    );
    if lines.is_empty() {
        lines.push("Nothing that was looked for.".to_owned());
    }
    format!("## What is missing\n\n{}", list(&lines))
}

fn assumptions(facts: &Facts) -> String {
    let mut lines =
        vec!["Amounts are in US dollars, rounded to the cent; sums are made of the exact amounts.".to_owned()];
    if let Some((_, analysis)) = &facts.analysis {
        lines.push("Where the data does not say what a request cost, the catalogue's list price counts.".to_owned());
        if analysis.sufficiency == Sufficiency::Partial {
            lines.push(
                "The data is enough for a part of the work only; what it leaves out may change the picture.".to_owned(),
            );
        }
    }
    if let Some((_, savings)) = &facts.savings {
        let counted = savings.counted();
        let told = counted.iter().filter(|strategy| !strategy.assumption.is_empty());
        lines.extend(told.map(|strategy| format!("{}: {}", escape(&strategy.title), escape(&strategy.assumption))));
    }
    if facts.suspicious {
        lines.push(
            "A part of the message tried to give orders to the agents; it was read as text and not followed."
                .to_owned(),
        );
    }
    format!("## Assumptions\n\n{}", list(&lines))
}

fn list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("- {line}\n")).collect()
}
