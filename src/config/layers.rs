//! The layers below a [`Config`]: defaults, file, environment, flags. Each is checked by itself, so that a mistake is
//! reported where it was made; the `config` crate then lays them over each other.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use config::{Map, Value, ValueKind};
use toml::Table;

use super::kind::Kind;
use super::{Config, ConfigError, Flag, Sources, open};

/// The defaults, and by their types the schema: what isn't in there is no key.
const DEFAULTS: &str = include_str!("../../config/default.toml");

/// How messages call the defaults.
pub(super) const DEFAULTS_NAME: &str = "the defaults";

/// What a variable of ours begins with.
pub(super) const ENV_PREFIX: &str = "SESSILE__";

/// What a table of `auth.keys` may hold. [`super::Key`] refuses what is not in it; a test keeps the two alike.
const KEY_FIELDS: [&str; 5] = ["kid", "algorithm", "secret", "secret_file", "public_key_file"];

/// One key of one layer.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: toml::Value,
    pub(super) origin: String,
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

/// Reads and checks every layer. What is at fault is left out, and said in `faults`.
pub(super) fn gather(sources: &Sources, faults: &mut Vec<ConfigError>) -> Layers {
    let schema = Schema::new();
    let mut layers = vec![schema.defaults.clone()];
    if let Some(path) = &sources.file {
        layers.push(schema.file(path, faults));
    }
    layers.push(schema.environment(&sources.env, faults));
    layers.push(schema.flags(&sources.flags, faults));
    Layers(layers)
}

impl Layers {
    /// Lays them over each other. A value that can't be used is said in `faults`, and the key's default stands in for it;
    /// none where not even that is possible.
    pub(super) fn merge(&mut self, faults: &mut Vec<ConfigError>) -> Option<Config> {
        loop {
            let fault = match self.merge_once() {
                Ok(config) => return Some(config),
                Err(error) => self.explain(error),
            };
            let left_out = match &fault {
                ConfigError::Invalid { key, .. } => self.leave_out(whole(key)),
                _ => false,
            };
            faults.push(fault);
            if !left_out {
                return None;
            }
        }
    }

    fn merge_once(&self) -> Result<Config, config::ConfigError> {
        let mut builder = config::Config::builder();
        for layer in &self.0 {
            builder = builder.add_source(layer.clone());
        }
        builder.build().and_then(config::Config::try_deserialize)
    }

    /// Takes a key out of every layer above the defaults; `true` where it was in one.
    fn leave_out(&mut self, key: &str) -> bool {
        let count = |layers: &[Layer]| layers.iter().map(|layer| layer.0.len()).sum::<usize>();
        let before = count(&self.0);
        for layer in self.0.iter_mut().skip(1) {
            layer.0.retain(|setting| setting.key != key);
        }
        count(&self.0) < before
    }

    /// Every key with its default, where it has one, and the value that counts: in the order of the defaults, and at the end of
    /// its section what the operator has named.
    pub(super) fn effective(&self) -> Vec<(Option<&Setting>, &Setting)> {
        let defaults = self.0.iter().take(1).flat_map(|layer| &layer.0);
        let mut all: Vec<_> = defaults
            .map(|default| (Some(default), self.topmost(&default.key).unwrap_or(default)))
            .collect();
        let above = self.0.iter().skip(1).flat_map(|layer| &layer.0);
        let named: BTreeSet<_> = above
            .map(|setting| setting.key.as_str())
            .filter(|key| open::kind(key).is_some())
            .collect();
        let section = |key: &str| key.split('.').next().unwrap_or_default().to_owned();
        for counts in named.into_iter().filter_map(|key| self.topmost(key)) {
            let last = all
                .iter()
                .rposition(|(_, other)| section(&other.key) == section(&counts.key));
            all.insert(last.map_or(all.len(), |last| last + 1), (None, counts));
        }
        all
    }

    /// Says which layer a key's value came from.
    pub(super) fn origin(&self, key: &str) -> String {
        self.topmost(key)
            .map_or_else(|| DEFAULTS_NAME.to_owned(), |setting| setting.origin.clone())
    }

    /// The same where the key itself may be missing: then the layer that set another one of its section.
    pub(super) fn origin_below(&self, key: &str) -> String {
        let section = key.rsplit_once('.').map_or(key, |(section, _)| section);
        let is_sibling = |other: &str| other.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'));
        let mut top_first = self.0.iter().rev().flat_map(|layer| layer.0.iter().rev());
        let sibling = top_first.find(|setting| is_sibling(&setting.key));
        let counts = self.topmost(key).or(sibling);
        counts.map_or_else(|| DEFAULTS_NAME.to_owned(), |setting| setting.origin.clone())
    }

    fn topmost(&self, key: &str) -> Option<&Setting> {
        let mut top_first = self.0.iter().rev().flat_map(|layer| layer.0.iter().rev());
        top_first.find(|setting| setting.key == key)
    }

    fn explain(&self, error: config::ConfigError) -> ConfigError {
        use config::ConfigError::{At, NotFound, Type};
        let (key, problem) = match error {
            NotFound(key) => (key, "it is missing: add it".to_owned()),
            At { error, key, .. } => (key.unwrap_or_default(), error.to_string()),
            Type {
                key,
                unexpected,
                expected,
                ..
            } => (key.unwrap_or_default(), format!("{unexpected} is not {expected}")),
            other => (String::new(), other.to_string()),
        };
        // The crate leaves out the dot behind a list's place.
        let key = key.replace("].", "]").replace(']', "].");
        // A fault within a list (`auth.keys[0].algorithm`) belongs to the layer that set the list.
        ConfigError::Invalid {
            layer: self.origin(whole(&key)),
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
        flatten("", table, DEFAULTS_NAME, &mut |_| true, &mut settings);
        let kinds = settings
            .iter()
            .map(|s| (s.key.clone(), Kind::of(&s.key, &s.value)))
            .collect();
        Self {
            defaults: Layer(settings),
            kinds,
        }
    }

    fn file(&self, path: &Path, faults: &mut Vec<ConfigError>) -> Layer {
        let table = match read_table(path) {
            Ok(table) => table,
            Err(fault) => {
                faults.push(fault);
                return Layer(Vec::new());
            }
        };
        let mut settings = Vec::new();
        let origin = format!("the file {}", path.display());
        flatten("", table, &origin, &mut |key| self.is_section(key), &mut settings);
        self.checked(settings, faults)
    }

    fn environment(&self, env: &[(OsString, OsString)], faults: &mut Vec<ConfigError>) -> Layer {
        let mut settings = Vec::new();
        for (name, value) in env {
            let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else {
                continue;
            };
            let key = name[ENV_PREFIX.len()..].replace("__", ".").to_lowercase();
            let origin = format!("the environment variable {name}");
            match value.to_str() {
                Some(text) => settings.push(self.read(key, text, origin)),
                None => faults.push(ConfigError::Invalid {
                    layer: origin,
                    key,
                    problem: "it is not UTF-8".into(),
                }),
            }
        }
        self.checked(settings, faults)
    }

    fn flags(&self, flags: &[Flag], faults: &mut Vec<ConfigError>) -> Layer {
        let read = |flag: &Flag| self.read(flag.key.clone(), &flag.value, format!("the flag {}", flag.name));
        self.checked(flags.iter().map(read).collect(), faults)
    }

    fn read(&self, key: String, text: &str, origin: String) -> Setting {
        let kind = self.kind(&key).unwrap_or(Kind::Text);
        Setting {
            value: kind.read(text),
            key,
            origin,
        }
    }

    fn checked(&self, mut settings: Vec<Setting>, faults: &mut Vec<ConfigError>) -> Layer {
        settings.retain(|setting| self.check(setting).map_err(|fault| faults.push(fault)).is_ok());
        Layer(settings)
    }

    fn check(&self, Setting { key, value, origin }: &Setting) -> Result<(), ConfigError> {
        let wrong = |expected| ConfigError::WrongType {
            layer: origin.clone(),
            key: key.clone(),
            found: found(value),
            expected,
        };
        let Some(kind) = self.kind(key) else {
            if self.is_section(key) {
                return Err(wrong("its keys one by one: it is a section"));
            }
            let named = open::like(key);
            let nearest = nearest(key, self.kinds.keys().chain(&named).map(String::as_str));
            return Err(ConfigError::UnknownKey {
                layer: origin.clone(),
                key: key.clone(),
                nearest,
            });
        };
        if kind == Kind::Keys {
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

    fn kind(&self, key: &str) -> Option<Kind> {
        self.kinds.get(key).copied().or_else(|| open::kind(key))
    }

    fn is_section(&self, key: &str) -> bool {
        if open::is_section(key) {
            return true;
        }
        let starts = |known: &String| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        self.kinds.keys().any(starts)
    }
}

fn read_table(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    text.parse::<Table>().map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: 1 + text[..error.span().map_or(0, |span| span.start.min(text.len()))]
            .matches('\n')
            .count(),
        problem: error.message().to_owned(),
    })
}

/// The key that a layer sets: `auth.keys` of `auth.keys[0].algorithm`.
fn whole(key: &str) -> &str {
    key.split('[').next().unwrap_or_default()
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
