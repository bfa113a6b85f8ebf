//! The collection: a folder for each resource, a request for each other route.

use std::collections::BTreeSet;
use std::sync::Arc;

use ::http::{HeaderName, Method};
use serde_json::{Value, json};

use super::GENERATOR;
use super::request::{Item, Place};
use super::selfservice::Resource;
use crate::config::{Access, ClaimSource, Config, Route};
use crate::keys::GenerateError;

const SCHEMA: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";

const ABOUT: &str = "Requests through maskinporten-proxy, which puts the access token on them: leave Authorization at \
                     No Auth. Written by `maskinporten-proxy postman`, which replaces this file when it is run again.";

/// Routes that lead to the same place and differ in methods, claims or scopes.
struct Group<'a> {
    routes: Vec<&'a Route>,
}

pub(super) fn make(config: &Config, url: &str) -> Result<Value, GenerateError> {
    let with_password = config.inbound.password.is_some();
    let mut items = Vec::new();
    let mut variables = Variables::default();
    variables.add("baseUrl", url);
    for group in groups(&config.routes) {
        items.extend(group.items(with_password, &mut variables)?);
    }
    Ok(json!({
        "info": {
            "name": "maskinporten-proxy",
            "description": ABOUT,
            "schema": SCHEMA,
            "_exporter_id": GENERATOR,
        },
        "auth": { "type": "noauth" },
        "variable": variables.list,
        "item": items,
    }))
}

fn groups(routes: &[Arc<Route>]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for route in routes {
        let same = |group: &&mut Group<'_>| {
            let first = group.routes[0];
            (&first.host, &first.path, &first.upstream) == (&route.host, &route.path, &route.upstream)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.routes.push(route),
            None => groups.push(Group { routes: vec![route] }),
        }
    }
    groups
}

impl Group<'_> {
    fn items(&self, with_password: bool, variables: &mut Variables) -> Result<Vec<Value>, GenerateError> {
        let mut items = Vec::new();
        for (resource, beneath) in Resource::of(&self.routes[0].upstream) {
            let mut operations = Vec::new();
            for item in resource.operations(&beneath)? {
                if let Some(route) = self.route_for(item.method()) {
                    operations.push(item.to_json(&place(route, with_password, variables)));
                }
            }
            resource.variables().into_iter().for_each(|variable| variables.add_value(variable));
            let name = match self.routes[0].host.as_ref() {
                Some(host) => format!("{} on {host}", resource.name()),
                None => resource.name().to_owned(),
            };
            items.push(json!({ "name": name, "item": operations }));
        }
        if items.is_empty() {
            items.extend(
                self.routes.iter().map(|route| plain(route).to_json(&place(route, with_password, variables))),
            );
        }
        Ok(items)
    }

    fn route_for(&self, method: &str) -> Option<&Route> {
        self.routes.iter().copied().find(|route| allows(route, method))
    }
}

/// Whether the route takes requests with this method, and lets them through.
fn allows(route: &Route, method: &str) -> bool {
    let is_read = matches!(method, "GET" | "HEAD" | "OPTIONS");
    let is_taken = route.methods.as_ref().is_none_or(|methods| methods.iter().any(|known| known == method));
    is_taken && (route.access == Access::ReadWrite || is_read)
}

/// What can be said of any API: that the request got there.
fn plain(route: &Route) -> Item {
    let method = route.methods.as_ref().and_then(|methods| methods.first()).unwrap_or(&Method::GET);
    Item::new(&route.name, known(method), "").test(
        "pm.test('it came from the API, not from the proxy', () => pm.expect(pm.response.headers.has('Proxy-Status'), pm.response.text()).to.be.false);".to_owned(),
    )
}

/// A method of an odd name is left to the person who uses the collection.
fn known(method: &Method) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .find(|name| method == name)
        .unwrap_or("GET")
}

fn place(route: &Route, with_password: bool, variables: &mut Variables) -> Place {
    let mut headers = Vec::new();
    if let Some(host) = &route.host {
        headers.push(("Host".to_owned(), host.to_string()));
    }
    for claim in [&route.consumer_org, &route.pid, &route.systemuser_org] {
        if let Some(ClaimSource::Header { name, allow }) = claim {
            let variable = variable(name);
            // Numbers of persons are not written anywhere.
            let first = allow.as_ref().and_then(|allow| allow.first());
            let value = first.filter(|_| !std::ptr::eq(claim, &route.pid));
            variables.add(&variable, value.map_or("", String::as_str));
            headers.push((name.to_string(), format!("{{{{{variable}}}}}")));
        }
    }
    if with_password {
        headers.push(("Proxy-Authorization".to_owned(), "Bearer {{proxyPassword}}".to_owned()));
    }
    let path = route.path.as_str();
    Place { path: if path == "/" { String::new() } else { path.to_owned() }, headers }
}

/// `x-consumer-org` → `consumerOrg`.
fn variable(header: &HeaderName) -> String {
    let mut name = String::new();
    for word in header.as_str().trim_start_matches("x-").split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut letters = word.chars();
        match letters.next() {
            Some(first) if !name.is_empty() => name.push(first.to_ascii_uppercase()),
            Some(first) => name.push(first),
            None => continue,
        }
        name.push_str(letters.as_str());
    }
    name
}

/// The collection's variables, each of them once.
#[derive(Default)]
struct Variables {
    list: Vec<Value>,
    keys: BTreeSet<String>,
}

impl Variables {
    fn add(&mut self, key: &str, value: &str) {
        self.add_value(json!({ "key": key, "value": value }));
    }

    fn add_value(&mut self, variable: Value) {
        let key = variable["key"].as_str().unwrap_or_default().to_owned();
        if self.keys.insert(key) {
            self.list.push(variable);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_give_variables_their_names() {
        for (header, name) in [("x-consumer-org", "consumerOrg"), ("pid", "pid"), ("x--a_b", "aB")] {
            assert_eq!(variable(&HeaderName::from_static(header)), name);
        }
    }
}
