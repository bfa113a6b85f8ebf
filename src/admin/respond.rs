//! Answers and their headers.

use ::http::header::{self, HeaderName, HeaderValue};
use ::http::{Response, StatusCode};
use bytes::Bytes;
use http_body::Body as _;
use serde::Serialize;
use serde_json::json;

use super::body::AdminBody;
use super::status::TokenError;

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

    /// A problem document (RFC 9457).
    pub(super) fn problem(status: StatusCode, slug: &str, title: &str, detail: &str) -> Self {
        Self::document(status, slug, title, detail, None)
    }

    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        let mut answer = Self::problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "Method not allowed",
            &format!("This address takes {allow}."),
        );
        answer.extra = Some((header::ALLOW, HeaderValue::from_static(allow)));
        answer
    }

    /// A token that could not be fetched, with what to do about it.
    pub(super) fn token_problem(error: &TokenError) -> Self {
        Self::document(
            StatusCode::BAD_GATEWAY,
            "token",
            "The token could not be fetched",
            &error.cause,
            Some(error),
        )
    }

    fn document(
        status: StatusCode,
        slug: &str,
        title: &str,
        detail: &str,
        maskinporten: Option<&TokenError>,
    ) -> Self {
        let mut document = json!({
            "type": format!("urn:maskinporten-proxy:{slug}"),
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
        });
        if let (Some(error), Some(members)) = (maskinporten, document.as_object_mut()) {
            members.insert("maskinporten".to_owned(), json!(error));
        }
        let mut answer = Self::json(status, &document);
        answer.content_type = "application/problem+json";
        answer
    }

    fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type, extra: None, body: AdminBody::whole(body) }
    }

    /// Adds what every answer says to a browser: take it as what it is, show it in no frame, keep
    /// no copy, tell nobody where you came from, and load nothing beyond `policy`.
    pub(super) fn into_response(self, head: bool, policy: &HeaderValue) -> Response<AdminBody> {
        let length = self.body.size_hint().exact();
        let body = if head { AdminBody::empty() } else { self.body };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
        for (name, value) in [
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Some((name, value)) = self.extra {
            headers.insert(name, value);
        }
        response
    }
}
