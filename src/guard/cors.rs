//! What pages of allowed origins are told (Fetch §3.2): that they may, without credentials.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, VARY,
};
use http::{Method, StatusCode};
use http_body_util::Full;

use crate::message::{Fields, RequestHead, Response, ResponseHead};

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
    #[cold]
    #[inline(never)]
    pub fn apply(&self, fields: &mut Fields) {
        fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        fields.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        fields.remove_named(&ACCESS_CONTROL_ALLOW_CREDENTIALS);
        fields.append(VARY, HeaderValue::from_static("Origin"));
    }
}

impl Preflight {
    #[cold]
    #[inline(never)]
    pub(super) fn of(head: &RequestHead, cors: &Cors) -> Option<Self> {
        if head.method != Method::OPTIONS {
            return None;
        }
        let value = |name| HeaderValue::from_maybe_shared(head.fields.first_named(name)?).ok();
        let method = value(&ACCESS_CONTROL_REQUEST_METHOD)?;
        Some(Self {
            cors: cors.clone(),
            method,
            headers: value(&ACCESS_CONTROL_REQUEST_HEADERS),
            private_network: value(&REQUEST_PRIVATE_NETWORK).is_some(),
        })
    }

    /// 204: what was asked for is allowed. Whether a route takes it is told when it comes.
    #[cold]
    #[inline(never)]
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut headers = Fields::new();
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
        let head =
            ResponseHead { status: StatusCode::NO_CONTENT, fields: headers, ..ResponseHead::default() };
        Response { head: Box::new(head), body: Full::default() }
    }
}
