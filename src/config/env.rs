//! Environment variables `MASKINPORTEN_PROXY_…` as a layer.
//!
//! `__` stands between levels and the table of keys says what a text is to become, so that
//! `…__CLIENT_ID=123` stays a text and `…__SCOPES` may be a TOML list or words. Names in files are
//! matched without regard to case, `-` written as `_`; a route is named by its number or its name.
//! The process's own environment is never read here: the variables are an argument.

use std::collections::BTreeMap;

use figment::value::{Dict, Value};

use super::error::{Origin, Problem};
use super::layer::{Layer, Merged, untagged};
use super::schema::{self, CLAIM_FORMS, Kind, Node, SECRET_FORMS};

const PREFIX: &str = "MASKINPORTEN_PROXY_";

/// What `run` sets for its child: addresses of the proxy, no settings.
const RUNS_OWN: &str = "MASKINPORTEN_PROXY_URL";

/// Reads the variables of ours among `env`; `below` is what the files say, for the names in it.
pub(super) fn read(env: &BTreeMap<String, String>, below: &Merged) -> (Layer, Vec<Problem>) {
    let mut reader = Reader { below, layer: Layer::new(), problems: Vec::new() };
    for (variable, text) in env {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        if variable == RUNS_OWN || variable.strip_prefix(RUNS_OWN).is_some_and(|rest| rest.starts_with('_')) {
            continue;
        }
        reader.variable(variable, name, text);
    }
    (reader.layer, reader.problems)
}

struct Reader<'a> {
    below: &'a Merged,
    layer: Layer,
    problems: Vec<Problem>,
}

/// Where a variable's name leads.
struct Target {
    /// Keys of tables; the element of a list as its number.
    path: Vec<String>,
    kind: Leaf,
}

/// What a variable's text is to become.
enum Leaf {
    Key(Kind),
    Text,
    Texts,
}

impl Reader<'_> {
    fn variable(&mut self, variable: &str, name: &str, text: &str) {
        let segments: Vec<String> = name.split("__").map(str::to_ascii_lowercase).collect();
        let target = match self.resolve(&segments) {
            Ok(target) => target,
            Err(mut problem) => {
                problem.origin = Origin::Env(variable.to_owned());
                self.problems.push(*problem);
                return;
            }
        };
        let value = match target.kind {
            Leaf::Text => text.into(),
            Leaf::Texts => texts(text),
            Leaf::Key(kind) => value(kind, text),
        };
        self.put(&target.path, value, Origin::Env(variable.to_owned()));
    }

    fn resolve(&self, segments: &[String]) -> Result<Target, Box<Problem>> {
        let mut pattern = String::new();
        let mut path: Vec<String> = Vec::new();
        let mut rest = segments;
        loop {
            match schema::node(&pattern) {
                Some(Node::Key(key)) => return leaf(key.kind, path, rest),
                Some(Node::Table) => {
                    let Some((name, after)) = rest.split_first() else {
                        return Err(incomplete(&path, &pattern));
                    };
                    let known = schema::children(&pattern);
                    if !known.contains(&name.as_str()) {
                        return Err(unknown(&path, name, &known));
                    }
                    pattern = schema::join(&pattern, name);
                    path.push(name.clone());
                    rest = after;
                }
                Some(Node::Named) => {
                    let Some((name, after)) = rest.split_first() else {
                        return Err(incomplete(&path, &pattern));
                    };
                    path.push(self.named(&pattern, name));
                    pattern = schema::join(&pattern, "*");
                    rest = after;
                }
                Some(Node::List) => {
                    let Some((name, after)) = rest.split_first() else {
                        return Err(incomplete(&path, &pattern));
                    };
                    path.push(self.element(name)?.to_string());
                    pattern = schema::join(&pattern, "#");
                    rest = after;
                }
                None => return Err(unknown(&path, "", &schema::children(""))),
            }
        }
    }

    /// The name in the files that `name` stands for, or `name` itself for a new table.
    fn named(&self, pattern: &str, name: &str) -> String {
        let tables = self.below.root.get(pattern);
        let Some(Value::Dict(_, tables)) = tables else { return name.to_owned() };
        tables
            .keys()
            .find(|known| comparable(known) == comparable(name))
            .cloned()
            .unwrap_or_else(|| name.to_owned())
    }

    /// The place of a route, by its number or its name; one past the end makes a new one.
    fn element(&self, name: &str) -> Result<usize, Box<Problem>> {
        let routes = self.routes();
        let by_number = name.parse().ok().filter(|at| *at <= routes.len());
        let by_name = || {
            routes.iter().position(|route| {
                let known = route.as_dict().and_then(|route| route.get("name")?.as_str());
                known.is_some_and(|known| comparable(known) == comparable(name))
            })
        };
        by_number.or_else(by_name).ok_or_else(|| {
            let names = routes.iter().filter_map(|route| route.as_dict()?.get("name")?.as_str());
            let named = names.map(|name| format!(", {name}")).collect::<String>();
            problem(
                format!("routes[{name}]"),
                "there is no such route",
                format!("a number from 0 to {}{named}", routes.len()),
                None,
            )
        })
    }

    /// The routes as they stand: those of the files, changed by the variables read so far.
    fn routes(&self) -> &[Value] {
        let routes = self.layer.root.get("routes").or_else(|| self.below.root.get("routes"));
        routes.and_then(Value::as_array).unwrap_or_default()
    }

    fn put(&mut self, path: &[String], value: Value, origin: Origin) {
        match path {
            [list, at, keys @ ..] if list == "routes" => {
                let Ok(at) = at.parse::<usize>() else { return };
                // Lists replace each other as a whole, so this layer has the files' one, changed.
                if !self.layer.root.contains_key("routes") {
                    self.layer.root.insert(
                        "routes".to_owned(),
                        self.routes().iter().map(untagged).collect::<Vec<_>>().into(),
                    );
                    self.layer.origins.copy_beneath("routes", &self.below.origins);
                }
                let Some(Value::Array(_, routes)) = self.layer.root.get_mut("routes") else { return };
                if at == routes.len() {
                    routes.push(Dict::new().into());
                    self.layer.origins.set(format!("routes[{at}]"), origin.clone());
                }
                if let Some(Value::Dict(_, route)) = routes.get_mut(at) {
                    put_in(route, keys, value);
                    self.layer.origins.set(format!("routes[{at}].{}", keys.join(".")), origin);
                }
            }
            _ => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                self.layer.set(&path, value, origin);
            }
        }
    }
}

/// Sets the value at `keys`; a value on the way that is no table makes room for one.
fn put_in(dict: &mut Dict, keys: &[String], value: Value) {
    let Some((name, rest)) = keys.split_first() else { return };
    if rest.is_empty() {
        dict.insert(name.clone(), value);
        return;
    }
    let entry = dict.entry(name.clone()).or_insert_with(|| Dict::new().into());
    if !matches!(entry, Value::Dict(..)) {
        *entry = Dict::new().into();
    }
    if let Value::Dict(_, inner) = entry {
        put_in(inner, rest, value);
    }
}

fn leaf(kind: Kind, mut path: Vec<String>, rest: &[String]) -> Result<Target, Box<Problem>> {
    let [name] = rest else {
        return match rest {
            [] => Ok(Target { path, kind: Leaf::Key(kind) }),
            [name, ..] => Err(unknown(&path, name, &[])),
        };
    };
    let (forms, form): (&[&'static str], Leaf) = match kind {
        Kind::Secret => (&SECRET_FORMS, Leaf::Text),
        Kind::Claim(_) | Kind::PersonClaim(_) if name == "allow" => (&CLAIM_FORMS, Leaf::Texts),
        Kind::Claim(_) | Kind::PersonClaim(_) => (&CLAIM_FORMS, Leaf::Text),
        _ => (&[], Leaf::Text),
    };
    if !forms.contains(&name.as_str()) {
        return Err(unknown(&path, name, forms));
    }
    path.push(name.clone());
    Ok(Target { path, kind: form })
}

/// What a text becomes where a value of this kind is wanted. A text that cannot become it stays a
/// text, and the check of the table says what is wanted.
fn value(kind: Kind, text: &str) -> Value {
    match kind {
        Kind::Flag => {
            text.trim().to_ascii_lowercase().parse::<bool>().map_or_else(|_| text.into(), Value::from)
        }
        Kind::Count => text.trim().parse::<u64>().map_or_else(|_| text.into(), Value::from),
        Kind::List(_) => texts(text),
        Kind::Tables => toml_value(text).unwrap_or_else(|| text.into()),
        // `{ header = "…" }` and the like may be written out; a secret is never parsed, for a
        // password may look like anything.
        Kind::Claim(_) | Kind::PersonClaim(_) if text.trim_start().starts_with('{') => {
            toml_value(text).unwrap_or_else(|| text.into())
        }
        _ => text.into(),
    }
}

/// A TOML list, or words between commas and white space.
fn texts(text: &str) -> Value {
    if text.trim_start().starts_with('[')
        && let Some(value) = toml_value(text)
    {
        return value;
    }
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    words.map(Value::from).collect::<Vec<_>>().into()
}

fn toml_value(text: &str) -> Option<Value> {
    let layer = super::toml_file::read(std::path::Path::new(""), &format!("value = {}", text.trim())).ok()?;
    layer.root.get("value").cloned()
}

fn comparable(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

fn unknown(path: &[String], name: &str, known: &[&'static str]) -> Box<Problem> {
    let mut full = path.to_vec();
    full.push(name.to_owned());
    let allowed = match known {
        [] => format!("nothing beneath `{}`", path.join(".")),
        known => known.join(", "),
    };
    let nearest = schema::nearest(name, known.iter().copied()).map(str::to_owned);
    problem(full.join("."), "there is no such key", allowed, nearest)
}

fn incomplete(path: &[String], pattern: &str) -> Box<Problem> {
    let allowed = match schema::children(pattern).as_slice() {
        ["*"] => "`__`, a name, `__` and a key behind it".to_owned(),
        ["#"] => "`__`, a number or name, `__` and a key behind it".to_owned(),
        names => format!("`__` behind it and one of {}", names.join(", ")),
    };
    problem(path.join("."), "this is a table, and one variable cannot set it", allowed, None)
}

fn problem(path: String, message: &str, allowed: String, nearest: Option<String>) -> Box<Problem> {
    Box::new(Problem {
        origin: Origin::Default,
        path,
        value: None,
        message: message.to_owned(),
        allowed: Some(allowed),
        nearest,
    })
}
