//! Who may use the proxy and the status page from where, and what the upstream and the token
//! endpoint see of those who may not: nothing.

mod browsers;
mod hosts;
mod one_authorization;

use maskinporten_proxy::sandbox::{CUSTOMER, Sandbox};

use crate::support::{Answer, App, Raw, RawResponse, Setup, Upstream, sandbox};

/// A personal number that is nobody's (synthetic, the month plus 80).
const PERSON: &str = "17912099997";

/// The app before an upstream that keeps what it gets. The route's tokens are fetched when a
/// request needs one, so that a refusal that came too late would show at the token endpoint.
struct House {
    sandbox: Sandbox,
    upstream: Upstream,
    app: App,
    at_start: u64,
}

impl House {
    async fn new() -> Self {
        Self::with("", "").await
    }

    /// `more`: text at the end of the configuration; `answer`: fields of the upstream's responses.
    async fn with(more: &str, answer: &str) -> Self {
        let sandbox = sandbox().await;
        let upstream =
            Upstream::always(Answer::raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{answer}\r\nok")))
                .await;
        let app = Setup::new(&sandbox)
            .route_with("person", "/", &upstream.url(), "pid = { header = \"X-Pid\" }")
            .with(more)
            .start()
            .await;
        let at_start = sandbox.control().counts().token_requests;
        Self { sandbox, upstream, app, at_start }
    }

    /// One request with a claim's value, on a connection of its own. Each asks for another
    /// system's person, so that no held token serves two.
    async fn send(&self, request_line: &str, fields: &str) -> RawResponse {
        let request = format!("{request_line}\r\nX-Pid: {PERSON}\r\nContent-Length: 0\r\n{fields}\r\n");
        self.app.raw(&request).await
    }

    /// A refusal, of which nobody behind the proxy may know.
    fn assert_unseen(&self, response: &RawResponse, status: u16, name: &str) {
        assert_eq!(response.status, status, "{name}: {}", response.text());
        assert!(self.upstream.seen().is_empty(), "{name}: the upstream saw it");
        let asked = self.sandbox.control().counts().token_requests - self.at_start;
        assert_eq!(asked, 0, "{name}: the token endpoint was asked");
        for line in response.head.lines() {
            assert!(!line.to_ascii_lowercase().starts_with("access-control-"), "{name}: {line}");
        }
    }

    /// A request that went through, with one token.
    fn assert_seen(&self, response: &RawResponse, times: usize, name: &str) {
        assert_eq!((response.status, response.text().as_str()), (200, "ok"), "{name}");
        let seen = self.upstream.seen();
        assert_eq!(seen.len(), times, "{name}");
        let last = seen.last().expect("a request");
        let authorization = last.header("authorization").expect("one Authorization");
        assert!(authorization.starts_with("Bearer ey"), "{name}: {authorization}");
        assert_eq!(last.headers("host"), [self.upstream.address.to_string()], "{name}");
        assert!(last.headers("x-pid").is_empty(), "{name}: the claim's header was forwarded");
    }

    async fn admin(&self, request_line: &str, fields: &str) -> RawResponse {
        let mut raw = Raw::connect(self.app.admin).await;
        let method = request_line.split(' ').next().expect("a method");
        raw.write(format!("{request_line}\r\n{fields}\r\n")).await;
        raw.response_to(method).await
    }
}

/// What a response is by its `type`.
fn kind(response: &RawResponse) -> String {
    let kind = response.json()["type"].as_str().expect("a type").to_owned();
    kind.strip_prefix("urn:maskinporten-proxy:").expect("ours").to_owned()
}

#[tokio::test]
async fn a_route_to_prod_lets_nobody_write_until_it_says_so() {
    let sandbox = sandbox().await;
    // Everything that would go to the real Maskinporten ends at a proxy that is not there.
    let nowhere = Upstream::always(Answer::last("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n")).await;
    let own = format!(
        "issuer = \"{}\"\ntoken_endpoint = \"{}\"\naltinn = \"{}\"",
        sandbox.issuer(),
        sandbox.token_endpoint(),
        sandbox.altinn_url()
    );
    let app = Setup::new(&sandbox)
        .replace(&own, "environment = \"prod\"")
        .route("reads", "/reads", "https://api.example.no")
        .route_with("writes", "/writes", "https://api.example.no", "access = \"read-write\"")
        .with(&format!("[upstream]\nproxy = \"{}\"\n", nowhere.url()))
        .start_cold()
        .await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get"] {
        let host = app.proxy;
        let request =
            |path: &str| format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
        let response = app.raw(&request("/reads/x")).await;
        assert_eq!((response.status, kind(&response).as_str()), (403, "read-only"), "{method}");
        let detail = response.json()["detail"].as_str().expect("a detail").to_owned();
        assert!(detail.contains("`reads`") && detail.contains("access = \"read-write\""), "{detail}");
        assert!(detail.contains("prod"), "{detail}");
        // What may write comes as far as the token, which is not to be had here.
        let response = app.raw(&request("/writes/x")).await;
        assert_eq!((response.status, kind(&response).as_str()), (503, "token-unavailable"), "{method}");
    }
    for method in ["GET", "HEAD", "OPTIONS"] {
        let request = format!("{method} /reads/x HTTP/1.1\r\nHost: {}\r\n\r\n", app.proxy);
        assert_eq!(app.raw(&request).await.status, 503, "{method}");
    }
}

#[tokio::test]
async fn trace_is_served_to_nobody() {
    let house = House::new().await;
    let (proxy, upstream) = (house.app.proxy, house.upstream.address);
    for (target, host) in [
        ("/x".to_owned(), proxy.to_string()),
        ("/x".to_owned(), "evil.com".to_owned()),
        (format!("http://{upstream}/x"), upstream.to_string()),
        ("http://other.example/".to_owned(), "other.example".to_owned()),
    ] {
        let response = house.send(&format!("TRACE {target} HTTP/1.1"), &format!("Host: {host}\r\n")).await;
        house.assert_unseen(&response, 405, &target);
        assert!(response.header("allow").is_some(), "{target}");
    }
    let response = house.admin("TRACE / HTTP/1.1", &format!("Host: {}\r\n", house.app.admin)).await;
    assert_eq!(response.status, 405);
}

#[tokio::test]
async fn the_organisation_of_a_system_user_is_no_secret_but_a_person_is() {
    // Claim values of two kinds reach the token, and neither header reaches the upstream.
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("ok")).await;
    let app = Setup::new(&sandbox)
        .route_with("user", "/", &upstream.url(), "systemuser_org = { header = \"X-Org\" }")
        .start()
        .await;
    let request =
        format!("GET /x HTTP/1.1\r\nHost: {}\r\nX-Org: {CUSTOMER}\r\nConnection: X-Org\r\n\r\n", app.proxy);
    assert_eq!(app.raw(&request).await.status, 200);
    assert!(upstream.seen()[0].headers("x-org").is_empty());
    assert_eq!(sandbox.control().token_requests().len(), 1);
}
