//! The `sessile` command.

use std::fmt::Display;
use std::process::ExitCode;

use secrecy::ExposeSecret;
use sessile::cli::{self, Command, ConfigCommand, ServeArgs};
use sessile::{Sessile, chat};

// Resident memory is what is live plus 2 to 3 percent; glibc's allocator keeps up to 40 percent more.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match cli::parse().command() {
        Command::Serve(args) => serve(&args).unwrap_or_else(|fault| refuse([fault])),
        Command::Chat(args) => chat::run(&args),
        Command::Token(args) => match cli::token::token(&args) {
            Ok(token) => print(&format!("{}\n", token.expose_secret())),
            Err(fault) => refuse([fault]),
        },
        Command::Config(ConfigCommand::Show(args)) => match cli::config::show(&args) {
            Ok(shown) => print(&shown),
            Err(faults) => refuse(faults.into_iter().map(anyhow::Error::from)),
        },
        Command::Config(ConfigCommand::Check(args)) => match cli::config::check(&args) {
            Ok(said) => print(&said),
            Err(faults) => refuse(faults),
        },
        Command::Completions(args) => print(&cli::completions::completions(&args)),
    }
}

fn serve(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    Sessile::builder().config_from(cli::sources(args)).serve()
}

fn print(text: &str) -> ExitCode {
    match cli::print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => refuse([fault]),
    }
}

/// Says why not, a line for each reason; the alternate form of an error has its causes in it.
fn refuse(faults: impl IntoIterator<Item = impl Display>) -> ExitCode {
    for fault in faults {
        eprintln!("sessile: {fault:#}");
    }
    ExitCode::FAILURE
}
