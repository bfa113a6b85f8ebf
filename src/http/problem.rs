//! [`Problem`]: an error of the proxy's own, and the response that tells of it.
//!
//! Every module's error ends as one of these, and becomes a response in one place. The body is
//! `application/problem+json` (RFC 9457), and `Proxy-Status` (RFC 9209) tells it from an answer
//! of the upstream. Who makes a problem keeps secrets out of its detail.

mod kind;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, PROXY_AUTHENTICATE, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response};
use http_body_util::Full;
use serde::Serialize;

pub use kind::{Failed, ProblemKind};

/// `Proxy-Status` (RFC 9209 §2).
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The longest `details` of `Proxy-Status`, in characters; the body has the whole text.
const MAX_DETAILS: usize = 300;

/// What went wrong, said once: it is answered, logged and counted from here.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    maskinporten: Option<Box<MaskinportenError>>,
    retry_after: Option<Duration>,
    allow: Option<Vec<Method>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A refusal of Maskinporten's, and what it means to the user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MaskinportenError {
    /// Empty where it is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_uri: Option<String>,
    /// `MP-…`, where the description names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What is wrong, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What a person can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Problem {
    /// `detail` is for the person who reads the response: what happened here and what to do.
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            maskinporten: None,
            retry_after: None,
            allow: None,
            headers: Vec::new(),
        }
    }

    pub fn with_maskinporten(mut self, error: MaskinportenError) -> Self {
        self.maskinporten = Some(Box::new(error));
        self
    }

    /// When it is worth trying again; sent in whole seconds, rounded up, one at least.
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The methods that would have been served, for 405.
    pub fn with_allow(mut self, methods: Vec<Method>) -> Self {
        self.allow = Some(methods);
        self
    }

    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn maskinporten(&self) -> Option<&MaskinportenError> {
        self.maskinporten.as_deref()
    }

    /// The response. `request_id` is the one in the log.
    pub fn into_response(self, request_id: impl fmt::Display) -> Response<Full<Bytes>> {
        let body = Body {
            kind: self.kind.urn(),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            instance: request_id.to_string(),
            maskinporten: self.maskinporten.as_deref(),
        };
        let body = serde_json::to_vec(&body).expect("strings and a number make JSON");
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = self.kind.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(PROXY_STATUS, self.proxy_status());
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some(methods) = &self.allow {
            let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
            let allow = HeaderValue::try_from(names.join(", ")).expect("methods are tokens");
            headers.insert(ALLOW, allow);
        }
        match self.kind {
            ProblemKind::ProxyPassword => {
                headers.append(PROXY_AUTHENTICATE, BASIC);
                headers.append(PROXY_AUTHENTICATE, BEARER);
            }
            ProblemKind::AdminPassword => drop(headers.insert(WWW_AUTHENTICATE, BASIC)),
            _ => {}
        }
        if self.kind.closes_connection() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        headers.extend(self.headers);
        response
    }

    /// `maskinporten-proxy; error=…; details="…"`.
    fn proxy_status(&self) -> HeaderValue {
        let mut value = format!("maskinporten-proxy; error={}; details=\"", self.kind.proxy_error());
        // A string of RFC 8941 §3.3.3: printable ASCII, `"` and `\` escaped.
        for character in self.detail.chars().take(MAX_DETAILS) {
            match character {
                '"' | '\\' => value.extend(['\\', character]),
                ' '..='~' => value.push(character),
                _ => value.push('?'),
            }
        }
        value.push('"');
        HeaderValue::try_from(value).expect("printable ASCII is a header value")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"maskinporten-proxy\", charset=\"UTF-8\"");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"maskinporten-proxy\"");

/// RFC 9457 §3.1, with one extension member.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    maskinporten: Option<&'a MaskinportenError>,
}

#[cfg(test)]
mod tests;
