//! Serves the status page with made-up tokens and traffic, for work on the page itself:
//! `cargo run --example status_page -- 127.0.0.1:8099`. With port 0 it prints the port it got.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, StatusCode};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use maskinporten_proxy::admin::{
    Admin, BoxFuture, ClaimsView, ClientStatus, ConfigStatus, Readiness, RefreshError, RouteStatus,
    ServiceStatus, Source, StatusSnapshot, TokenError, TokenState, TokenStatus,
};
use maskinporten_proxy::telemetry::{AccessLog, Failed, Recorder, Telemetry, TraceId};
use serde_json::json;

struct Made {
    began: SystemTime,
}

impl Source for Made {
    fn status(&self) -> StatusSnapshot {
        StatusSnapshot {
            service: ServiceStatus {
                version: env!("CARGO_PKG_VERSION"),
                started_at: self.began,
                url: "http://127.0.0.1:8080".to_owned(),
                password_required: false,
            },
            clients: vec![ClientStatus {
                name: "test".to_owned(),
                client_id: "238259d7-f0ab-4bd5-b253-0f0159375096".to_owned(),
                issuer: "https://test.maskinporten.no/".to_owned(),
                certificate_expires_at: None,
                certificate_expires_in: None,
                warning: Some("The business certificate ends in 19 days. Order a new one now.".to_owned()),
            }],
            routes: vec![
                route("clients", "/clients", "https://api.test.samarbeid.digdir.no/clients", "test"),
                route(
                    "folkeregisteret",
                    "/folkeregisteret",
                    "https://folkeregisteret.api.skatteetaten-test.no",
                    "test",
                ),
                route("altinn", "/altinn", "https://platform.tt02.altinn.no", "test"),
                route("supplier", "/supplier", "https://api.example.no/v2", "supplier"),
            ],
            tokens: vec![self.live("clients", 96), self.fading(), self.refused(), self.on_demand()],
            config: ConfigStatus {
                loaded_at: self.began,
                error: None,
                needs_restart: false,
                restart_for: Vec::new(),
            },
        }
    }

    fn readiness(&self) -> Readiness {
        Readiness { ready: false, reasons: vec!["altinn: MP-200, the scope is not on the client".to_owned()] }
    }

    fn refresh<'a>(
        &'a self,
        _client: &'a str,
        route: &'a str,
    ) -> BoxFuture<'a, Result<TokenStatus, RefreshError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(400)).await;
            match route {
                "clients" => Ok(self.live("clients", 119)),
                "altinn" => Err(RefreshError::Failed(self.refused().error.expect("it has one"))),
                _ => Err(RefreshError::Unknown),
            }
        })
    }
}

impl Made {
    fn live(&self, route: &str, seconds: u64) -> TokenStatus {
        let age = self.began.elapsed().map_or(0, |age| age.as_secs());
        let renewed = age - age % seconds.max(1);
        let expires = self.began + Duration::from_secs(renewed + seconds);
        let left = expires.duration_since(SystemTime::now()).map_or(0, |left| left.as_secs());
        let exp = expires.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        TokenStatus {
            client: "test".to_owned(),
            route: route.to_owned(),
            scopes: vec!["idporten:dcr.read".to_owned()],
            state: TokenState::Live,
            expires_at: Some(expires),
            expires_in: Some(left as i64),
            claims: Some(ClaimsView::new(json!({
                "iss": "https://test.maskinporten.no/",
                "client_id": "238259d7-f0ab-4bd5-b253-0f0159375096",
                "scope": "idporten:dcr.read",
                "consumer": { "authority": "iso6523-actorid-upis", "ID": "0192:991825827" },
                "pid": "17912099997",
                "iat": exp - 119,
                "exp": exp,
            }))),
            error: None,
        }
    }

    fn fading(&self) -> TokenStatus {
        TokenStatus {
            scopes: vec![
                "folkeregister:deling/offentligmedhjemmel".to_owned(),
                "folkeregister:deling/svalbardregister".to_owned(),
            ],
            error: Some(TokenError {
                code: None,
                cause: "The token endpoint did not answer within 10 s.".to_owned(),
                fix: Some("The token that is held serves meanwhile; the next attempt is in 8 s.".to_owned()),
            }),
            ..self.live("folkeregisteret", 4410)
        }
    }

    fn refused(&self) -> TokenStatus {
        TokenStatus {
            scopes: vec!["altinn:instances.read".to_owned(), "altinn:instances.write".to_owned()],
            state: TokenState::Refused,
            expires_at: None,
            expires_in: None,
            claims: None,
            error: Some(TokenError {
                code: Some("MP-200".to_owned()),
                cause: "The scope altinn:instances.write is not on the client.".to_owned(),
                fix: Some(
                    "Add the scope to the client in Samarbeidsportalen, and check its spelling.".to_owned(),
                ),
            }),
            ..self.live("altinn", 0)
        }
    }

    fn on_demand(&self) -> TokenStatus {
        TokenStatus {
            client: "supplier".to_owned(),
            scopes: vec!["example:api.read".to_owned()],
            state: TokenState::OnDemand,
            expires_at: None,
            expires_in: None,
            claims: None,
            ..self.live("supplier", 0)
        }
    }
}

fn route(name: &str, path: &str, upstream: &str, client: &str) -> RouteStatus {
    RouteStatus {
        name: name.to_owned(),
        path: path.to_owned(),
        upstream: upstream.to_owned(),
        client: client.to_owned(),
        methods: None,
        host: None,
        access: if name == "clients" { "read-only" } else { "read-write" },
    }
}

/// Route, method, target, status, who failed, and milliseconds for token, connection, head and body.
type Call = (&'static str, Method, &'static str, u16, Option<Failed>, [u64; 4]);

async fn traffic(recorder: Arc<Recorder>, telemetry: Telemetry) {
    let calls: [Call; 8] = [
        ("clients", Method::GET, "/clients?active=true", 200, None, [0, 0, 34, 6]),
        (
            "clients",
            Method::GET,
            "/clients/238259d7-f0ab-4bd5-b253-0f0159375096/jwks",
            200,
            None,
            [0, 0, 21, 1],
        ),
        (
            "folkeregisteret",
            Method::POST,
            "/folkeregisteret/v1/personer/bulkoppslag",
            200,
            None,
            [0, 41, 63, 18],
        ),
        (
            "folkeregisteret",
            Method::GET,
            "/folkeregisteret/v1/personer/17912099997?part=navn&part=bostedsadresse&access_token=abc",
            200,
            None,
            [0, 0, 48, 3],
        ),
        ("altinn", Method::POST, "/altinn/instances", 502, Some(Failed::Token), [180, 0, 0, 0]),
        ("clients", Method::DELETE, "/clients/1", 403, Some(Failed::Guard), [0, 0, 0, 0]),
        ("supplier", Method::GET, "/supplier/orders?code=s3cret", 404, None, [96, 30, 22, 1]),
        ("supplier", Method::PUT, "/supplier/orders/7", 504, Some(Failed::Upstream), [0, 12, 0, 0]),
    ];
    for (index, (route, method, uri, status, failed, waits)) in calls.into_iter().cycle().enumerate() {
        let mut exchange = recorder.begin(method, uri.parse().expect("a path"));
        exchange.set_route(telemetry.metrics.route(route));
        exchange.set_host(HeaderValue::from_static("127.0.0.1:8080"));
        exchange
            .set_trace(TraceId::from_traceparent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        let [token, connect, head, body] = waits.map(Duration::from_millis);
        if !token.is_zero() {
            tokio::time::sleep(token).await;
            exchange.token_ready();
        }
        if !connect.is_zero() {
            tokio::time::sleep(connect).await;
            exchange.connected();
        }
        if !head.is_zero() {
            tokio::time::sleep(head).await;
        }
        if failed.is_none() {
            exchange.head_arrived();
        }
        exchange.set_status(StatusCode::from_u16(status).expect("a status"));
        if !body.is_zero() {
            tokio::time::sleep(body).await;
        }
        exchange.received(if status == 200 && waits[1] > 0 { 18_204 } else { 0 });
        exchange.sent(1_204 + index as u64 * 37 % 4000);
        if let Some(failed) = failed {
            let detail = match failed {
                Failed::Token => {
                    "MP-200: the scope altinn:instances.write is not on the client. Add it in Samarbeidsportalen."
                }
                Failed::Guard => {
                    "The route clients is read-only. Set access = \"read-write\" to allow DELETE."
                }
                _ => "The upstream did not answer within 60 s.",
            };
            exchange.fail(failed, Some(detail.into()));
        }
        drop(exchange);
        tokio::time::sleep(Duration::from_millis(if index < 24 { 5 } else { 900 })).await;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| String::from("127.0.0.1:0"));
    let (telemetry, recorders, collector) = Telemetry::new(1, AccessLog::off());
    let admin = Arc::new(Admin::new(Arc::new(Made { began: SystemTime::now() }), telemetry.clone()));
    tokio::spawn(collector.run(std::future::pending()));
    tokio::spawn(traffic(Arc::clone(&recorders[0]), telemetry));
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let admin = Arc::clone(&admin);
        let service = service_fn(move |request| {
            let admin = Arc::clone(&admin);
            async move { Ok::<_, Infallible>(admin.handle(request).await) }
        });
        tokio::spawn(async move {
            let served = hyper::server::conn::http1::Builder::new()
                .timer(hyper_util::rt::TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                eprintln!("{error}");
            }
        });
    }
}
