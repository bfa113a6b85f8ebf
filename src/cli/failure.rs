//! How a command fails: an exit code, what failed with its chain of causes, and the next step.

use std::fmt;
use std::process::ExitCode;

/// A command's failure, as it is told on stderr.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    error: anyhow::Error,
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Exit code 1.
    RunTime,
    /// Exit code 2.
    Usage,
}

/// What a command ends with.
pub type Outcome = Result<ExitCode, Failure>;

impl Failure {
    /// It failed at run time: exit code 1.
    pub fn run_time(error: impl Into<anyhow::Error>) -> Self {
        Self { kind: Kind::RunTime, error: error.into(), hint: None }
    }

    /// Usage or configuration is wrong: exit code 2.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { kind: Kind::Usage, error: error.into(), hint: None }
    }

    /// Puts what was being done before the causes.
    pub fn context(mut self, what: impl fmt::Display + Send + Sync + 'static) -> Self {
        self.error = self.error.context(what);
        self
    }

    /// The next step, where the error's own type knows none or a better one is known here.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The next step, where there is one.
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// What failed, and a `caused by:` line for each cause that says more.
    pub fn message(&self) -> String {
        let mut last = self.error.to_string();
        let mut text = last.clone();
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            // Many libraries repeat their source in their own text.
            if last.contains(&cause) {
                continue;
            }
            text.push_str("\n  caused by: ");
            text.push_str(&cause);
            last = cause;
        }
        text
    }

    /// The next step, where one is known.
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::RunTime => ExitCode::from(1),
            Kind::Usage => ExitCode::from(2),
        }
    }
}

impl fmt::Display for Failure {
    /// `error: what`, a `caused by:` line for each cause that says more, and a `hint:` line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message())?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::run_time(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_failed_the_causes_and_the_next_step() {
        let cause = std::io::Error::other("disk on fire");
        let failure = Failure::usage(cause).context("cannot read proxy.toml").hint("put the fire out");
        assert_eq!(
            failure.to_string(),
            "error: cannot read proxy.toml\n  caused by: disk on fire\nhint: put the fire out"
        );
    }

    #[test]
    fn a_cause_that_is_told_already_is_not_told_twice() {
        let error = anyhow::anyhow!("disk on fire").context("cannot read: disk on fire");
        assert_eq!(Failure::run_time(error).to_string(), "error: cannot read: disk on fire");
    }
}
