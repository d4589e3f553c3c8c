//! Judges a message by its words alone, without a language model.

use super::entities;
use super::judgement::{Category, Complexity, Intent, Judgement, NextAgent, Priority};
use super::lexicon::{CAN_WAIT, CATEGORIES, INTENTS, INTRICATE, ORDERS, SOON, URGENT};
use crate::agents::shapes::Sufficiency;
use crate::agents::usage::Usage;
use crate::agents::words::Words;

/// How sure rules are by how many phrases they know a message: never as sure as somebody who understands.
const CONFIDENCE: [f64; 4] = [0.3, 0.5, 0.6, 0.7];

/// How much less sure they are where two categories have as many.
const DOUBT: f64 = 0.1;

/// Words of a message beyond which it is more than one question.
const LONG: usize = 120;

/// What a message is about where it has data and no word that says so.
const BY_DATA: (Category, &str) = (Category::Cost, "spend");

/// Judges a message. `known` are the models of the catalogue.
pub fn judge(message: &str, known: &[String], usage: &Usage) -> Judgement {
    let words = Words::of(message);
    let (category, sub_category, confidence) = category(&words, usage);
    let intent = intent(&words);
    let entities = entities::named(message, &words, known);
    Judgement {
        category,
        sub_category: sub_category.to_owned(),
        priority: priority(&words),
        complexity: complexity(&words, &intent, entities.models.len() + entities.features.len()),
        confidence,
        next_agents: next_agents(category, &intent, usage),
        entities,
        intent,
        suspicious: is_suspicious(message),
    }
}

/// Whether a message tries to give orders to the agents.
pub fn is_suspicious(message: &str) -> bool {
    Words::of(message).have_any(&ORDERS)
}

/// The category with most phrases, its part with most, and how sure that is.
fn category(words: &Words, usage: &Usage) -> (Category, &'static str, f64) {
    let parts = CATEGORIES.map(|(category, part, phrases)| (category, part, words.count(phrases)));
    let score = |wanted: Category| -> usize {
        let of_category = parts.iter().filter(|(category, ..)| *category == wanted);
        of_category.map(|(_, _, count)| count).sum()
    };
    let mut best: Option<(Category, &str, usize)> = None;
    for (category, part, count) in parts {
        let is_better = best
            .is_none_or(|(leader, _, most)| score(category) > score(leader) || (category == leader && count > most));
        if count > 0 && is_better {
            best = Some((category, part, count));
        }
    }
    let Some((category, part, _)) = best else {
        let (category, part) = match usage {
            Usage::Nothing => (Category::General, "other"),
            Usage::Found(_) | Usage::Failed { .. } => BY_DATA,
        };
        return (category, part, CONFIDENCE[0]);
    };
    let rivals = parts
        .iter()
        .any(|(rival, ..)| *rival != category && score(*rival) == score(category));
    let sure = CONFIDENCE[score(category).min(CONFIDENCE.len() - 1)];
    (category, part, if rivals { sure - DOUBT } else { sure })
}

fn priority(words: &Words) -> Priority {
    if words.have_any(&CAN_WAIT) {
        Priority::Low
    } else if words.have_any(&URGENT) {
        Priority::Urgent
    } else if words.have_any(&SOON) {
        Priority::High
    } else {
        Priority::Medium
    }
}

/// The intents in the order in which they are said.
fn intent(words: &Words) -> Intent {
    let mut found: Vec<(usize, &str, bool)> = INTENTS
        .iter()
        .filter_map(|(name, acts, phrases)| Some((words.first(phrases)?, *name, *acts)))
        .collect();
    found.sort_by_key(|(at, ..)| *at);
    let mut names = found.iter().map(|(_, name, _)| (*name).to_owned());
    Intent {
        primary: names.next().unwrap_or_else(|| "ask".to_owned()),
        secondary: names.collect(),
        action_required: found.iter().any(|(.., acts)| *acts),
    }
}

fn complexity(words: &Words, intent: &Intent, named: usize) -> Complexity {
    let signs = [
        !intent.secondary.is_empty(),
        intent.secondary.len() >= 2,
        named > 2,
        words.len() > LONG,
        words.have_any(&INTRICATE),
    ];
    match signs.iter().filter(|sign| **sign).count() {
        0 => Complexity::Simple,
        1 | 2 => Complexity::Moderate,
        _ => Complexity::Complex,
    }
}

/// Who has something to do. [`Judgement::keep_to`] takes out whoever has no data to work on.
fn next_agents(category: Category, intent: &Intent, usage: &Usage) -> Vec<NextAgent> {
    if !category.needs_data() && *usage == Usage::Nothing {
        return vec![NextAgent::Reporting];
    }
    let mut next = vec![NextAgent::Data];
    if usage.sufficiency() != Sufficiency::Sufficient {
        next.insert(0, NextAgent::DataHelper);
    }
    if intent.action_required {
        next.extend([NextAgent::Optimization, NextAgent::Actions]);
    }
    next.push(NextAgent::Reporting);
    next
}
