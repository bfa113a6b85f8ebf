//! What was found: told line by line to a person while it is found, or as one JSON object.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::failure::{Failure, Outcome};
use crate::cli::language::tell;
use crate::cli::print_line;
use crate::cli::style::{Colour, Style};
use crate::oauth::Language;

/// Names are padded to this, so that what was found stands in a column.
const NAME_WIDTH: usize = 20;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    Warn,
    Fail,
    Skip,
}

/// One check.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at: `clock.CLIENT`, `token.ROUTE` and the like.
    pub(super) name: String,
    pub(super) status: Status,
    pub(super) detail: String,
    /// Why, where the detail does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<String>,
    /// The next step.
    pub(super) hint: Option<String>,
    /// What a token says, with persons masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) claims: Option<Value>,
}

/// All findings, and where they go.
pub(super) struct Report {
    pub(super) language: Language,
    json: bool,
    style: Style,
    /// Whether somebody watches while it waits.
    watched: bool,
    /// Whether a line says what is being waited for.
    waiting: bool,
    findings: Vec<Finding>,
}

impl Finding {
    pub(super) fn new(name: impl Into<String>, status: Status, detail: impl Into<String>) -> Self {
        let (name, detail) = (name.into(), detail.into());
        Self { name, status, detail, cause: None, hint: None, claims: None }
    }

    pub(super) fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, detail)
    }

    pub(super) fn warn(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Warn, detail)
    }

    pub(super) fn fail(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Fail, detail)
    }

    pub(super) fn skip(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(name, Status::Skip, why)
    }

    pub(super) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn maybe_hint(self, hint: Option<String>) -> Self {
        Self { hint: hint.or(self.hint), ..self }
    }
}

impl Report {
    pub(super) fn new(json: bool, language: Language) -> Self {
        Self {
            language,
            json,
            style: Style::of_stdout(),
            watched: !json
                && std::io::stderr().is_terminal()
                && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb"),
            waiting: false,
            findings: Vec::new(),
        }
    }

    /// Says what is being waited for, on a terminal alone; the next finding takes its place.
    pub(super) fn waiting(&mut self, what: &str) {
        if self.watched {
            self.waiting = true;
            let mut stderr = std::io::stderr().lock();
            // Whoever does not see it misses nothing.
            let _ = write!(stderr, "\r\x1b[K{what} …").and_then(|()| stderr.flush());
        }
    }

    pub(super) fn add(&mut self, finding: Finding) -> Result<(), Failure> {
        if std::mem::take(&mut self.waiting) {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush());
        }
        if !self.json {
            print_line(line(&finding, self.style, self.language))?;
        }
        self.findings.push(finding);
        Ok(())
    }

    pub(super) fn has_failed(&self) -> bool {
        self.count(Status::Fail) > 0
    }

    /// The end of it: the JSON, or a last line. 1 where something failed.
    pub(super) fn finish(&self) -> Outcome {
        let ok = !self.has_failed();
        if self.json {
            let report = json!({ "ok": ok, "checks": self.findings });
            print_line(report.to_string())?;
        } else {
            print_line(format!("\n{}", self.summary()))?;
        }
        Ok(ExitCode::from(u8::from(!ok)))
    }

    fn summary(&self) -> String {
        let (failed, warned) = (self.count(Status::Fail), self.count(Status::Warn));
        let skipped = self.count(Status::Skip);
        let (colour, mut text) = match (failed, warned) {
            (0, 0) => (Colour::Green, tell!(self.language, "all is well", "alt er i orden")),
            (0, n) => (
                Colour::Yellow,
                tell!(self.language, "nothing to mend, {n} to look at", "ingenting å rette, {n} å se på"),
            ),
            (n, 0) => (Colour::Red, tell!(self.language, "{n} to mend", "{n} å rette")),
            (n, m) => {
                (Colour::Red, tell!(self.language, "{n} to mend, {m} to look at", "{n} å rette, {m} å se på"))
            }
        };
        if skipped > 0 {
            text += &tell!(self.language, " ({skipped} not examined)", " ({skipped} ikke undersøkt)");
        }
        self.style.paint(colour, &text)
    }

    fn count(&self, status: Status) -> usize {
        self.findings.iter().filter(|finding| finding.status == status).count()
    }
}

/// A finding for a person: mark, name and detail, and under them what more there is to say.
fn line(finding: &Finding, style: Style, language: Language) -> String {
    let (colour, sign, word) = match finding.status {
        Status::Ok => (Colour::Green, "✔", "ok  "),
        Status::Warn => (Colour::Yellow, "!", "warn"),
        Status::Fail => (Colour::Red, "✘", "FAIL"),
        Status::Skip => (Colour::Dim, "–", "skip"),
    };
    let mark = style.paint(colour, if style.unicode { sign } else { word });
    let name = format!("{:NAME_WIDTH$}", finding.name);
    let mut text = format!("{mark} {}  {}", style.paint(Colour::Bold, &name), indented(&finding.detail));
    let mut below = |label: String, said: &str| {
        text.push_str(&format!("\n      {} {}", style.paint(Colour::Dim, &label), indented(said)));
    };
    if let Some(cause) = &finding.cause {
        below(tell!(language, "cause:", "årsak:"), cause);
    }
    if let Some(hint) = &finding.hint {
        below(tell!(language, "hint:", "råd:"), hint);
    }
    if let Some(claims) = &finding.claims {
        below(tell!(language, "claims:", "innhold:"), &telling(claims).to_string());
    }
    match style.unicode {
        true => text,
        false => text.replace('→', "->").replace('–', "-"),
    }
}

/// The claims that tell one token from another; the JSON has all of them.
fn telling(claims: &Value) -> Value {
    let Some(claims) = claims.as_object() else { return claims.clone() };
    let is_telling =
        |name: &str| !matches!(name, "scope" | "iat" | "nbf" | "exp" | "jti" | "token_type" | "client_amr");
    let members = claims.iter().filter(|(name, _)| is_telling(name));
    members.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Further lines stand under the first.
fn indented(text: &str) -> String {
    text.replace('\n', "\n      ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { colour: false, unicode: true };

    #[test]
    fn cause_and_hint_stand_under_the_finding_in_its_language() {
        let finding = Finding::fail("token.echo", "refused").cause("no scope").hint("add it");
        assert_eq!(
            line(&finding, PLAIN, Language::English),
            "✘ token.echo            refused\n      cause: no scope\n      hint: add it"
        );
        assert_eq!(
            line(&finding, Style { unicode: false, ..PLAIN }, Language::Norwegian),
            "FAIL token.echo            refused\n      årsak: no scope\n      råd: add it"
        );
    }

    #[test]
    fn every_mark_has_a_colour() {
        let style = Style { colour: true, unicode: true };
        for (status, code) in [(Status::Ok, 32), (Status::Warn, 33), (Status::Fail, 31), (Status::Skip, 2)] {
            let text = line(&Finding::new("x", status, "y"), style, Language::English);
            assert!(text.starts_with(&format!("\x1b[{code}m")), "{text:?}");
        }
    }
}
