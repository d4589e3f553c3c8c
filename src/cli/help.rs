//! What `--help` teaches beside the flags. Lines end by hand: clap breaks none.

/// What stands at the top of `sessile --help`.
pub(super) const ABOUT: &str = "\
A server for chat agents in which every user session is an actor.

Without a command it serves: a chat page at http://127.0.0.1:8080, sessions over WebSocket at
/v1/session. To chat, open the page or run `sessile chat` in another terminal. Ctrl-C drains.";

/// What stands below `sessile -h`.
pub(super) const SHORT: &str = "\
Examples:
  sessile
  sessile --listen 127.0.0.1:9000 --journal memory
  sessile --config config/production.toml --set limits.run_time=2m
  sessile config show --changed

`sessile --help` also tells of the environment, of files and of exit codes.";

/// What stands below `sessile --help`.
pub(super) const LONG: &str = "\
Examples:
  sessile                                           serve on http://127.0.0.1:8080, guests welcome
  sessile --listen 127.0.0.1:9000 --data trial      another address, another directory
  sessile --journal memory                          keep nothing
  sessile --config config/production.toml           settings from a file
  sessile --set limits.run_time=2m                  any key
  sessile chat                                      talk to the server, from another terminal
  sessile config show --changed                     what differs from the defaults, and where it was set
  sessile config check --config sessile.toml        whether the server would start with this file
  sessile token --user alice --config sessile.toml  a token for trying out

Where settings come from:
  Layers, each over the one before: the defaults, the file of --config, the environment, the flags.
  An unknown key is refused. `sessile config show` prints every key; config/default.toml explains
  each.

Environment:
  SESSILE__SECTION__KEY   sets section.key, with two underscores where the key has its dot:
                            SESSILE__LIMITS__RUN_TIME=2m
                            SESSILE__SERVER__LISTEN=127.0.0.1:9000
  SESSILE__DATA_DIR       sets data_dir, the one key without a section
  SESSILE_URL, SESSILE_TOKEN
                          where `sessile chat` goes, and the token that it shows there
  NO_COLOR                where it is not empty, nothing is coloured, bold or dim

Files:
  ./data, or what data_dir says: made at the first start, for one server at a time.
    sessile.db      what was said, and what waits (beside it, files of SQLite's own)
    instance.json   which instance this is, and the key of its guests' cookies
    sessile.lock    held while a server runs

Exit codes:
  0    done; a server was stopped and everything had ended
  1    refused or failed, or stopped before everything had ended: standard error says why
  2    the command line can't be read
  70   the supervisor panicked: start the server again; sessions resume from the journal
  `sessile chat --help` has those of the chat.";

/// What stands below `sessile serve --help`.
pub(super) const SERVE: &str = "\
Examples:
  sessile serve
  sessile serve --listen 127.0.0.1:9000 --data trial
  sessile serve --config config/development.toml --set log.filter=debug

`sessile --help` tells of the environment, of files and of exit codes.";

/// What stands below `sessile token --help`.
pub(super) const TOKEN: &str = "\
Examples:
  sessile token --user alice --config sessile.toml
  sessile token --user alice --ttl 5m --config sessile.toml

The configuration must be the server's: auth.mode = \"jwt\" with an HS256 key in auth.keys.";

/// What stands below `sessile config --help`.
pub(super) const CONFIG: &str = "\
Examples:
  sessile config show
  sessile config show --changed --config config/production.toml
  sessile config check --config sessile.toml";

/// What stands below `sessile config show --help`.
pub(super) const SHOW: &str = "\
Examples:
  sessile config show --changed
  sessile config show --listen 127.0.0.1:9000       what `sessile --listen 127.0.0.1:9000` would use
  sessile config show --config a.toml > b.toml      b.toml says the same as all layers together

Secrets are shown as \"[hidden]\": write them again before b.toml is used.";

/// What stands below `sessile config check --help`.
pub(super) const CHECK: &str = "\
Examples:
  sessile config check --config sessile.toml
  SESSILE__LIMITS__RUN_TIME=2m sessile config check

Exit code 0 where the server would start as far as its settings and the files that they name go, else 1
with every reason on standard error. Nothing is written, and no port is opened.";

/// What stands below `sessile completions --help`.
pub(super) const COMPLETIONS: &str = "\
To install it:
  bash         mkdir -p ~/.local/share/bash-completion/completions
               sessile completions bash > ~/.local/share/bash-completion/completions/sessile
  zsh          mkdir -p ~/.zfunc; sessile completions zsh > ~/.zfunc/_sessile
               and in ~/.zshrc, before compinit: fpath+=~/.zfunc
  fish         sessile completions fish > ~/.config/fish/completions/sessile.fish
  elvish       in ~/.config/elvish/rc.elv: eval (sessile completions elvish | slurp)
  powershell   in $PROFILE: sessile completions powershell | Out-String | Invoke-Expression

A new shell then knows it.";
