//! [`ConfigError`]: everything that is wrong with a configuration, told at once.
//!
//! A problem never holds a value that stands where a secret, or a person's number, belongs; what
//! makes a [`Problem`] sees to that.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, as it was named, and the line (from 1) where that is known.
    File { path: PathBuf, line: Option<usize> },
    /// An environment variable.
    Env(String),
    /// A command-line flag, with its dashes.
    Flag(&'static str),
    /// Nobody said; for a value that follows from another this is the case too.
    Default,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// The key, as in `routes[1].upstream`; empty where it is the file as a whole.
    pub path: String,
    /// The value as it was written; never a secret.
    pub value: Option<String>,
    pub message: String,
    /// What may stand there.
    pub allowed: Option<String>,
    /// The nearest known key or value, where this looks like a typo.
    pub nearest: Option<String>,
}

/// Why there is no configuration. Holds at least one problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// The next step for a person.
    pub fn hint(&self) -> &'static str {
        let about_clients = self.problems.iter().any(|problem| problem.path == "clients");
        let unreadable = self.problems.iter().any(|problem| {
            problem.path.is_empty() && matches!(problem.origin, Origin::File { line: None, .. })
        });
        if about_clients {
            "`maskinporten-proxy init` asks a few questions and writes a proxy.toml; `maskinporten-proxy demo` needs none"
        } else if unreadable {
            "name a readable .toml or .properties file with --config, or write one with `maskinporten-proxy init`"
        } else {
            "mend these and start again; docs/configuration.md explains every key"
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.problems.as_slice() {
            return problem.fmt(f);
        }
        write!(f, "the configuration has {} problems", self.problems.len())?;
        for problem in &self.problems {
            write!(f, "\n{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin != Origin::Default {
            write!(f, "{}: ", self.origin)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}", self.path)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        if let Some(allowed) = &self.allowed {
            write!(f, "\n    allowed: {allowed}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => path.display().fmt(f),
            Self::Env(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}
