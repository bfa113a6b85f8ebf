//! The echo API: answers what it received, and misbehaves within HTTP's rules on request.
//!
//! It takes any live token of the sandbox, and says whose it is; it never says the token itself.

use std::convert::Infallible;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::stream;
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use serde_json::{Value, json};

use super::reply::{Pattern, Reply};
use super::shared::Shared;
use super::tokens::{Issued, Kind};
use super::visit::{KEPT_BODY, Seen, Visit};

/// Longer than any test has patience for.
const LONGEST_DELAY: u64 = 600_000;

pub(super) async fn serve<B>(shared: &Shared, visit: &Visit, request: Request<B>) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut digest = Context::new(&SHA256);
    let seen = Seen::all(request.into_body(), |piece| digest.update(piece)).await;
    shared.records.api_request(visit.record(&seen));
    let token = match visit.token() {
        Ok(token) => token,
        Err(refusal) => return refusal,
    };
    let mut segments = visit.path().strip_prefix("/echo/").unwrap_or_default().splitn(2, '/');
    let (word, argument) = (segments.next(), segments.next());
    let number = argument.and_then(|text| text.parse::<u64>().ok());
    match (word, number) {
        (Some("status"), Some(code)) => status(code),
        (Some("delay"), Some(milliseconds)) => {
            tokio::time::sleep(Duration::from_millis(milliseconds.min(LONGEST_DELAY))).await;
            received(shared, visit, token, &seen, digest)
        }
        (Some("bytes"), Some(length)) => Reply::streamed("application/octet-stream", Pattern::of(length)),
        (Some("sse"), _) => events(visit),
        _ => received(shared, visit, token, &seen, digest),
    }
}

/// What came in, as JSON.
fn received(shared: &Shared, visit: &Visit, token: &Issued, seen: &Seen, digest: Context) -> Reply {
    let headers: Vec<Value> = visit
        .headers
        .iter()
        .map(|(name, value)| {
            let value =
                if name == AUTHORIZATION { "***".into() } else { String::from_utf8_lossy(value.as_bytes()) };
            json!([name.as_str(), value])
        })
        .collect();
    let small = seen.complete && seen.length <= KEPT_BODY as u64;
    let text = small.then(|| std::str::from_utf8(&seen.first).ok()).flatten();
    Reply::ok(&json!({
        "method": visit.method.as_str(),
        "path": visit.path(),
        "query": visit.raw_query(),
        "headers": headers,
        "authorization": identity(shared, token),
        "body": {
            "length": seen.length,
            "sha256": hex(digest.finish().as_ref()),
            "text": text,
        },
    }))
}

/// Whose token it was.
fn identity(shared: &Shared, token: &Issued) -> Value {
    let claims = &token.claims;
    let system_user = claims.get("authorization_details").and_then(|details| {
        details.get(0)?.get("systemuser_org")?.get("ID")?.as_str()?.strip_prefix("0192:")
    });
    json!({
        "issuer": match token.kind { Kind::Maskinporten => "maskinporten", Kind::Altinn => "altinn" },
        "client_id": claims.text("client_id"),
        "client_amr": claims.text("client_amr"),
        "scope": claims.text("scope"),
        "consumer": claims.organisation("consumer"),
        "supplier": claims.organisation("supplier"),
        "pid": claims.text("pid"),
        "aud": claims.get("aud"),
        "systemuser_org": system_user,
        "jti": claims.text("jti"),
        "expires_in": token.expires.duration_since(shared.now()).unwrap_or_default().as_secs(),
    })
}

fn status(code: u64) -> Reply {
    // A final status alone: 1xx would leave the request without an answer.
    let code = u16::try_from(code).ok().filter(|code| (200..=599).contains(code));
    let Some(status) = code.and_then(|code| StatusCode::from_u16(code).ok()) else {
        return Reply::bad_request("the status must be from 200 to 599");
    };
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Reply::new(status);
    }
    Reply::json(status, &json!({ "status": status.as_u16() }))
}

/// Server-sent events: `count` (3) of them, `interval` (200) milliseconds apart.
fn events(visit: &Visit) -> Reply {
    let number = |name, default| visit.query(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let count: u64 = number("count", 3);
    let interval = Duration::from_millis(number("interval", 200).min(LONGEST_DELAY));
    let events = stream::unfold(0, move |n| async move {
        if n == count {
            return None;
        }
        if n > 0 {
            tokio::time::sleep(interval).await;
        }
        let event = Bytes::from(format!("data: {{\"n\":{n}}}\n\n"));
        Some((Ok::<_, Infallible>(Frame::data(event)), n + 1))
    });
    Reply::streamed("text/event-stream", StreamBody::new(events))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
