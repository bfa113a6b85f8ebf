//! The listener: connections, the table of paths, and the faults around each answer.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fault::{Effect, Fault, FaultBody, Service};
use super::reply::{Broken, Content, Pattern, Reply, ReplyBody};
use super::shared::Shared;
use super::token_endpoint::{self, Planned};
use super::visit::{Seen, Visit};
use super::wire::{Scissors, Wire};
use super::{altinn, echo, selfservice};

const METADATA: &str = "/.well-known/oauth-authorization-server";

/// After an accept that failed, as where files have run out; nothing to do but wait.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until `stop`; each connection is a task of `tracker`.
pub(super) async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tracker: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection(stream, shared) => {}
            }
        });
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // A test's latency is all it costs where it fails.
    let _ = stream.set_nodelay(true);
    let (wire, scissors) = Wire::new(stream);
    let service = service_fn(|request| {
        let (shared, scissors) = (Arc::clone(&shared), Arc::clone(&scissors));
        async move { Ok::<_, Infallible>(respond(&shared, &scissors, request).await) }
    });
    // Errors of a connection are the client's, or wanted; the records tell what was served.
    let _ =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(wire), service).await;
}

async fn respond(
    shared: &Arc<Shared>,
    scissors: &Scissors,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let watch = Departure::new(shared);
    let head_alone = request.method() == Method::HEAD;
    let (place, service) = place(request.uri().path());
    let fault = service.and_then(|service| shared.faults.draw(service));
    let mut reply = match fault {
        None => serve(shared, place, request, None, Duration::ZERO).await,
        Some(Fault { delay, effect }) => faulty(shared, scissors, place, request, effect, delay).await,
    };
    reply.headers.insert(DATE, shared.date());
    reply.content = match reply.content {
        Content::Streamed(body) if !head_alone && !body.is_end_stream() => {
            Content::Streamed(Departing { body, watch }.boxed_unsync())
        }
        content => {
            watch.arrived();
            content
        }
    };
    reply.into_response()
}

/// Which resource a path is.
#[derive(Clone, Debug)]
enum Place {
    Metadata,
    Jwks,
    Token,
    Altinn,
    Echo,
    SelfService(String),
    Index,
    Nowhere,
}

fn place(path: &str) -> (Place, Option<Service>) {
    if let Some(resource) = selfservice::resource(path) {
        return (Place::SelfService(resource.to_owned()), Some(Service::Api));
    }
    match path {
        METADATA => (Place::Metadata, Some(Service::Metadata)),
        "/jwk" => (Place::Jwks, Some(Service::Metadata)),
        "/token" => (Place::Token, Some(Service::Token)),
        altinn::PATH => (Place::Altinn, Some(Service::Altinn)),
        "/" => (Place::Index, None),
        _ if path == "/echo" || path.starts_with("/echo/") => (Place::Echo, Some(Service::Api)),
        _ => (Place::Nowhere, None),
    }
}

/// The answer as it should be, after `delay`; with `planned`, only the records are as they should.
async fn serve(
    shared: &Shared,
    place: Place,
    request: Request<Incoming>,
    planned: Option<Planned>,
    delay: Duration,
) -> Reply {
    // A token is judged by when it came, not by how long the answer takes.
    let visit = matches!(place, Place::Altinn | Place::Echo | Place::SelfService(_))
        .then(|| Visit::of(&request, shared));
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match (place, visit) {
        (Place::Token, _) => token_endpoint::serve(shared, request, planned).await,
        (place, Some(visit)) if planned.is_some() => {
            let record = visit.record(&Seen::default());
            match place {
                Place::Altinn => shared.records.altinn_request(record),
                _ => shared.records.api_request(record),
            }
            Reply::new(StatusCode::OK)
        }
        (Place::Altinn, Some(visit)) => altinn::serve(shared, &visit, request).await,
        (Place::Echo, Some(visit)) => echo::serve(shared, &visit, request).await,
        (Place::SelfService(resource), Some(visit)) => {
            selfservice::serve(shared, &visit, request, &resource).await
        }
        (Place::Metadata, _) => {
            shared.records.count(|counts| counts.metadata_requests += 1);
            Reply::ok(&token_endpoint::metadata(&shared.issuer))
        }
        (Place::Jwks, _) => Reply::ok(&shared.tokens.jwks()),
        (Place::Index, _) => Reply::ok(&index(&shared.issuer)),
        _ => Reply::not_found("the sandbox has nothing here; / lists what it has"),
    }
}

async fn faulty(
    shared: &Shared,
    scissors: &Scissors,
    place: Place,
    request: Request<Incoming>,
    effect: Effect,
    delay: Duration,
) -> Reply {
    let planned = match &effect {
        Effect::Refuse(refusal) if matches!(place, Place::Token) => Some(Planned::Refuse(refusal.clone())),
        Effect::Refuse(_) | Effect::Answer { .. } | Effect::Silence => Some(Planned::Answer),
        _ => None,
    };
    let mut reply = serve(shared, place, request, planned, delay).await;
    match effect {
        Effect::None => {}
        Effect::Refuse(refusal) => reply = refusal.to_reply(&shared.issuer),
        Effect::Silence => std::future::pending().await,
        Effect::Cut { after, reset } => scissors.cut(after, reset),
        Effect::Break { after } => {
            let length = match &reply.content {
                Content::Whole(bytes) => Some(bytes.len() as u64),
                Content::Streamed(body) => body.size_hint().exact(),
            };
            if let Some(length) = length {
                reply.headers.insert(CONTENT_LENGTH, length.into());
            }
            let content = std::mem::replace(&mut reply.content, Content::Whole(Bytes::new()));
            let inner = Reply { content, ..Reply::new(StatusCode::OK) }.into_response().into_body();
            reply.content = Content::Streamed(Broken::after(after, inner).boxed_unsync());
        }
        Effect::Edit { member, raw } => {
            if let Content::Whole(bytes) = &reply.content
                && let Some(edited) = edited(bytes, member, raw.as_deref())
            {
                reply.content = Content::Whole(edited);
            }
        }
        Effect::Answer { status, headers, body } => {
            reply = match body {
                FaultBody::Whole(bytes) => Reply { content: Content::Whole(bytes), ..Reply::new(status) },
                FaultBody::Endless => {
                    Reply::streamed("application/json", Pattern::endless()).with_status(status)
                }
            };
            *reply.headers = headers;
        }
    }
    reply
}

/// A JSON object with one member replaced by `raw`, which need not be JSON, or left out.
fn edited(json: &[u8], member: &str, raw: Option<&str>) -> Option<Bytes> {
    let object: Map<String, Value> = serde_json::from_slice(json).ok()?;
    let others = object.iter().filter(|(name, _)| *name != member);
    let mut members: Vec<String> =
        others.map(|(name, value)| format!("{}:{value}", Value::String(name.clone()))).collect();
    members.extend(raw.map(|raw| format!("{}:{raw}", Value::String(member.to_owned()))));
    Some(format!("{{{}}}", members.join(",")).into())
}

fn index(issuer: &str) -> Value {
    let base = issuer.trim_end_matches('/');
    let self_service = ["clients", "scopes", "delegationsources"].map(|name| format!("{base}/{name}"));
    json!({
        "what": "the sandbox of maskinporten-proxy: a Maskinporten for tests",
        "issuer": issuer,
        "metadata": format!("{base}{METADATA}"),
        "token_endpoint": format!("{base}/token"),
        "self_service": self_service,
        "altinn_exchange": format!("{base}{}", altinn::PATH),
        "echo": format!("{base}/echo"),
    })
}

/// Counts a client that left before its answer was whole.
struct Departure {
    shared: Arc<Shared>,
    arrived: bool,
}

impl Departure {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), arrived: false }
    }

    fn arrived(mut self) {
        self.arrived = true;
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        if !self.arrived {
            self.shared.records.count(|counts| counts.abandoned += 1);
        }
    }
}

/// A body that notices when it is dropped before its end.
struct Departing {
    body: ReplyBody,
    watch: Departure,
}

impl Body for Departing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        // hyper does not ask again once a body of known length has given it all.
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() || self.size_hint().exact() == Some(0) {
            self.watch.arrived = true;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
