use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::SystemTime;

use ::http::header;
use http_body_util::{Empty, Full};
use serde_json::{Value, json};

use super::*;
use crate::message::RequestHead;
use crate::telemetry::{AccessLog, Failed, Recorder};

const HOSTILE: &str = r#""><img src=x onerror=alert(1)><script>alert(2)</script>"#;

struct Fake {
    ready: bool,
    asked: Mutex<Vec<(String, String)>>,
}

impl Source for Fake {
    fn status(&self) -> StatusSnapshot {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000);
        StatusSnapshot {
            service: ServiceStatus {
                version: "1.2.3",
                started_at: moment,
                url: "http://127.0.0.1:8080".to_owned(),
                password_required: false,
            },
            clients: vec![ClientStatus {
                name: "test".to_owned(),
                client_id: "abc".to_owned(),
                issuer: "https://test.maskinporten.no/".to_owned(),
                certificate_expires_at: Some(moment),
                certificate_expires_in: Some(86_400),
                clock_offset: Some(-300),
                warning: Some(HOSTILE.to_owned()),
            }],
            routes: vec![RouteStatus {
                name: HOSTILE.to_owned(),
                path: "/clients".to_owned(),
                upstream: "https://api.example.no".to_owned(),
                client: "test".to_owned(),
                methods: None,
                host: None,
                access: "read-only",
            }],
            tokens: vec![live_token(), refused_token()],
            config: ConfigStatus {
                loaded_at: moment,
                error: Some(HOSTILE.to_owned()),
                needs_restart: true,
                restart_for: vec!["listen".to_owned()],
            },
        }
    }

    fn readiness(&self) -> Readiness {
        let reasons = if self.ready { vec![] } else { vec!["altinn: MP-200".to_owned()] };
        Readiness { ready: self.ready, reasons }
    }

    fn refresh<'a>(
        &'a self,
        client: &'a str,
        route: &'a str,
    ) -> BoxFuture<'a, Result<TokenStatus, RefreshError>> {
        self.asked.lock().unwrap().push((client.to_owned(), route.to_owned()));
        Box::pin(async move {
            match route {
                "clients" => Ok(live_token()),
                "altinn" => Err(RefreshError::Failed(refused_token().error.unwrap())),
                _ => Err(RefreshError::Unknown),
            }
        })
    }
}

fn live_token() -> TokenStatus {
    TokenStatus {
        client: "test".to_owned(),
        route: "clients".to_owned(),
        scopes: vec!["idporten:dcr.read".to_owned()],
        state: TokenState::Live,
        expires_at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_119)),
        expires_in: Some(119),
        claims: Some(ClaimsView::new(json!({"pid": "17912099997", "scope": HOSTILE, "exp": 120, "iat": 1}))),
        error: None,
    }
}

fn refused_token() -> TokenStatus {
    TokenStatus {
        route: "altinn".to_owned(),
        state: TokenState::Refused,
        expires_at: None,
        expires_in: None,
        claims: None,
        error: Some(TokenError {
            code: Some("MP-200".to_owned()),
            cause: "The scope is not on the client.".to_owned(),
            fix: Some("Add the scope to the client.".to_owned()),
        }),
        ..live_token()
    }
}

struct House {
    admin: Admin,
    source: Arc<Fake>,
    recorder: Arc<Recorder>,
    stop: tokio::sync::oneshot::Sender<()>,
    collector: tokio::task::JoinHandle<()>,
}

impl House {
    fn new(ready: bool) -> Self {
        let (telemetry, mut recorders, collector) = Telemetry::new(1, AccessLog::off());
        let source = Arc::new(Fake { ready, asked: Mutex::default() });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let collector = tokio::spawn(collector.run(async {
            let _ = stopped.await;
        }));
        let admin = Admin::new(Arc::clone(&source) as Arc<dyn Source>, telemetry);
        Self { admin, source, recorder: recorders.remove(0), stop, collector }
    }

    async fn send(&self, method: Method, path: &str) -> Response<AdminBody> {
        let request = Request::builder().method(method).uri(path).body(Empty::<Bytes>::new()).unwrap();
        self.admin.handle(request).await
    }

    /// Records an exchange and waits until it is written.
    async fn record(&self, uri: &str) {
        let mut exchange =
            self.recorder.begin(&RequestHead { uri: uri.parse().unwrap(), ..RequestHead::default() });
        exchange.set_status(StatusCode::BAD_GATEWAY);
        exchange.fail(Failed::Token, Some(HOSTILE.into()));
        let id = exchange.id().to_string();
        drop(exchange);
        while !self.admin.telemetry.recent.entries().iter().any(|entry| entry.id == id) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn refresh(&self, guard: &[&str], body: &str) -> (StatusCode, Value) {
        let mut request = Request::post("/api/tokens/refresh");
        for value in guard {
            request = request.header("X-Maskinporten-Proxy", *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let response = self.admin.handle(request).await;
        (response.status(), serde_json::from_str(&text(response).await).unwrap())
    }
}

async fn text(response: Response<AdminBody>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn json_of(response: Response<AdminBody>) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

async fn next_frame(body: &mut AdminBody) -> Option<String> {
    let frame = body.frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_the_security_headers() {
    let house = House::new(true);
    for path in ["/", "/healthz", "/readyz", "/metrics", "/api/status", "/api/requests", "/api/events", "/no"]
    {
        let response = house.send(Method::GET, path).await;
        let value = |name: header::HeaderName| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(value(header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
        assert_eq!(value(header::CACHE_CONTROL), "no-store", "{path}");
        assert_eq!(value(header::REFERRER_POLICY), "no-referrer", "{path}");
        let policy = value(header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn head_is_get_without_the_body() {
    let house = House::new(true);
    for path in ["/", "/healthz", "/readyz", "/api/status", "/api/requests"] {
        let got = house.send(Method::GET, path).await;
        let length = got.headers()[header::CONTENT_LENGTH].clone();
        let kind = got.headers()[header::CONTENT_TYPE].clone();
        assert_eq!(text(got).await.len().to_string(), length.to_str().unwrap(), "{path}");
        let head = house.send(Method::HEAD, path).await;
        assert_eq!(head.headers()[header::CONTENT_LENGTH], length, "{path}");
        assert_eq!(head.headers()[header::CONTENT_TYPE], kind, "{path}");
        assert_eq!(text(head).await, "", "{path}");
    }
    assert_eq!(text(house.send(Method::HEAD, "/api/events").await).await, "");
}

#[tokio::test(start_paused = true)]
async fn unknown_paths_and_methods_are_problem_documents() {
    let house = House::new(true);
    for (method, path, status, allow) in [
        (Method::GET, "/nothing", 404, None),
        (Method::GET, "/healthz/", 404, None),
        (Method::POST, "/", 405, Some("GET, HEAD")),
        (Method::DELETE, "/api/status", 405, Some("GET, HEAD")),
        (Method::OPTIONS, "/metrics", 405, Some("GET, HEAD")),
        (Method::GET, "/api/tokens/refresh", 405, Some("POST")),
        (Method::HEAD, "/api/tokens/refresh", 405, Some("POST")),
    ] {
        let head = method == Method::HEAD;
        let response = house.send(method, path).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json", "{path}");
        assert_eq!(response.headers().get(header::ALLOW).map(|allow| allow.to_str().unwrap()), allow);
        if !head {
            let problem = json_of(response).await;
            assert_eq!(problem["status"], status, "{path}");
            assert!(problem["type"].as_str().unwrap().starts_with("urn:maskinporten-proxy:"), "{path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn status_has_the_documented_shape() {
    let house = House::new(true);
    let status = json_of(house.send(Method::GET, "/api/status").await).await;
    assert!(keys(&status).is_superset(&["routes", "tokens", "config"].into()));
    assert!(keys(&status["routes"][0]).is_superset(&["name", "path", "upstream", "client"].into()));
    let token = &status["tokens"][0];
    let expected = ["client", "route", "scopes", "state", "expires_at", "expires_in", "claims", "error"];
    assert_eq!(keys(token), expected.into());
    assert_eq!(token["scopes"], json!(["idporten:dcr.read"]));
    assert_eq!(token["state"], "live");
    assert_eq!(token["expires_at"], "2025-06-15T15:08:39.000000Z");
    assert_eq!(token["expires_in"], 119);
    assert_eq!(token["claims"]["pid"], "***********");
    assert_eq!(token["error"], Value::Null);
    let refused = &status["tokens"][1];
    assert_eq!(refused["expires_at"], Value::Null);
    assert_eq!(keys(&refused["error"]), ["code", "cause", "fix"].into());
    assert!(keys(&status["config"]).is_superset(&["loaded_at", "error", "needs_restart"].into()));
    assert_eq!(status["config"]["needs_restart"], true);
}

#[tokio::test(start_paused = true)]
async fn requests_have_the_documented_shape_newest_first() {
    let house = House::new(true);
    house.record("/first?code=abc").await;
    house.record("/second").await;
    let requests = json_of(house.send(Method::GET, "/api/requests").await).await;
    assert_eq!(requests[0]["path"], "/second");
    assert_eq!(requests[1]["path"], "/first?code=***");
    let expected = ["id", "time", "method", "path", "route", "status", "duration_ms", "failed"];
    assert!(keys(&requests[0]).is_superset(&expected.into()));
    assert_eq!(requests[0]["failed"], "token");
    assert_eq!(requests[0]["status"], 502);
}

#[tokio::test(start_paused = true)]
async fn readiness_tells_why_not() {
    let response = House::new(true).send(Method::GET, "/readyz").await;
    assert_eq!(response.status(), 200);
    let response = House::new(false).send(Method::GET, "/readyz").await;
    assert_eq!(response.status(), 503);
    assert_eq!(json_of(response).await, json!({"ready": false, "reasons": ["altinn: MP-200"]}));
    let response = House::new(false).send(Method::GET, "/healthz").await;
    assert_eq!((response.status(), text(response).await.as_str()), (StatusCode::OK, "ok\n"));
}

#[tokio::test(start_paused = true)]
async fn metrics_tell_the_lives_of_tokens_and_certificates() {
    let house = House::new(true);
    let response = house.send(Method::GET, "/metrics").await;
    assert!(
        response.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/plain; version=0.0.4")
    );
    let text = text(response).await;
    for line in [
        r#"maskinporten_proxy_token_expires_seconds{client="test",route="clients"} 119"#,
        r#"maskinporten_proxy_token_expires_seconds{client="test",route="altinn"} 0"#,
        r#"maskinporten_proxy_certificate_expires_seconds{client="test"} 86400"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn probes_are_the_three_open_addresses() {
    for (path, open) in [
        ("/healthz", true),
        ("/readyz", true),
        ("/metrics", true),
        ("/", false),
        ("/api/status", false),
        ("/metrics/", false),
    ] {
        assert_eq!(Admin::is_probe(path), open, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_shows_hostile_text_as_text() {
    let house = House::new(true);
    house.record("/x?q='-alert(1)-'&%3Cscript%3E").await;
    let html = text(house.send(Method::GET, "/").await).await;
    assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;"), "the hostile text is there, escaped");
    assert!(!html.contains("<img"), "no element of it is");
    assert_eq!(html.matches("<script").count(), 1, "only the page's own");
    assert!(html.contains("&#39;-alert(1)-&#39;"), "of the path too");
    assert!(!html.contains("<!--slot:"), "every slot is filled");
}

#[tokio::test(start_paused = true)]
async fn the_page_tells_what_is_wrong_without_javascript() {
    let house = House::new(true);
    let html = text(house.send(Method::GET, "/").await).await;
    for expected in [
        "<code>MP-200</code> The scope is not on the client.",
        "Add the scope to the client.",
        "1 token needs help",
        "A restart is needed</strong> for the changes to listen.",
        "<b>1:59</b>",
        "***********",
        "No request yet.",
    ] {
        assert!(html.contains(expected), "{expected}");
    }
    assert!(!html.contains("17912099997"));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_needs_the_header_exactly_once() {
    let house = House::new(true);
    let body = r#"{"client":"test","route":"clients"}"#;
    for guard in [&[][..], &["0"], &["1", "1"], &["1, 1"], &["true"]] {
        let (status, problem) = house.refresh(guard, body).await;
        assert_eq!(status, 403, "{guard:?}");
        assert_eq!(problem["type"], "urn:maskinporten-proxy:header-required");
    }
    assert!(house.source.asked.lock().unwrap().is_empty(), "nothing was asked of the source");
    let (status, token) = house.refresh(&["1"], body).await;
    assert_eq!((status, &token["state"]), (StatusCode::OK, &json!("live")));
    assert_eq!(*house.source.asked.lock().unwrap(), [("test".to_owned(), "clients".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_says_what_to_do() {
    let house = House::new(true);
    let (status, problem) = house.refresh(&["1"], r#"{"client":"test","route":"altinn"}"#).await;
    assert_eq!(status, 502);
    assert_eq!(problem["maskinporten"]["code"], "MP-200");
    assert_eq!(problem["maskinporten"]["fix"], "Add the scope to the client.");
    let (status, _) = house.refresh(&["1"], r#"{"client":"test","route":"none"}"#).await;
    assert_eq!(status, 404);
    let long = format!(r#"{{"client":"test","route":"{}"}}"#, "x".repeat(MAX_BODY));
    for (wrong, expected) in
        [("", 400), ("[]", 400), ("client=test", 400), (r#"{"client":"test"}"#, 400), (&long, 413)]
    {
        let (status, _) = house.refresh(&["1"], wrong).await;
        assert_eq!(status, expected, "{}", &wrong[..wrong.len().min(40)]);
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_framed_as_server_sent_events() {
    let house = House::new(true);
    let response = house.send(Method::GET, "/api/events").await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    assert!(!response.headers().contains_key(header::CONTENT_LENGTH));
    let mut body = response.into_body();
    assert_eq!(next_frame(&mut body).await.unwrap(), "retry: 2000\n: live\n\n");
    house.record("/seen").await;
    let frame = next_frame(&mut body).await.unwrap();
    let data = frame.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).unwrap();
    assert!(!data.contains('\n'));
    let entry: Value = serde_json::from_str(data).unwrap();
    assert_eq!(entry["path"], "/seen");
    // The clock is paused, so this passes at once and only because of the timer.
    assert_eq!(next_frame(&mut body).await.unwrap(), ": alive\n\n");
    assert_eq!(next_frame(&mut body).await.unwrap(), ": alive\n\n");
    house.stop.send(()).unwrap();
    house.collector.await.unwrap();
    assert_eq!(next_frame(&mut body).await, None, "the stream ends with the collector");
}

#[tokio::test(start_paused = true)]
async fn live_streams_are_bounded() {
    let house = House::new(true);
    let mut streams = Vec::new();
    let refused = loop {
        let response = house.send(Method::GET, "/api/events").await;
        if response.status() != StatusCode::OK {
            break response;
        }
        streams.push(response);
        assert!(streams.len() < 1000, "there is no bound");
    };
    assert_eq!(refused.status(), 503);
    streams.pop();
    assert_eq!(house.send(Method::GET, "/api/events").await.status(), 200, "a closed one makes room");
}
