//! [`ForwardTable`]: from the authority that a client of the forward proxy names to a route.

use std::collections::HashMap;

use http::Method;

use super::{Match, Pattern, RouteTable};
use crate::authority::Authority;
use crate::config::{Scheme, Upstream};

/// Routes by the authority and path of their upstreams.
///
/// An authority without a port stands for the upstream on its scheme's default port; a port that
/// is given must be the upstream's.
#[derive(Clone, Debug)]
pub struct ForwardTable<T> {
    by_authority: HashMap<Authority, RouteTable<T>>,
}

impl<T: Clone> ForwardTable<T> {
    /// Each entry: the upstream, the methods that the route takes (`None`: every one), and the
    /// target. Of an http and an https upstream of the same loopback host, both on default
    /// ports, the https one is meant where no port is given.
    pub fn new(entries: impl IntoIterator<Item = (Upstream, Option<Vec<Method>>, T)>) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by_key(|(upstream, ..)| upstream.scheme != Scheme::Https);
        let mut grouped: HashMap<Authority, Vec<(Pattern, T)>> = HashMap::new();
        for (upstream, methods, target) in entries {
            let host = upstream.authority.host();
            let default = upstream.port() == upstream.scheme.default_port();
            let spellings = std::iter::once(Some(upstream.port())).chain(default.then_some(None));
            for port in spellings {
                let pattern = Pattern { host: None, path: upstream.path.clone(), methods: methods.clone() };
                let group = grouped.entry(Authority::new(host.clone(), port)).or_default();
                group.push((pattern, target.clone()));
            }
        }
        let tables = grouped.into_iter().map(|(authority, entries)| (authority, RouteTable::new(entries)));
        Self { by_authority: tables.collect() }
    }
}

impl<T> ForwardTable<T> {
    /// Whether some route's upstream has this authority.
    #[inline(never)]
    pub fn is_routed(&self, authority: &Authority) -> bool {
        self.by_authority.contains_key(authority)
    }

    /// The route whose upstream path is the longest prefix of `path`, which is without its
    /// query. `None` where the authority is not routed at all.
    #[inline(never)]
    pub fn find(&self, authority: &Authority, path: &str, method: &Method) -> Option<Match<'_, T>> {
        Some(self.by_authority.get(authority)?.find(None, path, method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PathPrefix;

    fn table() -> ForwardTable<&'static str> {
        let upstream = |scheme, authority: &str, path: &str| Upstream {
            scheme,
            authority: authority.parse().unwrap(),
            path: PathPrefix::new(path).unwrap(),
        };
        ForwardTable::new([
            (upstream(Scheme::Http, "localhost", "/"), None, "plain"),
            (upstream(Scheme::Https, "api.example.no", "/clients"), Some(vec![Method::GET]), "read"),
            (upstream(Scheme::Https, "api.example.no", "/clients"), None, "write"),
            (upstream(Scheme::Https, "api.example.no", "/clients/keys"), None, "keys"),
            (upstream(Scheme::Https, "api.example.no", "/scopes"), Some(vec![Method::GET]), "scopes"),
            (upstream(Scheme::Https, "api.example.no:8443", "/"), None, "other port"),
            (upstream(Scheme::Http, "127.0.0.1:9000", "/"), None, "local"),
            (upstream(Scheme::Https, "localhost", "/"), None, "tls"),
        ])
    }

    fn found(authority: &str, path: &str, method: &Method) -> Option<&'static str> {
        match table().find(&authority.parse().unwrap(), path, method) {
            Some(Match::Found { target, .. }) => Some(target),
            _ => None,
        }
    }

    #[test]
    fn the_longest_upstream_path_takes_the_request() {
        for (authority, path, method, expected) in [
            ("api.example.no", "/clients", &Method::GET, "read"),
            ("api.example.no", "/clients/1", &Method::HEAD, "read"),
            ("API.example.NO", "/clients/1", &Method::PUT, "write"),
            ("api.example.no:443", "/clients/keys/1", &Method::GET, "keys"),
            ("api.example.no:8443", "/clients", &Method::GET, "other port"),
            ("127.0.0.1:9000", "/x", &Method::GET, "local"),
            ("localhost", "/x", &Method::GET, "tls"),
            ("localhost:80", "/x", &Method::GET, "plain"),
            ("localhost:443", "/x", &Method::GET, "tls"),
        ] {
            assert_eq!(found(authority, path, method), Some(expected), "{authority}{path}");
        }
    }

    #[test]
    fn paths_that_no_route_covers_are_told_from_hosts_that_none_does() {
        let table = table();
        let find = |authority: &str, path, method| {
            let authority = authority.parse().unwrap();
            (table.is_routed(&authority), table.find(&authority, path, &method))
        };
        assert_eq!(find("api.example.no", "/other", Method::GET), (true, Some(Match::NotFound)));
        assert_eq!(find("api.example.no", "/clientsx", Method::GET), (true, Some(Match::NotFound)));
        let allow = vec![Method::GET, Method::HEAD];
        let refused = (true, Some(Match::MethodNotAllowed { allow }));
        assert_eq!(find("api.example.no", "/scopes", Method::PUT), refused);
        for other in ["api.example.no:80", "example.no", "127.0.0.1", "127.0.0.1:9001", "api.example.no."] {
            assert_eq!(find(other, "/clients", Method::GET), (false, None), "{other}");
        }
    }
}
