//! `Location` and `Content-Location` of the upstream, turned to where the client knows it.

use http::HeaderValue;

use super::path;
use crate::authority::Authority;
use crate::config::{PathPrefix, Scheme, Upstream};

/// Rewrites a reference that points into the route's upstream so that it points into the route;
/// `None` where it is to stay as it is.
///
/// `base` is the origin by which the client named the proxy (`http://localhost:8080`), without a
/// slash at its end. An absolute reference stays absolute, a network-path reference (`//host/…`)
/// stays one, and so does an absolute path. Relative paths stay as they are, and so does
/// everything that points elsewhere: another scheme, host, port or path, userinfo, or dot
/// segments that climb out of the upstream's path.
///
/// For requests in absolute form (`http://api.example.no/…` for an https upstream), pass
/// `http://api.example.no` as `base` and the upstream's own path as `route`.
pub fn rewrite(value: &[u8], upstream: &Upstream, route: &PathPrefix, base: &str) -> Option<HeaderValue> {
    let reference = Reference::parse(value, upstream)?;
    let rest = strip(&upstream.path, reference.path)?;
    // Judged as text; octets beyond ASCII are no dot, slash or percent sign.
    path::check(&String::from_utf8_lossy(rest)).ok()?;

    let route = if route.as_str() == "/" { "" } else { route.as_str() };
    let upstream_path = if upstream.path.as_str() == "/" { "" } else { upstream.path.as_str() };
    let mut start = match reference.form {
        Form::Absolute => base,
        Form::Network => base.split_once(':').map_or(base, |(_scheme, rest)| rest),
        Form::Path if route == upstream_path => return None,
        Form::Path => "",
    };
    // An absolute path that begins with two slashes would be read as a host.
    if start.is_empty() && route.is_empty() && matches!(rest, [b'/', b'/' | b'\\', ..]) {
        start = base;
    }
    let slash = if route.is_empty() && rest.is_empty() { "/" } else { "" };
    let rewritten = [start.as_bytes(), route.as_bytes(), slash.as_bytes(), rest, reference.tail].concat();
    HeaderValue::from_bytes(&rewritten).ok()
}

enum Form {
    Absolute,
    Network,
    Path,
}

/// A reference to the upstream's own authority, taken apart.
struct Reference<'a> {
    form: Form,
    path: &'a [u8],
    /// Query and fragment, with their marks.
    tail: &'a [u8],
}

impl<'a> Reference<'a> {
    fn parse(text: &'a [u8], upstream: &Upstream) -> Option<Self> {
        let (form, rest) = match text {
            [b'/', b'/', rest @ ..] => (Form::Network, rest),
            // Browsers take `/\` for `//`.
            [b'/', b'\\', ..] => return None,
            [b'/', ..] => (Form::Path, text),
            _ => (Form::Absolute, after_scheme(text, upstream.scheme)?),
        };
        let rest = match form {
            Form::Path => rest,
            Form::Absolute | Form::Network => {
                let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\'));
                let (authority, rest) = rest.split_at(end.unwrap_or(rest.len()));
                let authority: Authority = str::from_utf8(authority).ok()?.parse().ok()?;
                let same_host = authority.host() == upstream.authority.host();
                let same_port = authority.port_or(upstream.scheme.default_port()) == upstream.port();
                if !same_host || !same_port {
                    return None;
                }
                rest
            }
        };
        let end = rest.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(rest.len());
        let (path, tail) = rest.split_at(end);
        Some(Self { form, path, tail })
    }
}

fn after_scheme(text: &[u8], scheme: Scheme) -> Option<&[u8]> {
    let name = scheme.name().as_bytes();
    let (start, rest) = text.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    rest.strip_prefix(b"://")
}

/// As [`PathPrefix::strip`], for octets; an empty path is the root (RFC 3986 §6.2.3).
fn strip<'a>(prefix: &PathPrefix, path: &'a [u8]) -> Option<&'a [u8]> {
    if prefix.as_str() == "/" {
        return (path.is_empty() || path.starts_with(b"/")).then_some(path);
    }
    let rest = path.strip_prefix(prefix.as_str().as_bytes())?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(scheme: Scheme, authority: &str, path: &str) -> Upstream {
        Upstream { scheme, authority: authority.parse().unwrap(), path: PathPrefix::new(path).unwrap() }
    }

    fn rewritten(value: &str, upstream: &Upstream, route: &str) -> Option<String> {
        rewrite(value.as_bytes(), upstream, &PathPrefix::new(route).unwrap(), "http://localhost:8080")
            .map(|value| String::from_utf8(value.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn what_points_into_the_upstream_points_into_the_route() {
        let api = upstream(Scheme::Https, "api.example.no", "/v1/clients");
        for (value, route, expected) in [
            ("https://api.example.no/v1/clients/1?a=b#c", "/c", "http://localhost:8080/c/1?a=b#c"),
            ("https://api.example.no/v1/clients", "/c", "http://localhost:8080/c"),
            ("https://api.example.no/v1/clients", "/", "http://localhost:8080/"),
            ("https://api.example.no/v1/clients?x", "/", "http://localhost:8080/?x"),
            ("https://api.example.no:443/v1/clients/1", "/c", "http://localhost:8080/c/1"),
            ("HTTPS://API.Example.NO/v1/clients/1", "/c", "http://localhost:8080/c/1"),
            ("//api.example.no/v1/clients/1", "/c", "//localhost:8080/c/1"),
            ("/v1/clients/1", "/c", "/c/1"),
            ("/v1/clients", "/c", "/c"),
            ("/v1/clients/", "/c", "/c/"),
            ("/v1/clients", "/", "/"),
            ("/v1/clients?after=2", "/", "/?after=2"),
            ("/v1/clients/a/../b", "/c", "/c/a/../b"),
            ("/v1/clients/s\u{f8}k%20", "/c", "/c/s\u{f8}k%20"),
            ("https://api.example.no/v1/clients/1", "/v1/clients", "http://localhost:8080/v1/clients/1"),
        ] {
            assert_eq!(rewritten(value, &api, route).as_deref(), Some(expected), "{value} {route}");
        }
    }

    #[test]
    fn what_points_elsewhere_stays() {
        let api = upstream(Scheme::Https, "api.example.no", "/v1/clients");
        for value in [
            "",
            "1",
            "../clients/1",
            "./1",
            "?page=2",
            "#top",
            "/v1",
            "/v1/clientsx",
            "/v1/clients/../scopes",
            "/v1/clients/%2e%2e/scopes",
            "https://api.example.no/v1/clients/../../admin",
            "https://api.example.no",
            "https://api.example.no/other",
            "https://api.example.no:8443/v1/clients/1",
            "http://api.example.no/v1/clients/1",
            "http://api.example.no:443/v1/clients/1",
            "https://api.example.no.evil.com/v1/clients/1",
            "https://evil@api.example.no/v1/clients/1",
            "https://api.example.no@evil.com/v1/clients/1",
            "https:/v1/clients/1",
            "https:api.example.no/v1/clients/1",
            "https://api.example.no\\.evil.com/v1/clients",
            "/\\api.example.no/v1/clients",
            "//evil.com/v1/clients/1",
            "///v1/clients/1",
            "ftp://api.example.no/v1/clients/1",
            "mailto:a@b",
        ] {
            assert_eq!(rewritten(value, &api, "/c"), None, "{value}");
        }
        assert_eq!(
            rewritten("/v1/clients/1", &api, "/v1/clients"),
            None,
            "already where the client knows it"
        );
    }

    #[test]
    fn an_upstream_at_the_root_and_on_a_port() {
        let local = upstream(Scheme::Http, "[::1]:9000", "/");
        assert_eq!(rewritten("http://[::1]:9000", &local, "/x").as_deref(), Some("http://localhost:8080/x"));
        assert_eq!(
            rewritten("http://[0:0::1]:9000/a", &local, "/x").as_deref(),
            Some("http://localhost:8080/x/a")
        );
        assert_eq!(rewritten("http://[::1]/a", &local, "/x"), None);
        assert_eq!(rewritten("/a", &local, "/x").as_deref(), Some("/x/a"));
        assert_eq!(rewritten("/a", &local, "/"), None);
    }

    #[test]
    fn a_double_slash_never_becomes_another_host() {
        let api = upstream(Scheme::Https, "api.example.no", "/clients");
        assert_eq!(
            rewritten("/clients//evil.com/x", &api, "/").as_deref(),
            Some("http://localhost:8080//evil.com/x")
        );
        assert_eq!(
            rewritten("/clients/\\evil.com/x", &api, "/").as_deref(),
            Some("http://localhost:8080/\\evil.com/x")
        );
        assert_eq!(rewritten("/clients//evil.com/x", &api, "/c").as_deref(), Some("/c//evil.com/x"));
    }

    #[test]
    fn in_absolute_form_the_client_keeps_the_scheme_it_used() {
        let api = upstream(Scheme::Https, "api.example.no", "/clients");
        let value = b"https://api.example.no/clients/1";
        let rewritten = rewrite(value, &api, &api.path, "http://api.example.no").unwrap();
        assert_eq!(rewritten, "http://api.example.no/clients/1");
    }
}
