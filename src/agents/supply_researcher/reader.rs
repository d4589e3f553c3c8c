//! Lets the model read the pages, and keeps of what it says only what stands there letter by letter.

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Fact, Stated};
use super::figures::{Unit, dollars, has_dollars};
use super::names::Names;
use super::pages::Page;
use crate::usage::catalogue::Field;

/// Bytes of a page that the model reads. Beyond them its end is left to the rules.
const READ_BYTES: usize = 24 * 1024;

/// What the model says.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// What the pages say of the models.
    #[schemars(length(max = 60))]
    pub facts: Vec<Said>,
}

/// A fact that it says it found.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// The page, from 1.
    page: usize,
    /// The model, as the catalogue writes it.
    #[schemars(length(min = 1, max = 100))]
    model: String,
    /// What it is.
    field: SaidField,
    /// The figure, letter by letter as it stands there.
    #[schemars(length(min = 1, max = 20))]
    figure: String,
    /// The words of the page that have the model, the figure and what it is for, letter by letter.
    #[schemars(length(min = 3, max = 400))]
    quote: String,
}

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SaidField {
    /// The price of input.
    Input,
    /// The price of output.
    Output,
    /// The price of cached input.
    CachedInput,
    /// The context window, in tokens.
    ContextWindow,
}

/// What the model is given to read.
pub fn task(message: &str, models: &[&str], pages: &[Page]) -> Value {
    let pages: Vec<Value> = pages
        .iter()
        .enumerate()
        .map(|(at, page)| json!({"page": at + 1, "title": page.title, "text": beginning(&page.text)}))
        .collect();
    json!({"message": message, "models": models, "pages": pages})
}

/// What holds of what the model said, by page; and how much did not.
pub fn verified(read: &Read, pages: &[Page], names: &Names) -> (Vec<Vec<Fact>>, usize) {
    let mut facts = vec![Vec::new(); pages.len()];
    let mut dropped = 0;
    for said in &read.facts {
        let place = said.page.checked_sub(1);
        let page = place.and_then(|place| pages.get(place).map(|page| (place, page)));
        match page.and_then(|(place, page)| Some((place, said.fact(page, names)?))) {
            Some((place, fact)) => facts[place].push(fact),
            None => dropped += 1,
        }
    }
    (facts, dropped)
}

impl Said {
    /// The fact, if the page bears it out: the quote stands there, it names this model alone, and the figure is one of it.
    fn fact(&self, page: &Page, names: &Names) -> Option<Fact> {
        let quote = one_spaced(&self.quote);
        let stands = one_spaced(beginning(&page.text)).contains(&quote);
        if !stands || names.in_line(&quote) != [self.model.as_str()] || !stands_alone(&quote, &self.figure) {
            return None;
        }
        let value = match self.field {
            SaidField::ContextWindow => {
                let (tokens, rounded) = super::figures::tokens(&self.figure)?;
                Stated::Window(tokens, rounded)
            }
            SaidField::Input => self.price(Field::Input, &quote, page)?,
            SaidField::Output => self.price(Field::Output, &quote, page)?,
            SaidField::CachedInput => self.price(Field::CachedInput, &quote, page)?,
        };
        Some(Fact {
            model: self.model.clone(),
            value,
        })
    }

    fn price(&self, field: Field, quote: &str, page: &Page) -> Option<Stated> {
        // The unit that the quote names, or the only one that the whole page does.
        let unit = Unit::in_text(quote).or_else(|| Unit::in_text(&page.text))?;
        if !has_dollars(quote) && !has_dollars(&page.text) {
            return None;
        }
        let amount: Decimal = dollars(&self.figure, true).ok()??;
        // The quote itself must not have it in another currency.
        let around = quote.split(self.figure.trim()).next()?.chars().last();
        if around.is_some_and(|sign| matches!(sign, '€' | '£' | '¥' | '₹')) {
            return None;
        }
        Some(Stated::Price(field, unit.per_million(amount).normalize()))
    }
}

/// Whether a figure stands in a text and is no part of a longer one.
fn stands_alone(text: &str, figure: &str) -> bool {
    let figure = figure.trim();
    if !figure.contains(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
    text.match_indices(figure).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + figure.len()..].chars();
        let (next, then) = (after.next(), after.next());
        let goes_on = next.is_some_and(|c| c.is_ascii_digit())
            || (next.is_some_and(is_part) && then.is_some_and(|c| c.is_ascii_digit()));
        !before.is_some_and(is_part) && !goes_on
    })
}

fn one_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn beginning(text: &str) -> &str {
    let mut end = text.len().min(READ_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(said: Value) -> Option<Stated> {
        let page = Page {
            title: "prices".to_owned(),
            url: None,
            is_official: false,
            text: "GPT-5 is sold at $1.25 for input\nand $10.00 for output, per 1M tokens.\nGPT-5 mini reads 400,000 tokens.".to_owned(),
        };
        let read: Read = serde_json::from_value(json!({"facts": [said]})).unwrap();
        let (facts, dropped) = verified(&read, &[page], &Names::of(["gpt-5", "gpt-5-mini"]));
        assert_eq!(facts[0].len() + dropped, 1);
        facts[0].first().map(|fact| fact.value.clone())
    }

    #[test]
    fn what_stands_on_the_page_holds() {
        let quote = "GPT-5 is sold at $1.25 for input and $10.00 for output";
        let price = |field: &str, figure: &str| {
            holds(json!({"page": 1, "model": "gpt-5", "field": field, "figure": figure, "quote": quote}))
        };
        assert_eq!(
            price("input", "1.25"),
            Some(Stated::Price(Field::Input, "1.25".parse().unwrap()))
        );
        assert_eq!(
            price("output", "$10.00"),
            Some(Stated::Price(Field::Output, "10".parse().unwrap()))
        );
        let window = json!({"page": 1, "model": "gpt-5-mini", "field": "context_window", "figure": "400,000",
            "quote": "GPT-5 mini reads 400,000 tokens"});
        assert_eq!(holds(window), Some(Stated::Window(400_000, false)));
    }

    #[test]
    fn what_does_not_stand_there_is_dropped() {
        let quote = "GPT-5 is sold at $1.25 for input";
        for (page, model, figure, quote) in [
            (1, "gpt-5", "0.99", quote),
            (1, "gpt-5", "0.99", "GPT-5 is sold at $0.99 for input"),
            (1, "gpt-5", "1.2", quote),
            (1, "gpt-5", "25", quote),
            (1, "gpt-5-mini", "1.25", quote),
            (1, "gpt-5", "1.25", "sold at $1.25 for input"),
            (2, "gpt-5", "1.25", quote),
            (0, "gpt-5", "1.25", quote),
            (1, "gpt-5", "input", quote),
        ] {
            let said = json!({"page": page, "model": model, "field": "input", "figure": figure, "quote": quote});
            assert_eq!(holds(said.clone()), None, "{said}");
        }
    }
}
