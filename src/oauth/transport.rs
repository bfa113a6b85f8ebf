//! The HTTP of the token endpoint, the metadata and the exchange: a few small requests to
//! configured addresses.
//!
//! Redirects are never followed, answers are read to 64 KiB at most, and each request ends within
//! its deadline. The connections speak HTTP/1.1 (a handful of requests an hour gains nothing from
//! HTTP/2, whose library logs frames) and idle ones are dropped early, so that a change of network
//! leaves no dead pool behind.

use std::error::Error;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use zeroize::Zeroizing;

use crate::config::{HttpUrl, UpstreamSettings};
use crate::oauth::error::{AnswerFault, Service, TokenError};

/// The most that is read of an answer.
pub const ANSWER_LIMIT: usize = 64 * 1024;

/// From the start of a request to the end of its answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// The longest pause that is taken from a `Retry-After`.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Idle connections are dropped after this; token requests come far apart or in bursts.
const IDLE: Duration = Duration::from_secs(10);

/// Sends the requests of this module. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct TokenHttp {
    /// For loopback addresses: past every proxy, and never to another machine whatever DNS says.
    loopback: reqwest::Client,
    outward: reqwest::Client,
}

/// Why the HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for token requests could not be made")]
pub struct TransportError(#[source] reqwest::Error);

/// A whole answer with a status that is neither 3xx nor one that passes (408, 429, 5xx).
pub(in crate::oauth) struct Answer {
    pub(in crate::oauth) status: StatusCode,
    pub(in crate::oauth) date: Option<SystemTime>,
    pub(in crate::oauth) body: Zeroizing<Vec<u8>>,
}

/// An answer of any status, or the error; with the `Date` of either.
pub(in crate::oauth) struct Exchanged {
    pub(in crate::oauth) date: Option<SystemTime>,
    pub(in crate::oauth) result: Result<Answer, TokenError>,
}

impl TokenHttp {
    /// `tls` says whom to trust. The outbound proxy is that of `settings`, else the environment's
    /// (`HTTPS_PROXY`, `ALL_PROXY`); `NO_PROXY` holds for both, and loopback bypasses either.
    ///
    /// # Errors
    ///
    /// When the settings cannot be made into a client.
    pub fn new(tls: rustls::ClientConfig, settings: &UpstreamSettings) -> Result<Self, TransportError> {
        Self::with_deadline(tls, settings, DEADLINE)
    }

    /// As [`TokenHttp::new`], with another deadline for a whole request.
    ///
    /// # Errors
    ///
    /// When the settings cannot be made into a client.
    pub fn with_deadline(
        mut tls: rustls::ClientConfig,
        settings: &UpstreamSettings,
        deadline: Duration,
    ) -> Result<Self, TransportError> {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let builder = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .user_agent(concat!("maskinporten-proxy/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(settings.connect_timeout.min(deadline))
                .timeout(deadline)
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(16)
        };
        let loopback = builder().no_proxy().dns_resolver(LoopbackOnly).build().map_err(TransportError)?;
        let outward = match &settings.proxy {
            None => builder(),
            Some(proxy) => {
                let mut via = reqwest::Proxy::all(format!("http://{}", proxy.authority))
                    .map_err(TransportError)?
                    .no_proxy(reqwest::NoProxy::from_env());
                if let Some(credentials) = &proxy.credentials {
                    let (user, password) =
                        credentials.expose().split_once(':').unwrap_or((credentials.expose(), ""));
                    via = via.basic_auth(user, password);
                }
                builder().proxy(via)
            }
        };
        Ok(Self { loopback, outward: outward.build().map_err(TransportError)? })
    }

    /// `POST` of an encoded form.
    pub(in crate::oauth) async fn post_form(
        &self,
        service: Service,
        url: &HttpUrl,
        form: String,
    ) -> Exchanged {
        let request = self.client(url).post(url.to_string());
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        self.send(service, request.header(ACCEPT, "application/json")).await
    }

    /// `GET`, with a bearer token where one is given.
    pub(in crate::oauth) async fn get(
        &self,
        service: Service,
        url: &HttpUrl,
        authorization: Option<HeaderValue>,
    ) -> Exchanged {
        let mut request = self.client(url).get(url.to_string());
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        self.send(service, request).await
    }

    fn client(&self, url: &HttpUrl) -> &reqwest::Client {
        if url.authority.host().is_loopback() { &self.loopback } else { &self.outward }
    }

    async fn send(&self, service: Service, request: reqwest::RequestBuilder) -> Exchanged {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Exchanged { date: None, result: Err(unreachable(service, &error)) },
        };
        let date = date(response.headers());
        let status = response.status();
        let retry_after = retry_after(response.headers(), date.unwrap_or_else(SystemTime::now));
        // Of an error too: an answer that is read to its end leaves the connection fit for use.
        let body = read(service, response).await;
        let result = if status.is_redirection() {
            Err(TokenError::Redirected { service, status: status.as_u16() })
        } else if is_passing(status) {
            Err(TokenError::Unavailable { service, status: status.as_u16(), retry_after })
        } else {
            body.map(|body| Answer { status, date, body })
        };
        Exchanged { date, result }
    }
}

impl fmt::Debug for TokenHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A client's own Debug names its proxies, whose URLs may hold passwords.
        f.debug_struct("TokenHttp").finish_non_exhaustive()
    }
}

async fn read(service: Service, mut response: reqwest::Response) -> Result<Zeroizing<Vec<u8>>, TokenError> {
    let status = response.status().as_u16();
    let mut body = Zeroizing::new(Vec::with_capacity(4096));
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > ANSWER_LIMIT => {
                let fault = AnswerFault::TooLong { limit: ANSWER_LIMIT };
                return Err(TokenError::Malformed { service, status, fault });
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => return Err(unreachable(service, &error)),
        }
    }
}

fn unreachable(service: Service, error: &reqwest::Error) -> TokenError {
    if error.is_timeout() {
        return TokenError::TimedOut { service };
    }
    // The innermost cause is the one that tells something ("Connection refused", "invalid peer
    // certificate: UnknownIssuer"); the outer ones say "error sending request".
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let broke = !error.is_connect() && (error.is_request() || error.is_body() || error.is_decode());
    TokenError::Unreachable { service, reason: cause.to_string(), broke }
}

/// Whether the status says that the same request may fare better later.
fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) || status.is_server_error()
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    headers
        .get(DATE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| httpdate::parse_http_date(text).ok())
}

/// RFC 9110 §10.2.3: seconds, or a date (judged by `now`, the server's own where it gave one).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a u64 are a long time all the same.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(pause.min(LONGEST_RETRY_AFTER))
}

/// Resolves every name to this machine. It is asked for `localhost` and `*.localhost` alone
/// (RFC 6761 §6.3): plain http is accepted for those, so no DNS answer may lead elsewhere.
struct LoopbackOnly;

impl Resolve for LoopbackOnly {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses =
            [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
        Box::pin(std::future::ready(Ok(Box::new(addresses.into_iter()) as Addrs)))
    }
}

#[cfg(test)]
mod tests;
