//! Paths and queries: byte for byte, or refused.

use crate::support::{Answer, Setup, Upstream, sandbox};

/// Targets that pass as they are.
const VERBATIM: &[&str] = &[
    "/a%2Fb",
    "/a%2fb",
    "//a//b//",
    "/a+b",
    "/a:b@c;d=e,f",
    "/s%C3%B8k/%E2%82%AC",
    "/%41%42",
    "/a%20b",
    "/a%00b",
    "/%25",
    "/a%252e%252e/b",
    "/~a/-_.!*'()",
    "/a?b=c%2Fd&e=%C3%B8+f&b=c",
    "/?",
    "/a?",
    "/a?b?c=/../../d",
    "/a?x=%2e%2e%2f",
    "/?redirect=https://other.example/a%20b",
    // Dot segments that stay inside.
    "/a/../b",
    "/./a",
    "/a/b/../../c",
    "/a/%2e%2e/b",
    "/a/b/%2E%2E%2F..%2fc",
    "/a/.../b",
    "/a/..b/c..",
    "/a/.",
    "/a/..",
    "/a;..;/b",
];

/// Targets that would climb out, in every spelling that some server understands.
const CLIMBING: &[&str] = &[
    "/..",
    "/../",
    "/../x",
    "/a/../../x",
    "/./../x",
    "//../x",
    "/a/../..",
    "/%2e%2e/x",
    "/%2E%2e/x",
    "/.%2e/x",
    "/%2e./x",
    "/..%2fx",
    "/..%2Fx",
    "/a%2f..%2f..%2fx",
    "/%2e%2e%2fx",
    "/..%5cx",
    "/..%5Cx",
    "/a/..%5c..%5cx",
    "/..;/x",
    "/..;a=b/x",
    "/%2e%2e;/x",
    "/..;%2fx",
    "/a/b/../../../x",
    "/..?x",
    // One segment to servers that leave encoded slashes alone, and two to others.
    "/a%2fb/../../x",
    "/a%5Cb/../../x",
    "/a/..;x%2fy/../x",
];

#[tokio::test]
async fn path_and_query_pass_byte_for_byte() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("")).await;
    let app = Setup::new(&sandbox)
        .route("root", "/", &upstream.url())
        .route("deep", "/r", &format!("{}/base/v%31", upstream.url()))
        .start()
        .await;
    for target in VERBATIM {
        for (prefix, base) in [("", ""), ("/r", "/base/v%31")] {
            let request = format!("GET {prefix}{target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(app.raw(&request).await.status, 200, "{prefix}{target}");
            let seen = upstream.seen();
            assert_eq!(seen.last().expect("a request").line(), format!("GET {base}{target} HTTP/1.1"));
        }
    }
}

#[tokio::test]
async fn a_path_that_climbs_out_of_its_route_is_400_in_every_spelling() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("")).await;
    let app = Setup::new(&sandbox)
        .route("root", "/", &upstream.url())
        .route("deep", "/r", &format!("{}/base", upstream.url()))
        .start()
        .await;
    for target in CLIMBING {
        for prefix in ["", "/r"] {
            let request = format!("GET {prefix}{target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let response = app.raw(&request).await;
            assert_eq!(response.status, 400, "{prefix}{target}");
            assert!(response.text().contains("urn:maskinporten-proxy:path-climbs"), "{prefix}{target}");
        }
    }
    // In absolute form by the upstream's own path, too.
    let authority = upstream.address;
    let request = format!("GET http://{authority}/base/%2e%2e/x HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    assert_eq!(app.raw(&request).await.status, 400);
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
}

#[tokio::test]
async fn a_fragment_in_the_target_is_refused_and_not_cut_off() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("")).await;
    let app = Setup::new(&sandbox).route("root", "/", &upstream.url()).start().await;
    for target in ["/a#b", "/a?b#c", "/#"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(app.raw(&request).await.status, 400, "{target}");
    }
    assert!(upstream.seen().is_empty());
}
