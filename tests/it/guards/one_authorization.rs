//! Whatever a client's fields say, exactly one `Authorization` leaves, and it is the proxy's.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{Answer, Setup, Upstream, sandbox};

/// Fields that could take the token away, add another, or carry a client's own credentials on.
fn field() -> impl Strategy<Value = (String, String)> {
    let name = prop::sample::select(vec![
        "Connection",
        "connection",
        "CONNECTION",
        "Proxy-Connection",
        "Authorization",
        "authorization",
        "AUTHORIZATION",
        "Proxy-Authorization",
        "Proxy-Authenticate",
        "Proxy-Something",
        "Keep-Alive",
        "TE",
        "Upgrade",
        "HTTP2-Settings",
        "Trailer",
        "Via",
        "X-Custom",
        "Cookie",
    ]);
    let word = prop::sample::select(vec![
        "authorization",
        "Authorization",
        "AUTHORIZATION",
        "proxy-authorization",
        "host",
        "via",
        "x-custom",
        "close",
        "keep-alive",
        "upgrade",
        "te",
        "connection",
        "Bearer evil",
        "Basic ZXZpbDpldmls",
        "websocket",
        "trailers",
        "",
        " ",
        "\t",
        "@",
        "a=b",
    ]);
    let value = prop::collection::vec(word, 0..4).prop_map(|words| words.join(", "));
    (name.prop_map(str::to_owned), value)
}

#[test]
fn exactly_one_authorization_leaves_whatever_the_fields() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (_sandbox, upstream, app) = runtime.block_on(async {
        let sandbox = sandbox().await;
        let upstream = Upstream::always(Answer::ok("ok")).await;
        let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
        (sandbox, upstream, app)
    });
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let soups = prop::collection::vec(field(), 0..10);
    let outcome = runner.run(&soups, |soup| {
        let lines: String = soup.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let before = upstream.seen().len();
        let request = format!("GET /x HTTP/1.1\r\nHost: {}\r\n{lines}\r\n", app.proxy);
        let response = runtime.block_on(app.raw(&request));
        prop_assert_eq!(response.status, 200, "{}", response.text());
        let seen = upstream.seen();
        prop_assert_eq!(seen.len(), before + 1);
        let seen = &seen[before];
        let authorizations = seen.headers("authorization");
        prop_assert_eq!(authorizations.len(), 1, "{}", seen.head);
        prop_assert!(authorizations[0].starts_with("Bearer eyJ"), "{}", seen.head);
        prop_assert_eq!(seen.headers("host"), vec![upstream.address.to_string()]);
        prop_assert_eq!(
            seen.headers("via").iter().filter(|via| via.contains("maskinporten-proxy")).count(),
            1
        );
        let head = seen.head.to_ascii_lowercase();
        prop_assert!(
            !head.contains("evil")
                || soup.iter().any(|(name, value)| {
                    // In a field that is the upstream's to read, a client may say what it likes.
                    matches!(name.as_str(), "X-Custom" | "Cookie" | "Via" | "Trailer")
                        && value.contains("evil")
                        || name == "Upgrade" && value.contains("evil")
                }),
            "{}",
            seen.head
        );
        prop_assert!(!head.contains("\r\nproxy-"), "{}", seen.head);
        prop_assert!(!head.contains("\r\nkeep-alive:") && !head.contains("http2-settings"), "{}", seen.head);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
