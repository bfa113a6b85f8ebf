//! Answers and their headers.

use std::fmt::Display;

use ::http::header::{self, HeaderName, HeaderValue};
use ::http::{Response, StatusCode};
use bytes::Bytes;
use http_body::Body as _;
use serde::Serialize;

use super::body::AdminBody;
use crate::http::problem::Problem;

/// An answer before the headers that all of them have.
pub(super) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    extra: Option<(HeaderName, HeaderValue)>,
    body: AdminBody,
}

impl Answer {
    pub(super) fn text(text: &'static str) -> Self {
        Self::new(StatusCode::OK, "text/plain; charset=utf-8", text)
    }

    pub(super) fn html(html: String) -> Self {
        Self::new(StatusCode::OK, "text/html; charset=utf-8", html)
    }

    pub(super) fn metrics(text: String, content_type: &'static str) -> Self {
        Self::new(StatusCode::OK, content_type, text)
    }

    pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        let mut text = serde_json::to_vec(value).expect("statuses hold nothing that JSON cannot");
        text.push(b'\n');
        Self::new(status, "application/json", text)
    }

    pub(super) fn event_stream(body: AdminBody) -> Self {
        // Proxies like nginx would otherwise gather events before they pass them on.
        let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        Self { status: StatusCode::OK, content_type: "text/event-stream", extra: Some(unbuffered), body }
    }

    fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type, extra: None, body: AdminBody::whole(body) }
    }

    pub(super) fn into_response(self, head: bool, policy: &HeaderValue) -> Response<AdminBody> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some((name, value)) = self.extra {
            headers.insert(name, value);
        }
        dress(response, head, policy)
    }
}

/// The response to a problem. `request_id` is the one in the log.
pub(super) fn of_problem(
    problem: Problem,
    request_id: impl Display,
    head: bool,
    policy: &HeaderValue,
) -> Response<AdminBody> {
    let (parts, body) = problem.into_response(request_id).into_parts();
    dress(Response::from_parts(parts, AdminBody::from(body)), head, policy)
}

/// Adds what every answer says to a browser: take it as what it is, show it in no frame, keep no
/// copy, tell nobody where you came from, and load nothing beyond `policy`. To HEAD the body is
/// left out, and its length still told.
fn dress(response: Response<AdminBody>, head: bool, policy: &HeaderValue) -> Response<AdminBody> {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    parts.headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        parts.headers.insert(name, HeaderValue::from_static(value));
    }
    Response::from_parts(parts, if head { AdminBody::empty() } else { body })
}
