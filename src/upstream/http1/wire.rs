//! What HTTP/1.1 has on the wire: the framing of requests, and that of responses.

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use http_body::Body;

use crate::net::Interim;
use crate::upstream::body::{GoAhead, RequestBody};
use crate::upstream::origin::Origin;

/// Puts the request into the form that HTTP/1.1 has on the wire.
pub(super) fn prepare(request: &mut Request<RequestBody>, origin: &Origin) -> Option<GoAhead> {
    let from_http2 = request.version() == Version::HTTP_2;
    *request.version_mut() = Version::HTTP_11;
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        // A path that was part of a URI is one.
        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
    }
    let is_empty = request.body().is_empty();
    let length = request.body().size_hint().exact();
    let announces_body = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    let headers = request.headers_mut();
    headers.insert(HOST, origin.host_field());
    join_cookies(headers);
    let has_length = headers.contains_key(CONTENT_LENGTH);
    if is_empty {
        headers.remove(EXPECT);
        if from_http2 && announces_body && !has_length {
            // HTTP/2 has other means to say so (RFC 9110 §8.6).
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        }
    } else if let Some(length) = length.filter(|_| !has_length) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    } else if !has_length {
        // Said outright, since hyper leaves out the body of a GET whose length is unknown.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let expects =
        headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    expects.then(|| request.body_mut().hold()).flatten()
}

/// HTTP/2 clients may send each cookie by itself, which HTTP/1.1 has not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if cookies.next().is_none() || cookies.next().is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(mut joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        joined.set_sensitive(headers.get(COOKIE).is_some_and(HeaderValue::is_sensitive));
        headers.insert(COOKIE, joined);
    }
}

pub(super) fn listen_to_interim(
    request: &mut Request<RequestBody>,
    interim: &Interim,
    go_ahead: Option<GoAhead>,
) {
    if !interim.is_wanted() && go_ahead.is_none() {
        return;
    }
    let interim = interim.clone();
    hyper::ext::on_informational(request, move |response| match response.status() {
        StatusCode::CONTINUE => {
            if let Some(go_ahead) = &go_ahead {
                go_ahead.set();
            }
        }
        StatusCode::SWITCHING_PROTOCOLS => {}
        status => {
            let mut headers = response.headers().clone();
            for name in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH] {
                headers.remove(name);
            }
            interim.send(status, &headers);
        }
    });
}

/// RFC 9112 §6.3: refuses framing that two readers may see differently.
pub(super) fn check_framing(headers: &mut HeaderMap) -> Result<(), &'static str> {
    if let Some(encoding) = headers.get(TRANSFER_ENCODING) {
        if headers.contains_key(CONTENT_LENGTH) {
            return Err("it has both Content-Length and Transfer-Encoding");
        }
        let several = headers.get_all(TRANSFER_ENCODING).iter().count() > 1;
        if several || !encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err("its Transfer-Encoding is not exactly `chunked`");
        }
    }
    if let Some(length) = headers.get(CONTENT_LENGTH) {
        let digits = length.as_bytes();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err("its Content-Length is not one plain decimal number");
        }
        if headers.get_all(CONTENT_LENGTH).iter().any(|other| other != length) {
            return Err("it has differing Content-Length fields");
        }
        let length = length.clone();
        headers.insert(CONTENT_LENGTH, length);
    }
    Ok(())
}
