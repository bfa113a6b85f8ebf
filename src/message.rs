//! HTTP messages as this program passes them on: heads whose fields stay the bytes that they came
//! as, and a body of any type.
//!
//! General types take each head apart into values of its own and are put together again for the
//! other side. Of what a proxy passes on, most is nobody's business; here a field costs the finding
//! of its line. What the proxy itself says, and what comes by HTTP/2, stands beside such lines as
//! names and values.

mod fields;
mod line;
mod name;
mod recurring;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use hyper::ext::ReasonPhrase;

pub use fields::{Field, Fields, Repeated};
pub(crate) use fields::{decimal, text, write_line};
pub use line::{BadLine, Line};
pub(crate) use line::{is_control, is_token};
pub use name::Name;
pub use recurring::Recurring;

/// A request with a body. Its head is in a box, since it passes through many hands and is large.
pub struct Request<B> {
    pub head: Box<RequestHead>,
    pub body: B,
}

/// The head of a request (RFC 9110 §6.2). No `Debug`: its target may hold a person's number.
#[derive(Clone, Default)]
pub struct RequestHead {
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub fields: Fields,
}

/// A response with a body, boxed as a [`Request`] is.
#[derive(Debug)]
pub struct Response<B> {
    pub head: Box<ResponseHead>,
    pub body: B,
}

/// The head of a response.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    pub status: StatusCode,
    /// The reason phrase, where it is not the status' usual one: no control characters.
    pub reason: Option<Bytes>,
    /// By which the response came.
    pub version: Version,
    pub fields: Fields,
}

impl<B> Response<B> {
    pub fn map<T>(self, map: impl FnOnce(B) -> T) -> Response<T> {
        Response { head: self.head, body: map(self.body) }
    }

    pub fn status(&self) -> StatusCode {
        self.head.status
    }
}

impl From<http::request::Parts> for RequestHead {
    fn from(parts: http::request::Parts) -> Self {
        Self { method: parts.method, uri: parts.uri, version: parts.version, fields: parts.headers.into() }
    }
}

impl<B> From<http::Request<B>> for Request<B> {
    fn from(request: http::Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        Self { head: Box::new(parts.into()), body }
    }
}

impl<B> From<Request<B>> for http::Request<B> {
    fn from(request: Request<B>) -> Self {
        let Request { head, body } = request;
        let mut converted = Self::new(body);
        *converted.method_mut() = head.method;
        *converted.uri_mut() = head.uri;
        *converted.version_mut() = head.version;
        *converted.headers_mut() = HeaderMap::from(&head.fields);
        converted
    }
}

impl<B> From<http::Response<B>> for Response<B> {
    fn from(response: http::Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        let reason = parts.extensions.get::<ReasonPhrase>();
        let head = ResponseHead {
            status: parts.status,
            reason: reason.map(|reason| Bytes::copy_from_slice(reason.as_bytes())),
            version: parts.version,
            fields: parts.headers.into(),
        };
        Self { head: Box::new(head), body }
    }
}

impl<B> From<Response<B>> for http::Response<B> {
    /// Without the reason phrase, which only HTTP/1.1 has.
    fn from(response: Response<B>) -> Self {
        let Response { head, body } = response;
        let mut converted = Self::new(body);
        *converted.status_mut() = head.status;
        *converted.version_mut() = head.version;
        *converted.headers_mut() = HeaderMap::from(&head.fields);
        converted
    }
}
