//! What pages of allowed origins are told (Fetch §3.2): that they may, without credentials.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, VARY,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;

/// Private Network Access: a page of the public web that calls a local address.
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The allowed origin that made a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    origin: HeaderValue,
}

/// A preflight of an allowed origin, to be answered without asking anyone.
#[derive(Debug)]
pub struct Preflight {
    cors: Cors,
    method: HeaderValue,
    headers: Option<HeaderValue>,
    private_network: bool,
}

impl Cors {
    pub(super) fn new(origin: HeaderValue) -> Self {
        Self { origin }
    }

    /// Lets the page read a response, in place of what the upstream says about origins: the
    /// page's origin is not the upstream's to know.
    pub fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}

impl Preflight {
    pub(super) fn of(parts: &Parts, cors: &Cors) -> Option<Self> {
        if parts.method != Method::OPTIONS {
            return None;
        }
        let method = parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.clone();
        Some(Self {
            cors: cors.clone(),
            method,
            headers: parts.headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
            private_network: parts.headers.contains_key(REQUEST_PRIVATE_NETWORK),
        })
    }

    /// 204: what was asked for is allowed. Whether a route takes it is told when it comes.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.cors.origin);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.method);
        if let Some(names) = self.headers {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        if self.private_network {
            headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        headers.insert(
            VARY,
            HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        );
        response
    }
}
