//! Requests that a web page made, and the pages that may.

use super::{House, kind};
use crate::support::RawResponse;

const PAGES: &str = "[inbound]\nallowed_origins = [\"https://app.example.no\"]\n";

/// Fields of a request to `localhost:8080` (any port will do: `OWN` is the request's authority),
/// and whether it may pass.
const MARKS: &[(&str, bool)] = &[
    ("", true),
    ("Origin: http://OWN", true),
    ("Origin: http://OWN\r\nSec-Fetch-Site: same-origin", true),
    ("Sec-Fetch-Site: none", true),
    ("Sec-Fetch-Site: same-origin", true),
    ("Origin: https://app.example.no", true),
    ("Origin: https://app.example.no\r\nSec-Fetch-Site: cross-site", true),
    ("Origin: http://evil.com", false),
    ("Origin: http://evil.com\r\nSec-Fetch-Site: same-origin", false),
    ("Origin: http://evil.com\r\nSec-Fetch-Site: none", false),
    ("Origin: null", false),
    ("Origin: ", false),
    ("Origin: https://OWN", false),
    ("Origin: http://localhost", false),
    ("Origin: http://localhost:3000", false),
    ("Origin: http://127.0.0.2:1", false),
    ("Origin: http://OWN/", false),
    ("Origin: http://OWN.evil.com", false),
    ("Origin: http://x@OWN", false),
    ("Origin: OWN", false),
    ("Origin: http://OWN http://evil.com", false),
    ("Origin: http://OWN, http://evil.com", false),
    ("Origin: http://OWN\r\nOrigin: http://OWN", false),
    ("Origin: http://OWN\r\nOrigin: http://evil.com", false),
    ("Origin: http://app.example.no", false),
    ("Origin: https://app.example.no:443", false),
    ("Origin: https://app.example.no.evil.com", false),
    ("Origin: https://x.app.example.no", false),
    ("Origin: https://APP.example.no", false),
    ("Origin: chrome-extension://abcdefghijklmnop", false),
    ("Origin: file://", false),
    ("Origin: http://OWN\r\nSec-Fetch-Site: cross-site", false),
    ("Origin: http://OWN\r\nSec-Fetch-Site: same-site", false),
    ("Sec-Fetch-Site: cross-site", false),
    ("Sec-Fetch-Site: same-site", false),
    ("Sec-Fetch-Site: ", false),
    ("Sec-Fetch-Site: None", false),
    ("Sec-Fetch-Site: bogus", false),
    ("Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site", false),
    // What a page's image, form, script and no-cors fetch send.
    ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image", false),
    ("Origin: null\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate", false),
];

fn fields(own: &str, marks: &str) -> String {
    let marks = marks.replace("OWN", own);
    let end = if marks.is_empty() { "" } else { "\r\n" };
    format!("Host: {own}\r\n{marks}{end}")
}

#[tokio::test]
async fn pages_on_the_proxy_and_what_is_seen_behind_it() {
    let house = House::with(PAGES, "").await;
    let own = house.app.proxy.to_string();
    for (marks, _) in MARKS.iter().filter(|(_, passes)| !passes) {
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
            let response = house.send(&format!("{method} /x HTTP/1.1"), &fields(&own, marks)).await;
            house.assert_unseen(&response, 403, &format!("{method} {marks}"));
            if method != "HEAD" {
                assert_eq!(kind(&response), "origin-not-allowed", "{marks}");
            }
        }
    }
    for (times, (marks, _)) in MARKS.iter().filter(|(_, passes)| *passes).enumerate() {
        let response = house.send("GET /x HTTP/1.1", &fields(&own, marks)).await;
        house.assert_seen(&response, times + 1, marks);
    }
}

#[tokio::test]
async fn pages_on_the_admin_listener() {
    let house = House::with(PAGES, "").await;
    let own = house.app.admin.to_string();
    for (marks, passes) in MARKS {
        for path in ["/", "/api/status", "/api/requests", "/metrics", "/healthz"] {
            let response = house.admin(&format!("GET {path} HTTP/1.1"), &fields(&own, marks)).await;
            assert_eq!(response.status, if *passes { 200 } else { 403 }, "{path} {marks}");
            assert!(!response.head.to_ascii_lowercase().contains("access-control-"), "{marks}");
        }
    }
    // A page that may use the proxy cannot make the status page fetch tokens.
    let refresh = "Origin: https://app.example.no\r\nAccess-Control-Request-Method: POST\r\n\
                   Access-Control-Request-Headers: x-maskinporten-proxy";
    let response = house.admin("OPTIONS /api/tokens/refresh HTTP/1.1", &fields(&own, refresh)).await;
    assert_eq!(response.status, 403);
    assert!(!response.head.to_ascii_lowercase().contains("access-control-"));
    let blind = "Origin: https://app.example.no\r\nContent-Length: 2\r\n\r\n{}";
    let response = house.admin("POST /api/tokens/refresh HTTP/1.1", &fields(&own, blind)).await;
    assert_eq!((response.status, kind(&response).as_str()), (403, "header-required"));
}

#[tokio::test]
async fn a_rebound_name_is_refused_though_its_page_asks_its_own_origin() {
    let house = House::new().await;
    for (host, marks) in [
        ("rebound.evil.com", ""),
        ("rebound.evil.com", "Origin: http://rebound.evil.com\r\n"),
        ("rebound.evil.com", "Sec-Fetch-Site: same-origin\r\n"),
        ("rebound.evil.com:8080", "Origin: http://rebound.evil.com:8080\r\nSec-Fetch-Site: same-origin\r\n"),
    ] {
        let response = house.send("GET /x HTTP/1.1", &format!("Host: {host}\r\n{marks}")).await;
        house.assert_unseen(&response, 403, marks);
        let response = house.admin("GET /api/status HTTP/1.1", &format!("Host: {host}\r\n{marks}")).await;
        assert_eq!(response.status, 403, "{marks}");
    }
}

/// In absolute form over plain http a browser sends none of the signs but its name.
#[tokio::test]
async fn pages_in_a_browser_that_uses_the_proxy_for_routed_hosts() {
    const CHROME: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36";
    const FIREFOX: &str =
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const POWERSHELL: &str =
        "User-Agent: Mozilla/5.0 (Windows NT; Windows NT 10.0; nb-NO) WindowsPowerShell/5.1.26100.1";
    let house = House::with(PAGES, "").await;
    let (upstream, own) = (house.upstream.address.to_string(), house.app.proxy.to_string());
    for (authority, marks) in [
        (&upstream, CHROME.to_owned()),
        (&upstream, FIREFOX.to_owned()),
        (&own, CHROME.to_owned()),
        (&upstream, format!("{CHROME}\r\nUser-Agent: curl/8")),
        (&upstream, "Origin: http://evil.com".to_owned()),
        (&upstream, "Origin: null".to_owned()),
        (&upstream, format!("Origin: http://{own}")),
        (&upstream, format!("Origin: https://{upstream}")),
        (&upstream, "Sec-Fetch-Site: cross-site".to_owned()),
        (&upstream, format!("{CHROME}\r\nSec-Fetch-Site: cross-site")),
        (&upstream, format!("{CHROME}\r\nSec-Fetch-Site: same-site")),
        (&upstream, format!("{CHROME}\r\nOrigin: http://{upstream}")),
    ] {
        for method in ["GET", "POST"] {
            let line = format!("{method} http://{authority}/x HTTP/1.1");
            let response = house.send(&line, &fields(authority, &marks)).await;
            house.assert_unseen(&response, 403, &format!("{line} {marks}"));
        }
    }
    for (times, marks) in [
        "User-Agent: curl/8.5.0",
        "User-Agent: PostmanRuntime/7.43.0",
        POWERSHELL,
        "",
        &format!("Origin: http://{upstream}"),
        &format!("{CHROME}\r\nSec-Fetch-Site: none"),
        &format!("{CHROME}\r\nSec-Fetch-Site: same-origin"),
        &format!("{CHROME}\r\nOrigin: https://app.example.no"),
    ]
    .iter()
    .enumerate()
    {
        let response =
            house.send(&format!("GET http://{upstream}/x HTTP/1.1"), &fields(&upstream, marks)).await;
        house.assert_seen(&response, times + 1, marks);
    }

    let open = House::with("[forward]\nbrowsers = true\n", "").await;
    let upstream = open.upstream.address.to_string();
    let line = format!("GET http://{upstream}/x HTTP/1.1");
    let page = fields(&upstream, &format!("{CHROME}\r\nOrigin: http://evil.com"));
    open.assert_unseen(&open.send(&line, &page).await, 403, "a page is one all the same");
    open.assert_seen(&open.send(&line, &fields(&upstream, CHROME)).await, 1, "browsers = true");
}

/// The fields that CORS adds, by name.
fn cors(response: &RawResponse, name: &str) -> Option<String> {
    response.header(&format!("access-control-{name}")).map(str::to_owned)
}

#[tokio::test]
async fn an_allowed_page_is_answered_as_cors_wants_it() {
    // What the upstream says of origins is about its own address, not about ours.
    let upstreams =
        "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nVary: Accept\r\n";
    let house = House::with(PAGES, upstreams).await;
    let own = house.app.proxy.to_string();
    let preflight = |more: &str| {
        fields(
            &own,
            &format!(
                "Origin: https://app.example.no\r\nSec-Fetch-Site: cross-site\r\n\
                 Access-Control-Request-Method: DELETE\r\n{more}"
            ),
        )
    };
    let response = house
        .send("OPTIONS /x HTTP/1.1", &preflight("Access-Control-Request-Headers: content-type,x-pid"))
        .await;
    assert_eq!(response.status, 204);
    assert_eq!(cors(&response, "allow-origin").as_deref(), Some("https://app.example.no"));
    assert_eq!(cors(&response, "allow-methods").as_deref(), Some("DELETE"));
    assert_eq!(cors(&response, "allow-headers").as_deref(), Some("content-type,x-pid"));
    assert_eq!(cors(&response, "allow-credentials"), None);
    assert!(response.headers("vary").join(", ").contains("Origin"), "{}", response.head);
    assert!(house.upstream.seen().is_empty(), "a preflight is answered here");
    assert_eq!(house.sandbox.control().counts().token_requests, house.at_start);

    let response = house.send("GET /x HTTP/1.1", &fields(&own, "Origin: https://app.example.no")).await;
    house.assert_seen(&response, 1, "the request itself");
    assert_eq!(cors(&response, "allow-origin").as_deref(), Some("https://app.example.no"));
    assert_eq!(cors(&response, "allow-credentials"), None);
    assert!(response.headers("vary").join(", ").contains("Origin"), "{}", response.head);
    assert!(response.headers("vary").join(", ").contains("Accept"), "{}", response.head);

    // A request that no page made gets what the upstream says.
    let response = house.send("GET /x HTTP/1.1", &fields(&own, "")).await;
    assert_eq!(cors(&response, "allow-origin").as_deref(), Some("*"));
}

#[tokio::test]
async fn an_allowed_page_can_read_the_proxys_own_errors() {
    let house = House::with(PAGES, "").await;
    let own = house.app.proxy.to_string();
    // Without the claim's header: 400, which the page is to show.
    let request = format!("GET /x HTTP/1.1\r\n{}\r\n", fields(&own, "Origin: https://app.example.no"));
    let response = house.app.raw(&request).await;
    assert_eq!((response.status, kind(&response).as_str()), (400, "claim-header"));
    assert_eq!(cors(&response, "allow-origin").as_deref(), Some("https://app.example.no"));
    assert!(response.headers("vary").contains(&"Origin"));
}

#[tokio::test]
async fn preflights_of_other_pages_are_told_nothing() {
    let house = House::with(PAGES, "").await;
    let own = house.app.proxy.to_string();
    let upstream = house.upstream.address.to_string();
    for (target, authority) in
        [("/x".to_owned(), &own), (format!("http://{upstream}/x"), &upstream), ("*".to_owned(), &own)]
    {
        for origin in ["http://evil.com", "null", "https://app.example.no:8443", "http://localhost:3000"] {
            let marks = format!(
                "Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: x-pid\r\n\
                 Access-Control-Request-Private-Network: true"
            );
            let response =
                house.send(&format!("OPTIONS {target} HTTP/1.1"), &fields(authority, &marks)).await;
            house.assert_unseen(&response, 403, &format!("{target} {origin}"));
        }
    }
}
