//! A TOML file as a layer, with the line of every key.

use std::path::Path;

use figment::value::{Dict, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problem};
use super::layer::Layer;
use super::schema;

/// Reads the text of `path`, which is how messages name the file.
///
/// # Errors
///
/// The place where the text stops being TOML. The line itself is not quoted: a password may
/// stand in it.
pub(super) fn read(path: &Path, text: &str) -> Result<Layer, Box<Problem>> {
    let lines = Lines::new(text);
    let table = DeTable::parse(text).map_err(|error| {
        Box::new(Problem {
            origin: Origin::File {
                path: path.to_owned(),
                line: error.span().map(|span| lines.line(span.start)),
            },
            path: String::new(),
            value: None,
            message: format!("this is not TOML: {}", error.message()),
            allowed: Some("key = \"text\", with the text in quotes, below a [table]".to_owned()),
            nearest: None,
        })
    })?;
    let mut reader = Reader { path, lines, layer: Layer::new() };
    reader.layer.root = reader.table(table.get_ref(), "");
    Ok(reader.layer)
}

struct Reader<'a> {
    path: &'a Path,
    lines: Lines,
    layer: Layer,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &str) -> Dict {
        let mut dict = Dict::new();
        for (name, value) in table.iter() {
            let path = schema::join(path, name.get_ref());
            self.mark(&path, name.span().start);
            dict.insert(name.get_ref().clone().into_owned(), self.value(value, &path));
        }
        dict
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str) -> Value {
        match value.get_ref() {
            DeValue::String(text) => text.clone().into_owned().into(),
            DeValue::Boolean(flag) => (*flag).into(),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => number.into(),
                // Too long for a number; no key has room for it either.
                Err(_) => f64::INFINITY.into(),
            },
            DeValue::Float(number) => number.as_str().parse::<f64>().unwrap_or(f64::NAN).into(),
            // No key takes a date, and figment has no value for one. A lone character, which TOML
            // does not have, stands for it: every kind of key refuses that.
            DeValue::Datetime(_) => 'd'.into(),
            DeValue::Array(values) => {
                let mut list = Vec::new();
                for (at, value) in values.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    self.mark(&path, value.span().start);
                    list.push(self.value(value, &path));
                }
                list.into()
            }
            DeValue::Table(table) => self.table(table, path).into(),
        }
    }

    fn mark(&mut self, path: &str, offset: usize) {
        let line = Some(self.lines.line(offset));
        self.layer.origins.set(path, Origin::File { path: self.path.to_owned(), line });
    }
}

/// The offsets at which lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        let begins = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(begins).collect())
    }

    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|begin| *begin <= offset)
    }
}
