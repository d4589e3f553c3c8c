//! `sessile completions`: what makes a shell complete the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;

/// For which shell.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The script that the shell reads.
#[must_use]
pub fn completions(args: &CompletionsArgs) -> String {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut <Cli as CommandFactory>::command(),
        "sessile",
        &mut script,
    );
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::cli::help;

    #[test]
    fn every_shell_gets_a_script_that_knows_commands_flags_and_choices_and_a_way_to_install_it() {
        for shell in Shell::value_variants().iter().copied() {
            let script = completions(&CompletionsArgs { shell });
            for word in ["sessile", "completions", "check", "web-dir", "changed"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
            assert!(
                help::COMPLETIONS.contains(&format!("sessile completions {shell}")),
                "{shell}"
            );
        }
    }
}
