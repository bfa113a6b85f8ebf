//! Maskinporten's error codes as data: what each means and what to do, in English and bokmål.
//!
//! From Digdir's `maskinporten_feilmeldinger` and `maskinporten_protocol_token`. The codes stand
//! somewhere in `error_description`; two refusals are known by their text alone.

use crate::oauth::error::{AnswerFault, Class, Service, TokenError};

mod table;

pub use table::TABLE;

/// The language of causes and fixes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    English,
    /// Bokmål.
    Norwegian,
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// `MP-…`; `None` for the rows that are known by their text.
    pub code: Option<&'static str>,
    /// Text in the description, in lower case, that stands for the row where no code does.
    text: Option<&'static str>,
    pub class: Class,
    /// Whether every grant of the client would be refused, whatever it asks for.
    pub whole_client: bool,
    /// Whether the difference between our clock and the server's may be the reason.
    pub clock: bool,
    cause: Phrase,
    fix: Phrase,
}

#[derive(Debug, PartialEq, Eq)]
struct Phrase {
    en: &'static str,
    nb: &'static str,
}

impl Entry {
    /// What it means.
    pub fn cause(&self, language: Language) -> &'static str {
        self.cause.in_language(language)
    }

    /// What to do about it.
    pub fn fix(&self, language: Language) -> &'static str {
        self.fix.in_language(language)
    }
}

impl Phrase {
    fn in_language(&self, language: Language) -> &'static str {
        match language {
            Language::English => self.en,
            Language::Norwegian => self.nb,
        }
    }
}

/// The row that `description` speaks of.
pub fn lookup(description: &str) -> Option<&'static Entry> {
    if let Some(code) = code_in(description) {
        return TABLE.iter().find(|entry| entry.code == Some(code));
    }
    let lower = description.to_ascii_lowercase();
    TABLE.iter().find(|entry| entry.text.is_some_and(|text| lower.contains(text)))
}

/// The first `MP-` with exactly three digits, known to the table or not.
pub fn code_in(description: &str) -> Option<&str> {
    description.match_indices("MP-").find_map(|(at, _)| {
        let digits = description[at + 3..].bytes().take_while(u8::is_ascii_digit).count();
        let word_before = description[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
        (digits == 3 && !word_before).then(|| &description[at..at + 6])
    })
}

/// What to do about an error that is not a refusal of Maskinporten's.
pub(in crate::oauth) fn general_fix(error: &TokenError, language: Language) -> &'static str {
    let phrase = match error {
        TokenError::Unavailable { service: Service::Altinn, .. }
        | TokenError::Unreachable { service: Service::Altinn, .. }
        | TokenError::TimedOut { service: Service::Altinn } => Phrase {
            en: "a running proxy tries again by itself; see Altinn's status page if it lasts",
            nb: "en proxy som kjører, prøver igjen av seg selv; se Altinns driftsmeldinger hvis det varer",
        },
        TokenError::Unreachable { .. } | TokenError::TimedOut { .. } => Phrase {
            en: "check the network, DNS and HTTPS_PROXY/NO_PROXY; a running proxy tries again by itself",
            nb: "sjekk nettverk, DNS og HTTPS_PROXY/NO_PROXY; en proxy som kjører, prøver igjen av seg selv",
        },
        TokenError::Unavailable { .. } | TokenError::Interrupted => Phrase {
            en: "a running proxy tries again by itself; see status.digdir.no if it lasts",
            nb: "en proxy som kjører, prøver igjen av seg selv; se status.digdir.no hvis det varer",
        },
        TokenError::IssuerUrl
        | TokenError::Malformed { fault: AnswerFault::Issuer { .. } | AnswerFault::Endpoint, .. } => Phrase {
            en: "write `issuer` exactly as the metadata gives it, or set `token_endpoint`",
            nb: "skriv `issuer` nøyaktig slik metadataene oppgir den, eller sett `token_endpoint`",
        },
        TokenError::Malformed { .. } | TokenError::Redirected { .. } => Phrase {
            en: "check the address: is something else answering there, such as a web proxy's login page?",
            nb: "sjekk adressen: er det noe annet som svarer der, for eksempel innloggingen til en nettproxy?",
        },
        TokenError::Signing(_) => Phrase {
            en: "check the key: it needs a certificate, or a `kid` that is registered on the client",
            nb: "sjekk nøkkelen: den må ha et sertifikat, eller en `kid` som er registrert på klienten",
        },
        TokenError::ExchangeRefused { .. } => Phrase {
            en: "check that `altinn` is the platform of the same environment, and that the scopes are known there",
            nb: "sjekk at `altinn` er plattformen i samme miljø, og at den kjenner scopene",
        },
        TokenError::Refused(_) => Phrase {
            en: "see Maskinporten's description of the error",
            nb: "se Maskinportens beskrivelse av feilen",
        },
    };
    phrase.in_language(language)
}

#[cfg(test)]
mod tests;
