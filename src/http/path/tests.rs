use percent_encoding::percent_decode_str;
use proptest::prelude::*;

use super::*;

#[test]
fn dot_segments_that_stay_inside_pass() {
    for rest in [
        "",
        "/",
        "/a",
        "/a/..",
        "/a/../b",
        "/a/b/../../c",
        "/./a",
        "/.",
        "/a/%2e%2e/b",
        "/...",
        "/..a",
        "/a..",
        "/.well-known",
        "/a.b/c",
        "/%2e",
        "/a%2f..%2fb",
        "/a;x/..;y",
        "/a%",
        "/a%2",
        "/%252e%252e",
        "/%252e%252e/%252f",
        "//a//b",
        "/difi:api3",
        "/æ/../ø",
        "/a/;/..",
    ] {
        assert_eq!(check(rest), Ok(()), "{rest}");
    }
}

#[test]
fn dot_segments_that_climb_out_are_refused() {
    for rest in [
        "/..",
        "/../",
        "/../x",
        "/a/../..",
        "/a/../../a/b",
        "/a/../../clients",
        "/%2e%2e",
        "/%2E%2e/x",
        "/.%2E",
        "/%2e.",
        "/..%2f..",
        "/..%2Fx",
        "/a%2f..%2F..",
        "/..\\x",
        "\\..",
        "/\\..",
        "/..%5Cx",
        "/a%5c..%5c..",
        "/..;x",
        "/..;/x",
        "/%2e%2e;a=b/x",
        "/.;/..",
        "/./..",
        "/a/./../..",
        "/;x/..",
        "//..",
        "//../x",
        "/a//../..",
        // One segment to a server that leaves encoded slashes alone.
        "/a%2fb/../..",
        "/a%2Fb%5Cc/../../x",
        "/a%5cb/..%2f..",
        "/a/..;x%2fy/..",
        "/a;x%2fb/../..",
    ] {
        assert_eq!(check(rest), Err(Climb), "{rest}");
    }
}

fn joined(upstream: &str, prefix: &str, request: &str) -> String {
    let upstream = PathPrefix::new(upstream).unwrap();
    let prefix = PathPrefix::new(prefix).unwrap();
    let request: PathAndQuery = request.parse().unwrap();
    let rest_at = request.path().len() - prefix.strip(request.path()).unwrap().len();
    join(&upstream, &request, rest_at).unwrap().unwrap_or(request).as_str().to_owned()
}

#[test]
fn joins_byte_for_byte() {
    for (upstream, prefix, request, expected) in [
        ("/clients", "/clients", "/clients", "/clients"),
        ("/clients", "/clients", "/clients?x", "/clients?x"),
        ("/clients", "/clients", "/clients/", "/clients/"),
        ("/clients", "/clients", "/clients/1?a=b&c", "/clients/1?a=b&c"),
        ("/clients", "/", "/", "/clients/"),
        ("/clients", "/", "/1", "/clients/1"),
        ("/clients", "/", "/?", "/clients/?"),
        ("/", "/clients", "/clients", "/"),
        ("/", "/clients", "/clients?x", "/?x"),
        ("/", "/clients", "/clients/", "/"),
        ("/", "/clients", "/clients//x", "//x"),
        ("/", "/", "/", "/"),
        ("/", "/", "/a//b/../c%2Fd?e=%20+:", "/a//b/../c%2Fd?e=%20+:"),
        (
            "/api/v1",
            "/x",
            "/x/%c3%a6;p=1/a+b:c?scope=difi:api3/x?y",
            "/api/v1/%c3%a6;p=1/a+b:c?scope=difi:api3/x?y",
        ),
    ] {
        assert_eq!(joined(upstream, prefix, request), expected, "{upstream} {prefix} {request}");
    }
}

#[test]
fn a_target_of_a_host_and_a_query_has_the_root_path() {
    let uri: http::Uri = "http://host?x=1".parse().unwrap();
    let root = PathPrefix::new("/").unwrap();
    let joined = join(&root, uri.path_and_query().unwrap(), 0).unwrap().unwrap();
    assert_eq!(joined.as_str(), "/?x=1");
}

#[test]
fn what_does_not_fit_in_a_uri_is_an_error() {
    let upstream = PathPrefix::new("/clients").unwrap();
    let request: PathAndQuery = format!("/{}", "a".repeat(65_530)).parse().unwrap();
    assert_eq!(join(&upstream, &request, 0), Err(Unjoinable));
}

/// The same in so many words, on copies.
fn naive_climbs(rest: &str) -> bool {
    let mut depth = 0_i32;
    for between_slashes in rest.split('/') {
        let mut copy = between_slashes.to_owned();
        for (from, to) in
            [("%2e", "."), ("%2E", "."), ("%2f", "/"), ("%2F", "/"), ("%5c", "/"), ("%5C", "/"), ("\\", "/")]
        {
            copy = copy.replace(from, to);
        }
        let mut entered = false;
        for segment in copy.split('/') {
            let name = segment.split(';').next().unwrap();
            match name {
                ".." => depth -= 1,
                "" | "." => {}
                _ => depth += i32::from(!entered),
            }
            entered |= segment.contains(';') || !matches!(name, ".." | "" | ".");
            if depth < 0 {
                return true;
            }
        }
    }
    false
}

proptest! {
    #[test]
    fn agrees_with_the_naive_judgement(rest in "(/|\\.|\\.\\.|%2[eEfF]|%5[cC]|\\\\|;|a|%25|%){0,14}") {
        // A decoded `%` never makes a new triplet here, nor may it in the naive one.
        prop_assume!(!rest.contains("%%") && !rest.ends_with('%'));
        prop_assert_eq!(check(&rest).is_err(), naive_climbs(&rest));
    }

    #[test]
    fn what_passes_never_resolves_outside(rest in "(/(\\.|\\.\\.|%2e|%2E%2e|a|b;c|\\.\\.;d)){0,8}") {
        prop_assume!(check(&rest).is_ok());
        let decoded = percent_decode_str(&rest).decode_utf8().unwrap().into_owned();
        let mut resolved = vec!["route"];
        for segment in decoded.split('/') {
            match segment {
                ".." => drop(resolved.pop()),
                "" | "." => {}
                other => resolved.push(other),
            }
        }
        prop_assert_eq!(resolved.first().copied(), Some("route"));
    }
}
