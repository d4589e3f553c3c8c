//! Usage data, from CSV or JSON to rows. A row with a fault is left out and told with its line; the others count.

use std::collections::HashMap;

use rust_decimal::Decimal;

use self::cells::{Cells, Column};
use super::day::Day;

mod cells;
mod csv_rows;
mod json_rows;

pub use cells::COLUMNS;

/// Bytes of usage data at most. Beyond: [`ReadError::TooLarge`].
pub const DATA_BYTES: usize = 16 * 1024 * 1024;

/// Rows at most, those with faults included. Beyond: [`ReadError::TooManyRows`].
pub const ROWS: u64 = 500_000;

/// Columns of a table at most. Beyond: [`ReadError::TooManyColumns`].
pub const TABLE_COLUMNS: usize = 200;

/// Rows with faults that are told one by one. Beyond: they are only counted.
pub const SKIPPED_TOLD: usize = 20;

/// Stands for the model or the feature where the data names none.
pub const UNKNOWN: &str = "unknown";

/// How usage data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A header and rows, separated by commas, semicolons or tabs.
    Csv,
    /// A list of objects, or an object with such a list as `rows`.
    Json,
}

impl Format {
    /// Guesses it from the first character.
    fn of(data: &[u8]) -> Self {
        match data.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'[' | b'{') => Self::Json,
            _ => Self::Csv,
        }
    }
}

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Skipped {
    /// Its line in a table, or its place in a list, from 1.
    pub line: u64,
    /// What is wrong with it. Names columns, never what stands in them.
    pub reason: String,
}

/// One request, or several that were counted together.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its line in a table, or its place in a list, from 1.
    pub line: u64,
    /// When; none where the data has no timestamps.
    pub day: Option<Day>,
    /// The number of its model in [`Usage::models`].
    pub model: usize,
    /// The number of its feature in [`Usage::features`].
    pub feature: usize,
    /// All input, cached or not.
    pub input_tokens: u64,
    /// Output.
    pub output_tokens: u64,
    /// The part of the input that came from the provider's cache.
    pub cached_input_tokens: u64,
    /// How long it took.
    pub latency_ms: Option<u64>,
    /// What it cost, where the data says so.
    pub cost_usd: Option<Decimal>,
    /// Which prompt it was: equal prompts have equal numbers.
    pub prompt: Option<usize>,
}

/// Usage data as it was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// The rows that count, in their order.
    pub rows: Vec<Row>,
    /// The models, in the order in which they appear.
    pub models: Vec<String>,
    /// The features, in the order in which they appear.
    pub features: Vec<String>,
    /// The first rows that were left out.
    pub skipped: Vec<Skipped>,
    /// How many rows were left out.
    pub skipped_count: u64,
    /// The columns that the data doesn't have, in the order of [`COLUMNS`].
    pub missing: Vec<&'static str>,
}

/// Why usage data can't be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is nothing.
    #[error("there is no usage data: give a table with a header, or a JSON list of objects")]
    Empty,
    /// It is longer than [`DATA_BYTES`].
    #[error("the usage data has {bytes} bytes and may have {DATA_BYTES}: split it, by month for example")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// It has more rows than [`ROWS`].
    #[error("the usage data has more than {ROWS} rows: split it, by month for example")]
    TooManyRows,
    /// It has more columns than [`TABLE_COLUMNS`].
    #[error("the header has {columns} columns and may have {TABLE_COLUMNS}: leave out those that aren't needed")]
    TooManyColumns {
        /// How many it has.
        columns: usize,
    },
    /// Nothing says what was used.
    #[error(
        "no column holds input tokens; name one input_tokens (or, where only costs are known, one cost_usd). The others are: {}",
        COLUMNS.join(", ")
    )]
    NoUsableColumn,
    /// It is no JSON.
    #[error("the JSON can't be read: {0}")]
    BadJson(String),
    /// It is JSON, but no list of rows.
    #[error("the JSON is no list of objects, nor an object with such a list as `rows`")]
    NoRows,
    /// It is no table.
    #[error("the table can't be read: {0}")]
    BadTable(String),
}

/// Reads usage data. Where no format is named, it is guessed.
///
/// # Errors
/// [`ReadError`] where there is nothing to count at all. Faults of single rows are none: see [`Usage::skipped`].
pub fn read(data: &[u8], format: Option<Format>) -> Result<Usage, ReadError> {
    if data.len() > DATA_BYTES {
        return Err(ReadError::TooLarge { bytes: data.len() });
    }
    let data = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data);
    if data.iter().all(u8::is_ascii_whitespace) {
        return Err(ReadError::Empty);
    }
    match format.unwrap_or_else(|| Format::of(data)) {
        Format::Csv => csv_rows::read(data),
        Format::Json => json_rows::read(data),
    }
}

/// Rows being gathered.
struct Gathering {
    usage: Usage,
    /// Which columns the data has.
    present: [bool; COLUMNS.len()],
    models: Numbers,
    features: Numbers,
    prompts: Numbers,
    seen: u64,
}

/// The number of each name, in the order in which they appear.
type Numbers = HashMap<String, usize>;

impl Gathering {
    /// Begins, where the columns say enough.
    fn new(present: [bool; COLUMNS.len()]) -> Result<Self, ReadError> {
        if !present[Column::InputTokens as usize] && !present[Column::CostUsd as usize] {
            return Err(ReadError::NoUsableColumn);
        }
        let missing = COLUMNS.iter().zip(present).filter(|(_, present)| !present);
        let usage = Usage {
            missing: missing.map(|(name, _)| *name).collect(),
            ..Usage::default()
        };
        Ok(Self {
            usage,
            present,
            models: Numbers::new(),
            features: Numbers::new(),
            prompts: Numbers::new(),
            seen: 0,
        })
    }

    /// Takes a row, or leaves it out and says why.
    fn take(&mut self, line: u64, cells: Result<Cells<'_>, String>) -> Result<(), ReadError> {
        self.seen += 1;
        if self.seen > ROWS {
            return Err(ReadError::TooManyRows);
        }
        match cells.and_then(|cells| self.row(line, &cells)) {
            Ok(row) => self.usage.rows.push(row),
            Err(reason) => {
                self.usage.skipped_count += 1;
                if self.usage.skipped.len() < SKIPPED_TOLD {
                    self.usage.skipped.push(Skipped { line, reason });
                }
            }
        }
        Ok(())
    }

    fn row(&mut self, line: u64, cells: &Cells<'_>) -> Result<Row, String> {
        let needed = |column: Column| -> Result<Option<&str>, String> {
            match cells[column as usize] {
                None if self.present[column as usize] => Err(format!("{} is empty", column.name())),
                cell => Ok(cell),
            }
        };
        let day = needed(Column::Timestamp)?.map(cells::day).transpose()?;
        let model = needed(Column::Model)?
            .map(|text| cells::name(text, Column::Model))
            .transpose()?;
        let feature = cells[Column::Feature as usize];
        let feature = feature.map(|text| cells::name(text, Column::Feature)).transpose()?;
        let tokens = |cell: Option<&str>, column| cell.map_or(Ok(0), |text| cells::whole(text, column));
        let input_tokens = tokens(needed(Column::InputTokens)?, Column::InputTokens)?;
        let output_tokens = tokens(needed(Column::OutputTokens)?, Column::OutputTokens)?;
        let cached = cells[Column::CachedInputTokens as usize];
        let cached_input_tokens = tokens(cached, Column::CachedInputTokens)?;
        if cached_input_tokens > input_tokens {
            return Err("cached_input_tokens is above input_tokens, of which it is a part".to_owned());
        }
        let latency_ms = cells[Column::LatencyMs as usize].map(cells::milliseconds).transpose()?;
        let cost_usd = cells[Column::CostUsd as usize].map(cells::amount).transpose()?;
        let prompt = cells[Column::PromptHash as usize];
        let prompt = prompt.map(|text| cells::name(text, Column::PromptHash)).transpose()?;
        // From here on nothing can fail: only the names of rows that count are kept.
        let (model, feature) = (model.unwrap_or(UNKNOWN), feature.unwrap_or(UNKNOWN));
        Ok(Row {
            line,
            day,
            model: number(&mut self.models, &mut self.usage.models, model),
            feature: number(&mut self.features, &mut self.usage.features, feature),
            input_tokens,
            output_tokens,
            cached_input_tokens,
            latency_ms,
            cost_usd,
            prompt: prompt.map(|prompt| {
                let next = self.prompts.len();
                *self.prompts.entry(prompt.to_owned()).or_insert(next)
            }),
        })
    }
}

fn number(numbers: &mut Numbers, names: &mut Vec<String>, name: &str) -> usize {
    if let Some(number) = numbers.get(name) {
        return *number;
    }
    numbers.insert(name.to_owned(), names.len());
    names.push(name.to_owned());
    names.len() - 1
}

#[cfg(test)]
mod tests;
