//! In which language findings are told: English, or bokmål where the locale is Norwegian.

use super::args::Lang;
use crate::oauth::Language;

/// The language that was asked for, else that of the process's locale.
pub(super) fn of(flag: Option<Lang>) -> Language {
    match flag {
        Some(Lang::En) => Language::English,
        Some(Lang::Nb) => Language::Norwegian,
        None => of_locale(|name| std::env::var(name).ok()),
    }
}

/// The first of `LC_ALL`, `LC_MESSAGES` and `LANG` that is set decides (POSIX.1, 8.2). Nynorsk
/// gets bokmål, which is nearer than English.
fn of_locale(variable: impl Fn(&str) -> Option<String>) -> Language {
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()))
        .unwrap_or_default();
    let language = locale.split(['_', '.', '@', '-']).next().unwrap_or_default();
    match language {
        "nb" | "nn" | "no" => Language::Norwegian,
        _ => Language::English,
    }
}

/// The text in `$language`; the English one comes first. Both may capture variables as `format!`
/// does.
macro_rules! tell {
    ($language:expr, $en:literal, $nb:literal $(,)?) => {
        match $language {
            crate::oauth::Language::English => format!($en),
            crate::oauth::Language::Norwegian => format!($nb),
        }
    };
}
pub(super) use tell;

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Language {
        of_locale(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_norwegian_locale_gets_norwegian() {
        for locale in ["nb_NO.UTF-8", "nn_NO", "no", "nb", "nb-NO"] {
            assert_eq!(with(&[("LANG", locale)]), Language::Norwegian, "{locale}");
        }
        for locale in ["", "C", "C.UTF-8", "en_GB.UTF-8", "nl_NL", "nobody"] {
            assert_eq!(with(&[("LANG", locale)]), Language::English, "{locale}");
        }
    }

    #[test]
    fn the_stronger_variable_wins_and_an_empty_one_counts_as_unset() {
        assert_eq!(with(&[("LANG", "nb_NO"), ("LC_ALL", "C")]), Language::English);
        assert_eq!(with(&[("LANG", "en_GB"), ("LC_MESSAGES", "nb_NO"), ("LC_ALL", "")]), Language::Norwegian);
        assert_eq!(with(&[]), Language::English);
    }
}
