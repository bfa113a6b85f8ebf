use proptest::prelude::*;

use super::*;

fn pattern(host: Option<&str>, path: &str, methods: &[Method]) -> Pattern {
    Pattern {
        host: host.map(|host| host.parse().unwrap()),
        path: PathPrefix::new(path).unwrap(),
        methods: (!methods.is_empty()).then(|| methods.to_vec()),
    }
}

fn host(text: &str) -> Host {
    text.parse().unwrap()
}

fn found<T>(matched: Match<'_, T>) -> Option<(&T, usize)> {
    match matched {
        Match::Found { target, rest_at } => Some((target, rest_at)),
        _ => None,
    }
}

#[test]
fn the_longest_path_on_whole_segments_wins() {
    let table = RouteTable::new([
        (pattern(None, "/clients/keys", &[]), "keys"),
        (pattern(None, "/clients", &[]), "clients"),
        (pattern(None, "/clients-old", &[]), "old"),
        (pattern(None, "/scopes/a/b", &[]), "deep"),
    ]);
    for (path, expected) in [
        ("/clients", Some(("clients", 8))),
        ("/clients/", Some(("clients", 8))),
        ("/clients/x", Some(("clients", 8))),
        ("/clients//keys", Some(("clients", 8))),
        ("/clients/keys", Some(("keys", 13))),
        ("/clients/keys/1/2", Some(("keys", 13))),
        ("/clients/keysx", Some(("clients", 8))),
        ("/clients/kez", Some(("clients", 8))),
        ("/clients-old/x", Some(("old", 12))),
        ("/clients-older", None),
        ("/clientsx", None),
        ("/client", None),
        ("/Clients", None),
        ("/%63lients", None),
        ("/scopes/a", None),
        ("/scopes/a/b", Some(("deep", 11))),
        ("/", None),
        ("", None),
        ("*", None),
    ] {
        let found = found(table.find(None, path, &Method::GET)).map(|(target, at)| (*target, at));
        assert_eq!(found, expected, "{path}");
    }
}

#[test]
fn the_root_takes_what_is_left() {
    let table = RouteTable::new([(pattern(None, "/", &[]), "root"), (pattern(None, "/a", &[]), "a")]);
    assert_eq!(found(table.find(None, "/b", &Method::GET)), Some((&"root", 0)));
    assert_eq!(found(table.find(None, "/", &Method::GET)), Some((&"root", 0)));
    assert_eq!(found(table.find(None, "//a", &Method::GET)), Some((&"root", 0)));
    assert_eq!(found(table.find(None, "/a/b", &Method::GET)), Some((&"a", 2)));
}

#[test]
fn among_equal_paths_a_host_then_methods_win() {
    let table = RouteTable::new([
        (pattern(None, "/a", &[]), "any"),
        (pattern(None, "/a", &[Method::GET]), "get"),
        (pattern(Some("x.localhost"), "/a", &[]), "host"),
        (pattern(Some("x.localhost"), "/a", &[Method::PUT]), "host put"),
        (pattern(Some("y.localhost"), "/a", &[Method::PUT]), "y put"),
        (pattern(None, "/a/b", &[Method::POST]), "longer"),
    ]);
    let (x, y, z) = (host("X.localhost"), host("y.localhost"), host("z.localhost"));
    for (host, path, method, expected) in [
        (Some(&x), "/a", Method::GET, "host"),
        (Some(&x), "/a", Method::PUT, "host put"),
        (Some(&y), "/a", Method::PUT, "y put"),
        (Some(&y), "/a", Method::GET, "get"),
        (Some(&y), "/a", Method::DELETE, "any"),
        (Some(&z), "/a", Method::HEAD, "get"),
        (None, "/a", Method::GET, "get"),
        (Some(&x), "/a/b", Method::POST, "longer"),
        (Some(&x), "/a/b", Method::PUT, "host put"),
    ] {
        assert_eq!(
            found(table.find(host, path, &method)).map(|(t, _)| *t),
            Some(expected),
            "{host:?} {method}"
        );
    }
}

#[test]
fn a_405_names_the_methods_of_all_that_match_host_and_path() {
    let table = RouteTable::new([
        (pattern(None, "/", &[Method::GET]), 0),
        (pattern(None, "/a", &[Method::GET, Method::POST]), 1),
        (pattern(Some("x.localhost"), "/a", &[Method::PUT]), 2),
        (pattern(None, "/a/b", &[Method::PATCH]), 3),
    ]);
    let allowed = |host: Option<&Host>, path| match table.find(host, path, &Method::DELETE) {
        Match::MethodNotAllowed { allow } => Some(allow),
        _ => None,
    };
    assert_eq!(allowed(None, "/zzz"), Some(vec![Method::GET, Method::HEAD]));
    assert_eq!(allowed(None, "/a"), Some(vec![Method::GET, Method::HEAD, Method::POST]));
    assert_eq!(
        allowed(Some(&host("x.localhost")), "/a/c"),
        Some(vec![Method::PUT, Method::GET, Method::HEAD, Method::POST])
    );
    let other: RouteTable<u8> = RouteTable::new([(pattern(Some("x.localhost"), "/a", &[Method::PUT]), 2)]);
    assert_eq!(other.find(None, "/a", &Method::GET), Match::NotFound, "the host does not match");
    assert_eq!(RouteTable::<u8>::new([]).find(None, "/", &Method::GET), Match::NotFound);
}

#[test]
fn of_two_that_take_the_same_the_first_given_wins() {
    let table = RouteTable::new([(pattern(None, "/a", &[]), 1), (pattern(None, "/a/", &[]), 2)]);
    assert_eq!(found(table.find(None, "/a", &Method::GET)), Some((&1, 2)));
}

/// What the table is to do, said as plainly as possible.
fn naive<'t>(
    entries: &'t [(Pattern, usize)],
    host: Option<&Host>,
    path: &str,
    method: &Method,
) -> Match<'t, usize> {
    let matching = || {
        entries.iter().filter(|(pattern, _)| {
            pattern.path.strip(path).is_some() && (pattern.host.is_none() || pattern.host.as_ref() == host)
        })
    };
    let takes = |pattern: &Pattern| match &pattern.methods {
        None => true,
        Some(methods) => methods.iter().any(|m| m == method || (m == Method::GET && method == Method::HEAD)),
    };
    let rank = |pattern: &Pattern| {
        (prefix_of(&pattern.path).len(), pattern.host.is_some(), pattern.methods.is_some())
    };
    // `max_by_key` returns the last of equals; the first given is to win.
    let best =
        matching().filter(|(pattern, _)| takes(pattern)).rev().max_by_key(|(pattern, _)| rank(pattern));
    if let Some((pattern, target)) = best {
        return Match::Found { target, rest_at: prefix_of(&pattern.path).len() };
    }
    if matching().next().is_none() { Match::NotFound } else { Match::MethodNotAllowed { allow: Vec::new() } }
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let host = prop::option::of(prop_oneof![Just("a"), Just("b")]);
    let methods = prop::collection::vec(prop_oneof![Just(Method::GET), Just(Method::PUT)], 0..2);
    (host, "(/(a|b|a-|ab|a!)){0,4}", methods)
        .prop_map(|(host, path, methods)| pattern(host, if path.is_empty() { "/" } else { &path }, &methods))
}

proptest! {
    #[test]
    fn agrees_with_a_naive_table(
        patterns in prop::collection::vec(any_pattern(), 0..24),
        requests in prop::collection::vec(
            (
                prop::option::of(prop_oneof![Just("a"), Just("b"), Just("c")]),
                "/((a|b|a-|ab|a!|)/?){0,6}",
                prop_oneof![Just(Method::GET), Just(Method::HEAD), Just(Method::PUT), Just(Method::POST)],
            ),
            1..40,
        ),
    ) {
        let entries: Vec<_> = patterns.into_iter().enumerate().map(|(at, pattern)| (pattern, at)).collect();
        let table = RouteTable::new(entries.clone());
        for (host, path, method) in requests {
            let host = host.map(|host| host.parse().unwrap());
            let mut found = table.find(host.as_ref(), &path, &method);
            if let Match::MethodNotAllowed { allow } = &mut found {
                prop_assert!(!allow.is_empty() && !allow.contains(&method));
                allow.clear();
            }
            prop_assert_eq!(found, naive(&entries, host.as_ref(), &path, &method), "{:?} {}", host, path);
        }
    }
}
