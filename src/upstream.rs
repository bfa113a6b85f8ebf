//! Sending requests to upstreams: connections and their pool, timeouts, and what may be sent
//! twice.
//!
//! [`Pool::send`] takes a request whose URI is path and query, and gives the response's head with
//! a body that streams. It adds nothing to a request but what its protocol on the wire needs
//! (`Host` or `:authority`, the framing of the body), follows no redirect, and never looks at a
//! token.

mod body;
mod connector;
mod error;
mod http1;
mod http2;
mod origin;
mod outbound;
mod pool;
mod response;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use self::pool::{Checkout, Connected, Hosts};
use crate::hint::{aside, seldom};
use crate::message::{Name, RequestHead, Response};
use crate::net::{Interim, Timer};
use crate::telemetry::Recorder;

pub use self::body::{MAX_HELD, Replay, RequestBody};
pub use self::connector::{Connector, ConnectorError, Probe, Reached, UpstreamStream};
pub use self::error::{ClientFault, ProxyProblem, TlsProblem, UpstreamError};
pub use self::http1::{ReadResponse, read_response};
pub use self::http2::{Broken, ReadConnection, ReadStream, read_http2};
pub use self::origin::{AddressPolicy, Origin, UnusableName};
pub use self::outbound::BadProxyVariable;
pub use self::response::{ResponseBody, ResponseBodyError, Upgraded};

/// Connections that the pool had and that turned out dead, one after another, before a request
/// is given up. Nothing of the request has been written to any of them.
const MAX_UNSENT: usize = 8;

/// Connections that a request may open for itself and see go away without having looked at it.
const MAX_IN_VAIN: usize = 3;

/// A worker thread's connections. Cheap to clone.
#[derive(Clone)]
pub struct Pool(Rc<Hosts>);

/// How the head of a response is waited for.
#[derive(Clone, Copy)]
struct Waiting<'a> {
    /// From the request's last byte on.
    timeout: Duration,
    timer: &'a Timer,
    interim: &'a Interim,
}

/// How long it took to get a connection: zero where the pool had one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connecting(pub Duration);

impl Pool {
    /// To be called, and used, on a runtime for local tasks (`LocalRuntime` or `LocalSet`).
    #[expect(clippy::new_without_default, reason = "it starts a task, which a default should not")]
    pub fn new() -> Self {
        Self(Hosts::new(None))
    }

    /// As [`new`](Self::new), with its open connections counted by `recorder`.
    pub fn counted(recorder: Arc<Recorder>) -> Self {
        Self(Hosts::new(Some(recorder)))
    }

    /// Idle HTTP/1.1 connections and open HTTP/2 connections.
    pub fn counts(&self) -> (usize, usize) {
        self.0.counts()
    }

    /// Sends a request to `origin` and waits for the head of the response.
    ///
    /// The URI of `head` is path and query; its headers are end-to-end ones, and `Upgrade` with
    /// `Connection` where the protocol is to be switched: then HTTP/1.1 is spoken, and a 101 has a
    /// body that turns [into the connection](ResponseBody::into_upgraded). Interim responses of
    /// the upstream's go to `interim`; `timer` is that of the task, and serves the response's body,
    /// too.
    ///
    /// A request is sent again by itself in two cases only: nothing of it was written, or the
    /// upstream says that it has not looked at it (RFC 9113 §8.7); and where a connection from the
    /// pool died without a byte of a response, if the method is idempotent (RFC 9110 §9.2.2) and
    /// the body is held, once, on a new connection.
    ///
    /// Dropping the future or the response's body cancels the exchange.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`], which knows the status that fits.
    pub async fn send(
        &self,
        connector: &Connector,
        origin: &Origin,
        head: &RequestHead,
        mut body: RequestBody,
        interim: &Interim,
        timer: &Timer,
    ) -> Result<(Response<ResponseBody>, Connecting), UpstreamError> {
        let host = self.0.host(connector, origin);
        let waiting = Waiting { timeout: connector.response_timeout(), timer, interim };
        let mut http1_only = head.fields.has(Name::Upgrade);
        let mut unsent = 0;
        let mut opened_in_vain = 0;
        let mut fresh = false;
        let mut connecting = Duration::ZERO;
        loop {
            let replay = body.replay();
            let checkout = host.checkout(connector, origin, http1_only, fresh).await?;
            let Checkout { connection, reused, took } = checkout;
            connecting += took;
            match connection {
                Connected::Http1(connection) => {
                    let may_repeat = reused && !fresh && is_idempotent(&head.method);
                    let exchange = connection.exchange(head, body, &host, origin, waiting);
                    let failure = match exchange.await {
                        Ok(response) => return Ok((response, Connecting(connecting))),
                        Err(failure) => failure,
                    };
                    seldom();
                    if let Some(back) = failure.unsent.filter(|_| unsent < MAX_UNSENT) {
                        unsent += 1;
                        body = back;
                        continue;
                    }
                    if !failure.died {
                        if matches!(failure.error, UpstreamError::ResponseTimeout { .. }) {
                            host.drop_idle();
                        }
                        return Err(failure.error);
                    }
                    body = replay.body().filter(|_| may_repeat).ok_or(failure.error)?;
                    fresh = true;
                }
                Connected::Http2(connection) => {
                    let exchange = connection.exchange(head, body, origin, waiting);
                    let failure = match aside(exchange).await {
                        Ok(response) => return Ok((response, Connecting(connecting))),
                        Err(failure) => failure,
                    };
                    seldom();
                    let again = if let Some(most) = failure.unprocessed {
                        unsent += 1;
                        opened_in_vain += usize::from(!reused);
                        http1_only |= failure.wants_http1;
                        unsent <= most && opened_in_vain <= MAX_IN_VAIN
                    } else {
                        let first = reused && !fresh;
                        fresh = true;
                        failure.died && is_idempotent(&head.method) && first
                    };
                    let back = failure.unsent.or_else(|| replay.body());
                    body = back.filter(|_| again).ok_or(failure.error)?;
                }
            }
        }
    }
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    )
}
