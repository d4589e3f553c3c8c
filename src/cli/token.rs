//! `sessile token`: prints a token for trying out.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use secrecy::SecretString;
use sessile_actors::context::Roles;
use sessile_actors::ids::UserId;

use super::{SettingsArgs, settings};
use crate::config::Config;
use crate::http::auth::jwt;

/// Which token to print.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// The user that the token names: its `sub`
    #[arg(long, value_name = "NAME")]
    pub user: String,
    /// A role that the token gives its user; may be said more than once
    #[arg(long = "role", value_name = "NAME")]
    pub roles: Vec<String>,
    /// How long it is valid
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    pub ttl: Duration,
    /// Where settings come from.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Makes the token that `sessile token` prints.
///
/// # Errors
/// The configuration doesn't load, the name is no user id, or there is no HS256 key: each says what to do.
pub fn token(args: &TokenArgs) -> anyhow::Result<SecretString> {
    let config = Config::load(&settings(&args.settings))?;
    let user = UserId::parse(&args.user).context("--user can't be a user: choose another name")?;
    let roles = Roles::freeze(args.roles.iter().map(String::as_str)).context("--role can't be a role")?;
    Ok(jwt::mint(&config.auth, &user, &roles, args.ttl)?)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

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
            roles: vec!["buyer".into(), "admin".into()],
            ttl: Duration::from_secs(60),
            settings,
        };
        assert_eq!(token(&args).unwrap().expose_secret().split('.').count(), 3);
        args.roles.push(String::new());
        assert!(token(&args).unwrap_err().to_string().contains("--role"));
        args.roles.pop();
        args.user.clear();
        assert!(token(&args).unwrap_err().to_string().contains("--user"));
        let bare = TokenArgs {
            user: "alice".into(),
            settings: SettingsArgs::default(),
            ..args
        };
        assert!(token(&bare).unwrap_err().to_string().contains("secret_file"));
    }
}
