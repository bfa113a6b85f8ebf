//! Questions and answers: on a terminal, line by line from anything else, or not at all.
//!
//! Questions go to stderr, so that stdout holds the result alone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::cli::failure::Failure;
use crate::secret::Secret;

/// One thing to know.
pub(super) struct Question {
    /// The flag that answers it too.
    flag: &'static str,
    text: String,
    given: Option<String>,
    default: Option<String>,
}

impl Question {
    pub(super) fn new(flag: &'static str, text: impl Into<String>) -> Self {
        Self { flag, text: text.into(), given: None, default: None }
    }

    /// What the flag says.
    pub(super) fn given(mut self, given: Option<String>) -> Self {
        self.given = given;
        self
    }

    /// What an empty answer means; without it there must be one.
    pub(super) fn default(mut self, default: Option<String>) -> Self {
        self.default = default;
        self
    }
}

/// Whom the questions are put to.
pub(super) struct Asker(Mode);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A person, who may be asked again.
    Terminal,
    /// A script, which may not.
    Lines,
    Nobody,
}

impl Asker {
    pub(super) fn new(no_input: bool) -> Self {
        Self(match (no_input, io::stdin().is_terminal()) {
            (true, _) => Mode::Nobody,
            (false, true) => Mode::Terminal,
            (false, false) => Mode::Lines,
        })
    }

    /// Whether a wrong answer can be mended by asking again.
    pub(super) fn is_person(&self) -> bool {
        self.0 == Mode::Terminal
    }

    /// The answer, once `check` takes it. It says what is wrong with one that it does not take.
    pub(super) fn ask<T>(
        &mut self,
        question: Question,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        if let Some(given) = &question.given {
            return check(given.trim()).map_err(|wrong| unfit(&question, &wrong));
        }
        loop {
            let answer = match (self.answer(&question)?, &question.default) {
                (Some(answer), _) => answer,
                (None, Some(default)) => default.clone(),
                (None, None) => return Err(unanswered(&question)),
            };
            match check(&answer) {
                Ok(answer) => return Ok(answer),
                Err(wrong) if self.is_person() => eprintln!("  {wrong}"),
                Err(wrong) => return Err(unfit(&question, &wrong)),
            }
        }
    }

    /// What was typed; `None` for an empty line, and where there is nobody to ask.
    fn answer(&mut self, question: &Question) -> Result<Option<String>, Failure> {
        if self.0 == Mode::Nobody {
            return Ok(None);
        }
        loop {
            let mut stderr = io::stderr().lock();
            // Where nobody sees the question, the answer may still come.
            let _ = match &question.default {
                Some(default) if default.is_empty() => write!(stderr, "{} [none]: ", question.text),
                Some(default) => write!(stderr, "{} [{default}]: ", question.text),
                None => write!(stderr, "{}: ", question.text),
            };
            let _ = stderr.flush();
            let mut line = String::new();
            let read = io::stdin().lock().read_line(&mut line)?;
            if read == 0 || self.0 == Mode::Lines {
                // What was typed does not show, nor does the end of its line.
                let _ = writeln!(stderr);
            }
            let line = line.trim();
            if !line.is_empty() {
                return Ok(Some(line.to_owned()));
            }
            if read == 0 || question.default.is_some() || self.0 == Mode::Lines {
                return Ok(None);
            }
        }
    }

    /// A password, typed unseen; `None` where nobody is there to type it, or does not want to.
    pub(super) fn password(&self, text: &str) -> Option<Secret<String>> {
        if !self.is_person() {
            return None;
        }
        eprint!("{text}: ");
        let password = rpassword::read_password().ok().map(Secret::new)?;
        (!password.expose().is_empty()).then_some(password)
    }
}

fn unanswered(question: &Question) -> Failure {
    Failure::usage(anyhow::anyhow!("there is no answer to: {}", question.text))
        .hint(format!("give it with {}", question.flag))
}

fn unfit(question: &Question, wrong: &str) -> Failure {
    Failure::usage(anyhow::anyhow!("{wrong}"))
        .context(format!("{} will not do", question.flag))
        .hint(format!("it answers: {}", question.text))
}
