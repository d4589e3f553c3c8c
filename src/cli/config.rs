//! `sessile config`: what the server would use, and whether it would start with it.

use std::fmt::Write;
use std::io;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{ServeArgs, help, sources};
use crate::config::{Config, ConfigError, Effective, LogFormat, Sources};
use crate::paint::Paint;
use crate::server;
use crate::telemetry::{self, escaped};

/// Where the remarks begin, in columns: behind most settings.
const REMARK_COLUMN: usize = 40;

/// What to do with the configuration.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Print every key with its value and where that came from, as TOML
    #[command(after_help = help::SHOW)]
    Show(ShowArgs),
    /// Say whether the server would start with this configuration; nothing is written
    #[command(after_help = help::CHECK)]
    Check(CheckArgs),
}

/// What to show.
#[derive(Debug, Clone, Default, Args)]
pub struct ShowArgs {
    /// Only what differs from the defaults
    #[arg(long)]
    pub changed: bool,
    /// As JSON: a list of objects with key, value and origin
    #[arg(long)]
    pub json: bool,
    /// As for `sessile serve`.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What to check.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckArgs {
    /// As for `sessile serve`.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What `sessile config show` prints.
///
/// # Errors
/// Everything that keeps the configuration from loading.
pub fn show(args: &ShowArgs) -> Result<String, Vec<ConfigError>> {
    let sources = sources(&args.serve);
    let (config, mut settings) = Config::load_with_origins(&sources)?;
    settings.retain(|setting| !(args.changed && setting.is_default));
    if args.json {
        return Ok(as_json(&settings));
    }
    Ok(as_toml(&sources, &config, &settings, Paint::of(&io::stdout())))
}

/// What `sessile config check` prints where all is well.
///
/// # Errors
/// Everything that keeps the configuration from loading; where it loads, everything that is wrong with the files that it
/// names and with what it names by name.
pub fn check(args: &CheckArgs) -> Result<String, Vec<anyhow::Error>> {
    let sources = sources(&args.serve);
    let loaded = Config::load_with_origins(&sources);
    let (config, settings) =
        loaded.map_err(|faults| faults.into_iter().map(anyhow::Error::from).collect::<Vec<_>>())?;
    let faults = server::faults(&config).map_err(|error| vec![error.into()])?;
    if !faults.is_empty() {
        return Err(faults);
    }
    let changed = match settings.iter().filter(|setting| !setting.is_default).count() {
        0 => "nothing differs from the defaults".to_owned(),
        1 => "1 key differs from the defaults".to_owned(),
        count => format!("{count} keys differ from the defaults"),
    };
    let layers = escaped(&sources.summary());
    Ok(format!("configuration is valid: {changed} (read: {layers})\n"))
}

fn as_json(settings: &[Effective]) -> String {
    let one = |setting: &Effective| json!({"key": setting.key, "value": setting.value, "origin": setting.origin});
    let all: serde_json::Value = settings.iter().map(one).collect();
    format!("{all:#}\n")
}

fn as_toml(sources: &Sources, config: &Config, settings: &[Effective], paint: Paint) -> String {
    let layers = escaped(&sources.summary());
    let mut out = paint.dim(format!(
        "# The configuration of Sessile. Layers, lowest first: {layers}."
    )) + "\n";
    if settings.is_empty() {
        out += "# Nothing differs from the defaults.\n";
    }
    let mut open_section = "";
    for setting in settings {
        let (section, name) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        if section != open_section {
            open_section = section;
            // Writing to a text can't fail.
            let _ = writeln!(out, "\n{}", paint.bold(format!("[{section}]")));
        }
        let line = format!("{name} = {}", setting.value);
        let remark = remark(config, setting);
        let _ = if setting.is_default {
            writeln!(out, "{}", paint.dim(format!("{line:<REMARK_COLUMN$}  # {remark}")))
        } else {
            writeln!(out, "{line:<REMARK_COLUMN$}  {}", paint.dim(format!("# {remark}")))
        };
    }
    out
}

/// Where a value came from, and what it comes to on this machine where it does not say that itself.
fn remark(config: &Config, setting: &Effective) -> String {
    let here = match setting.key.as_str() {
        "server.shards" if config.server.shards.is_none() => Some(server::cores().to_string()),
        "log.format" if config.log.format == LogFormat::Auto => Some(
            if telemetry::is_pretty(LogFormat::Auto) {
                "pretty"
            } else {
                "json"
            }
            .to_owned(),
        ),
        "data_dir" if config.data_dir.is_relative() => {
            let whole = std::path::absolute(&config.data_dir).ok();
            whole.map(|path| path.display().to_string())
        }
        _ => None,
    };
    let remark = match here {
        Some(here) => format!("{}; here {here}", setting.origin),
        None => setting.origin.clone(),
    };
    // It stands in a comment: a line break would end that.
    escaped(&remark)
}

#[cfg(test)]
mod tests;
