//! Tables: a header, then rows, with quotes as in RFC 4180.

use csv::ByteRecord;

use super::cells::{Cells, places};
use super::{Gathering, ReadError, TABLE_COLUMNS, Usage};

/// What may separate cells; where as many of each stand in the header, the first.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

pub(super) fn read(data: &[u8]) -> Result<Usage, ReadError> {
    let mut table = csv::ReaderBuilder::new()
        .delimiter(delimiter(data))
        .has_headers(false)
        .flexible(true)
        .from_reader(data);
    let bad = |error: csv::Error| ReadError::BadTable(error.to_string());
    let mut record = ByteRecord::new();
    if !table.read_byte_record(&mut record).map_err(bad)? {
        return Err(ReadError::Empty);
    }
    let columns = record.len();
    if columns > TABLE_COLUMNS {
        return Err(ReadError::TooManyColumns { columns });
    }
    let header: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
    let places = places(header.iter().map(AsRef::as_ref));
    let mut gathering = Gathering::new(places.map(|place| place.is_some()))?;
    while table.read_byte_record(&mut record).map_err(bad)? {
        let line = record.position().map_or(0, csv::Position::line);
        gathering.take(line, cells(&record, columns, &places))?;
    }
    Ok(gathering.usage)
}

fn cells<'a>(record: &'a ByteRecord, columns: usize, places: &[Option<usize>; 9]) -> Result<Cells<'a>, String> {
    if record.len() != columns {
        return Err(format!("it has {} cells and the header {columns}", record.len()));
    }
    let mut cells = Cells::default();
    for (cell, place) in cells.iter_mut().zip(places) {
        let Some(bytes) = place.and_then(|place| record.get(place)) else {
            continue;
        };
        let text = std::str::from_utf8(bytes)
            .map_err(|_| "it is not UTF-8".to_owned())?
            .trim();
        *cell = (!text.is_empty()).then_some(text);
    }
    Ok(cells)
}

/// The separator that stands most often in the header, outside quotes.
fn delimiter(data: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in data.trim_ascii_start() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if quoted => {}
            byte => {
                if let Some(which) = DELIMITERS.iter().position(|delimiter| delimiter == byte) {
                    counts[which] += 1;
                }
            }
        }
    }
    let most = counts.iter().max().copied().unwrap_or_default();
    let first = counts.iter().position(|count| *count == most).unwrap_or_default();
    DELIMITERS[first]
}
