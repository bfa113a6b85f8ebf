//! What is wrong with a key, in the language that was asked for. The English words are the key
//! module's own; the Norwegian ones stand here.

use crate::keys::{EntryKind, EntrySummary, Fault, Format, KeyError, Location, Lookalike};
use crate::oauth::Language;

use super::key::date;

/// What is wrong, and the next step.
pub(super) fn tell_of(error: &KeyError, language: Language) -> (String, Option<String>) {
    match language {
        Language::English => (error.to_string(), error.hint()),
        Language::Norwegian => {
            let place = match &error.location {
                Location::File(_) => error.location.to_string(),
                Location::Inline => "nøkkelen i konfigurasjonen".to_owned(),
            };
            (format!("{place}: {}", what(&error.fault)), Some(mend(&error.fault).to_owned()))
        }
    }
}

fn what(fault: &Fault) -> String {
    match fault {
        Fault::Missing => "filen finnes ikke".to_owned(),
        Fault::Unreadable(error) => format!("filen kan ikke leses: {error}"),
        Fault::TooLarge { limit } => {
            format!("filen er større enn {} MiB, og det er ingen nøkkellagre", limit >> 20)
        }
        Fault::Empty => "filen er tom".to_owned(),
        Fault::NotAKeystore(lookalike) => {
            format!("dette er {}, ikke en privat nøkkel eller et nøkkellager", likeness(*lookalike))
        }
        Fault::NotACertificate(lookalike) => {
            format!("dette er {}, ikke et sertifikat", likeness(*lookalike))
        }
        Fault::UnsupportedStore(name) => format!("dette er et {name}-nøkkellager, som ikke støttes"),
        Fault::Truncated(format) => format!("{} er avkortet", form(*format)),
        Fault::Corrupt { format, detail } => format!("{} er skadet: {detail}", form(*format)),
        Fault::PasswordMissing(format) => {
            format!("{} krever et passord, og det er ikke oppgitt", form(*format))
        }
        Fault::WrongStorePassword(format) => {
            format!("passordet åpner ikke {}: det er feil, eller filen er endret", form(*format))
        }
        Fault::WrongKeyPassword { alias, own } => format!(
            "nøkkellageret åpnes, men nøkkelen {} åpnes ikke med {}",
            quoted(alias.as_deref()),
            if *own { "nøkkelpassordet som er oppgitt" } else { "nøkkellagerets passord" }
        ),
        Fault::UnsupportedEncryption { format, scheme } => {
            format!("{} er beskyttet med {scheme}, som ikke støttes", form(*format))
        }
        Fault::TooCostly(format) => format!("{} krever urimelig mye arbeid å åpne", form(*format)),
        Fault::UnknownAlias { alias, entries, .. } => {
            format!("det finnes ikke noe alias \"{alias}\"; filen har {}", list(entries))
        }
        Fault::NotAPrivateKey { alias, kind, .. } => {
            format!("aliaset \"{alias}\" er {}, ikke en privat nøkkel", entry(*kind))
        }
        Fault::NoPrivateKey { entries } => {
            format!("nøkkellageret har ingen privat nøkkel, bare {}", list(entries))
        }
        Fault::SeveralKeys { keys } => {
            format!(
                "filen har flere private nøkler, og det er ikke sagt hvilken som skal brukes: {}",
                list(keys)
            )
        }
        Fault::UnsupportedKeyAlgorithm(name) => {
            format!("nøkkelen er av typen {name}; Maskinporten tar bare RSA-nøkler")
        }
        Fault::KeyTooSmall { bits } => format!("RSA-nøkkelen har {bits} bit; Maskinporten krever minst 2048"),
        Fault::InvalidKey(why) => format!("den private nøkkelen er ikke en gyldig RSA-nøkkel: {why}"),
        Fault::AlgorithmMismatch { declared, configured } => {
            format!("JWK-en sier \"alg\": \"{declared}\", men {configured} er satt opp")
        }
        Fault::CertificateMismatch { subject } => {
            format!("den private nøkkelen hører ikke til sertifikatet ({subject})")
        }
        Fault::CertificateExpired { subject, not_after } => {
            format!("sertifikatet ({subject}) utløp {}", date(*not_after))
        }
        Fault::CertificateNotYetValid { subject, not_before } => {
            format!("sertifikatet ({subject}) er ikke gyldig før {}", date(*not_before))
        }
        Fault::NeitherKidNorCertificate => {
            "nøkkelen har verken sertifikat eller `kid`, så Maskinporten kan ikke vite hvem som eier den"
                .to_owned()
        }
    }
}

fn mend(fault: &Fault) -> String {
    let text = match fault {
        Fault::Missing => {
            "en relativ sti regnes fra mappen til konfigurasjonsfilen som oppgir den; sjekk stavemåten"
        }
        Fault::Unreadable(_) => "det må være en vanlig fil som brukeren som kjører proxyen kan lese",
        Fault::TooLarge { .. } => "sjekk at det er riktig fil som er oppgitt",
        Fault::Empty => {
            "den kan være halvskrevet, eller en hemmelighet som ikke er montert ennå; kopier den på nytt"
        }
        Fault::NotAKeystore(lookalike) => return mend_lookalike(*lookalike).to_owned(),
        Fault::NotACertificate(_) => {
            "`certificate` peker på en fil med sertifikat(kjede) i PEM eller DER; nøkkelens egen fil oppgis i `file`"
        }
        Fault::UnsupportedStore(_) => {
            "åpne det i KeyStore Explorer og lagre det som PKCS#12 (Tools, Change KeyStore Type)"
        }
        Fault::Truncated(_) | Fault::Corrupt { .. } => {
            "kopier filen på nytt derfra den kom, i binærmodus; blir den byttet ut, flytt den nye på plass hel"
        }
        Fault::PasswordMissing(_) => {
            "sett `password` for nøkkelen, for eksempel password = { env = \"KEYSTORE_PASSWORD\" }; et tomt passord \
             teller som ikke noe"
        }
        Fault::WrongStorePassword(Format::Pem | Format::Der) => {
            "prøv det for hånd: openssl pkey -in FIL -noout"
        }
        Fault::WrongStorePassword(_) => {
            "prøv det for hånd: keytool -list -keystore FIL; se opp for mellomrom og linjeskift sist i passordet"
        }
        Fault::WrongKeyPassword { own: false, .. } => {
            "nøkkelen har sitt eget passord: sett `key_password` (keystore.alias.password i en .properties-fil)"
        }
        Fault::WrongKeyPassword { own: true, .. } => {
            "sjekk `key_password`; utelat det hvis nøkkelen har nøkkellagerets passord"
        }
        Fault::UnsupportedEncryption { .. } | Fault::TooCostly(_) => {
            "skriv filen på nytt med dagens kryptering, for eksempel med KeyStore Explorer (lagre som PKCS#12)"
        }
        Fault::UnknownAlias { nearest: Some(nearest), .. } => return format!("mente du \"{nearest}\"?"),
        Fault::UnknownAlias { entries, .. } => return choose(entries, "sett `alias` til et av dem"),
        Fault::NotAPrivateKey { keys, .. } | Fault::SeveralKeys { keys } => {
            return choose(keys, "oppgi nøkkellageret som ble levert med den private nøkkelen");
        }
        Fault::NoPrivateKey { .. } => {
            "filen har bare offentlige deler; oppgi nøkkellageret som ble levert med den private nøkkelen"
        }
        Fault::UnsupportedKeyAlgorithm(_) | Fault::KeyTooSmall { .. } => {
            "bruk RSA-nøkkelen til virksomhetssertifikatet, eller lag en og registrer den: maskinporten-proxy key \
             generate --out key.pem"
        }
        Fault::InvalidKey(_) => "eksporter nøkkelen på nytt derfra den ble laget",
        Fault::AlgorithmMismatch { declared, .. } => {
            return format!(
                "sett alg = \"{declared}\" om det er RS256, RS384 eller RS512; andre tar ikke Maskinporten"
            );
        }
        Fault::CertificateMismatch { .. } => {
            "de to kommer fra ulike bestillinger eller fornyelser: eksporter nøkkel og sertifikat sammen; er nøkkelen \
             registrert på klienten, sett `kid`, så trengs ikke noe sertifikat"
        }
        Fault::CertificateExpired { .. } => {
            "bestill et nytt virksomhetssertifikat hos Buypass eller Commfides og la `file` peke på det; eller \
             registrer en nøkkel på klienten og sett `kid`"
        }
        Fault::CertificateNotYetValid { .. } => {
            "sjekk klokka på denne maskinen; ellers bruk sertifikatet som er gyldig nå"
        }
        Fault::NeitherKidNorCertificate => {
            "sett `kid` til den nøkkelen er registrert under på klienten; for et virksomhetssertifikat, oppgi filen i \
             `certificate`"
        }
    };
    text.to_owned()
}

fn mend_lookalike(lookalike: Lookalike) -> &'static str {
    match lookalike {
        Lookalike::Certificate | Lookalike::CertificateBundle => {
            "et sertifikat sier hvem du er, den private nøkkelen beviser det: oppgi nøkkellageret (.p12, .jks) eller \
             filen med den private nøkkelen; sertifikatet kan stå ved siden av som `certificate`"
        }
        Lookalike::CertificateRequest => {
            "en forespørsel sendes til utstederen; oppgi den private nøkkelen som ble laget sammen med den"
        }
        Lookalike::PublicKey => {
            "den offentlige nøkkelen er den som registreres på klienten; oppgi den private her"
        }
        Lookalike::Base64(_) => "dekod den først: base64 -d FIL > nøkkellager",
        _ => {
            "det trengs en fil i JKS, PKCS#12, PEM eller JWK; `maskinporten-proxy key inspect FIL` sier hva en fil er"
        }
    }
}

fn choose(entries: &[EntrySummary], otherwise: &str) -> String {
    let signing: Vec<String> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::PrivateKey && entry.is_signing_key)
        .filter_map(|entry| entry.alias.as_ref().map(|alias| format!("alias = \"{alias}\"")))
        .collect();
    match signing.is_empty() {
        true => otherwise.to_owned(),
        false => format!("sett {}", signing.join(" eller ")),
    }
}

fn list(entries: &[EntrySummary]) -> String {
    let described = entries.iter().map(|summary| {
        let mut parts = vec![summary.subject.clone().unwrap_or_else(|| entry(summary.kind).to_owned())];
        parts.extend(summary.key_usage.clone());
        if summary.kind == EntryKind::PrivateKey && summary.is_signing_key {
            parts.push("kan signere".to_owned());
        }
        format!("{} ({})", quoted(summary.alias.as_deref()), parts.join("; "))
    });
    let text = described.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "ingenting".to_owned() } else { text }
}

fn quoted(alias: Option<&str>) -> String {
    alias.map_or_else(|| "uten alias".to_owned(), |alias| format!("\"{alias}\""))
}

fn form(format: Format) -> &'static str {
    match format {
        Format::Jks => "JKS-nøkkellageret",
        Format::Pkcs12 => "PKCS#12-nøkkellageret",
        Format::Pem => "PEM-filen",
        Format::Der => "DER-nøkkelen",
        Format::Jwk => "JWK-en",
    }
}

fn entry(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::PrivateKey => "en privat nøkkel",
        EntryKind::TrustedCertificate => "et sertifikat",
        EntryKind::SecretKey => "en symmetrisk nøkkel",
    }
}

fn likeness(lookalike: Lookalike) -> &'static str {
    match lookalike {
        Lookalike::Certificate => "et offentlig sertifikat",
        Lookalike::CertificateRequest => "en sertifikatforespørsel",
        Lookalike::PublicKey => "en offentlig nøkkel",
        Lookalike::CertificateBundle => "en samling offentlige sertifikater (PKCS#7)",
        Lookalike::OpenSshKey => "en OpenSSH-nøkkel",
        Lookalike::PuttyKey => "en PuTTY-nøkkel",
        Lookalike::Pgp => "en OpenPGP-fil",
        Lookalike::Html => "en HTML- eller XML-side",
        Lookalike::Base64(_) => "base64-teksten av et nøkkellager",
        Lookalike::Utf16Text => "tekst i UTF-16",
        Lookalike::Json => "JSON, men ingen JWK",
        Lookalike::PrivateKey => "en privat nøkkel",
        Lookalike::Unknown => "noe i ukjent form",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use super::*;
    use crate::keys::{Passwords, Selection, SigningKey};

    fn told(file: &str, alias: Option<&str>, password: &str, language: Language) -> (String, Option<String>) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keystores").join(file);
        let bytes = std::fs::read(&path).expect("a fixture");
        let selection = Selection { alias, ..Selection::default() };
        let error = SigningKey::from_bytes(&bytes, &selection, &Passwords::one(password), SystemTime::now())
            .expect_err(file)
            .at(Path::new(file));
        tell_of(&error, language)
    }

    #[test]
    fn the_same_fault_is_told_in_both_languages() {
        let (what, hint) = told("several.p12", Some("sing"), "changeit", Language::Norwegian);
        assert!(what.starts_with("several.p12: det finnes ikke noe alias \"sing\""), "{what}");
        assert_eq!(hint.as_deref(), Some("mente du \"sign\"?"));
        let (what, hint) = told("several.p12", Some("sing"), "changeit", Language::English);
        assert!(what.contains("there is no entry with the alias"), "{what}");
        assert_eq!(hint.as_deref(), Some("did you mean \"sign\"?"));
    }

    #[test]
    fn the_signing_key_is_named_where_a_certificate_was() {
        let (what, hint) = told("several.jks", Some("buypass-ca"), "changeit", Language::Norwegian);
        assert!(what.contains("et sertifikat, ikke en privat nøkkel"), "{what}");
        assert_eq!(hint.as_deref(), Some("sett alias = \"sign\""));
    }
}
