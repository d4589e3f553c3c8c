//! What a typed line asks for: a message, a command, or neither.

use std::path::PathBuf;

use uuid::Uuid;

/// How far a mistyped command may be from the one that is proposed, in edits.
const NEAR: usize = 3;

/// Entries of `/history` where no number is given.
const HISTORY_DEFAULT: usize = 10;

/// The commands, each with what it does. `/help` prints them, and so does `--help`.
pub const HELP: &str = "\
/help             this list
/stop             stop the answer, and what waits behind it
/steer TEXT       tell the agent something while it works
/approve [NOTE]   let the call begin that waits for you; of several, the oldest
/deny [NOTE]      refuse it
/attach FILE      bring a file to the server (CSV, JSON, text); your next message names it
/threads          list the threads; * marks the one you are in
/switch N|ID      go on in another thread: its number in the list, or its id
/new [NAME]       begin a new thread
/rename NAME      give this thread another name
/delete N|ID      delete a thread and all that was said in it
/history [N]      the last N messages of this thread (10)
/agent [NAME]     choose who answers; without a name: list the agents
/quit             end
//TEXT            say /TEXT: a message that begins with a slash";

/// The names, for what is nearest.
const NAMES: [&str; 14] = [
    "help", "stop", "steer", "approve", "deny", "attach", "threads", "switch", "new", "rename", "delete", "history",
    "agent", "quit",
];

/// A line, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Nothing but space.
    Empty,
    /// Words for the agent.
    Message(String),
    /// A command.
    Command(Command),
    /// Neither: why, and what to write instead.
    Unknown(String),
}

/// What can be asked for besides talking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// List the commands.
    Help,
    /// Stop the run.
    Stop,
    /// Tell the run something.
    Steer(String),
    /// Approve or deny the oldest call that waits for it.
    Decide {
        /// Whether it may begin.
        approve: bool,
        /// Why.
        note: Option<String>,
    },
    /// Bring a file to the server.
    Attach(PathBuf),
    /// List the threads.
    Threads,
    /// Go on in another thread.
    Switch(Which),
    /// Begin a thread.
    New(Option<String>),
    /// Rename the current thread.
    Rename(String),
    /// Delete a thread.
    Delete(Which),
    /// Show what was said.
    History(usize),
    /// Choose an agent, or list them.
    Agent(Option<String>),
    /// End.
    Quit,
}

/// Which thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Its number in the list that was shown last; from 1.
    Number(usize),
    /// Its id.
    Id(Uuid),
}

impl Command {
    /// Whether it is about a run at work, and so of no use behind its answer.
    #[must_use]
    pub fn is_meanwhile(&self) -> bool {
        matches!(self, Self::Stop | Self::Steer(_) | Self::Decide { .. })
    }
}

impl Line {
    /// Reads a line as it was typed.
    #[must_use]
    pub fn read(line: &str) -> Self {
        let text = line.trim();
        let Some(rest) = text.strip_prefix('/') else {
            return if text.is_empty() {
                Self::Empty
            } else {
                Self::Message(text.to_owned())
            };
        };
        if rest.starts_with('/') {
            return Self::Message(rest.to_owned());
        }
        let (name, words) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        command(name, words.trim()).map_or_else(Self::Unknown, Self::Command)
    }
}

fn command(name: &str, words: &str) -> Result<Command, String> {
    let some = || (!words.is_empty()).then(|| words.to_owned());
    let alone = |command: Command| match words {
        "" => Ok(command),
        _ => Err(format!("/{name} takes no words; to say it, write //{name} {words}")),
    };
    match name {
        "help" => alone(Command::Help),
        "stop" => alone(Command::Stop),
        "steer" => some()
            .map(Command::Steer)
            .ok_or_else(|| "write /steer and what the agent is to know".to_owned()),
        "approve" | "deny" => Ok(Command::Decide {
            approve: name == "approve",
            note: some(),
        }),
        "attach" => some()
            .map(|file| Command::Attach(file.into()))
            .ok_or_else(|| "write /attach and the path of a file".to_owned()),
        "threads" => alone(Command::Threads),
        "quit" => alone(Command::Quit),
        "switch" => which(name, words).map(Command::Switch),
        "delete" => which(name, words).map(Command::Delete),
        "new" => Ok(Command::New(some())),
        "agent" => Ok(Command::Agent(some())),
        "rename" => some()
            .map(Command::Rename)
            .ok_or_else(|| "write /rename NAME".to_owned()),
        "history" if words.is_empty() => Ok(Command::History(HISTORY_DEFAULT)),
        "history" => match words.parse() {
            Ok(count @ 1..) => Ok(Command::History(count)),
            _ => Err(format!("/history takes a number, such as /history {HISTORY_DEFAULT}")),
        },
        _ => Err(unknown(name)),
    }
}

fn which(name: &str, words: &str) -> Result<Which, String> {
    let number = words.parse().ok().filter(|number| *number > 0).map(Which::Number);
    let id = || Uuid::try_parse(words).ok().map(Which::Id);
    number
        .or_else(id)
        .ok_or_else(|| format!("write /{name} and a thread's number in /threads, or its id"))
}

fn unknown(name: &str) -> String {
    let near = nearest(name, NAMES.into_iter()).map_or_else(String::new, |near| format!("; did you mean /{near}?"));
    format!("there is no /{name}{near} /help lists the commands, and //{name} says it as a message")
}

/// Which of these was probably meant.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|(edits, name)| *edits <= NEAR.min(name.len() - 1))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> String {
        match Line::read(line) {
            Line::Unknown(why) => why,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_line_is_a_message_unless_a_slash_begins_it() {
        assert_eq!(Line::read("  what is 1/2? "), Line::Message("what is 1/2?".into()));
        assert_eq!(Line::read(" \t"), Line::Empty);
        assert_eq!(Line::read("//stop"), Line::Message("/stop".into()));
        assert_eq!(Line::read("///"), Line::Message("//".into()));
    }

    #[test]
    fn each_command_is_read_with_its_words() {
        let id = Uuid::from_u128(7);
        for (line, command) in [
            ("/help", Command::Help),
            (" /stop ", Command::Stop),
            ("/steer with  milk ", Command::Steer("with  milk".into())),
            (
                "/approve",
                Command::Decide {
                    approve: true,
                    note: None,
                },
            ),
            (
                "/deny not this one",
                Command::Decide {
                    approve: false,
                    note: Some("not this one".into()),
                },
            ),
            ("/attach a b.csv", Command::Attach("a b.csv".into())),
            ("/threads", Command::Threads),
            ("/switch 2", Command::Switch(Which::Number(2))),
            (&format!("/switch {id}"), Command::Switch(Which::Id(id))),
            ("/new", Command::New(None)),
            ("/new  Two words ", Command::New(Some("Two words".into()))),
            ("/rename Über\tall", Command::Rename("Über\tall".into())),
            ("/delete 1", Command::Delete(Which::Number(1))),
            ("/history", Command::History(10)),
            ("/history 3", Command::History(3)),
            ("/agent", Command::Agent(None)),
            ("/agent echo", Command::Agent(Some("echo".into()))),
            ("/quit", Command::Quit),
        ] {
            assert_eq!(Line::read(line), Line::Command(command), "{line}");
        }
    }

    #[test]
    fn what_is_no_command_is_answered_by_the_nearest_and_never_sent() {
        assert!(refusal("/stpo").contains("did you mean /stop?"));
        assert!(refusal("/thread").contains("/threads?"));
        assert!(!refusal("/xylophone").contains("did you mean"));
        for (line, word) in [
            ("/switch", "number"),
            ("/switch 0", "number"),
            ("/delete all", "number"),
            ("/rename", "NAME"),
            ("/steer", "what the agent is to know"),
            ("/attach", "path of a file"),
            ("/history none", "number"),
            ("/stop it", "//stop it"),
            ("/", "/help"),
        ] {
            assert!(refusal(line).contains(word), "{line}: {}", refusal(line));
        }
    }

    #[test]
    fn the_help_lists_every_command() {
        for name in NAMES {
            assert!(HELP.contains(&format!("/{name}")), "{name}");
        }
    }
}
