//! Finds by rules what a page says of models: prices, context windows and abilities, in tables, lists and sentences.
//!
//! A page is read, never followed. A figure counts where model, kind and unit are plain; all else is left out with its reason.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use super::figures::{Unit, dollars, has_dollars, is_of_other_goods, tokens};
use super::names::Names;
use crate::usage::catalogue::Field;

/// Bytes of a page that are read. Beyond them its end is left out.
pub const PAGE_BYTES: usize = 256 * 1024;

/// Bytes of a line that are read: a longer one is no line of a price list.
const LINE_BYTES: usize = 2000;

/// Reasons and notices that are kept of a page.
const NOTES: usize = 10;

/// Words of tariffs that are not the usual one.
const OTHER_TARIFFS: [&str; 9] = [
    "batch", "flex", "priority", "fine-tun", "training", "write", "storage", "audio", "image",
];

/// Words that tell of a model's life.
const LIFE: [&str; 8] = [
    "deprecat",
    "retire",
    "sunset",
    "shut down",
    "end of life",
    "generally available",
    "preview",
    "discontinu",
];

/// Abilities by the words that pages use, in the catalogue's words.
const ABILITIES: [(&str, &[&str]); 5] = [
    ("audio", &["audio", "speech"]),
    ("json", &["json", "structured output"]),
    ("reasoning", &["reasoning", "thinking"]),
    ("tools", &["tool", "function call"]),
    ("vision", &["vision", "image input"]),
];

/// A value that a page states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The catalogue's name of the model.
    pub model: String,
    /// What of it.
    pub value: Stated,
}

/// What is stated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stated {
    /// A price of a million tokens.
    Price(Field, Decimal),
    /// A context window, and whether it is rounded.
    Window(u64, bool),
    /// Abilities, of the catalogue's words.
    Abilities(BTreeSet<String>),
}

/// What a page says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// What can be used.
    pub facts: Vec<Fact>,
    /// What can't, and why.
    pub unused: Vec<String>,
    /// What it says of the life of models: the model and the line.
    pub notices: Vec<(String, String)>,
    /// Models of its tables that the catalogue does not have.
    pub unknown: Vec<String>,
}

/// What a column or a clause is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Model,
    Price(Field),
    Window,
    Abilities,
    Other,
}

impl About {
    fn of(text: &str) -> Self {
        let small = text.to_lowercase();
        let has = |word: &str| small.contains(word);
        let (input, output) = (has("input") || has("prompt"), has("output") || has("completion"));
        if OTHER_TARIFFS.iter().any(|word| has(word)) {
            Self::Other
        } else if has("cach") && !has("cache miss") {
            Self::Price(Field::CachedInput)
        } else if input != output {
            Self::Price(if input { Field::Input } else { Field::Output })
        } else if input {
            Self::Other
        } else if has("context") {
            Self::Window
        } else if has("capabilit") || has("features") || has("supports") {
            Self::Abilities
        } else if has("model") || has("name") {
            Self::Model
        } else {
            Self::Other
        }
    }
}

/// A column of a table.
#[derive(Debug, Clone)]
struct Column {
    about: About,
    unit: Option<Unit>,
    has_dollars: bool,
    /// The model, where a table has a column for each.
    model: Option<String>,
}

/// Reads a page. `names` are the models that are looked for.
pub fn read(text: &str, names: &Names) -> Extracted {
    let mut end = text.len().min(PAGE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut reader = Reader {
        names,
        found: Extracted::default(),
        unit: None,
        table: None,
        plain_table: None,
        model: None,
        is_other_tariff: false,
    };
    for line in text[..end].lines().map(str::trim) {
        if line.len() <= LINE_BYTES {
            reader.line(line);
        }
    }
    reader.found
}

/// A table whose cells stand one space apart, as pages lose them on their way to text: only the order tells the columns.
struct PlainTable {
    prices: Vec<Field>,
    unit: Option<Unit>,
    has_windows: bool,
}

impl PlainTable {
    /// Reads a line that begins with the word `model` and names two prices or more.
    fn of(line: &str) -> Option<Self> {
        let small = line.to_lowercase();
        let mut words = small
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty());
        let begins = words.next().is_some_and(|word| word.starts_with("model"));
        if !begins || OTHER_TARIFFS.iter().any(|tariff| small.contains(tariff)) {
            return None;
        }
        let mut prices = Vec::new();
        let mut is_cached = false;
        for word in words {
            match word {
                "cached" | "cache" => {
                    prices.push(Field::CachedInput);
                    is_cached = true;
                    continue;
                }
                // Of `cached input`.
                "input" | "inputs" | "prompt" if is_cached => {}
                "input" | "inputs" | "prompt" => prices.push(Field::Input),
                "output" | "outputs" | "completion" => prices.push(Field::Output),
                _ => {}
            }
            is_cached = false;
        }
        let is_each_once = (1..prices.len()).all(|at| !prices[..at].contains(&prices[at]));
        (prices.len() >= 2 && is_each_once).then(|| Self {
            unit: Unit::in_text(line),
            has_windows: small.contains("context"),
            prices,
        })
    }
}

struct Reader<'a> {
    names: &'a Names,
    found: Extracted,
    /// What the page said last of the unit.
    unit: Option<Unit>,
    table: Option<(Separator, Vec<Column>)>,
    plain_table: Option<PlainTable>,
    /// The model whose section this is.
    model: Option<String>,
    is_other_tariff: bool,
}

/// What stands between cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Separator {
    Bar,
    Tab,
    Comma,
    Spaces,
}

impl Separator {
    const ALL: [Self; 4] = [Self::Bar, Self::Tab, Self::Comma, Self::Spaces];

    fn cells(self, line: &str) -> Vec<&str> {
        let cells: Vec<&str> = match self {
            Self::Bar => line.trim_matches('|').split('|').map(plain).collect(),
            Self::Tab => line.split('\t').map(plain).collect(),
            Self::Comma => line.split(',').map(plain).collect(),
            Self::Spaces => line.split("  ").map(plain).filter(|cell| !cell.is_empty()).collect(),
        };
        cells
    }
}

impl Reader<'_> {
    fn line(&mut self, line: &str) {
        if line.is_empty() || line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' ' | '+' | '=')) {
            return;
        }
        self.notice(line);
        if let Some((separator, columns)) = self.header(line) {
            self.table = Some((separator, columns));
            self.plain_table = None;
            return;
        }
        if let Some(table) = PlainTable::of(line).filter(|_| matches!(dollars(line, false), Ok(None))) {
            self.plain_table = Some(table);
            self.table = None;
            return;
        }
        if let Some(table) = self.plain_table.take() {
            // A row without an amount of a model is no row.
            if !matches!(dollars(line, false), Ok(None)) {
                if !self.is_other_tariff {
                    self.plain_row(line, &table);
                }
                self.plain_table = Some(table);
                return;
            }
        }
        if let Some((separator, columns)) = self.table.take() {
            let cells = separator.cells(line);
            if cells.len() == columns.len() {
                if !self.is_other_tariff {
                    self.row(&cells, &columns);
                }
                self.table = Some((separator, columns));
                return;
            }
        }
        self.words(line);
    }

    /// The columns, if this line names them.
    fn header(&self, line: &str) -> Option<(Separator, Vec<Column>)> {
        Separator::ALL.into_iter().find_map(|separator| {
            let cells = separator.cells(line);
            if cells.len() < 2 {
                return None;
            }
            let columns: Vec<Column> = cells.iter().map(|cell| self.column(cell)).collect();
            let tells = |column: &Column| matches!(column.about, About::Price(_) | About::Window | About::Abilities);
            let has_models = columns.iter().skip(1).any(|column| column.model.is_some());
            let is_header = columns.iter().any(tells) && columns[0].model.is_none() && !tells(&columns[0]);
            let is_turned = columns[0].about == About::Model && has_models;
            let has_amounts = cells.iter().any(|cell| !matches!(dollars(cell, false), Ok(None)));
            ((is_header || is_turned) && !has_amounts).then_some((separator, columns))
        })
    }

    fn column(&self, cell: &str) -> Column {
        Column {
            about: About::of(cell),
            unit: Unit::in_text(cell),
            has_dollars: has_dollars(cell),
            model: self.names.of_cell(cell),
        }
    }

    fn row(&mut self, cells: &[&str], columns: &[Column]) {
        let first = cells[0];
        if columns.iter().skip(1).any(|column| column.model.is_some()) {
            let head = self.column(first);
            for (cell, column) in cells.iter().zip(columns).skip(1) {
                if let Some(model) = &column.model {
                    self.cell(model, cell, &head);
                }
            }
            return;
        }
        let place = columns
            .iter()
            .position(|column| column.about == About::Model)
            .unwrap_or(0);
        let Some(model) = self.names.of_cell(cells[place]) else {
            if self.names.looks_like_one(cells[place]) && self.found.unknown.len() < NOTES {
                self.found.unknown.push(cells[place].to_owned());
            }
            return;
        };
        for (at, (cell, column)) in cells.iter().zip(columns).enumerate() {
            if at != place {
                self.cell(&model, cell, column);
            }
        }
    }

    /// A row counts where nothing but the model's name stands before its figures, and there is one for each price.
    fn plain_row(&mut self, line: &str, table: &PlainTable) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_figure = |word: &str| matches!(word, "-" | "–" | "—") || word.starts_with('$') || tokens(word).is_some();
        let first = words.iter().position(|word| is_figure(word)).unwrap_or(words.len());
        let Some(model) = self.names.of_cell(&words[..first].join(" ")) else {
            return;
        };
        let is_window = |word: &&str| tokens(word).is_some();
        let (windows, prices): (Vec<&str>, Vec<&str>) = words[first..].iter().copied().partition(is_window);
        if prices.len() != table.prices.len() || !prices.iter().all(|word| is_figure(word)) {
            return;
        }
        for (price, field) in prices.into_iter().zip(&table.prices) {
            self.price(&model, *field, price, false, table.unit.or(self.unit));
        }
        if let [window] = windows.as_slice()
            && table.has_windows
        {
            self.window(&model, window);
        }
    }

    fn cell(&mut self, model: &str, cell: &str, column: &Column) {
        match column.about {
            About::Price(field) => {
                let unit = Unit::in_text(cell).or(column.unit).or(self.unit);
                let bare = column.has_dollars || column.unit.is_some();
                self.price(model, field, cell, bare, unit);
            }
            About::Window => self.window(model, cell),
            About::Abilities => self.abilities(model, cell),
            About::Model | About::Other => {}
        }
    }

    /// A line that is no part of a table: a heading, or words.
    fn words(&mut self, line: &str) {
        let line = plain(line);
        let named = self.names.in_line(line);
        let has_amount = !matches!(dollars(line, false), Ok(None));
        if has_amount || line.to_lowercase().contains("token") {
            let unit = Unit::in_text(line);
            let is_caption = !has_amount && named.is_empty() && About::of(line) != About::Window;
            if is_caption && unit.is_some() {
                self.unit = unit;
            }
        }
        if self.is_heading(line, has_amount) {
            let small = line.to_lowercase();
            self.is_other_tariff = OTHER_TARIFFS.iter().any(|word| small.contains(word));
            self.model = self.names.of_cell(line);
            return;
        }
        let model = match named.as_slice() {
            [] => self.model.clone(),
            [one] => Some(one.clone()),
            _ => None,
        };
        if let Some(model) = model.filter(|_| !self.is_other_tariff) {
            self.sentence(&model, line, !named.is_empty());
        }
    }

    /// A short line without an amount that begins something else: it names a model, or is no sentence.
    fn is_heading(&self, line: &str, has_amount: bool) -> bool {
        let words = line.split_whitespace().count();
        let is_kind = matches!(About::of(line), About::Price(_) | About::Window | About::Abilities);
        let has_digit = line.contains(|c: char| c.is_ascii_digit());
        !has_amount
            && !is_kind
            && words <= 8
            && !line.ends_with('.')
            && (words < 4 || has_digit || self.model.is_none())
    }

    fn sentence(&mut self, model: &str, line: &str, is_named: bool) {
        let line_unit = Unit::in_text(line);
        let clauses: Vec<&str> = line.split([';', '·', '•', '|']).flat_map(clauses).collect();
        for clause in clauses {
            match About::of(clause) {
                About::Price(field) => {
                    let unit = Unit::in_text(clause).or(line_unit).or(self.unit);
                    self.price(model, field, clause, false, unit);
                }
                About::Window => self.window(model, clause),
                About::Abilities if is_named => self.abilities(model, clause),
                About::Abilities | About::Model | About::Other => {}
            }
        }
    }

    fn price(&mut self, model: &str, field: Field, text: &str, bare: bool, unit: Option<Unit>) {
        let amount = match dollars(text, bare) {
            Ok(Some(amount)) => amount,
            Ok(None) => return,
            Err(why) => return self.leave_out(model, field, why),
        };
        if is_of_other_goods(text) {
            return;
        }
        match unit {
            Some(unit) => self.state(model, Stated::Price(field, unit.per_million(amount).normalize())),
            None => self.leave_out(model, field, "does not say for how many tokens it is"),
        }
    }

    fn window(&mut self, model: &str, text: &str) {
        if let Some((window, rounded)) = tokens(text) {
            self.state(model, Stated::Window(window, rounded));
        }
    }

    fn abilities(&mut self, model: &str, text: &str) {
        let small = text.to_lowercase();
        if small.contains(" not ") || small.contains("no ") || small.contains("n't") {
            return;
        }
        let known = ABILITIES
            .iter()
            .filter(|(_, words)| words.iter().any(|word| small.contains(word)));
        let found: BTreeSet<String> = known.map(|(ability, _)| (*ability).to_owned()).collect();
        if !found.is_empty() {
            self.state(model, Stated::Abilities(found));
        }
    }

    fn state(&mut self, model: &str, value: Stated) {
        let fact = Fact {
            model: model.to_owned(),
            value,
        };
        if !self.found.facts.contains(&fact) {
            self.found.facts.push(fact);
        }
    }

    fn leave_out(&mut self, model: &str, field: Field, why: &str) {
        let note = format!("the {} of {model} {why}", field.as_str());
        if self.found.unused.len() < NOTES && !self.found.unused.contains(&note) {
            self.found.unused.push(note);
        }
    }

    fn notice(&mut self, line: &str) {
        let small = line.to_lowercase();
        if self.found.notices.len() < NOTES && LIFE.iter().any(|word| small.contains(word)) {
            for model in self.names.in_line(line) {
                self.found.notices.push((model, line.to_owned()));
            }
        }
    }
}

/// A cell or a line without marks of Markdown.
fn plain(text: &str) -> &str {
    text.trim().trim_matches(|c| matches!(c, '*' | '`' | '#' | ' ' | '"'))
}

/// The parts of a sentence that each have one amount: between commas and the word `and`.
fn clauses(text: &str) -> Vec<&str> {
    text.split(", ").flat_map(|part| part.split(" and ")).collect()
}

#[cfg(test)]
mod tests;
