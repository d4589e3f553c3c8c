//! How single values are read where a plain type doesn't say it: TOML has no null, so an empty text means "not set".

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::de::{Deserialize, Deserializer, Error};

pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| D::Error::custom(format!("{text:?} is no address and port such as \"127.0.0.1:8080\"")))
}

pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok((!text.is_empty()).then_some(text))
}

pub(super) fn optional_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(optional(deserializer)?.map(PathBuf::from))
}

pub(super) fn count_or_auto<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "auto" {
        return Ok(None);
    }
    match text.parse() {
        Ok(count) if count > 0 => Ok(Some(count)),
        _ => Err(D::Error::custom(format!(
            "{text:?} is neither \"auto\" nor a count above zero"
        ))),
    }
}

/// One of an enum's names. The error lists them, which that of the `config` crate does not; it does not quote the text: in a key of
/// `auth.keys` that may be the secret, in the wrong place.
pub(super) fn choice<'de, D: Deserializer<'de>, T: ValueEnum>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    T::from_str(&text, false).map_err(|_| {
        let variants = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<_> = variants.map(|variant| format!("{:?}", variant.get_name())).collect();
        D::Error::custom(format!("it is none of {}", names.join(", ")))
    })
}
