//! What the command finds in its environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;

use super::trust::Bundle;
use crate::authority::Host;
use crate::config::{Config, Route};

/// The proxy's URL; with a suffix, a route's.
const URL: &str = "MASKINPORTEN_PROXY_URL";

/// Where proxies are named. Lower case is what curl reads for http, and what many read first.
const PROXIES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"];
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// What is reached directly unless a route leads there.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The changes to our own environment.
pub(super) struct Environment {
    removed: Vec<OsString>,
    set: BTreeMap<String, OsString>,
}

impl Environment {
    /// `url` is the proxy's; `bundle` is there where TLS is intercepted.
    pub(super) fn new(config: &Config, url: &str, proxy_env: bool, bundle: Option<&Bundle>) -> Self {
        // Those of a run around this one would lead to another proxy.
        let removed = std::env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| name.to_string_lossy().starts_with(URL))
            .collect();
        let mut set: BTreeMap<String, OsString> = BTreeMap::from([(URL.to_owned(), url.into())]);
        for route in &config.routes {
            set.entry(variable(&route.name)).or_insert_with(|| route_url(url, route).into());
        }
        if proxy_env {
            set.extend(PROXIES.map(|name| (name.to_owned(), url.into())));
            let routed: Vec<&Host> =
                config.routes.iter().map(|route| route.upstream.authority.host()).collect();
            let before = EXCEPTIONS.iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
            let exceptions = exceptions(&before, &routed);
            set.extend(EXCEPTIONS.map(|name| (name.to_owned(), OsString::from(&exceptions))));
        }
        if let Some(bundle) = bundle {
            set.extend(bundle.variables());
        }
        Self { removed, set }
    }

    pub(super) fn apply(&self, command: &mut tokio::process::Command) {
        for name in &self.removed {
            command.env_remove(name);
        }
        command.envs(&self.set);
    }
}

/// `MASKINPORTEN_PROXY_URL_<ROUTE>`.
fn variable(route: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("{URL}_{}", route.chars().map(plain).collect::<String>())
}

/// Where the route is on the proxy, without a slash at the end. A route of a host of its own is
/// reached by that name alone.
fn route_url(url: &str, route: &Route) -> String {
    let path = if route.path.as_str() == "/" { "" } else { route.path.as_str() };
    match (&route.host, url.rsplit_once(':')) {
        (Some(host), Some((_, port))) => format!("http://{host}:{port}{path}"),
        _ => format!("{url}{path}"),
    }
}

/// `NO_PROXY` without what would lead round the proxy to a routed host, and with loopback, where
/// no route leads.
fn exceptions(before: &str, routed: &[&Host]) -> String {
    let entries = before.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
    let kept = entries.filter(|entry| !routed.iter().any(|host| covers(entry, host)));
    let loopback = LOOPBACK.into_iter().filter(|_| !routed.iter().any(|host| host.is_loopback()));
    let mut list: Vec<&str> = Vec::new();
    for entry in kept.chain(loopback) {
        if !list.contains(&entry) {
            list.push(entry);
        }
    }
    list.join(",")
}

/// Whether an entry of `NO_PROXY` takes `host`, in any of the ways in which programs read it.
fn covers(entry: &str, host: &Host) -> bool {
    if entry == "*" {
        return true;
    }
    let entry = entry.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
    let address = match host {
        Host::Name(name) => {
            let without_port = entry.rsplit_once(':').map_or(entry.as_str(), |(name, _)| name);
            let below = |entry: &str| {
                name.strip_suffix(entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };
            return below(&entry) || below(without_port);
        }
        Host::V4(address) => IpAddr::V4(*address),
        Host::V6(address) => IpAddr::V6(*address),
    };
    let network = entry.parse::<ipnet::IpNet>().ok().or_else(|| {
        let (bare, _) = entry.rsplit_once(':').unwrap_or((&entry, ""));
        let address = entry.parse().or_else(|_| bare.trim_matches(['[', ']']).parse::<IpAddr>());
        address.or_else(|_| entry.trim_matches(['[', ']']).parse()).ok().map(Into::into)
    });
    network.is_some_and(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_s_variable_holds_capitals_digits_and_underscores_alone() {
        assert_eq!(variable("clients"), "MASKINPORTEN_PROXY_URL_CLIENTS");
        assert_eq!(variable("my-api_2"), "MASKINPORTEN_PROXY_URL_MY_API_2");
    }

    #[test]
    fn exceptions_never_lead_round_the_proxy_to_a_routed_host() {
        let api: Host = "api.test.samarbeid.digdir.no".parse().unwrap();
        let routed = [&api];
        for before in
            ["*", "digdir.no", ".digdir.no", "*.samarbeid.digdir.no", "API.test.samarbeid.digdir.no:443"]
        {
            assert_eq!(exceptions(before, &routed), "localhost,127.0.0.1,::1", "{before}");
        }
        assert_eq!(
            exceptions("intern.example.no, notdigdir.no,10.0.0.0/8", &routed),
            "intern.example.no,notdigdir.no,10.0.0.0/8,localhost,127.0.0.1,::1"
        );
        assert_eq!(exceptions("localhost", &routed), "localhost,127.0.0.1,::1");
    }

    #[test]
    fn loopback_is_no_exception_where_a_route_leads_there() {
        let local: Host = "127.0.0.1".parse().unwrap();
        let v6: Host = "[::1]".parse().unwrap();
        assert_eq!(exceptions("127.0.0.1,127.0.0.0/8,127.0.0.1:80,x.no", &[&local]), "x.no");
        assert_eq!(exceptions("[::1],::1,[::1]:80,x.no", &[&v6]), "x.no");
    }
}
