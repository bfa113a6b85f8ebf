//! One request of a collection, in the form of Postman's collection format v2.1.

use serde_json::{Value, json};

/// A request under construction.
pub(super) struct Item {
    name: String,
    method: &'static str,
    /// Beneath the route's place on the proxy; empty, or beginning with `/`.
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    description: &'static str,
    before: Vec<String>,
    tests: Vec<String>,
}

/// What all requests of a route have in common.
pub(super) struct Place {
    /// The route's path on the proxy, without a slash at its end.
    pub(super) path: String,
    /// Name and value.
    pub(super) headers: Vec<(String, String)>,
}

impl Item {
    pub(super) fn new(name: &str, method: &'static str, path: &str) -> Self {
        Self {
            name: name.to_owned(),
            method,
            path: path.to_owned(),
            query: Vec::new(),
            body: None,
            description: "",
            before: Vec::new(),
            tests: Vec::new(),
        }
    }

    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    pub(super) fn query(mut self, name: &'static str, value: &str) -> Self {
        self.query.push((name, value.to_owned()));
        self
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(super) fn described(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// A line of script to run before the request.
    pub(super) fn before(mut self, line: &str) -> Self {
        self.before.push(line.to_owned());
        self
    }

    /// A line of script to run on the response.
    pub(super) fn test(mut self, line: String) -> Self {
        self.tests.push(line);
        self
    }

    /// Expects one of `statuses`.
    pub(super) fn answers(self, statuses: &[u16]) -> Self {
        let list = statuses.iter().map(u16::to_string).collect::<Vec<_>>();
        let (name, list) = (list.join(" or "), list.join(", "));
        self.test(format!(
            "pm.test('status {name}', () => pm.expect(pm.response.code, pm.response.text()).to.be.oneOf([{list}]));"
        ))
    }

    /// Keeps a member of the answer in a collection variable.
    pub(super) fn keeps(self, member: &str, variable: &str) -> Self {
        self.test(format!(
            "if (pm.response.code < 300) pm.collectionVariables.set('{variable}', pm.response.json().{member});"
        ))
    }

    pub(super) fn to_json(&self, place: &Place) -> Value {
        let mut headers: Vec<Value> =
            place.headers.iter().map(|(name, value)| json!({ "key": name, "value": value })).collect();
        if self.body.is_some() {
            headers.push(json!({ "key": "Content-Type", "value": "application/json" }));
        }
        let mut request = json!({
            "method": self.method,
            "header": headers,
            "url": self.url(place),
            "description": self.description,
        });
        if let Some(body) = &self.body {
            let raw = serde_json::to_string_pretty(body).unwrap_or_default();
            request["body"] = json!({
                "mode": "raw",
                "raw": raw,
                "options": { "raw": { "language": "json" } },
            });
        }
        let events: Vec<Value> = [("prerequest", &self.before), ("test", &self.tests)]
            .into_iter()
            .filter(|(_, lines)| !lines.is_empty())
            .map(|(listen, lines)| json!({ "listen": listen, "script": { "type": "text/javascript", "exec": lines } }))
            .collect();
        json!({ "name": self.name, "event": events, "request": request, "response": [] })
    }

    fn url(&self, place: &Place) -> Value {
        let path = format!("{}{}", place.path, self.path);
        let mut raw = format!("{{{{baseUrl}}}}{path}");
        for (at, (name, value)) in self.query.iter().enumerate() {
            raw.push(if at == 0 { '?' } else { '&' });
            raw.push_str(&format!("{name}={value}"));
        }
        let mut url = json!({ "raw": raw, "host": ["{{baseUrl}}"] });
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        if !segments.is_empty() {
            url["path"] = json!(segments);
        }
        if !self.query.is_empty() {
            url["query"] =
                self.query.iter().map(|(name, value)| json!({ "key": name, "value": value })).collect();
        }
        url
    }
}
