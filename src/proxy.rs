//! The spine: what happens to a request between its head and the response's.
//!
//! [`handle`] reads top to bottom: load the state, admit, pick the route, get the authorization,
//! rewrite, send, rewrite back. Whatever goes wrong on the way is one [`Problem`], which becomes
//! a response in one place. Nothing here parses an authority, opens a key or speaks to
//! Maskinporten.

mod body;
mod error;
mod forward;
mod intercept;
mod rewrite;
mod upgrade;

use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use ::http::{Method, StatusCode};
use bytes::Bytes;
use http_body_util::Full;

use crate::config::Access;
use crate::guard::{Admission, Admitted, Cors, Form, Tunnel};
use crate::hint::{apart, seldom};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::{framing, path};
use crate::message::{Name, Request, RequestHead, Response};
use crate::net::{Call, DrainWatch, Incoming, OnUpgrade, Patience};
use crate::oauth::{Authorization, TokenSource};
use crate::routing::Match;
use crate::state::{Live, Remembered, RouteState, State, Surroundings};
use crate::telemetry::{Exchange, Recorder};
use crate::upstream::{Connecting, Origin, Pool, RequestBody, ResponseBody, UpstreamError};

pub use self::body::Body;

/// What a worker thread has to itself.
pub struct Worker {
    live: Remembered,
    surroundings: Arc<Surroundings>,
    recorder: Arc<Recorder>,
    drain: DrainWatch,
    pool: Pool,
}

/// A request that a route takes.
struct Target<'s> {
    route: &'s Arc<RouteState>,
    /// Where in the request's path the matched prefix ends.
    rest_at: usize,
}

/// What there is to answer.
enum Answer {
    /// The upstream's response.
    Relayed(Response<ResponseBody>),
    /// One of the proxy's own that is no error.
    Own(Response<Full<Bytes>>),
}

/// Answers one request. Never fails: an error is a response, too.
pub fn handle(
    worker: Rc<Worker>,
    request: Request<Incoming>,
    call: Call,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    serve(worker, None, request, call)
}

/// Answers one request inside an intercepted tunnel.
fn handle_inside(
    worker: Rc<Worker>,
    tunnel: Arc<Tunnel>,
    request: Request<Incoming>,
    call: Call,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    serve(worker, Some(tunnel), request, call)
}

// No `async fn`, here and where heads are passed by reference below: a future keeps what it was
// called with beside what it makes of that, and is moved as a whole.
fn serve(
    worker: Rc<Worker>,
    inside: Option<Arc<Tunnel>>,
    request: Request<Incoming>,
    mut call: Call,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    let client = std::mem::replace(&mut call.upgrade, OnUpgrade::never());
    let Request { mut head, body } = request;
    async move {
        let mut cors = None;
        let mut exchange = Some(Box::new(worker.recorder.begin(&head)));
        let version = head.version;
        let state = worker.live.load_full();
        let relay = Relay { worker: &worker, state: &state, call: &call, inside: inside.as_deref() };
        let outcome = relay.answer(&mut head, body, client, &mut cors, &mut exchange).await;
        let mut response = body::respond(outcome, exchange, version);
        // Our errors, too, are for the page to read.
        if let Some(cors) = cors {
            cors.apply(&mut response.head.fields);
        }
        Ok(response)
    }
}

/// One request on its way.
struct Relay<'a> {
    worker: &'a Rc<Worker>,
    state: &'a Arc<State>,
    call: &'a Call,
    /// The intercepted tunnel that the request came through.
    inside: Option<&'a Tunnel>,
}

impl Relay<'_> {
    /// `cors` is set where a page of an allowed origin asks; the exchange is taken where it lives
    /// on beyond the response, in a tunnel.
    async fn answer(
        &self,
        head: &mut RequestHead,
        body: Incoming,
        client: OnUpgrade,
        cors: &mut Option<Cors>,
        exchange: &mut Option<Box<Exchange>>,
    ) -> Result<Answer, Problem> {
        if let Some(refusal) = self.call.refusal {
            return Err(error::of_refusal(refusal));
        }
        let admitted = match self.admit(head)? {
            Admission::Request(admitted) => admitted,
            Admission::Preflight(preflight) => return Ok(Answer::Own(preflight.into_response())),
        };
        if let Some(asked) = admitted.cors() {
            seldom();
            *cors = Some(asked.clone());
        }
        match admitted.form() {
            Form::Connect { .. } => return apart(|| self.connect(&admitted, client, exchange)).await,
            Form::Absolute { routed: false } => {
                return apart(|| forward::pass_on(self, &admitted, head, body, client, exchange)).await;
            }
            _ => {}
        }

        let target = self.target(&admitted, head)?;
        if let Some(exchange) = exchange {
            exchange.set_route(target.route.id);
        }
        self.check(&target, head)?;

        let by_request;
        let source = match target.route.identities.fixed() {
            Some(source) => source,
            None => {
                by_request = target.route.source(&head.fields).map_err(error::of_claim)?;
                &by_request
            }
        };
        let authorization = self.authorize(source, exchange).await?;

        let via = &self.worker.surroundings.via;
        let asked = rewrite::request(head, &target, &authorization, via)?;
        let claims = target.route.config.claim_headers().cloned();
        let body = RequestBody::streaming(body).without_trailers(claims);
        let had = Some((source, &authorization));
        let mut response = self.send(&target.route.origin, head, body, had, exchange).await?;
        if let Some(exchange) = exchange {
            exchange.head_arrived();
        }

        let agreed = rewrite::response(&mut response, &target, &admitted, via);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            seldom();
            return upgrade::bridge(self, response, asked.as_ref(), agreed, client, exchange);
        }
        Ok(Answer::Relayed(response))
    }

    fn admit(&self, head: &RequestHead) -> Result<Admission, Problem> {
        let admission = match self.inside {
            None => self
                .state
                .guard
                .admit(head, self.call.peer.local, |authority| self.state.is_routed(authority)),
            Some(tunnel) => self.state.guard.admit_inside(tunnel, head),
        };
        admission.map_err(Problem::from)
    }

    async fn connect(
        &self,
        admitted: &Admitted,
        client: OnUpgrade,
        exchange: &mut Option<Box<Exchange>>,
    ) -> Result<Answer, Problem> {
        match admitted.tunnel() {
            Some(tunnel) => intercept::tunnel(self, tunnel, client, exchange),
            None => forward::tunnel(self, admitted.authority(), client, exchange).await,
        }
    }

    /// The route that takes the request.
    fn target(&self, admitted: &Admitted, head: &RequestHead) -> Result<Target<'_>, Problem> {
        let path = head.uri.path();
        let authority = admitted.authority();
        let forwarded =
            matches!(admitted.form(), Form::Absolute { .. } | Form::Tunnelled).then_some(authority);
        let found = match forwarded {
            Some(authority) => {
                self.state.forward.find(authority, path, &head.method).unwrap_or(Match::NotFound)
            }
            None => self.state.routes.find(Some(authority.host()), path, &head.method),
        };
        match found {
            Match::Found { target: route, rest_at } => Ok(Target { route, rest_at }),
            Match::MethodNotAllowed { allow } => {
                seldom();
                let detail = format!("no route for {path} takes {}", head.method);
                Err(Problem::new(ProblemKind::MethodNotAllowed, detail).with_allow(allow))
            }
            Match::NotFound => Err(error::no_route(self.state, forwarded, path)),
        }
    }

    /// What a route refuses before a token is asked for.
    fn check(&self, target: &Target<'_>, head: &RequestHead) -> Result<(), Problem> {
        let route = &target.route.config;
        let reads = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if route.access == Access::ReadOnly && !reads {
            return Err(error::read_only(route, &head.method));
        }
        let rest = head.uri.path().get(target.rest_at..).unwrap_or_default();
        path::check(rest).map_err(error::of_climb)?;
        framing::check(head.version, &head.fields).map_err(error::of_framing)?;
        if self.worker.surroundings.via.is_loop(&head.fields) {
            return Err(error::looping(route));
        }
        Ok(())
    }

    async fn authorize(
        &self,
        source: &Arc<TokenSource>,
        exchange: &mut Option<Box<Exchange>>,
    ) -> Result<Authorization, Problem> {
        if let Some(authorization) = source.current() {
            return Ok(authorization);
        }
        if let Some(exchange) = exchange {
            exchange.waits_for_token();
        }
        let outcome = apart(|| source.authorization()).await;
        if let Some(exchange) = exchange {
            exchange.token_ready();
        }
        outcome.map_err(|failure| error::of_token(&failure))
    }

    /// Sends the request, and notes on the record where the time goes. Once more, with a new token,
    /// where the API refuses the one that it `had` and the body is still held.
    async fn send(
        &self,
        origin: &Origin,
        head: &mut RequestHead,
        body: RequestBody,
        mut had: Option<(&Arc<TokenSource>, &Authorization)>,
        exchange: &mut Option<Box<Exchange>>,
    ) -> Result<Response<ResponseBody>, Problem> {
        let Call { interim, timer, .. } = self.call;
        let connector = &self.state.way_out.connector;
        let patience = self.worker.surroundings.patience;
        let mut body = body.within(patience.body);
        let replay = body.replay();
        let response = loop {
            if let Some(exchange) = exchange {
                exchange.sending(body.received());
            }
            let sent = self.worker.pool.send(connector, origin, head, body, interim, timer).await;
            if let Some(exchange) = exchange {
                note_connecting(exchange, &sent);
            }
            let (response, _) = sent.map_err(error::of_upstream)?;
            if response.status() != StatusCode::UNAUTHORIZED {
                break response;
            }
            seldom();
            let Some((source, rejected)) = had.take() else { break response };
            if !source.rejected(rejected.serial) {
                break response;
            }
            let Some(held) = replay.body() else { break response };
            // Where no other token is to be had, the API's own 401 says more than we could.
            let Ok(fresh) = apart(|| source.authorization()).await else { break response };
            drop(response);
            head.fields.insert_known(Name::Authorization, fresh.header);
            body = held;
        };
        Ok(response.map(|body| body.within(patience.body)))
    }
}

/// Notes on the record how long it took to get a connection.
#[inline(always)]
fn note_connecting(
    exchange: &mut Exchange,
    sent: &Result<(Response<ResponseBody>, Connecting), UpstreamError>,
) {
    match sent {
        Ok((_, Connecting(took))) => exchange.connecting_took(*took),
        Err(error) => {
            seldom();
            if error.is_connecting() {
                exchange.connected();
            }
        }
    }
}

/// Whether the admin listener may answer this request.
///
/// # Errors
///
/// The guard's refusal.
pub fn admit_admin(live: &Live, head: &RequestHead, call: &Call) -> Result<(), Problem> {
    if let Some(refusal) = call.refusal {
        return Err(error::of_refusal(refusal));
    }
    match live.load().admin_guard.admit(head, call.peer.local, |_| false)? {
        Admission::Request(_) => Ok(()),
        // A page of an allowed origin may use the proxy; the status page is not for it.
        Admission::Preflight(_) => {
            Err(Problem::new(ProblemKind::OriginNotAllowed, "the admin listener answers no other web origin"))
        }
    }
}

impl Worker {
    /// To be called on the worker's own runtime.
    pub fn new(
        live: Arc<Live>,
        surroundings: Arc<Surroundings>,
        recorder: Arc<Recorder>,
        drain: DrainWatch,
    ) -> Self {
        let pool = Pool::counted(Arc::clone(&recorder));
        Self { live: Remembered::new(live), surroundings, recorder, drain, pool }
    }

    pub fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// How long its clients may take.
    pub fn patience(&self) -> Patience {
        self.surroundings.patience
    }

    pub fn drain(&self) -> &DrainWatch {
        &self.drain
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}
