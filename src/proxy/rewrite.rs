//! What is changed on the way there and on the way back; everything else passes as it is.

use ::http::header::{AUTHORIZATION, CONTENT_LOCATION, HOST, HeaderName, LOCATION};
use ::http::request::Parts;
use ::http::{HeaderMap, Response, Uri, Version};

use super::{Problem, Target};
use crate::config::Route;
use crate::guard::{Admitted, Form};
use crate::http::hop_by_hop::{self, Direction, Upgrade};
use crate::http::problem::ProblemKind;
use crate::http::via::Via;
use crate::http::{cookie, first, location, path};
use crate::oauth::Authorization;
use crate::upstream::ResponseBody;

/// Makes the upstream's request of the client's: hop-by-hop fields and those that feed claims go,
/// then exactly one `Authorization` goes in. Tells which upgrade was asked for, and carries that on.
///
/// # Errors
///
/// The path is too long once the upstream's own is put before it.
pub(super) fn request(
    parts: &mut Parts,
    target: &Target<'_>,
    authorization: &Authorization,
    via: &Via,
) -> Result<Option<Upgrade>, Problem> {
    let route = &target.route.config;
    let asked = parts.uri.path_and_query().cloned().unwrap_or_else(|| "/".parse().expect("a path"));
    let joined = path::join(&route.upstream.path, &asked, target.rest_at)
        .map_err(|error| Problem::new(ProblemKind::UriTooLong, error.to_string()))?;
    parts.uri = Uri::from(joined);

    let asked = hop_by_hop::strip(&mut parts.headers, Direction::Request);
    // Other versions have no upgrades (RFC 9110 §7.8).
    let upgrade = asked.filter(|_| parts.version == Version::HTTP_11);
    for name in route.claim_headers() {
        parts.headers.remove(name);
    }
    parts.headers.remove(HOST);
    if parts.version == Version::HTTP_2 {
        cookie::join(&mut parts.headers);
    }
    via.append(&mut parts.headers, parts.version);
    // Last, so that nothing that the client sent can take it away again.
    parts.headers.insert(AUTHORIZATION, authorization.header.clone());
    if let Some(upgrade) = &upgrade {
        upgrade.put_on(&mut parts.headers);
    }
    Ok(upgrade)
}

/// Makes the client's response of the upstream's.
pub(super) fn response(
    response: &mut Response<ResponseBody>,
    target: &Target<'_>,
    admitted: &Admitted,
    via: &Via,
) -> Option<Upgrade> {
    let version = response.version();
    let headers = response.headers_mut();
    let upgrade = hop_by_hop::strip(headers, Direction::Response);
    for name in [LOCATION, CONTENT_LOCATION] {
        turn(headers, &name, &target.route.config, admitted);
    }
    via.append(headers, version);
    upgrade
}

/// Turns a reference into the route's upstream to where the client knows it: on the proxy, or in
/// absolute form on the upstream's own name, over plain http.
fn turn(headers: &mut HeaderMap, name: &HeaderName, route: &Route, admitted: &Admitted) {
    let Some(value) = first(headers, name) else { return };
    let by_upstream = matches!(admitted.form(), Form::Absolute { .. } | Form::Tunnelled);
    let path = if by_upstream { &route.upstream.path } else { &route.path };
    if let Some(turned) = location::rewrite(value, &route.upstream, path, &admitted.base()) {
        headers.insert(name, turned);
    }
}
