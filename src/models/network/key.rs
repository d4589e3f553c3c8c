//! Where a model's key comes from: a file, an environment variable, or a file that an environment variable names.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::config::NamedModel;

/// What is behind a variable's name where it names a file with the key.
const FILE_SUFFIX: &str = "_FILE";

/// The longest key, in bytes. A larger file is no key.
const KEY_BYTES: u64 = 8 * 1024;

/// Reads an environment variable.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A model's key can't be had. Neither the key nor what stands in its place is shown.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Nobody has said it.
    #[error(
        "the model `{name}` needs a key: set the environment variable {variable} to it, or {variable}{FILE_SUFFIX} to a file that \
         holds it, or models.named.{name}.api_key_file to that file"
    )]
    Missing {
        /// The model.
        name: String,
        /// The environment variable that was looked for.
        variable: String,
    },
    /// Its file can't be read.
    #[error("cannot read {}, which holds the key of the model `{name}`: check the path and its rights", path.display())]
    Unreadable {
        /// The model.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What stands there is no key.
    #[error(
        "{place} holds no key for the model `{name}`: it must be one line of visible ASCII, at most {KEY_BYTES} bytes"
    )]
    NotAKey {
        /// The model.
        name: String,
        /// The file, or the environment variable.
        place: String,
    },
}

/// The key of the model of this name; none where it needs none.
///
/// # Errors
/// [`KeyError`] where it needs one that can't be had.
pub fn find(name: &str, named: &NamedModel, variable: Variables<'_>) -> Result<Option<SecretString>, KeyError> {
    if let Some(path) = &named.api_key_file {
        return from_file(name, path).map(Some);
    }
    let usual = named.provider.and_then(|provider| provider.usual_key());
    let wanted = match (&named.api_key_env, usual, &named.base_url) {
        (Some(wanted), _, _) => wanted,
        // The usual key is for the provider alone: another server gets one where the configuration says so.
        (None, Some(usual), None) => usual,
        (None, None, _) | (None, Some(_), Some(_)) => return Ok(None),
    };
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(value) = set(wanted) {
        return checked(name, value.to_str().unwrap_or_default(), || {
            format!("the environment variable {wanted}")
        })
        .map(Some);
    }
    match set(&format!("{wanted}{FILE_SUFFIX}")) {
        Some(path) => from_file(name, Path::new(&path)).map(Some),
        None => Err(KeyError::Missing {
            name: name.to_owned(),
            variable: wanted.to_owned(),
        }),
    }
}

fn from_file(name: &str, path: &Path) -> Result<SecretString, KeyError> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(KEY_BYTES + 1).read_to_end(&mut text));
    read.map_err(|source| KeyError::Unreadable {
        name: name.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    checked(name, std::str::from_utf8(&text).unwrap_or_default(), || {
        path.display().to_string()
    })
}

fn checked(name: &str, text: &str, place: impl FnOnce() -> String) -> Result<SecretString, KeyError> {
    let key = text.trim();
    let is_key = !key.is_empty() && key.len() as u64 <= KEY_BYTES && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_key {
        Ok(key.into())
    } else {
        Err(KeyError::NotAKey {
            name: name.to_owned(),
            place: place(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    use crate::config::Provider;

    const KEY: &str = "sk-canary";

    fn model(provider: Provider) -> NamedModel {
        NamedModel {
            provider: Some(provider),
            ..NamedModel::default()
        }
    }

    fn found(named: &NamedModel, environment: &[(&str, &str)]) -> Result<Option<String>, String> {
        let variable = |name: &str| {
            let mut all = environment.iter();
            all.find(|(known, _)| *known == name)
                .map(|(_, value)| OsString::from(value))
        };
        let found = find("fast", named, &variable);
        found
            .map(|key| key.map(|key| key.expose_secret().to_owned()))
            .map_err(|fault| fault.to_string())
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn a_key_is_read_from_the_variable_the_file_or_the_variables_file() {
        let (_dir, path) = file(" sk-canary\n");
        let key = Ok(Some(KEY.to_owned()));
        assert_eq!(found(&model(Provider::OpenAi), &[("OPENAI_API_KEY", KEY)]), key);
        let named = NamedModel {
            api_key_env: Some("MY_KEY".to_owned()),
            ..model(Provider::Ollama)
        };
        assert_eq!(found(&named, &[("MY_KEY", KEY)]), key);
        assert_eq!(
            found(&named, &[("MY_KEY", ""), ("MY_KEY_FILE", path.to_str().unwrap())]),
            key
        );
        let named = NamedModel {
            api_key_file: Some(path),
            ..model(Provider::Gemini)
        };
        assert_eq!(found(&named, &[("GEMINI_API_KEY", "another")]), key);
    }

    #[test]
    fn a_missing_key_is_told_with_what_to_set() {
        let missing = found(&model(Provider::Anthropic), &[]).unwrap_err();
        for word in [
            "`fast`",
            "ANTHROPIC_API_KEY to it",
            "ANTHROPIC_API_KEY_FILE",
            "models.named.fast.api_key_file",
        ] {
            assert!(missing.contains(word), "{missing}");
        }
    }

    #[test]
    fn the_usual_key_is_not_for_other_servers() {
        let elsewhere = NamedModel {
            base_url: Some("http://127.0.0.1:1/v1".to_owned()),
            ..model(Provider::OpenAi)
        };
        assert_eq!(found(&elsewhere, &[("OPENAI_API_KEY", KEY)]), Ok(None));
        assert_eq!(found(&model(Provider::Ollama), &[]), Ok(None));
    }

    #[test]
    fn what_is_no_key_is_refused_unshown() {
        let (_dir, path) = file("two canary\nlines");
        let named = NamedModel {
            api_key_file: Some(path),
            ..model(Provider::OpenAi)
        };
        let refused = found(&named, &[]).unwrap_err();
        assert!(
            refused.contains("holds no key") && !refused.contains("canary"),
            "{refused}"
        );
        let refused = found(&model(Provider::OpenAi), &[("OPENAI_API_KEY", "a canary")]).unwrap_err();
        assert!(
            refused.contains("OPENAI_API_KEY holds no key") && !refused.contains("canary"),
            "{refused}"
        );
        let nowhere = NamedModel {
            api_key_file: Some("/nowhere/key".into()),
            ..model(Provider::OpenAi)
        };
        assert!(found(&nowhere, &[]).unwrap_err().contains("/nowhere/key"));
    }
}
