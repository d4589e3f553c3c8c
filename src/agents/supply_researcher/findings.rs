//! Weighs what the pages say of a model against each other and against the catalogue: what changes, and how sure it is.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::extract::{Fact, Stated};
use super::pages::Page;
use super::request::Entry;
use crate::usage::catalogue::Field;

/// How sure it must be before anything is written, in hundredths. The tool refuses below it too.
pub const SURE: u32 = 70;

/// What makes it sure, in hundredths: the beginning, each source, all sources at most, each official one, both prices, the window.
const BEGINNING: u32 = 50;
const SOURCE: u32 = 5;
const SOURCES: u32 = 20;
const OFFICIAL: u32 = 10;
const BOTH_PRICES: u32 = 10;
const WINDOW: u32 = 5;
const ALL: u32 = 100;

/// A rounded number of tokens within this share of the catalogue's says the same.
const ROUNDING: u64 = 20;

/// What was found of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Who sells it.
    pub provider: String,
    /// Its name.
    pub model: String,
    /// The fields on which the pages agree, with what the catalogue has, what they say, and which pages say so.
    pub fields: Vec<Line>,
    /// The fields on which they don't, with all values.
    pub contradictions: Vec<(Field, Vec<String>)>,
    /// The pages that count: by their numbers.
    pub citations: BTreeSet<usize>,
    /// How sure it is, in hundredths, and of what parts that is made.
    pub confidence: u32,
    pub parts: Vec<(String, u32)>,
}

/// A field of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub field: Field,
    pub old: Value,
    pub new: Value,
    pub is_changed: bool,
    pub pages: BTreeSet<usize>,
}

impl Finding {
    /// What to write, as the catalogue's tool takes it; empty where nothing changes.
    pub fn changes(&self) -> Value {
        let changed = self.fields.iter().filter(|line| line.is_changed);
        changed
            .map(|line| (line.field.as_str().to_owned(), line.new.clone()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// Whether anything changes.
    pub fn is_change(&self) -> bool {
        self.fields.iter().any(|line| line.is_changed)
    }

    /// How sure it is, from 0 to 1.
    pub fn share(&self) -> f64 {
        f64::from(self.confidence) / f64::from(ALL)
    }
}

/// Weighs what all pages say of a model; none where they say nothing. `facts` are by page.
pub fn weigh(entry: &Entry, pages: &[Page], facts: &[Vec<Fact>]) -> Option<Finding> {
    let mut values: BTreeMap<Field, BTreeMap<Comparable, BTreeSet<usize>>> = BTreeMap::new();
    let mut abilities: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (page, facts) in facts.iter().enumerate() {
        for fact in facts.iter().filter(|fact| fact.model == entry.model) {
            let (field, value) = match &fact.value {
                Stated::Price(field, price) => (*field, Comparable::Price(*price)),
                Stated::Window(tokens, rounded) => (
                    Field::ContextWindow,
                    Comparable::Tokens(unrounded(*tokens, *rounded, entry)),
                ),
                Stated::Abilities(words) => {
                    for word in words {
                        abilities.entry(word.clone()).or_default().insert(page);
                    }
                    continue;
                }
            };
            values.entry(field).or_default().entry(value).or_default().insert(page);
        }
    }
    if values.is_empty() && abilities.is_empty() {
        return None;
    }
    let (agreed, disputed): (Vec<_>, Vec<_>) = values.into_iter().partition(|(_, values)| values.len() == 1);
    // A page that contradicts another, or itself, on this model is no source for it.
    let doubtful: BTreeSet<usize> = disputed
        .iter()
        .flat_map(|(_, values)| values.values().flatten().copied())
        .collect();
    let trusted = |said_by: &BTreeSet<usize>| -> BTreeSet<usize> { said_by.difference(&doubtful).copied().collect() };
    let mut fields: Vec<Line> = Vec::new();
    for (field, values) in agreed {
        for (value, said_by) in values {
            let line = Line {
                field,
                old: old(entry, field),
                new: value.told(),
                is_changed: value.differs(entry, field),
                pages: trusted(&said_by),
            };
            fields.extend((!line.pages.is_empty()).then_some(line));
        }
    }
    fields.extend(more_abilities(entry, &abilities, &trusted));
    let citations: BTreeSet<usize> = fields.iter().flat_map(|line| line.pages.iter().copied()).collect();
    let parts = parts(&citations, pages, &fields);
    let contradictions = disputed
        .into_iter()
        .map(|(field, values)| (field, values.into_keys().map(|value| shown(&value.told())).collect()))
        .collect();
    Some(Finding {
        provider: entry.provider.clone(),
        model: entry.model.clone(),
        confidence: parts.iter().map(|(_, part)| part).sum::<u32>().min(ALL),
        fields,
        contradictions,
        citations,
        parts,
    })
}

/// A value as text.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text
            .parse::<Decimal>()
            .map_or_else(|_| text.clone(), |amount| amount.normalize().to_string()),
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}

/// A value that is the same as another or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Comparable {
    Price(Decimal),
    Tokens(u64),
}

impl Comparable {
    fn told(&self) -> Value {
        match self {
            Self::Price(price) => json!(price.normalize().to_string()),
            Self::Tokens(tokens) => json!(tokens),
        }
    }

    fn differs(&self, entry: &Entry, field: Field) -> bool {
        match self {
            Self::Price(price) => {
                old(entry, field).as_str().and_then(|old| old.parse::<Decimal>().ok()) != Some(*price)
            }
            Self::Tokens(tokens) => *tokens != entry.context_window,
        }
    }
}

fn old(entry: &Entry, field: Field) -> Value {
    match field {
        Field::Input => json!(entry.input_usd_per_million),
        Field::Output => json!(entry.output_usd_per_million),
        Field::CachedInput => json!(entry.cached_input_usd_per_million),
        Field::ContextWindow => json!(entry.context_window),
        Field::Capabilities => json!(entry.capabilities),
    }
}

/// A rounded number stands for the catalogue's where that could be what was rounded.
fn unrounded(tokens: u64, rounded: bool, entry: &Entry) -> u64 {
    let is_near = tokens.abs_diff(entry.context_window) <= entry.context_window / ROUNDING;
    if rounded && is_near {
        entry.context_window
    } else {
        tokens
    }
}

/// The abilities of the catalogue with those that pages add: that a page is silent on one takes none away.
fn more_abilities(
    entry: &Entry,
    found: &BTreeMap<String, BTreeSet<usize>>,
    trusted: &dyn Fn(&BTreeSet<usize>) -> BTreeSet<usize>,
) -> Option<Line> {
    let mut all = entry.capabilities.clone();
    let mut pages = BTreeSet::new();
    for (word, said_by) in found {
        let said_by = trusted(said_by);
        if !said_by.is_empty() {
            all.insert(word.clone());
            pages.extend(said_by);
        }
    }
    (!pages.is_empty()).then(|| Line {
        field: Field::Capabilities,
        old: json!(entry.capabilities),
        is_changed: all != entry.capabilities,
        new: json!(all),
        pages,
    })
}

fn parts(citations: &BTreeSet<usize>, pages: &[Page], fields: &[Line]) -> Vec<(String, u32)> {
    let count = |many: usize| u32::try_from(many).unwrap_or(ALL).min(ALL);
    let official = citations
        .iter()
        .filter(|page| pages.get(**page).is_some_and(|page| page.is_official))
        .count();
    let has = |field: Field| fields.iter().any(|line| line.field == field);
    let mut parts = vec![("to begin with".to_owned(), BEGINNING)];
    let mut add = |words: String, part: u32| {
        if part > 0 {
            parts.push((words, part));
        }
    };
    add(
        format!("for sources: {}", citations.len()),
        (SOURCE * count(citations.len())).min(SOURCES),
    );
    add(
        format!("for official ones among them: {official}"),
        OFFICIAL * count(official),
    );
    add(
        "for both prices".to_owned(),
        if has(Field::Input) && has(Field::Output) {
            BOTH_PRICES
        } else {
            0
        },
    );
    add(
        "for the context window".to_owned(),
        if has(Field::ContextWindow) { WINDOW } else { 0 },
    );
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::supply_researcher::request::tests::entry;

    fn page(is_official: bool) -> Page {
        Page {
            title: "prices".to_owned(),
            url: Some("https://openai.com/".to_owned()),
            is_official,
            text: String::new(),
        }
    }

    fn price(field: Field, amount: &str) -> Fact {
        Fact {
            model: "gpt-5".to_owned(),
            value: Stated::Price(field, amount.parse().unwrap()),
        }
    }

    fn window(tokens: u64, rounded: bool) -> Fact {
        Fact {
            model: "gpt-5".to_owned(),
            value: Stated::Window(tokens, rounded),
        }
    }

    fn weighed(pages: &[bool], facts: &[Vec<Fact>]) -> Finding {
        let pages: Vec<Page> = pages.iter().map(|official| page(*official)).collect();
        weigh(&entry("openai", "gpt-5"), &pages, facts).unwrap()
    }

    #[test]
    fn how_sure_it_is_comes_from_sources_and_from_what_they_say() {
        let both = || vec![price(Field::Input, "1.1"), price(Field::Output, "10")];
        let all = || [both(), vec![window(400_000, false)]].concat();
        for (pages, facts, confidence) in [
            (vec![false], vec![vec![price(Field::Input, "1.1")]], 55),
            (vec![true], vec![vec![price(Field::Input, "1.1")]], 65),
            (vec![false], vec![both()], 65),
            (vec![false], vec![all()], 70),
            (vec![true], vec![both()], 75),
            (vec![true, true], vec![all(), all()], 95),
            (vec![true, true, true], vec![all(), all(), all()], 100),
            (vec![false; 9], vec![both(); 9], 80),
        ] {
            let finding = weighed(&pages, &facts);
            assert_eq!(finding.confidence, confidence, "{pages:?} {:?}", finding.parts);
        }
    }

    #[test]
    fn pages_that_contradict_are_no_sources_and_their_fields_are_not_changed() {
        let one = vec![
            price(Field::Input, "1.1"),
            price(Field::Input, "2.2"),
            price(Field::Output, "9"),
        ];
        let finding = weighed(&[true], &[one]);
        assert_eq!((finding.confidence, finding.changes()), (50, json!({})));
        assert_eq!(
            finding.contradictions,
            [(Field::Input, vec!["1.1".to_owned(), "2.2".to_owned()])]
        );
        let finding = weighed(
            &[true, true],
            &[vec![price(Field::Input, "1.1")], vec![price(Field::Input, "2.2")]],
        );
        assert_eq!((finding.confidence, finding.is_change()), (50, false));
    }

    #[test]
    fn only_what_differs_from_the_catalogue_is_a_change() {
        let facts = vec![
            price(Field::Input, "1.25"),
            price(Field::Output, "8"),
            window(401_000, true),
        ];
        let finding = weighed(&[true], &[facts]);
        assert_eq!(finding.changes(), json!({"output_usd_per_million": "8"}));
        let finding = weighed(&[true], &[vec![window(500_000, true)]]);
        assert_eq!(finding.changes(), json!({"context_window": 500_000}));
    }

    #[test]
    fn abilities_are_added_and_never_taken_away() {
        let fact = Fact {
            model: "gpt-5".to_owned(),
            value: Stated::Abilities(["vision".to_owned()].into()),
        };
        assert_eq!(
            weighed(&[true], &[vec![fact]]).changes(),
            json!({"capabilities": ["tools", "vision"]})
        );
    }
}
