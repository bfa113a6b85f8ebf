//! [`reference`]: docs/configuration.md, made from the table of keys so that it cannot drift.

use std::fmt::Write as _;

use super::schema::{Absent, KEYS, Kind, SECTIONS, Section};

/// Every key with its type, its default and its meaning, as Markdown.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in SECTIONS {
        let heading = if section.pattern.is_empty() {
            section.heading.to_owned()
        } else {
            format!("`{}`", section.heading)
        };
        _ = write!(text, "\n## {heading}\n\n{}\n\n", section.meaning);
        text.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for key in KEYS.iter().filter(|key| belongs(key.pattern, section)) {
            let name = key.pattern.rsplit('.').next().unwrap_or_default();
            let default = match key.absent {
                Absent::Required => "**required**".to_owned(),
                Absent::Value(value) => format!("`{value}`"),
                Absent::Means(words) => words.to_owned(),
            };
            _ = writeln!(text, "| `{name}` | {} | {default} | {} |", kind(key.kind), key.meaning);
        }
    }
    text.push_str(ENVIRONMENT);
    for section in SECTIONS {
        if let Some(key) = KEYS.iter().find(|key| belongs(key.pattern, section)) {
            _ = writeln!(text, "| `{}` | `{}` |", super::schema::written(key.pattern), variable(key.pattern));
        }
    }
    text
}

/// Whether the key stands in this table, and not in one beneath it.
fn belongs(pattern: &str, section: &Section) -> bool {
    match pattern.rsplit_once('.') {
        None => section.pattern.is_empty(),
        Some((table, _)) => table == section.pattern,
    }
}

fn kind(kind: Kind) -> String {
    // A bar would end the cell.
    kind.description().replace('|', "\\|")
}

/// The environment variable of a key; the first route stands for all of them.
fn variable(pattern: &str) -> String {
    let name = pattern.replace('#', "0").replace('*', "NAME").replace('.', "__");
    format!("MASKINPORTEN_PROXY_{}", name.to_ascii_uppercase())
}

const INTRODUCTION: &str = "\
# Configuration reference

Made from the program's own table of keys (`BLESS=1 cargo test configuration_reference`); a test fails
where this page and the program differ. The commented example is [proxy.toml](../proxy.toml).

Flags win over environment variables, those over files, and files over defaults. `--config` may be
given more than once: a later file wins, key by key; lists (`routes` too) are replaced as a whole,
and so is the source of a secret. Paths are relative to the file that names them. Unknown keys are
refused.
";

const ENVIRONMENT: &str = "
## Environment variables

Every key has a variable: `MASKINPORTEN_PROXY_`, then the key in capitals, with `__` between levels.
Names of clients and routes are matched without regard to case, with `_` for `-`; a route may be
named by its number, from 0. Lists are TOML lists, or words between commas or spaces. A secret's
source is one level further down: `…__KEY__PASSWORD__FILE`. `MASKINPORTEN_PROXY_URL` and
`MASKINPORTEN_PROXY_URL_…` are what `run` tells its child, and set nothing.

Where no client is configured, the variables of the NAIS platform are used:
`MASKINPORTEN_CLIENT_ID`, `MASKINPORTEN_CLIENT_JWK`, `MASKINPORTEN_SCOPES` (for routes that name
none), `MASKINPORTEN_ISSUER`, `MASKINPORTEN_TOKEN_ENDPOINT`, `MASKINPORTEN_WELL_KNOWN_URL`.

For example:

| key | variable |
|---|---|
";
