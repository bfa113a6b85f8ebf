//! Claims of grants and tokens: a JSON object that hides `pid` when it is printed.

use std::fmt;
use std::ops::Deref;

use serde_json::{Map, Value};

/// The claims of a JWT. `Debug` shows them all but `pid` and `authorization_details`, which may
/// name a person.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// The organisation number in an ISO 6523 claim such as `consumer` (`0192:…`).
    pub fn organisation(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.get("ID")?.as_str()?.strip_prefix("0192:")
    }

    pub(super) fn has_scope(&self, scope: &str) -> bool {
        self.text("scope").is_some_and(|scopes| scopes.split(' ').any(|granted| granted == scope))
    }
}

impl Deref for Claims {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in &self.0 {
            match name.as_str() {
                "pid" | "authorization_details" => map.entry(name, &"***"),
                _ => map.entry(name, &format_args!("{value}")),
            };
        }
        map.finish()
    }
}

/// An organisation as Maskinporten's tokens name it (ISO 6523, `0192` is the Norwegian register).
pub(super) fn iso6523(organisation: &str) -> Value {
    serde_json::json!({ "authority": "iso6523-actorid-upis", "ID": format!("0192:{organisation}") })
}
