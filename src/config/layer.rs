//! Layers of configuration, and their merge by figment with the origin of every value kept.
//!
//! A [`Layer`] is what one source says: a file, the environment, the flags. figment merges layers
//! key by key (a list is replaced as a whole) and tags every value with the layer that it came
//! from; the layer knows the line or variable.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::error::Origin;
use super::schema;

/// The profile under which a properties file and the NAIS variables say what to ask for, since
/// they know of no routes to say it in.
const GRANT: Profile = Profile::const_new("grant");

/// The prefix of that profile's paths among [`Origins`]; no key of a file begins so.
pub(super) const GRANT_PREFIX: &str = "(grant)";

/// Where the values at key paths (`routes[1].upstream`) came from.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(BTreeMap<String, Origin>);

/// What one source says.
pub(super) struct Layer {
    pub(super) root: Dict,
    /// `scopes`, `resource`, `pid`, `consumer_org` and the `client` they belong to.
    pub(super) grant: Dict,
    pub(super) origins: Origins,
}

/// Layers, merged.
#[derive(Clone)]
pub(super) struct Merged {
    pub(super) root: Dict,
    pub(super) grant: Dict,
    pub(super) origins: Origins,
}

impl Origins {
    pub(super) fn set(&mut self, path: impl Into<String>, origin: Origin) {
        self.0.insert(path.into(), origin);
    }

    /// The origin of the value at `path`, or of the table that it is (or is missing) in.
    pub(super) fn of(&self, path: &str) -> Origin {
        let mut path = path;
        loop {
            if let Some(origin) = self.0.get(path) {
                return origin.clone();
            }
            let Some(end) = path.rfind(['.', '[']) else { return Origin::Default };
            path = &path[..end];
        }
    }

    /// The origin of the value at `path` itself; `Default` where nobody set it.
    pub(super) fn of_value(&self, path: &str) -> Origin {
        self.0.get(path).cloned().unwrap_or(Origin::Default)
    }

    /// Takes over what `other` knows about `prefix` and everything beneath it.
    pub(super) fn copy_beneath(&mut self, prefix: &str, other: &Self) {
        for (path, origin) in other.0.range(prefix.to_owned()..) {
            let Some(rest) = path.strip_prefix(prefix) else { break };
            if rest.is_empty() || rest.starts_with(['.', '[']) {
                self.0.insert(path.clone(), origin.clone());
            }
        }
    }
}

impl Layer {
    pub(super) fn new() -> Self {
        Self { root: Dict::new(), grant: Dict::new(), origins: Origins::default() }
    }

    /// Sets the value at `path`, a list of table keys; tables on the way are made.
    pub(super) fn set(&mut self, path: &[&str], value: impl Into<Value>, origin: Origin) {
        let Some((last, tables)) = path.split_last() else { return };
        let mut dict = &mut self.root;
        for name in tables {
            let entry = dict.entry((*name).to_owned()).or_insert_with(|| Dict::new().into());
            if !matches!(entry, Value::Dict(..)) {
                *entry = Dict::new().into();
            }
            let Value::Dict(_, inner) = entry else { return };
            dict = inner;
        }
        dict.insert((*last).to_owned(), value.into());
        self.origins.set(path.join("."), origin);
    }

    /// Sets a part of the grant.
    pub(super) fn set_grant(&mut self, name: &str, value: impl Into<Value>, origin: Origin) {
        self.grant.insert(name.to_owned(), value.into());
        self.origins.set(format!("{GRANT_PREFIX}.{name}"), origin);
    }
}

/// Merges layers; a later one wins, key by key.
pub(super) fn merge<'a>(layers: impl IntoIterator<Item = &'a Layer>) -> Merged {
    let layers: Vec<&Layer> = layers.into_iter().collect();
    let figment = layers
        .iter()
        .enumerate()
        .fold(Figment::new(), |figment, (index, layer)| figment.merge(Source { index, layer }));
    let mut profiles = figment.data().expect("layers are in memory and always give their data");
    let mut root = profiles.remove(&Profile::Default).unwrap_or_default();
    let grant = profiles.remove(&GRANT).unwrap_or_default();
    schema::drop_nothing(&mut root);

    let mut origins = Origins::default();
    let mut finder = Finder { figment: &figment, layers: &layers, origins: &mut origins };
    finder.dict(&root, "");
    finder.dict(&grant, GRANT_PREFIX);
    Merged { root, grant, origins }
}

/// A value without the tags of an earlier merge. figment tags only what has none, so a value that
/// is carried over into a new layer must lose its own.
pub(super) fn untagged(value: &Value) -> Value {
    match value {
        Value::String(_, text) => text.clone().into(),
        Value::Char(_, c) => (*c).into(),
        Value::Bool(_, flag) => (*flag).into(),
        Value::Num(_, number) => Value::Num(Tag::Default, *number),
        Value::Empty(_, empty) => Value::Empty(Tag::Default, *empty),
        Value::Dict(_, dict) => {
            dict.iter().map(|(name, value)| (name.clone(), untagged(value))).collect::<Dict>().into()
        }
        Value::Array(_, values) => values.iter().map(untagged).collect::<Vec<_>>().into(),
    }
}

/// A layer as figment sees it; its metadata carries its place in the list.
struct Source<'a> {
    index: usize,
    layer: &'a Layer,
}

impl Provider for Source<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named("configuration layer").source(self.index.to_string().as_str())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut root = self.layer.root.clone();
        schema::close_forms(&mut root);
        Ok([(Profile::Default, root), (GRANT, self.layer.grant.clone())].into())
    }
}

struct Finder<'a> {
    figment: &'a Figment,
    layers: &'a [&'a Layer],
    origins: &'a mut Origins,
}

impl Finder<'_> {
    fn dict(&mut self, dict: &Dict, path: &str) {
        for (name, value) in dict {
            self.value(value, &schema::join(path, name));
        }
    }

    fn value(&mut self, value: &Value, path: &str) {
        let index = self
            .figment
            .get_metadata(value.tag())
            .and_then(|metadata| metadata.source.as_ref()?.custom()?.parse::<usize>().ok());
        if let Some(layer) = index.and_then(|index| self.layers.get(index)) {
            self.origins.set(path, layer.origins.of(path));
        }
        match value {
            Value::Dict(_, dict) => self.dict(dict, path),
            Value::Array(_, values) => {
                for (at, value) in values.iter().enumerate() {
                    self.value(value, &format!("{path}[{at}]"));
                }
            }
            _ => {}
        }
    }
}
