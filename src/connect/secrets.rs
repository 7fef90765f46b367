//! Secrets: where `env("X")` and `secret("name")` are looked up. Their values are never printed and never logged.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::plan::catalog::Endpoint;
use crate::plan::operator::NotRunnable;
use crate::plan::{OptionValue, SecretRef};

/// The variable that names the folder of secrets.
const FOLDER: &str = "MILLSTREAM_SECRETS";

/// A secret that could be looked up. It is looked up anew whenever it is used, so that one that was changed holds from
/// then on.
pub(crate) struct Secret {
    place: Place,
    /// What it was when it could be read last.
    last: Mutex<String>,
}

/// Where a secret stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// In the pipeline's text.
    Text,
    /// In the environment.
    Env(String),
    /// In a file.
    File(PathBuf),
}

impl Secret {
    /// An option's secret; none where the option was not given.
    pub(crate) fn of(endpoint: &Endpoint, option: &str) -> Result<Option<Secret>, NotRunnable> {
        let value = endpoint.settings.get(option);
        value.map(|value| Secret::look_up(value, &endpoint.base)).transpose()
    }

    /// The secrets of an option with free keys.
    pub(crate) fn map_of(endpoint: &Endpoint, option: &str) -> Result<BTreeMap<String, Secret>, NotRunnable> {
        let Some(OptionValue::Map(values)) = endpoint.settings.get(option) else { return Ok(BTreeMap::new()) };
        values.iter().map(|(name, value)| Ok((name.clone(), Secret::look_up(value, &endpoint.base)?))).collect()
    }

    /// Finds it, or says where it was looked for. `base`: the folder of the pipeline.
    fn look_up(value: &OptionValue, base: &Path) -> Result<Secret, NotRunnable> {
        let place = match value {
            OptionValue::Secret(SecretRef::Env(name)) => Place::Env(name.clone()),
            OptionValue::Secret(SecretRef::Named(name)) => Place::File(file(name, base)?),
            OptionValue::Text(text) => return Ok(Secret { place: Place::Text, last: Mutex::new(text.clone()) }),
            _ => return Err(NotRunnable("a secret is neither a text nor looked up by its name".into())),
        };
        let found = place.read().map_err(NotRunnable)?;
        Ok(Secret { place, last: Mutex::new(found) })
    }

    /// What it is now; what it was where it cannot be read any more.
    pub(crate) fn value(&self) -> String {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match self.place.read() {
            Ok(now) => *last = now,
            Err(_) if self.place == Place::Text => {}
            Err(why) => tracing::warn!(%why, "a secret can no longer be read; what it was goes on"),
        }
        last.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?})", self.place)
    }
}

impl Place {
    fn read(&self) -> Result<String, String> {
        match self {
            Place::Text => Err("stands in the text".into()),
            Place::Env(name) => match std::env::var(name) {
                Ok(value) => Ok(value),
                Err(std::env::VarError::NotPresent) => Err(format!("env(\"{name}\"): there is no such variable")),
                Err(std::env::VarError::NotUnicode(_)) => Err(format!("env(\"{name}\") is not UTF-8")),
            },
            Place::File(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|e| format!("a secret is looked for in `{}`: {e}", path.display()))?;
                Ok(text.strip_suffix('\n').map(|t| t.strip_suffix('\r').unwrap_or(t)).unwrap_or(&text).to_owned())
            }
        }
    }
}

/// Where `secret("a/b")` stands: `a/b` in the folder that the environment names, or in `secrets` beside the pipeline.
fn file(name: &str, base: &Path) -> Result<PathBuf, NotRunnable> {
    if let Some(why) = SecretRef::misnamed(name) {
        return Err(NotRunnable(format!("secret(\"{name}\") {why}")));
    }
    let folder = match std::env::var_os(FOLDER) {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => base.join("secrets"),
    };
    Ok(folder.join(name))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn named(name: &str, base: &Path) -> Result<Secret, NotRunnable> {
        Secret::look_up(&OptionValue::Secret(SecretRef::Named(name.into())), base)
    }

    #[test]
    fn a_secret_is_the_text_of_its_file_without_the_last_line_end() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("secrets/pg")).unwrap();
        let path = base.path().join("secrets/pg/url");
        fs::write(&path, "postgres://u:p@h/d\n").unwrap();
        let secret = named("pg/url", base.path()).unwrap();
        assert_eq!(secret.value(), "postgres://u:p@h/d");
        fs::write(&path, "two\n\n").unwrap();
        assert_eq!(secret.value(), "two\n", "one line end is cut, and what was changed holds at once");
        fs::remove_file(&path).unwrap();
        assert_eq!(secret.value(), "two\n", "what was known goes on");
        assert!(!format!("{secret:?}").contains("two"));
    }

    #[test]
    fn who_misses_a_secret_is_told_where_it_was_looked_for() {
        let base = tempfile::tempdir().unwrap();
        let missing = named("token", base.path()).unwrap_err().0;
        assert!(missing.contains(&base.path().join("secrets/token").display().to_string()), "{missing}");
        let env = OptionValue::Secret(SecretRef::Env("MILLSTREAM_TEST_NOT_SET".into()));
        let missing = Secret::look_up(&env, base.path()).unwrap_err().0;
        assert_eq!(missing, "env(\"MILLSTREAM_TEST_NOT_SET\"): there is no such variable");
    }

    #[test]
    fn a_name_cannot_leave_the_folder() {
        for name in ["../key", "a/../../key", "/etc/passwd", ""] {
            let refused = named(name, Path::new("/")).unwrap_err().0;
            assert!(refused.contains("leaves the folder of secrets"), "{name}: {refused}");
        }
    }
}
