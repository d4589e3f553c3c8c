//! How single values are read where a plain type doesn't say it: TOML has no null, so an empty text means "not set".

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::ValueEnum;
use ipnet::IpNet;
use rust_decimal::Decimal;
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

/// Networks such as `10.1.0.0/16`, or single addresses.
pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let network = |text: &String| {
        let single = text.parse::<IpAddr>().map(IpNet::from);
        single.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
            D::Error::custom(format!(
                "{text:?} is no address or network such as \"10.1.2.3\" or \"10.1.0.0/16\""
            ))
        })
    };
    texts.iter().map(network).collect()
}

/// The highest price of a million tokens, in US dollars. Above it stands something else than a price.
const PRICE_MAX: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

pub(super) fn optional_price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    let Some(text) = optional(deserializer)? else {
        return Ok(None);
    };
    match text.parse::<Decimal>() {
        Ok(price) if !price.is_sign_negative() && price <= PRICE_MAX => Ok(Some(price)),
        _ => Err(D::Error::custom(format!(
            "{text:?} is no price such as \"0.15\", from 0 to {PRICE_MAX}"
        ))),
    }
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
    choose(&String::deserialize(deserializer)?)
}

/// The same where nothing may be said.
pub(super) fn optional_choice<'de, D: Deserializer<'de>, T: ValueEnum>(deserializer: D) -> Result<Option<T>, D::Error> {
    optional(deserializer)?.map(|text| choose(&text)).transpose()
}

fn choose<T: ValueEnum, E: Error>(text: &str) -> Result<T, E> {
    T::from_str(text, false).map_err(|_| {
        let variants = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<_> = variants.map(|variant| format!("{:?}", variant.get_name())).collect();
        E::custom(format!("it is none of {}", names.join(", ")))
    })
}
