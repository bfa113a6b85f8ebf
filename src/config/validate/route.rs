//! Routes: what they match, and where they go.

use std::sync::Arc;

use http::Method;

use super::{Checker, Clients, NAME, is_name};
use crate::authority::Host;
use crate::config::{Access, Client, Environment, Inbound, Listen, PathPrefix, Route, Upstream, file};

impl Checker<'_> {
    pub(super) fn routes(&mut self, routes: Vec<file::Route>, clients: &Clients) -> Vec<Arc<Route>> {
        let mut valid: Vec<(usize, Arc<Route>)> = Vec::new();
        for (at, route) in routes.into_iter().enumerate() {
            if let Some(route) = self.route(route, at, clients) {
                self.distinct(at, &route, &valid);
                valid.push((at, Arc::new(route)));
            }
        }
        valid.into_iter().map(|(_, route)| route).collect()
    }

    fn route(&mut self, mut route: file::Route, at: usize, clients: &Clients) -> Option<Route> {
        let path = format!("routes[{at}]");
        let key = |key: &str| format!("{path}.{key}");
        let name = self.required(route.name.take(), &key("name"), NAME);
        if let Some(name) = &name
            && !is_name(name)
        {
            self.refuse(&key("name"), Some(name), "this is no name for a route", Some(NAME));
        }
        let prefix = self.prefix(route.path.take(), &key("path"));
        let methods = match route.methods.take() {
            None => Some(None),
            Some(methods) => self.methods(methods, &key("methods")).map(Some),
        };
        let host = match route.host.take() {
            None => Some(None),
            Some(host) => self.host(&host, &key("host")).map(Some),
        };
        let upstream = self
            .required(
                route.upstream.take(),
                &key("upstream"),
                "an https URL, as \"https://api.example.no/v1\"",
            )
            .and_then(|url| self.upstream(&url, &key("upstream")));
        let access = route.access;
        let grant = self.grant(route, clients, &path)?;

        let route = Route {
            name: name?,
            path: prefix?,
            methods: methods?,
            host: host?,
            upstream: upstream?,
            access: access.unwrap_or_else(|| default_access(&grant.client)),
            client: grant.client,
            scopes: grant.scopes,
            resource: grant.resource,
            consumer_org: grant.consumer_org,
            pid: grant.pid,
            systemuser_org: grant.systemuser_org,
            systemuser_external_ref: grant.systemuser_external_ref,
            authorization_details: grant.authorization_details,
            exchange: grant.exchange,
        };
        self.warn_of_no_method_left(&route);
        self.warn_of_more_scope_than_reading_needs(&route);
        Some(route)
    }

    fn prefix(&mut self, text: Option<String>, path: &str) -> Option<PathPrefix> {
        let text = text.unwrap_or_else(|| "/".to_owned());
        let prefix = PathPrefix::new(&text);
        if prefix.is_none() {
            let allowed = "a path that begins with `/`, without query, dot segments and characters that must be percent-encoded";
            self.refuse(path, Some(&text), "this is no path prefix", Some(allowed));
        }
        prefix
    }

    fn methods(&mut self, methods: Vec<String>, path: &str) -> Option<Vec<Method>> {
        let allowed = "names of methods, as [\"GET\", \"POST\"]; without the key, every method";
        if methods.is_empty() {
            self.refuse(path, None, "an empty list matches no request", Some(allowed));
            return None;
        }
        let mut valid = Vec::new();
        for text in &methods {
            let message = match Method::from_bytes(text.as_bytes()) {
                Ok(Method::CONNECT | Method::TRACE) => "a route cannot take this method",
                Ok(_) if text.chars().any(|c| c.is_ascii_lowercase()) => {
                    "methods are case-sensitive, and written in capitals"
                }
                Ok(method) => {
                    if !valid.contains(&method) {
                        valid.push(method);
                    }
                    continue;
                }
                Err(_) => "this is no method",
            };
            self.refuse(path, Some(text), message, Some(allowed));
            return None;
        }
        Some(valid)
    }

    /// A host name without a port.
    pub(super) fn host(&mut self, text: &str, path: &str) -> Option<Host> {
        let allowed = "a host name or IP address, without scheme and port";
        if text.parse::<Host>().is_err() && text.parse::<crate::authority::Authority>().is_ok() {
            self.refuse(
                path,
                Some(text),
                "a port has no place here: ports do not matter in `Host`",
                Some(allowed),
            );
            return None;
        }
        self.parse(path, text, allowed)
    }

    fn upstream(&mut self, text: &str, path: &str) -> Option<Upstream> {
        let allowed = "an https URL without user, query and fragment (http for a loopback host)";
        let upstream: Upstream = self.parse(path, text, allowed)?;
        self.not_retired(upstream.authority.host(), path, text).then_some(upstream)
    }

    /// Two routes must differ in name, and in what they match.
    fn distinct(&mut self, at: usize, route: &Route, earlier: &[(usize, Arc<Route>)]) {
        for (other_at, other) in earlier {
            if comparable(&route.name) == comparable(&other.name) {
                let message = format!(
                    "routes[{other_at}] has this name (case, `-` and `_` make no difference: names become variables)"
                );
                self.refuse(&format!("routes[{at}].name"), Some(&route.name), message, None);
            }
            if matches_the_same(route, other) {
                let message = format!(
                    "routes[{other_at}] ({}) matches the same requests: same path, same host, and a method in common",
                    other.name
                );
                let allowed =
                    "another `path` or `host`, or `methods` on one of them or with no method in common";
                self.refuse(&format!("routes[{at}].path"), Some(route.path.as_str()), message, Some(allowed));
            }
        }
    }

    fn warn_of_no_method_left(&mut self, route: &Route) {
        let Some(methods) = &route.methods else { return };
        let reads = |method: &Method| matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        if route.access == Access::ReadOnly && !methods.iter().any(reads) {
            self.warnings.push(format!(
                "route {}: it takes {} alone, but is read-only, so it refuses every request; set access = \"read-write\" to let it write",
                route.name,
                methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", "),
            ));
        }
    }

    /// A route's `host` that no request can have, since such a `Host` is not admitted.
    pub(super) fn unadmitted_hosts(&mut self, routes: &[Arc<Route>], listen: &Listen, inbound: &Inbound) {
        for route in routes {
            let Some(host) = &route.host else { continue };
            let own = listen.ip().is_some_and(|ip| host.to_unbracketed() == ip.to_string());
            if !host.is_loopback() && !own && !inbound.allowed_hosts.contains(host) {
                self.warnings.push(format!(
                    "route {}: requests with the host {host} are refused until inbound.allowed_hosts has it",
                    route.name
                ));
            }
        }
    }
}

fn default_access(client: &Client) -> Access {
    match client.environment {
        Some(Environment::Prod) => Access::ReadOnly,
        _ => Access::ReadWrite,
    }
}

fn comparable(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

fn matches_the_same(one: &Route, other: &Route) -> bool {
    if one.host != other.host || one.path != other.path {
        return false;
    }
    match (&one.methods, &other.methods) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            one.iter().any(|method| takes(other, method)) || other.iter().any(|method| takes(one, method))
        }
        // The one with methods goes before the one without.
        _ => false,
    }
}

fn takes(methods: &[Method], method: &Method) -> bool {
    methods.contains(method) || (*method == Method::HEAD && methods.contains(&Method::GET))
}
