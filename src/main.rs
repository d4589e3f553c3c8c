//! The `sessile` command.

use std::process::ExitCode;

use secrecy::ExposeSecret;
use sessile::cli::{self, Command, ServeArgs};
use sessile::config::Config;
use sessile::{chat, server, telemetry};

// Resident memory is what is live plus 2 to 3 percent; glibc's allocator keeps up to 40 percent more.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let done = match cli::parse().command() {
        Command::Serve(args) => serve(&args),
        Command::Chat(args) => return chat::run(&args),
        Command::Token(args) => cli::token(&args).map(|token| {
            println!("{}", token.expose_secret());
            ExitCode::SUCCESS
        }),
    };
    done.unwrap_or_else(|fault| {
        eprintln!("sessile: {fault:#}");
        ExitCode::FAILURE
    })
}

fn serve(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&cli::sources(args))?;
    telemetry::init(&config.log)?;
    server::run(&config)
}
