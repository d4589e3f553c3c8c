//! `sessile chat`: the client for the terminal.
//!
//! `client` is the protocol's side and does no I/O; `talk` is the loop between it and its edges: `wire` to the server, `input`
//! from a person or a pipe, `screen`, and `identity`, which is kept for the next time.

mod address;
mod back_off;
mod client;
mod commands;
mod identity;
mod input;
mod rest;
mod screen;
mod talk;
mod wire;

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Args;
use sessile_actors::protocol::client::REFERENCES_MAX;
use uuid::Uuid;

use address::Address;
use client::Client;
use identity::Identity;
use input::Prompt;
use screen::Terminal;
use talk::{Input, Talk};
use wire::Wire;

/// The exit code of a command line that can't be followed, as clap has it.
const WRONG_USAGE: u8 = 2;

/// With whom to talk, and as whom.
#[derive(Debug, Clone, Args)]
#[command(after_help = teaching())]
pub struct ChatArgs {
    /// Where the server is: http, https, ws or wss
    #[arg(
        long,
        env = "SESSILE_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub url: Address,
    /// File with a token, where the server wants one; else a guest, the same one each time
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Send the token without TLS to another machine: only on a network that you trust
    #[arg(long)]
    pub allow_plain_text: bool,
    /// Say this as it stands, print the answer, end; - reads it from standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub once: Option<String>,
    /// Who answers, where it is not the server's default
    #[arg(long, value_name = "NAME")]
    pub agent: Option<String>,
    /// Go on in this thread; else a new one begins
    #[arg(long, value_name = "ID")]
    pub thread: Option<Uuid>,
    /// Bring this file (CSV, JSON, text) to the server, for the first message; may be given several times
    #[arg(long, value_name = "FILE")]
    pub attach: Vec<PathBuf>,
    /// Approve what asks for approval, unseen: only where every tool may do all that it can
    #[arg(long)]
    pub approve_all: bool,
    /// Show the answers alone, without thoughts, tool calls and what was used
    #[arg(long, short)]
    pub quiet: bool,
}

fn teaching() -> String {
    let commands = commands::HELP.replace('\n', "\n  ");
    format!(
        "\
Examples:
  sessile chat
  sessile chat --once \"what is 12 * (3 + 4)?\" > answer.txt
  sessile chat --once - < question.txt
  sessile chat --agent supervisor --attach usage.csv --once \"what can we save?\"
  printf '%s\\n' 'what is 2 + 3?' '/history' | sessile chat
  sessile chat --url https://chat.example.org --token-file token

Commands, in the conversation:
  {commands}

Ctrl-C stops the answer; where nothing is being answered, or for the second time, it ends. Ctrl-D ends.

In a pipe each line is a message or a command, and waits for the answer to the line before it. /stop and /steer alone act at
once, and /stop drops the lines that wait before it. At the end of the input the answers are waited for.

A tool call that needs a person's approval is shown with its arguments, and waits for /approve or /deny. In a pipe, and with
--once, nobody is there to ask: it is denied, unless --approve-all is given. The run goes on either way.

Answers, and what a command lists, go to standard output; all else goes to standard error. Control characters in what the
server says are shown as \u{fffd}.

Exit codes:
  0    each message was answered; at a terminal: you ended it
  1    no connection, or the server let nobody in, or it cut this client off
  2    a command line that can't be followed
  3    a message, a command or a file was refused
  4    the agent failed (agent_error)
  5    the run was stopped (agent_stopped)
  6    the server ended the run (agent_death)
  130  Ctrl-C
  143  SIGTERM
  Of several messages in a pipe, the first that was not answered decides.

Environment:
  SESSILE_URL      as --url
  SESSILE_TOKEN    a token; other users of the machine could read it on a command line
  XDG_STATE_HOME   where a guest is kept, in sessile/; else ~/.local/state
  NO_COLOR         no colours"
    )
}

/// Talks, and ends with a code that says how it went.
#[must_use]
pub fn run(args: &ChatArgs) -> ExitCode {
    let prepared = prepare(args).and_then(|talk| Ok((runtime()?, talk)));
    let (runtime, (talk, first)) = match prepared {
        Ok(prepared) => prepared,
        Err(fault) => {
            complain(&format!("{fault:#}"));
            return ExitCode::from(WRONG_USAGE);
        }
    };
    let outcome = runtime.block_on(talk.run(&args.attach, first));
    // What is still being asked over HTTP is of no use any more.
    runtime.shutdown_background();
    match outcome {
        Ok(outcome) => ExitCode::from(outcome as u8),
        // Nobody reads any more, as behind `| head`: that is no fault.
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(fault) => {
            complain(&format!("the answer can't be written: {fault}"));
            ExitCode::FAILURE
        }
    }
}

/// Not by `eprintln!`, which panics where standard error is full or gone: the exit code says it too.
fn complain(why: &str) {
    let _ = writeln!(io::stderr(), "sessile: {why}");
}

/// Reads what has to be there before anything is connected.
fn prepare(args: &ChatArgs) -> anyhow::Result<(Talk, Option<Result<String, &'static str>>)> {
    let identity = Identity::find(&args.url, args.token_file.as_deref(), args.allow_plain_text)?;
    let wire = Wire::to(args.url.clone())?;
    let mut screen = Terminal::standard();
    if args.quiet {
        screen.hide_asides();
    }
    ensure!(
        args.attach.len() <= REFERENCES_MAX,
        "a message names at most {REFERENCES_MAX} files: give --attach less often"
    );
    for file in &args.attach {
        // Opened once now: a file that is not there is told before anything is connected.
        File::open(file).with_context(|| format!("{} can't be read", file.display()))?;
    }
    let first = args.once.as_ref().map(|text| match text.as_str() {
        "-" => input::whole(),
        text => Ok(text.to_owned()),
    });
    let is_person = first.is_none() && io::stdin().is_terminal() && io::stdout().is_terminal();
    let input = match first {
        Some(_) => Input::Nothing,
        None if is_person => {
            let (prompt, printer) = Prompt::new().context("the terminal can't be used; try `sessile chat < FILE`")?;
            if let Some(printer) = printer {
                screen.print_above(printer);
            }
            Input::Person(prompt)
        }
        None => Input::Lines(input::lines()),
    };
    let mut client = Client::new(!is_person, args.agent.clone(), args.thread);
    if args.approve_all {
        client.approve_all();
    }
    Ok((Talk::new(client, wire, identity, screen, input), first))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().context("the process can't be set up")
}
