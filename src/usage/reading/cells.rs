//! Columns and what may stand in them. A fault names the column, never the content.

use rust_decimal::{Decimal, RoundingStrategy};

use crate::usage::day::Day;

/// The names of the columns, in the order of `Column`.
pub const COLUMNS: [&str; 9] = [
    "timestamp",
    "model",
    "feature",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "latency_ms",
    "cost_usd",
    "prompt_hash",
];

/// Other names under which data comes, for each column.
const ALIASES: [&[&str]; 9] = [
    &[
        "time",
        "date",
        "day",
        "datetime",
        "created_at",
        "created",
        "request_time",
    ],
    &["model_id", "model_name", "engine"],
    &[
        "use_case",
        "usecase",
        "application",
        "app",
        "service",
        "endpoint",
        "workload",
        "category",
        "tag",
    ],
    &[
        "prompt_tokens",
        "input_token_count",
        "tokens_in",
        "input",
        "n_context_tokens_total",
    ],
    &[
        "completion_tokens",
        "output_token_count",
        "tokens_out",
        "output",
        "n_generated_tokens_total",
    ],
    &[
        "cached_tokens",
        "cache_read_tokens",
        "cache_read_input_tokens",
        "input_cached_tokens",
        "n_cached_context_tokens_total",
    ],
    &["latency", "duration_ms", "response_time_ms", "elapsed_ms"],
    &["cost", "usd", "amount_usd", "price_usd", "total_cost", "spend_usd"],
    &["prompt_id", "prompt_sha256", "prompt_fingerprint", "hash"],
];

/// Bytes of a model's, a feature's or a prompt's name at most, so that what the tools tell stays short.
const NAME_BYTES: usize = 100;

/// Characters of a number at most.
const NUMBER_BYTES: usize = 40;

/// The largest number of a cell: tokens, milliseconds or US dollars of one row. What is above it is a slip.
const NUMBER_MAX: u64 = 1_000_000_000;

/// Decimals of a cost that count; it is rounded to them, so that sums stay exact.
const COST_PLACES: u32 = 12;

/// A column that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Timestamp,
    Model,
    Feature,
    InputTokens,
    OutputTokens,
    CachedInputTokens,
    LatencyMs,
    CostUsd,
    PromptHash,
}

impl Column {
    pub(super) const fn name(self) -> &'static str {
        COLUMNS[self as usize]
    }
}

/// The cells of a row, in the order of [`COLUMNS`]; none where there is nothing.
pub(super) type Cells<'a> = [Option<&'a str>; COLUMNS.len()];

/// Which of the data's columns is which of ours: the one of our name, else the first of another name that we know.
pub(super) fn places<'a>(header: impl Iterator<Item = &'a str> + Clone) -> [Option<usize>; COLUMNS.len()] {
    let plain = |name: &str| {
        let underscored = |c: char| if c.is_alphanumeric() { c } else { '_' };
        name.trim().to_lowercase().chars().map(underscored).collect::<String>()
    };
    let header: Vec<String> = header.map(plain).collect();
    std::array::from_fn(|column| {
        let ours = header.iter().position(|name| name == COLUMNS[column]);
        ours.or_else(|| header.iter().position(|name| ALIASES[column].contains(&name.as_str())))
    })
}

pub(super) fn day(text: &str) -> Result<Day, String> {
    Day::of_timestamp(text)
        .ok_or_else(|| "timestamp is no day such as 2026-10-17, nor one with a time behind it".to_owned())
}

/// A name that can be shown: short, without control characters, and nothing that a spreadsheet would reckon out.
pub(super) fn name(text: &str, column: Column) -> Result<&str, String> {
    let name = column.name();
    if text.len() > NAME_BYTES {
        return Err(format!("{name} is longer than {NAME_BYTES} bytes"));
    }
    if text.starts_with('=') {
        return Err(format!("{name} is a formula"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{name} holds control characters"));
    }
    Ok(text)
}

/// A whole number; `12.0` is one too, as some programs write them.
pub(super) fn whole(text: &str, column: Column) -> Result<u64, String> {
    let name = column.name();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if text.len() > NUMBER_BYTES {
        return Err(format!("{name} is too long for a number"));
    }
    let number = match text.split_once('.') {
        Some((number, zeros)) if zeros.bytes().all(|byte| byte == b'0') => number,
        _ => text,
    };
    if number.strip_prefix('-').is_some_and(digits) {
        return Err(format!("{name} is below zero"));
    }
    if !digits(number) {
        return Err(format!("{name} is no whole number"));
    }
    let parsed = number.parse::<u64>().ok().filter(|number| *number <= NUMBER_MAX);
    parsed.ok_or_else(|| format!("{name} is above {NUMBER_MAX}"))
}

/// Milliseconds, rounded to whole ones.
pub(super) fn milliseconds(text: &str) -> Result<u64, String> {
    let number = decimal(text, Column::LatencyMs)?;
    let rounded = number.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    u64::try_from(rounded).map_err(|_| "latency_ms is no number".to_owned())
}

/// US dollars, with or without their sign.
pub(super) fn amount(text: &str) -> Result<Decimal, String> {
    let number = decimal(text.strip_prefix('$').unwrap_or(text), Column::CostUsd)?;
    Ok(number.round_dp_with_strategy(COST_PLACES, RoundingStrategy::MidpointAwayFromZero))
}

fn decimal(text: &str, column: Column) -> Result<Decimal, String> {
    let name = column.name();
    let known = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let parsed = (text.len() <= NUMBER_BYTES && text.bytes().all(known))
        .then(|| text.parse().or_else(|_| Decimal::from_scientific(text)).ok())
        .flatten();
    let number: Decimal = parsed.ok_or_else(|| format!("{name} is no number"))?;
    if number.is_sign_negative() && !number.is_zero() {
        return Err(format!("{name} is below zero"));
    }
    if number > Decimal::from(NUMBER_MAX) {
        return Err(format!("{name} is above {NUMBER_MAX}"));
    }
    Ok(number)
}
