//! The command line. It only reads: the flags become the topmost layer of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;
use sessile_actors::ids::UserId;

use crate::chat::ChatArgs;
use crate::config::{Config, Flag, JournalKind, Sources};
use crate::http::auth::jwt;

/// An actor runtime in which every user session is an actor.
#[derive(Debug, Parser)]
#[command(name = "sessile", version, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Settings are laid over each other: defaults, --config, SESSILE__SECTION__KEY in the environment, flags. \
    config/default.toml explains each key.\n\n\
    Examples:\n  sessile\n  sessile --listen 127.0.0.1:9000 --journal memory\n  sessile --set limits.run_time=2m\n  \
    sessile --config config/production.toml\n  sessile token --user alice --config sessile.toml"
)]
pub struct Cli {
    #[command(flatten)]
    serve: ServeArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve sessions until stopped; what `sessile` alone does
    Serve(ServeArgs),
    /// Talk to a server from the terminal, or from a pipe
    Chat(ChatArgs),
    /// Print a token for trying out, signed with the configured HS256 key
    Token(TokenArgs),
}

/// How to serve.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Address and port to listen on, such as 127.0.0.1:8080 [key: server.listen]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Directory for everything that outlives the process [key: data_dir]
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// Where events are kept [key: journal.kind]
    #[arg(long, value_name = "KIND", value_enum)]
    pub journal: Option<JournalKind>,
    /// Where other settings come from.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Where settings come from, for every command.
#[derive(Debug, Clone, Default, Args)]
pub struct SettingsArgs {
    /// TOML file with settings that differ from the defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one key, such as limits.run_time=2m; may be repeated, the last one wins
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,
}

/// Which token to print.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// The user that the token names: its `sub`
    #[arg(long, value_name = "NAME")]
    pub user: String,
    /// How long it is valid
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    pub ttl: Duration,
    /// Where settings come from.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Reads the command line of this process; prints help or an error and exits where that is what was asked for.
#[must_use]
pub fn parse() -> Cli {
    Cli::parse()
}

impl Cli {
    /// What to do: `sessile` alone serves.
    #[must_use]
    pub fn command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

/// The layers of `sessile serve`: its flags over this process's environment.
#[must_use]
pub fn sources(args: &ServeArgs) -> Sources {
    let journal = args.journal.and_then(|kind| kind.to_possible_value());
    let journal = journal.map(|kind| kind.get_name().to_owned());
    let named = [
        ("--listen", "server.listen", args.listen.clone()),
        ("--data", "data_dir", args.data.clone()),
        ("--journal", "journal.kind", journal),
    ];
    let mut sources = settings(&args.settings);
    let named = named.into_iter().filter_map(|(name, key, value)| {
        Some(Flag {
            name,
            key: key.to_owned(),
            value: value?,
        })
    });
    sources.flags.extend(named);
    sources
}

/// The layers of every command: `--config`, this process's environment, `--set`.
#[must_use]
pub fn settings(args: &SettingsArgs) -> Sources {
    let set = args.set.iter().cloned();
    Sources {
        file: args.config.clone(),
        env: std::env::vars_os().collect(),
        flags: set
            .map(|(key, value)| Flag {
                name: "--set",
                key,
                value,
            })
            .collect(),
    }
}

/// Makes the token that `sessile token` prints.
///
/// # Errors
/// The configuration doesn't load, the name is no user id, or there is no HS256 key: each says what to do.
pub fn token(args: &TokenArgs) -> anyhow::Result<SecretString> {
    let config = Config::load(&settings(&args.settings))?;
    let user = UserId::parse(&args.user).context("--user can't be a user: choose another name")?;
    Ok(jwt::mint(&config.auth, &user, args.ttl)?)
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE, such as limits.run_time=2m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use secrecy::ExposeSecret;

    use super::*;

    fn read(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(Cli::command)
    }

    fn serve(line: &str) -> Sources {
        match read(line) {
            Ok(Command::Serve(args)) => sources(&args),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn sessile_alone_serves() {
        let flags = "--listen 127.0.0.1:9 --data d --journal memory --set a.b=c=d --set e=";
        let alone = serve(&format!("sessile {flags}"));
        assert_eq!(alone.flags, serve(&format!("sessile serve {flags}")).flags);
        let pairs: Vec<_> = alone
            .flags
            .iter()
            .map(|flag| (flag.key.as_str(), flag.value.as_str()))
            .collect();
        let expected = [
            ("a.b", "c=d"),
            ("e", ""),
            ("server.listen", "127.0.0.1:9"),
            ("data_dir", "d"),
            ("journal.kind", "memory"),
        ];
        assert_eq!(pairs, expected);
        assert!(serve("sessile").flags.is_empty());
    }

    #[test]
    fn a_token_is_for_a_user_and_an_hour() {
        match read("sessile token --user alice --config f.toml") {
            Ok(Command::Token(args)) => {
                assert_eq!((args.user.as_str(), args.ttl), ("alice", Duration::from_secs(3600)));
                assert_eq!(settings(&args.settings).file, Some("f.toml".into()));
            }
            other => panic!("{other:?}"),
        }
        assert!(read("sessile token").is_err());
    }

    #[test]
    fn a_token_is_printed_where_there_is_a_key_and_else_the_way_to_one() {
        let keys = "[{algorithm=\"HS256\",secret=\"0123456789abcdef0123456789abcdef\"}]";
        let configured = [
            ("auth.mode", "jwt"),
            ("auth.issuer", "i"),
            ("auth.audience", "a"),
            ("auth.keys", keys),
        ];
        let set = configured
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec();
        let settings = SettingsArgs { config: None, set };
        let mut args = TokenArgs {
            user: "alice".into(),
            ttl: Duration::from_secs(60),
            settings,
        };
        assert_eq!(token(&args).unwrap().expose_secret().split('.').count(), 3);
        args.user.clear();
        assert!(token(&args).unwrap_err().to_string().contains("--user"));
        let bare = TokenArgs {
            user: "alice".into(),
            settings: SettingsArgs::default(),
            ..args
        };
        assert!(token(&bare).unwrap_err().to_string().contains("secret_file"));
    }

    #[test]
    fn a_setting_without_a_value_is_refused_with_the_form_to_write() {
        let refused = read("sessile --set limits.run_time").unwrap_err().to_string();
        assert!(refused.contains("KEY=VALUE"), "{refused}");
    }

    #[test]
    fn the_help_names_each_flag_and_an_example() {
        let help = <Cli as CommandFactory>::command().render_long_help().to_string();
        for word in [
            "--listen",
            "--data",
            "--journal",
            "--set",
            "--config",
            "token",
            "SESSILE__SECTION__KEY",
            "sessile token --user",
        ] {
            assert!(help.contains(word), "{word} is missing in {help}");
        }
    }
}
