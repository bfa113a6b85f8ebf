//! Colours and signs on stdout, by the rules that terminals and their users expect.

use std::io::IsTerminal as _;

/// How text on stdout may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    /// Escape sequences for colour are understood and wanted.
    pub colour: bool,
    /// Signs beyond ASCII can be shown.
    pub unicode: bool,
}

/// The few colours that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Green,
    Red,
    Yellow,
    Dim,
    Bold,
}

impl Style {
    /// For this process's stdout.
    pub(super) fn of_stdout() -> Self {
        Self::decide(std::io::stdout().is_terminal(), |name| std::env::var(name).ok())
    }

    /// `NO_COLOR` (<https://no-color.org>) forbids, `CLICOLOR_FORCE` demands, else a terminal that
    /// is not dumb decides. The character set is the locale's; where none is named, UTF-8, as
    /// containers and CI leave it unset.
    fn decide(terminal: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let forced = set("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let capable = terminal && set("TERM").is_none_or(|term| term != "dumb");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        Self {
            colour: set("NO_COLOR").is_none() && (forced || capable),
            unicode: locale.is_none_or(|locale| {
                let locale = locale.to_ascii_lowercase();
                locale.contains("utf-8") || locale.contains("utf8")
            }),
        }
    }

    /// `text` in `colour`, where colours are shown.
    pub(super) fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            _ if !self.colour => return text.to_owned(),
            Colour::Green => "32",
            Colour::Red => "31",
            Colour::Yellow => "33",
            Colour::Dim => "2",
            Colour::Bold => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(terminal: bool, variables: &[(&str, &str)]) -> Style {
        Style::decide(terminal, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colours_follow_the_usual_rules() {
        for (terminal, variables, expected) in [
            (true, &[][..], true),
            (false, &[], false),
            (true, &[("NO_COLOR", "1")], false),
            (true, &[("NO_COLOR", "")], true),
            (true, &[("TERM", "dumb")], false),
            (false, &[("CLICOLOR_FORCE", "1")], true),
            (false, &[("CLICOLOR_FORCE", "0")], false),
            (false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        ] {
            assert_eq!(style(terminal, variables).colour, expected, "{terminal} {variables:?}");
        }
    }

    #[test]
    fn signs_beyond_ascii_need_utf_8() {
        for (locale, expected) in
            [("nb_NO.UTF-8", true), ("C.utf8", true), ("C", false), ("nb_NO.ISO-8859-1", false)]
        {
            assert_eq!(style(true, &[("LANG", locale)]).unicode, expected, "{locale}");
        }
        assert!(style(true, &[]).unicode);
        assert!(!style(true, &[("LANG", "nb_NO.UTF-8"), ("LC_ALL", "C")]).unicode);
    }
}
