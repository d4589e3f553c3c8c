//! JSON: a list of objects, read one by one, so that one with a fault costs only itself.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::cells::{COLUMNS, places};
use super::{Gathering, ReadError, TABLE_COLUMNS, Usage};

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    rows: Vec<&'a RawValue>,
}

pub(super) fn read(data: &[u8]) -> Result<Usage, ReadError> {
    let bad = |error: serde_json::Error| ReadError::BadJson(error.to_string());
    let rows: Vec<&RawValue> = match data.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => serde_json::from_slice(data).map_err(bad)?,
        _ => {
            serde_json::from_slice::<IgnoredAny>(data).map_err(bad)?;
            let wrapped: Wrapped<'_> = serde_json::from_slice(data).map_err(|_| ReadError::NoRows)?;
            wrapped.rows
        }
    };
    if rows.is_empty() {
        return Err(ReadError::Empty);
    }
    let mut present = [false; COLUMNS.len()];
    for row in &rows {
        let keys = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(row.get()).unwrap_or_default();
        if keys.len() <= TABLE_COLUMNS {
            let found = places(keys.keys().map(AsRef::as_ref));
            present = std::array::from_fn(|column| present[column] || found[column].is_some());
        }
    }
    let mut gathering = Gathering::new(present)?;
    for (line, row) in (1..).zip(rows) {
        match texts(row) {
            Ok(texts) => gathering.take(line, Ok(texts.each_ref().map(Option::as_deref)))?,
            Err(fault) => gathering.take(line, Err(fault))?,
        }
    }
    Ok(gathering.usage)
}

/// The values of an object as texts, so that they are read as those of a table are.
fn texts(row: &RawValue) -> Result<[Option<String>; COLUMNS.len()], String> {
    let object = serde_json::from_str::<BTreeMap<String, Value>>(row.get())
        .map_err(|_| "it is no object, or holds a number that is out of range".to_owned())?;
    if object.len() > TABLE_COLUMNS {
        return Err(format!("it has more than {TABLE_COLUMNS} fields"));
    }
    let found = places(object.keys().map(AsRef::as_ref));
    let values: Vec<&Value> = object.values().collect();
    let mut texts: [Option<String>; COLUMNS.len()] = Default::default();
    for ((text, place), name) in texts.iter_mut().zip(found).zip(COLUMNS) {
        *text = match place.map(|place| values[place]) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                return Err(format!("{name} is no text or number"));
            }
        };
    }
    Ok(texts)
}
