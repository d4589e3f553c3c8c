//! The command line. It only reads: the flags become the topmost layer of the configuration.
//!
//! One file for each command beside `serve`; what `--help` teaches stands in `help`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::chat::ChatArgs;
use crate::config::{Flag, JournalKind, Sources};

pub mod completions;
pub mod config;
mod help;
pub mod token;

pub use completions::CompletionsArgs;
pub use config::ConfigCommand;
pub use token::TokenArgs;

/// A server for chat agents in which every user session is an actor
#[derive(Debug, Parser)]
#[command(name = "sessile", version, args_conflicts_with_subcommands = true)]
#[command(long_about = help::ABOUT, after_help = help::SHORT, after_long_help = help::LONG)]
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
    #[command(after_help = help::SERVE)]
    Serve(ServeArgs),
    /// Talk to a server from the terminal, or from a pipe
    Chat(ChatArgs),
    /// Print a token for trying out, signed with the configured HS256 key
    #[command(after_help = help::TOKEN)]
    Token(TokenArgs),
    /// Show or check the configuration that the server would use
    #[command(subcommand, after_help = help::CONFIG)]
    Config(ConfigCommand),
    /// Print what makes a shell complete this command line
    #[command(after_help = help::COMPLETIONS)]
    Completions(CompletionsArgs),
}

/// How to serve.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Server")]
pub struct ServeArgs {
    /// Address and port to listen on, such as 127.0.0.1:8080 [key: server.listen]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Directory for everything that outlives the process [key: data_dir]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data: Option<String>,
    /// Where events are kept [key: journal.kind]
    #[arg(long, value_name = "KIND", value_enum)]
    pub journal: Option<JournalKind>,
    /// Directory of a page to serve instead of the one that is built in [key: server.web_dir]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub web_dir: Option<String>,
    /// Where other settings come from.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Where settings come from, for every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArgs {
    /// TOML file with settings that differ from the defaults
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Set one key, such as limits.run_time=2m; may be repeated, the last one wins
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,
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
        ("--web-dir", "server.web_dir", args.web_dir.clone()),
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

/// Prints what a command answers. A reader who has read enough, such as `head`, is no failure.
///
/// # Errors
/// What the operating system said.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE, such as limits.run_time=2m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory;

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
    fn a_setting_without_a_value_is_refused_with_the_form_to_write() {
        let refused = read("sessile --set limits.run_time").unwrap_err().to_string();
        assert!(refused.contains("KEY=VALUE"), "{refused}");
    }

    #[test]
    fn every_command_shows_examples_that_can_be_given() {
        let mut waiting = vec![<Cli as CommandFactory>::command()];
        let mut given = 0;
        while let Some(mut command) = waiting.pop() {
            waiting.extend(command.get_subcommands().filter(|of| of.get_name() != "help").cloned());
            let help = command.render_long_help().to_string();
            let examples = help.lines().filter_map(|line| line.strip_prefix("  sessile"));
            let mut count = 0;
            for example in examples {
                // What follows two spaces explains; what follows `>` is the shell's; the chat is told of elsewhere.
                let line = example.split("  ").next().unwrap_or_default();
                let line = format!("sessile{}", line.split(" > ").next().unwrap_or_default());
                assert!(line.starts_with("sessile chat") || read(&line).is_ok(), "{line}");
                count += 1;
            }
            assert!(
                count > 0 || command.get_name() == "completions",
                "{}: {help}",
                command.get_name()
            );
            given += count;
        }
        assert!(given > 20, "{given}");
    }

    #[test]
    fn the_help_fits_a_terminal_of_a_hundred_columns_where_lines_end_by_hand() {
        for text in [
            help::ABOUT,
            help::SHORT,
            help::LONG,
            help::SERVE,
            help::TOKEN,
            help::CONFIG,
        ] {
            assert!(text.lines().all(|line| line.len() <= 104), "{text}");
        }
        for text in [help::SHOW, help::CHECK, help::COMPLETIONS] {
            assert!(text.lines().all(|line| line.len() <= 104), "{text}");
        }
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
            "--web-dir",
            "completions",
            "SESSILE__SECTION__KEY",
            "sessile token --user",
            "NO_COLOR",
            "./data",
            "\n  70 ",
        ] {
            assert!(help.contains(word), "{word} is missing in {help}");
        }
    }
}
