//! Holds a merged configuration against the table: unknown keys and wrong types, all of them.

use figment::value::{Dict, Num, Value};

use super::{CLAIM_FORMS, Kind, Node, SECRET_FORMS, children, elsewhere, join, nearest, node};
use crate::config::error::Problem;
use crate::config::layer::Origins;

/// Everything in `root` that the table does not allow.
pub(in super::super) fn check(root: &Dict, origins: &Origins) -> Vec<Problem> {
    let mut checker = Checker { origins, problems: Vec::new() };
    checker.table(root, "", "");
    checker.problems
}

struct Checker<'a> {
    origins: &'a Origins,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn table(&mut self, dict: &Dict, pattern: &str, path: &str) {
        for (name, value) in dict {
            let path = join(path, name);
            let child = join(pattern, name);
            match node(&child) {
                Some(node) => self.value(value, node, &child, &path),
                None => self.unknown(name, &children(pattern), &path),
            }
        }
    }

    fn value(&mut self, value: &Value, node: Node, pattern: &str, path: &str) {
        match (node, value) {
            (Node::Key(key), _) => self.leaf(value, key.kind, path),
            (Node::Table, Value::Dict(_, dict)) => self.table(dict, pattern, path),
            (Node::Table, _) => self.wrong(value, path, "a table", true),
            (Node::Named, Value::Dict(_, dict)) => {
                for (name, value) in dict {
                    let path = join(path, name);
                    match value {
                        Value::Dict(_, dict) => self.table(dict, &join(pattern, "*"), &path),
                        _ => self.wrong(value, &path, "a table", true),
                    }
                }
            }
            (Node::Named, _) => self.wrong(value, path, "a table of tables", true),
            (Node::List, Value::Array(_, values)) => {
                for (at, value) in values.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    match value {
                        Value::Dict(_, dict) => self.table(dict, &join(pattern, "#"), &path),
                        _ => self.wrong(value, &path, "a table", true),
                    }
                }
            }
            (Node::List, _) => {
                let allowed = format!("[[{path}]], a list of tables");
                self.wrong(value, path, &allowed, true);
            }
        }
    }

    fn leaf(&mut self, value: &Value, kind: Kind, path: &str) {
        let sensitive = kind.is_sensitive();
        match (kind, value) {
            (Kind::Text(_) | Kind::Url(_) | Kind::KeyFile, Value::String(..))
            | (Kind::Flag, Value::Bool(..))
            | (Kind::Secret | Kind::Claim(_) | Kind::PersonClaim(_), Value::String(..)) => {}
            (Kind::Choice(allowed), Value::String(_, text)) => {
                if !allowed.contains(&text.as_str()) {
                    let near = nearest(text, allowed.iter().copied()).map(str::to_owned);
                    self.wrong(value, path, &kind.description(), false);
                    if let Some(problem) = self.problems.last_mut() {
                        problem.message = "there is no such value".to_owned();
                        problem.nearest = near;
                    }
                }
            }
            (Kind::Count, Value::Num(_, number))
                if whole(*number).is_some_and(|n| (1..=MOST).contains(&n)) => {}
            (Kind::List(_), Value::Array(_, values)) => self.texts(values, &kind.description(), path, false),
            (Kind::Tables, Value::Array(_, values)) => {
                if !values.iter().all(|value| matches!(value, Value::Dict(..)) && is_json(value)) {
                    let allowed = "a list of tables, without dates and infinite numbers";
                    self.wrong(value, path, allowed, true);
                }
            }
            (Kind::Secret, Value::Dict(_, dict)) => {
                self.forms(dict, &SECRET_FORMS, path);
                for (name, value) in dict {
                    if SECRET_FORMS.contains(&name.as_str()) && !matches!(value, Value::String(..)) {
                        self.wrong(value, &join(path, name), "a text", true);
                    }
                }
            }
            (Kind::Claim(_) | Kind::PersonClaim(_), Value::Dict(_, dict)) => {
                self.forms(dict, &CLAIM_FORMS, path);
                match dict.get("header") {
                    None | Some(Value::String(..)) => {}
                    Some(value) => self.wrong(value, &join(path, "header"), "the name of a header", true),
                }
                let allow = join(path, "allow");
                match dict.get("allow") {
                    None => {}
                    Some(Value::Array(_, values)) => self.texts(values, "a list of texts", &allow, sensitive),
                    Some(value) => self.wrong(value, &allow, "a list of texts", true),
                }
            }
            _ => self.wrong(value, path, &kind.description(), sensitive),
        }
    }

    fn texts(&mut self, values: &[Value], allowed: &str, path: &str, sensitive: bool) {
        for (at, value) in values.iter().enumerate() {
            if !matches!(value, Value::String(..)) {
                self.wrong(value, &format!("{path}[{at}]"), allowed, sensitive);
            }
        }
    }

    fn forms(&mut self, dict: &Dict, forms: &[&'static str], path: &str) {
        for name in dict.keys() {
            if !forms.contains(&name.as_str()) {
                self.unknown(name, forms, &join(path, name));
            }
        }
    }

    /// No value is shown: a mistyped `password` has a password behind it.
    fn unknown(&mut self, name: &str, known: &[&'static str], path: &str) {
        let near = nearest(name, known.iter().copied()).map(str::to_owned);
        self.problems.push(Problem {
            origin: self.origins.of(path),
            path: path.to_owned(),
            value: None,
            message: "there is no such key".to_owned(),
            nearest: near.or_else(|| elsewhere(name)),
            allowed: Some(known.join(", ")),
        });
    }

    fn wrong(&mut self, value: &Value, path: &str, allowed: &str, hide: bool) {
        let (kind, shown) = describe(value);
        self.problems.push(Problem {
            origin: self.origins.of(path),
            path: path.to_owned(),
            value: shown.filter(|_| !hide),
            message: format!("{kind} does not belong here"),
            allowed: Some(allowed.to_owned()),
            nearest: None,
        });
    }
}

/// Whether JSON can say it too, as the grant must.
fn is_json(value: &Value) -> bool {
    match value {
        Value::Char(..) => false,
        Value::Num(_, number) => number.to_f64().is_none_or(f64::is_finite),
        Value::Dict(_, dict) => dict.values().all(is_json),
        Value::Array(_, values) => values.iter().all(is_json),
        _ => true,
    }
}

/// What a count may be at most: more worker threads are a slip, and no machine has them.
const MOST: i128 = 1024;

/// figment keeps signed and unsigned numbers apart.
fn whole(number: Num) -> Option<i128> {
    number.to_i128().or_else(|| number.to_u128()?.try_into().ok())
}

/// The kind of a value in words, and the value itself where it is a scalar.
fn describe(value: &Value) -> (&'static str, Option<String>) {
    match value {
        Value::String(_, text) => ("a text", Some(format!("{text:?}"))),
        // See the reader of TOML files.
        Value::Char(..) => ("a date", None),
        Value::Bool(_, flag) => ("true or false", Some(flag.to_string())),
        Value::Num(_, number @ (Num::F32(_) | Num::F64(_))) => {
            ("a fraction, or a number beyond all bounds,", number.to_f64().map(|number| number.to_string()))
        }
        Value::Num(_, number) => {
            // Eleven digits may be a person's number that went to the wrong key.
            let shown = whole(*number).filter(|number| *number < 10_000_000_000);
            ("this number", shown.map(|number| number.to_string()))
        }
        Value::Empty(..) => ("nothing", None),
        Value::Dict(..) => ("a table", None),
        Value::Array(..) => ("a list", None),
    }
}
