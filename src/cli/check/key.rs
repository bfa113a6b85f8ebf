//! A client's key and certificate: what was chosen, and what Maskinporten will make of it.

use std::time::SystemTime;

use time::OffsetDateTime;

use super::fault;
use super::report::{Finding, Report};
use crate::cli::failure::Failure;
use crate::cli::language::tell;
use crate::config::{Client, KeyMaterial};
use crate::keys::{CertificateInfo, KeyWarning, SigningKey};
use crate::oauth::Language;
use crate::state::{self, BuildError};

/// Opens the key of `client` and tells of it; `None` where it cannot be used.
pub(super) fn examine(
    client: &Client,
    now: SystemTime,
    report: &mut Report,
) -> Result<Option<SigningKey>, Failure> {
    let language = report.language;
    let name = |what: &str| format!("{what}.{}", client.name);
    let key = match state::load_key(client, now) {
        Ok(key) => key,
        Err(error) => {
            report.add(unusable(name("key"), &error, language))?;
            return Ok(None);
        }
    };
    report.add(Finding::ok(name("key"), described(client, &key, language)))?;
    match (key.certificate(), key.kid()) {
        (_, Some(kid)) => {
            report.add(Finding::skip(
                name("certificate"),
                tell!(
                    language,
                    "not sent: the key is registered on the client as `{kid}`",
                    "sendes ikke: nøkkelen er registrert på klienten som `{kid}`"
                ),
            ))?;
        }
        (Some(certificate), None) => certificate_and_chain(client, &key, certificate, now, report)?,
        (None, None) => {}
    }
    Ok(Some(key))
}

fn unusable(name: String, error: &BuildError, language: Language) -> Finding {
    if let BuildError::Key { source, .. } = error {
        let (what, hint) = fault::tell_of(source, language);
        return Finding::fail(name, what).maybe_hint(hint);
    }
    let mut finding = Finding::fail(name, error.to_string()).maybe_hint(error.hint());
    finding.cause = super::causes(error);
    finding
}

fn described(client: &Client, key: &SigningKey, language: Language) -> String {
    let file = match &client.key.material {
        KeyMaterial::File(path) => path.display().to_string(),
        KeyMaterial::Inline(_) => tell!(language, "from the configuration", "fra konfigurasjonen"),
    };
    let algorithm = key.algorithm().name();
    match (key.alias(), key.kid().is_none()) {
        (Some(alias), true) => tell!(
            language,
            "{file}, alias \"{alias}\", {algorithm}; the key belongs to the certificate",
            "{file}, alias \"{alias}\", {algorithm}; nøkkelen hører til sertifikatet"
        ),
        (None, true) => tell!(
            language,
            "{file}, {algorithm}; the key belongs to the certificate",
            "{file}, {algorithm}; nøkkelen hører til sertifikatet"
        ),
        (Some(alias), false) => format!("{file}, alias \"{alias}\", {algorithm}"),
        (None, false) => format!("{file}, {algorithm}"),
    }
}

fn certificate_and_chain(
    client: &Client,
    key: &SigningKey,
    certificate: &CertificateInfo,
    now: SystemTime,
    report: &mut Report,
) -> Result<(), Failure> {
    let language = report.language;
    let name = |what: &str| format!("{what}.{}", client.name);
    let mut warnings = Vec::new();
    for warning in key.warnings(now) {
        match warning {
            KeyWarning::CertificateEnds { days, .. } => warnings.push((
                tell!(language, "it ends in {days} days", "det utløper om {days} dager"),
                tell!(language, "order a new one from its issuer now", "bestill et nytt hos utstederen nå"),
            )),
            KeyWarning::SelfSigned { .. } => warnings.push((
                tell!(
                    language,
                    "it is self-signed, and Maskinporten takes those of Buypass and Commfides",
                    "det er selvsignert, og Maskinporten godtar dem fra Buypass og Commfides"
                ),
                tell!(
                    language,
                    "use a business certificate; for a key that is registered on the client, set `kid`",
                    "bruk et virksomhetssertifikat; for en nøkkel som er registrert på klienten, sett `kid`"
                ),
            )),
            // Told in findings of their own, below.
            KeyWarning::NotForSigning { .. }
            | KeyWarning::ChainIncomplete { .. }
            | KeyWarning::CertificateEnded { .. } => {}
        }
    }
    if certificate.org_number.is_none() && !certificate.self_signed {
        warnings.push((
            tell!(
                language,
                "its subject holds no organisation number, by which Maskinporten knows the owner",
                "det mangler organisasjonsnummeret, som Maskinporten kjenner eieren på"
            ),
            tell!(
                language,
                "use a business certificate (virksomhetssertifikat), not a personal or server one",
                "bruk et virksomhetssertifikat, ikke et personlig eller et for en tjener"
            ),
        ));
    }
    let detail = owner_and_dates(certificate, language);
    if warnings.is_empty() {
        report.add(Finding::ok(name("certificate"), &*detail))?;
    }
    for (cause, hint) in warnings {
        report.add(Finding::warn(name("certificate"), detail.clone()).cause(cause).hint(hint))?;
    }
    report.add(purpose(name("purpose"), certificate, language))?;
    report.add(chain(name("chain"), key, certificate, language))?;
    report.add(environment(name("environment"), client, certificate, language))
}

fn owner_and_dates(certificate: &CertificateInfo, language: Language) -> String {
    let subject = &certificate.subject;
    let (from, to) = (date(certificate.not_before), date(certificate.not_after));
    let org = certificate.org_number.as_deref().unwrap_or("–");
    tell!(
        language,
        "{subject}; organisation number {org}; valid from {from} to {to}",
        "{subject}; organisasjonsnummer {org}; gyldig fra {from} til {to}"
    )
}

fn purpose(name: String, certificate: &CertificateInfo, language: Language) -> Finding {
    match certificate.key_usage_text() {
        None => Finding::ok(name, tell!(language, "not limited", "ikke begrenset")),
        Some(usage) if certificate.may_sign() => Finding::ok(name, usage),
        Some(usage) => {
            let usage = if usage.is_empty() { "–".to_owned() } else { usage };
            Finding::fail(
                name,
                tell!(
                    language,
                    "the key is for {usage}, not for signing (digitalSignature)",
                    "nøkkelen er for {usage}, ikke for signering (digitalSignature)"
                ),
            )
            .hint(tell!(
                language,
                "set `alias` to the signing key; `maskinporten-proxy key inspect FILE` shows which it is",
                "sett `alias` til signeringsnøkkelen; `maskinporten-proxy key inspect FIL` viser hvilken det er"
            ))
        }
    }
}

fn chain(name: String, key: &SigningKey, leaf: &CertificateInfo, language: Language) -> Finding {
    let certificates: Vec<CertificateInfo> =
        key.chain().iter().filter_map(|der| CertificateInfo::from_der(der)).collect();
    let Some(last) = certificates.last().filter(|_| certificates.len() > 1 || leaf.self_signed) else {
        let issuer = &leaf.issuer;
        return Finding::warn(
            name,
            tell!(
                language,
                "the certificate stands alone, without that of its issuer ({issuer})",
                "sertifikatet står alene, uten utstederens ({issuer})"
            ),
        )
        .hint(tell!(
            language,
            "Maskinporten asks for the whole chain: export the keystore anew with it, or name a file with the chain \
             in `certificate`",
            "Maskinporten krever hele kjeden: eksporter nøkkellageret på nytt med den, eller oppgi en fil med kjeden i \
             `certificate`"
        ));
    };
    let count = certificates.len();
    let top = &last.subject;
    Finding::ok(
        name,
        match last.self_signed {
            true if count == 1 => {
                tell!(language, "the certificate is its own issuer", "sertifikatet er sin egen utsteder")
            }
            true => tell!(
                language,
                "{count} certificates, leaf first, up to the root ({top})",
                "{count} sertifikater, virksomhetens først, opp til roten ({top})"
            ),
            false => tell!(
                language,
                "{count} certificates, leaf first, up to {top}",
                "{count} sertifikater, virksomhetens først, opp til {top}"
            ),
        },
    )
}

/// Whether the certificate's issuer and the client belong to the same environment.
fn environment(name: String, client: &Client, certificate: &CertificateInfo, language: Language) -> Finding {
    let issuer = &certificate.issuer;
    let Some(issued) = certificate.environment else {
        return Finding::skip(
            name,
            tell!(
                language,
                "whether {issuer} issues for test or for prod is not known",
                "om {issuer} utsteder for test eller prod, er ikke kjent"
            ),
        );
    };
    let issued = issued.name();
    let Some(wanted) = client.environment.map(|environment| environment.name()) else {
        return Finding::ok(name, tell!(language, "a {issued} certificate", "et sertifikat for {issued}"));
    };
    if issued == wanted {
        return Finding::ok(
            name,
            tell!(
                language,
                "a {issued} certificate for a {wanted} client",
                "et sertifikat for {issued} til en klient i {wanted}"
            ),
        );
    }
    Finding::fail(
        name,
        tell!(
            language,
            "a {issued} certificate ({issuer}) for a client in {wanted}",
            "et sertifikat for {issued} ({issuer}) til en klient i {wanted}"
        ),
    )
    .cause(tell!(
        language,
        "Maskinporten in {wanted} takes certificates of the {wanted} issuers alone (MP-120)",
        "Maskinporten i {wanted} godtar bare sertifikater fra utstederne i {wanted} (MP-120)"
    ))
    .hint(tell!(
        language,
        "point `file` at the {wanted} certificate, or set environment = \"{issued}\" and a client_id from there",
        "la `file` peke på sertifikatet for {wanted}, eller sett environment = \"{issued}\" og en client_id derfra"
    ))
}

/// In UTC: `2026-03-14`.
pub(in crate::cli) fn date(time: SystemTime) -> String {
    OffsetDateTime::from(time).date().to_string()
}
