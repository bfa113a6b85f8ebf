//! The one table of configuration keys, and what is asked of it: is this key known, what kind of
//! value does it take, which known name is nearest.
//!
//! The check of files, the reading of environment variables, the reference in the documentation
//! and the example come from this table; a test holds it against the types that serde reads.
//!
//! Keys are named by patterns: `clients.*.key.file` for any client, `routes.#.path` for any
//! element of the list.

use figment::value::{Dict, Value};

mod check;
mod keys;

pub(super) use check::check;
pub(super) use keys::{KEYS, SECTIONS};

/// One key of the configuration.
pub(super) struct Key {
    pub(super) pattern: &'static str,
    pub(super) kind: Kind,
    pub(super) absent: Absent,
    /// What it is for: Markdown, one paragraph.
    pub(super) meaning: &'static str,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, of which the string says more.
    Text(&'static str),
    /// Text that may hold credentials in URL form; shown without them.
    Url(&'static str),
    /// A path, or `base64:` and the content itself, which is a secret.
    KeyFile,
    Choice(&'static [&'static str]),
    Count,
    Flag,
    /// A list of texts.
    List(&'static str),
    /// `"literal"`, `{ env }`, `{ file }` or `{ command }`.
    Secret,
    /// A fixed text or `{ header, allow }`; the text says what a value is.
    Claim(&'static str),
    /// As `Claim`; its values identify a person and are never shown.
    PersonClaim(&'static str),
    /// A list of tables that is passed on as it is; may identify a person.
    Tables,
}

/// What holds where the key is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    Required,
    /// This value, in TOML.
    Value(&'static str),
    /// What that means, in words.
    Means(&'static str),
}

/// A table of the file with its introduction, for the reference.
pub(super) struct Section {
    /// The pattern of its keys, without the last dot; empty for the top level.
    pub(super) pattern: &'static str,
    pub(super) heading: &'static str,
    pub(super) meaning: &'static str,
}

/// What a pattern stands for.
pub(super) enum Node {
    Key(&'static Key),
    /// A table with a fixed set of keys.
    Table,
    /// A table whose keys the user names (`clients`).
    Named,
    /// A list of tables (`routes`).
    List,
}

/// The names that a secret's table may hold: exactly one of them.
pub(super) const SECRET_FORMS: [&str; 3] = ["env", "file", "command"];

/// The names that a claim's table may hold.
pub(super) const CLAIM_FORMS: [&str; 2] = ["header", "allow"];

impl Kind {
    /// For people: in messages and in the reference.
    pub(super) fn description(self) -> String {
        match self {
            Self::Text(what) | Self::Url(what) => what.to_owned(),
            Self::KeyFile => "a path, or `base64:` and the file's content".to_owned(),
            Self::Choice(values) => {
                values.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(" or ")
            }
            Self::Count => "a whole number from 1 to 1024".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::List(what) => format!("a list of texts: {what}"),
            Self::Secret => {
                "\"literal\", { env = \"VARIABLE\" }, { file = \"path\" } or { command = \"…\" }".to_owned()
            }
            Self::Claim(what) | Self::PersonClaim(what) => {
                format!("{what}, or {{ header = \"X-Name\", allow = [\"…\"] }} (`allow` may be left out)")
            }
            Self::Tables => "a list of tables".to_owned(),
        }
    }

    /// Whether a value in this place is kept out of every message.
    pub(super) fn is_sensitive(self) -> bool {
        matches!(self, Self::Secret | Self::PersonClaim(_) | Self::Tables)
    }
}

/// What `pattern` stands for; `None` where there is no such key.
pub(super) fn node(pattern: &str) -> Option<Node> {
    if let Some(key) = KEYS.iter().find(|key| key.pattern == pattern) {
        return Some(Node::Key(key));
    }
    match children(pattern).as_slice() {
        [] => None,
        ["*"] => Some(Node::Named),
        ["#"] => Some(Node::List),
        _ => Some(Node::Table),
    }
}

/// The names that may follow `pattern`, in the order of the table.
pub(super) fn children(pattern: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in KEYS {
        let rest = match pattern {
            "" => Some(key.pattern),
            _ => key.pattern.strip_prefix(pattern).and_then(|rest| rest.strip_prefix('.')),
        };
        let name = rest.and_then(|rest| rest.split('.').next());
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// `pattern` with one more name.
pub(super) fn join(pattern: &str, name: &str) -> String {
    if pattern.is_empty() { name.to_owned() } else { format!("{pattern}.{name}") }
}

/// A pattern as the documentation writes it: `clients.NAME.key.file`, `routes[].path`.
pub(super) fn written(pattern: &str) -> String {
    pattern.replace(".#", "[]").replace(".*", ".NAME")
}

/// The one of `names` that `typed` was probably meant to be.
pub(super) fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase().replace('-', "_");
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&typed, &name.replace('-', "_")), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).clamp(1, 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Where a key of this name stands, if it is one of another table.
pub(super) fn elsewhere(name: &str) -> Option<String> {
    let suffix = format!(".{name}");
    KEYS.iter()
        .find(|key| key.pattern == name || key.pattern.ends_with(&suffix))
        .map(|key| written(key.pattern))
}

/// Fills in the forms of a secret or claim that a table leaves out as "nothing", so that a later
/// file's `{ file = … }` replaces an earlier `{ env = … }` and is not mixed with it: figment
/// merges tables key by key.
pub(super) fn close_forms(root: &mut Dict) {
    walk_dict(root, "");
}

/// Undoes [`close_forms`] after the merge.
pub(super) fn drop_nothing(root: &mut Dict) {
    root.retain(|_, value| !matches!(value, Value::Empty(..)));
    for value in root.values_mut() {
        drop_nothing_in(value);
    }
}

fn drop_nothing_in(value: &mut Value) {
    match value {
        Value::Dict(_, dict) => drop_nothing(dict),
        Value::Array(_, values) => values.iter_mut().for_each(drop_nothing_in),
        _ => {}
    }
}

fn walk_dict(dict: &mut Dict, pattern: &str) {
    for (name, value) in dict {
        let child = match node(pattern) {
            Some(Node::Named) => join(pattern, "*"),
            _ => join(pattern, name),
        };
        close_value(value, &child);
    }
}

fn close_value(value: &mut Value, pattern: &str) {
    use figment::value::Empty;

    let forms: &[&str] = match node(pattern) {
        Some(Node::Key(key)) => match key.kind {
            Kind::Secret => &SECRET_FORMS,
            Kind::Claim(_) | Kind::PersonClaim(_) => &CLAIM_FORMS,
            _ => return,
        },
        Some(Node::Table | Node::Named) => {
            if let Value::Dict(_, dict) = value {
                walk_dict(dict, pattern);
            }
            return;
        }
        // Lists are replaced as a whole, so nothing in them is ever merged.
        Some(Node::List) | None => return,
    };
    if let Value::Dict(tag, dict) = value {
        for form in forms {
            dict.entry((*form).to_owned()).or_insert(Value::Empty(*tag, Empty::Unit));
        }
    }
}

#[cfg(test)]
mod tests;
