//! `key inspect`: the entries of a key file as KeyStore Explorer would list them, and what to put
//! in proxy.toml.

use std::path::Path;
use std::time::SystemTime;

use serde_json::json;

use super::password;
use crate::cli::args::{KeyInspectArgs, PasswordArgs};
use crate::cli::check::date;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::print_line;
use crate::cli::style::{Colour, Style};
use crate::config::KeyMaterial;
use crate::keys::{
    self, CertificateInfo, EntryInfo, EntryKind, Fault, Format, Inspection, KeyError, Lookalike, Passwords,
};

pub(super) fn run(args: &KeyInspectArgs) -> Outcome {
    let inspection = inspected(args)?;
    let snippet = snippet(&inspection, &args.file, &args.password);
    if args.json {
        let report = json!({
            "file": args.file.to_string_lossy(),
            "format": inspection.format,
            "entries": inspection.entries,
            "other_certificates": inspection.other_certificates,
            "proxy_toml": snippet,
        });
        return print_line(report.to_string());
    }
    let mut text = listed(&inspection, &args.file, SystemTime::now(), Style::of_stdout());
    match snippet {
        Some(snippet) => text.push_str(&format!("\nIn proxy.toml:\n\n{snippet}")),
        None => text.push_str("\nNo key in this file can sign grants for Maskinporten.\n"),
    }
    print_line(text.trim_end())
}

/// What the file holds. A password is asked for only where one is needed.
fn inspected(args: &KeyInspectArgs) -> Result<Inspection, Failure> {
    let refused = |error: KeyError| {
        let hint = match *error.fault {
            // The key module's hints for these are for keys that a configuration names.
            Fault::Missing => Some("check the spelling of the path".to_owned()),
            Fault::PasswordMissing(_) => {
                Some("give the password with --password-env VARIABLE or --password-file FILE".to_owned())
            }
            Fault::NotAKeystore(Lookalike::Html | Lookalike::Json | Lookalike::Unknown) => {
                Some("a JKS, PKCS#12, PEM or JWK file is needed; was it downloaded whole?".to_owned())
            }
            _ => error.hint(),
        };
        Failure::run_time(error).maybe_hint(hint)
    };
    let bytes = keys::read_material(&KeyMaterial::File(args.file.clone())).map_err(refused)?;
    let inspect =
        |passwords: &Passwords| keys::inspect(&bytes, passwords).map_err(|error| error.at(&args.file));
    if let Some(passwords) = password::named(&args.password)? {
        return inspect(&passwords).map_err(refused);
    }
    match inspect(&Passwords::default()) {
        Err(error) if matches!(*error.fault, Fault::PasswordMissing(_)) => {
            inspect(&password::asked(&args.file)?).map_err(refused)
        }
        // A JKS lists without a password, and its keys stay shut.
        Ok(inspection) if inspection.entries.iter().any(|entry| entry.opened == Some(false)) => {
            inspect(&password::asked(&args.file)?).map_err(refused)
        }
        other => other.map_err(refused),
    }
}

const COLUMNS: [&str; 7] = ["ALIAS", "KIND", "RSA", "ORG NUMBER", "VALID", "KEY USAGE", "CHAIN"];

fn listed(inspection: &Inspection, file: &Path, now: SystemTime, style: Style) -> String {
    let entries = &inspection.entries;
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(entries.iter().map(|entry| row(entry, now)));
    let mut widths = [0; COLUMNS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; COLUMNS.len()]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let count = entries.len();
    let plural = if count == 1 { "entry" } else { "entries" };
    let mut text = format!("{}: {}, {count} {plural}\n\n", file.display(), inspection.format);
    text.push_str(&format!("  {}\n", style.paint(Colour::Dim, &line(&rows[0]))));
    for (entry, row) in entries.iter().zip(&rows[1..]) {
        text.push_str(&format!("  {}", style.paint(Colour::Bold, &line(row))));
        if can_sign(entry) {
            let arrow = if style.unicode { "←" } else { "<-" };
            text.push_str(&style.paint(Colour::Green, &format!("  {arrow} signing key")));
        }
        text.push('\n');
        text.push_str(&below(entry, style));
    }
    if !inspection.other_certificates.is_empty() {
        text.push_str("\n  Certificates that belong to no entry:\n");
        for certificate in &inspection.other_certificates {
            text.push_str(&format!("    {}  ({})\n", certificate.subject, dates(certificate, now)));
        }
    }
    text
}

fn row(entry: &EntryInfo, now: SystemTime) -> [String; COLUMNS.len()] {
    let certificate = entry.certificate.as_ref();
    let none = || "–".to_owned();
    let kind = match entry.kind {
        EntryKind::PrivateKey => "private key",
        EntryKind::TrustedCertificate => "certificate",
        EntryKind::SecretKey => "secret key",
    };
    [
        entry.alias.clone().unwrap_or_else(none),
        kind.to_owned(),
        entry.key_bits.map_or_else(none, |bits| bits.to_string()),
        certificate.and_then(|certificate| certificate.org_number.clone()).unwrap_or_else(none),
        certificate.map_or_else(none, |certificate| dates(certificate, now)),
        certificate.map_or_else(none, |certificate| {
            certificate.key_usage_text().unwrap_or_else(|| "not limited".to_owned())
        }),
        match entry.chain_length {
            0 => none(),
            length => length.to_string(),
        },
    ]
}

fn dates(certificate: &CertificateInfo, now: SystemTime) -> String {
    let span = format!("{} – {}", date(certificate.not_before), date(certificate.not_after));
    if now > certificate.not_after {
        return format!("{span} EXPIRED");
    }
    if now < certificate.not_before {
        return format!("{span} NOT YET");
    }
    span
}

fn below(entry: &EntryInfo, style: Style) -> String {
    let mut text = String::new();
    let mut add = |label: &str, said: &str| {
        text.push_str(&format!("      {} {said}\n", style.paint(Colour::Dim, label)));
    };
    if let Some(certificate) = &entry.certificate {
        add("subject", &certificate.subject);
        add("issuer ", &certificate.issuer);
    }
    if let Some(problem) = &entry.problem {
        add("problem", &style.paint(Colour::Red, problem));
    }
    text
}

/// By its certificate or JWK, and by the key itself as far as that could be opened.
fn can_sign(entry: &EntryInfo) -> bool {
    let is_flawed = entry.opened == Some(true) && entry.problem.is_some();
    entry.is_signing_key && !is_flawed
}

/// The table that names the signing key; `None` where there is none that could be used.
fn snippet(inspection: &Inspection, file: &Path, password: &PasswordArgs) -> Option<String> {
    let mut signing = inspection.entries.iter().filter(|entry| can_sign(entry));
    let (entry, another) = (signing.next()?, signing.next().is_some());
    let keys = inspection.entries.iter().filter(|entry| entry.kind == EntryKind::PrivateKey).count();

    let mut lines = vec!["[clients.NAME.key]".to_owned()];
    lines.push(format!("file = {}", quoted(&file.to_string_lossy())));
    let is_jwk = inspection.format == Format::Jwk;
    if let Some(alias) = entry.alias.as_deref().filter(|_| keys > 1 && !is_jwk) {
        let comment = if another { "   # or another signing key of the file" } else { "" };
        lines.push(format!("alias = {}{comment}", quoted(alias)));
    }
    let encrypted = matches!(inspection.format, Format::Jks | Format::Pkcs12) || named(password).is_some();
    if encrypted {
        let source = named(password).unwrap_or_else(|| "{ env = \"KEYSTORE_PASSWORD\" }".to_owned());
        lines.push(format!("password = {source}"));
    }
    match (&entry.alias, entry.certificate.is_some()) {
        (Some(kid), _) if is_jwk => lines.push(format!("kid = {}", quoted(kid))),
        (_, false) => {
            lines.push("kid = \"…\"   # the one that the key is registered under on the client".to_owned());
        }
        _ => {}
    }
    Some(lines.iter().map(|line| format!("{line}\n")).collect())
}

fn named(password: &PasswordArgs) -> Option<String> {
    match (&password.password_env, &password.password_file) {
        (Some(variable), _) => Some(format!("{{ env = {} }}", quoted(variable))),
        (None, Some(file)) => Some(format!("{{ file = {} }}", quoted(&file.to_string_lossy()))),
        (None, None) => None,
    }
}

/// As TOML writes a text.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
