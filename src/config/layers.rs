//! The layers below a [`Config`]: defaults, file, environment, flags. Each is checked by itself, so that a mistake is
//! reported where it was made; the `config` crate then lays them over each other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use config::{Map, Value, ValueKind};
use toml::Table;

use super::{Config, ConfigError, Flag, Sources};

/// The defaults, and by their types the schema: what isn't in there is no key.
const DEFAULTS: &str = include_str!("../../config/default.toml");

/// What a variable of ours begins with.
const ENV_PREFIX: &str = "SESSILE__";

/// What a table of `auth.keys` may hold. [`super::Key`] refuses what is not in it; a test keeps the two alike.
const KEY_FIELDS: [&str; 5] = ["kid", "algorithm", "secret", "secret_file", "public_key_file"];

/// What a key takes, as its default shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Count,
    CountOrAuto,
    Duration,
    Text,
    Texts,
    Keys,
}

impl Kind {
    fn of(key: &str, default: &toml::Value) -> Self {
        match (key, default) {
            ("server.shards", _) => Self::CountOrAuto,
            ("auth.keys", _) => Self::Keys,
            (_, toml::Value::Boolean(_)) => Self::Bool,
            (_, toml::Value::Integer(_)) => Self::Count,
            (_, toml::Value::Array(_)) => Self::Texts,
            (_, toml::Value::String(text)) if humantime::parse_duration(text).is_ok() => Self::Duration,
            _ => Self::Text,
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Count => "a whole number",
            Self::CountOrAuto => "\"auto\" or a count above zero",
            Self::Duration => "a duration such as \"30s\" or \"10m\"",
            Self::Text => "a text in quotes",
            Self::Texts => "a list of texts such as [\"a\", \"b\"]",
            Self::Keys => "a list of tables of texts such as [{ algorithm = \"HS256\", secret_file = \"key\" }]",
        }
    }

    /// Whether a value is of this kind.
    fn takes(self, value: &toml::Value) -> bool {
        use toml::Value::{Array, Boolean, Integer, String, Table};
        match (self, value) {
            (Self::Bool, Boolean(_)) | (Self::Text | Self::CountOrAuto, String(_)) => true,
            (Self::Count | Self::CountOrAuto, Integer(count)) => *count >= 0,
            (Self::Duration, String(text)) => humantime::parse_duration(text).is_ok(),
            (Self::Texts, Array(items)) => items.iter().all(toml::Value::is_str),
            (Self::Keys, Array(items)) => items
                .iter()
                .all(|item| matches!(item, Table(table) if table.values().all(toml::Value::is_str))),
            _ => false,
        }
    }

    /// Reads a value that came as bare text, from the environment or a flag.
    fn read(self, text: &str) -> toml::Value {
        let as_text = || toml::Value::String(text.to_owned());
        match self {
            Self::Text | Self::Duration | Self::CountOrAuto => as_text(),
            Self::Bool => text.parse().map_or_else(|_| as_text(), toml::Value::Boolean),
            Self::Count => text.parse().map_or_else(|_| as_text(), toml::Value::Integer),
            Self::Texts if !text.trim_start().starts_with('[') => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                toml::Value::Array(items.map(|item| toml::Value::String(item.to_owned())).collect())
            }
            Self::Texts | Self::Keys => {
                let document = format!("value = {text}").parse::<Table>();
                document
                    .ok()
                    .and_then(|mut table| table.remove("value"))
                    .unwrap_or_else(as_text)
            }
        }
    }
}

/// One key of one layer.
#[derive(Clone)]
struct Setting {
    key: String,
    value: toml::Value,
    origin: String,
}

/// One layer: every key at most once.
#[derive(Clone)]
struct Layer(Vec<Setting>);

// By hand, for a layer may hold secrets.
impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|setting| &setting.key))
            .finish()
    }
}

impl config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let settings = self.0.iter();
        Ok(settings
            .map(|s| (s.key.clone(), to_value(&s.origin, &s.value)))
            .collect())
    }
}

/// The layers, lowest first, each checked.
#[derive(Debug)]
pub(super) struct Layers(Vec<Layer>);

/// Reads and checks every layer.
pub(super) fn gather(sources: &Sources) -> Result<Layers, ConfigError> {
    let schema = Schema::new();
    let mut layers = vec![schema.defaults.clone()];
    if let Some(path) = &sources.file {
        layers.push(schema.file(path)?);
    }
    layers.push(schema.environment(&sources.env)?);
    layers.push(schema.flags(&sources.flags)?);
    Ok(Layers(layers))
}

impl Layers {
    /// Lays them over each other.
    pub(super) fn merge(&self) -> Result<Config, ConfigError> {
        let mut builder = config::Config::builder();
        for layer in &self.0 {
            builder = builder.add_source(layer.clone());
        }
        let merged = builder.build().and_then(config::Config::try_deserialize);
        merged.map_err(|error| self.explain(error))
    }

    /// Says which layer a key's value came from.
    pub(super) fn origin(&self, key: &str) -> String {
        let top_first = self.0.iter().rev().flat_map(|layer| layer.0.iter().rev());
        let mut same = top_first.filter(|setting| setting.key == key);
        same.next()
            .map_or_else(|| "the defaults".to_owned(), |setting| setting.origin.clone())
    }

    fn explain(&self, error: config::ConfigError) -> ConfigError {
        use config::ConfigError::{At, NotFound, Type};
        let (key, problem) = match error {
            NotFound(key) => (key.replace(']', "]."), "it is missing: add it".to_owned()),
            At { error, key, .. } => (key.unwrap_or_default(), error.to_string()),
            Type {
                key,
                unexpected,
                expected,
                ..
            } => (key.unwrap_or_default(), format!("{unexpected} is not {expected}")),
            other => (String::new(), other.to_string()),
        };
        // A fault within a list (`auth.keys[0].algorithm`) belongs to the layer that set the list.
        let whole = key.split('[').next().unwrap_or_default();
        ConfigError::Invalid {
            layer: self.origin(whole),
            key,
            problem,
        }
    }
}

/// The known keys, in the order of the defaults, and what each takes.
struct Schema {
    defaults: Layer,
    kinds: BTreeMap<String, Kind>,
}

impl Schema {
    fn new() -> Self {
        let table = DEFAULTS
            .parse()
            .expect("the embedded defaults are TOML: a test proves it");
        let mut settings = Vec::new();
        flatten("", table, "the defaults", &mut |_| true, &mut settings);
        let kinds = settings
            .iter()
            .map(|s| (s.key.clone(), Kind::of(&s.key, &s.value)))
            .collect();
        Self {
            defaults: Layer(settings),
            kinds,
        }
    }

    fn file(&self, path: &Path) -> Result<Layer, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let table = text.parse::<Table>().map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            line: 1 + text[..error.span().map_or(0, |span| span.start.min(text.len()))]
                .matches('\n')
                .count(),
            problem: error.message().to_owned(),
        })?;
        let mut settings = Vec::new();
        let origin = format!("the file {}", path.display());
        flatten("", table, &origin, &mut |key| self.is_section(key), &mut settings);
        self.checked(settings)
    }

    fn environment(&self, env: &[(OsString, OsString)]) -> Result<Layer, ConfigError> {
        let mut settings = Vec::new();
        for (name, value) in env {
            let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else {
                continue;
            };
            let key = name[ENV_PREFIX.len()..].replace("__", ".").to_lowercase();
            let origin = format!("the environment variable {name}");
            let Some(text) = value.to_str() else {
                return Err(ConfigError::Invalid {
                    layer: origin,
                    key,
                    problem: "it is not UTF-8".into(),
                });
            };
            settings.push(self.read(key, text, origin));
        }
        self.checked(settings)
    }

    fn flags(&self, flags: &[Flag]) -> Result<Layer, ConfigError> {
        let read = |flag: &Flag| self.read(flag.key.clone(), &flag.value, format!("the flag {}", flag.name));
        self.checked(flags.iter().map(read).collect())
    }

    fn read(&self, key: String, text: &str, origin: String) -> Setting {
        let kind = self.kinds.get(&key).copied().unwrap_or(Kind::Text);
        Setting {
            value: kind.read(text),
            key,
            origin,
        }
    }

    fn checked(&self, settings: Vec<Setting>) -> Result<Layer, ConfigError> {
        for setting in &settings {
            self.check(setting)?;
        }
        Ok(Layer(settings))
    }

    fn check(&self, Setting { key, value, origin }: &Setting) -> Result<(), ConfigError> {
        let wrong = |expected| ConfigError::WrongType {
            layer: origin.clone(),
            key: key.clone(),
            found: found(value),
            expected,
        };
        let Some(kind) = self.kinds.get(key) else {
            if self.is_section(key) {
                return Err(wrong("its keys one by one: it is a section"));
            }
            let nearest = nearest(key, self.kinds.keys().map(String::as_str));
            return Err(ConfigError::UnknownKey {
                layer: origin.clone(),
                key: key.clone(),
                nearest,
            });
        };
        if *kind == Kind::Keys {
            for (index, field) in fields(value) {
                if !KEY_FIELDS.contains(&field) {
                    let (layer, key) = (origin.clone(), format!("{key}[{index}].{field}"));
                    let nearest = format!("auth.keys[{index}].{}", nearest(field, KEY_FIELDS));
                    return Err(ConfigError::UnknownKey { layer, key, nearest });
                }
            }
        }
        if kind.takes(value) {
            Ok(())
        } else {
            Err(wrong(kind.expected()))
        }
    }

    fn is_section(&self, key: &str) -> bool {
        let starts = |known: &String| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        self.kinds.keys().any(starts)
    }
}

/// Every field of a list of tables, with its table's place.
fn fields(value: &toml::Value) -> impl Iterator<Item = (usize, &str)> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let tables = items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| Some((index, item.as_table()?)));
    tables.flat_map(|(index, table)| table.keys().map(move |field| (index, field.as_str())))
}

/// Turns nested tables into dotted keys. A table that is no section stays whole, and is refused as a value.
fn flatten(prefix: &str, table: Table, origin: &str, section: &mut dyn FnMut(&str) -> bool, out: &mut Vec<Setting>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(inner) if section(&key) => flatten(&key, inner, origin, section, out),
            value => out.push(Setting {
                key,
                value,
                origin: origin.to_owned(),
            }),
        }
    }
}

fn to_value(origin: &str, value: &toml::Value) -> Value {
    let kind = match value {
        toml::Value::String(text) => ValueKind::String(text.clone()),
        toml::Value::Integer(number) => ValueKind::I64(*number),
        toml::Value::Float(number) => ValueKind::Float(*number),
        toml::Value::Boolean(truth) => ValueKind::Boolean(*truth),
        toml::Value::Datetime(time) => ValueKind::String(time.to_string()),
        toml::Value::Array(items) => ValueKind::Array(items.iter().map(|item| to_value(origin, item)).collect()),
        toml::Value::Table(table) => ValueKind::Table(
            table
                .iter()
                .map(|(key, item)| (key.clone(), to_value(origin, item)))
                .collect(),
        ),
    };
    Value::new(Some(&origin.to_owned()), kind)
}

/// What a value is, in words. Never the value: it may be a secret in the wrong place.
const fn found(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "a text of another kind",
        toml::Value::Integer(number) if *number < 0 => "a number below zero",
        toml::Value::Integer(_) => "a number",
        toml::Value::Float(_) => "a number with a fraction",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Datetime(_) => "a date",
        toml::Value::Array(_) => "a list of another kind",
        toml::Value::Table(_) => "a table",
    }
}

/// The known key that is most like an unknown one: by the whole path, or by its last part where the section was forgotten.
fn nearest<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |other: &&str| {
        let by_name = 1 + strsim::osa_distance(&last(key), &last(other));
        strsim::osa_distance(key, other).min(by_name)
    };
    known.into_iter().min_by_key(distance).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_key_are_the_ones_that_it_reads() {
        let table = "algorithm = \"HS256\"\nkid = \"\"\nsecret = \"\"\nsecret_file = \"\"\npublic_key_file = \"\"";
        let read: Table = table.parse().unwrap();
        assert_eq!(read.len(), KEY_FIELDS.len());
        assert!(read.keys().all(|field| KEY_FIELDS.contains(&field.as_str())));
        assert!(toml::from_str::<super::super::Key>(table).is_ok());
    }

    #[test]
    fn the_nearest_key_is_found_by_its_path_or_by_its_name() {
        let known = ["server.listen", "limits.run_time", "data_dir"];
        assert_eq!(nearest("server.lisen", known), "server.listen");
        assert_eq!(nearest("listen", known), "server.listen");
        assert_eq!(nearest("limit.runtime", known), "limits.run_time");
        assert_eq!(nearest("data", known), "data_dir");
    }
}
