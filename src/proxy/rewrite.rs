//! What is changed on the way there and on the way back; everything else passes as it is.

use ::http::Version;
use ::http::uri::{PathAndQuery, Uri};

use super::{Problem, Target, error};
use crate::config::Route;
use crate::guard::{Admitted, Form};
use crate::hint::seldom;
use crate::http::hop_by_hop::{self, Direction, Upgrade};
use crate::http::via::Via;
use crate::http::{cookie, location, path};
use crate::message::{Fields, Name, RequestHead, Response};
use crate::oauth::Authorization;
use crate::upstream::ResponseBody;

/// Makes the upstream's request of the client's: hop-by-hop fields and those that feed claims go,
/// then exactly one `Authorization` goes in. Tells which upgrade was asked for, and carries that on.
///
/// # Errors
///
/// The path is too long once the upstream's own is put before it.
pub(super) fn request(
    head: &mut RequestHead,
    target: &Target<'_>,
    authorization: &Authorization,
    via: &Via,
) -> Result<Option<Upgrade>, Problem> {
    let route = &target.route.config;
    let root;
    let asked = match head.uri.path_and_query() {
        Some(asked) => asked,
        None => {
            seldom();
            root = PathAndQuery::from_static("/");
            &root
        }
    };
    let joined = path::join(&route.upstream.path, asked, target.rest_at).map_err(error::of_join)?;
    match joined {
        Some(joined) => retarget(head, joined),
        None if head.uri.authority().is_some() => retarget(head, asked.clone()),
        None => {}
    }

    let asked = hop_by_hop::strip(&mut head.fields, Direction::Request);
    // Other versions have no upgrades (RFC 9110 §7.8).
    let upgrade = asked.filter(|_| head.version == Version::HTTP_11);
    for name in route.claim_headers() {
        head.fields.remove_named(name);
    }
    head.fields.remove(Name::Host);
    if head.version == Version::HTTP_2 {
        cookie::join(&mut head.fields);
    }
    via.append(&mut head.fields, head.version);
    // Last, so that nothing that the client sent can take it away again.
    head.fields.insert_known(Name::Authorization, authorization.header.clone());
    if let Some(upgrade) = &upgrade {
        seldom();
        upgrade.put_on(&mut head.fields);
    }
    Ok(upgrade)
}

#[inline(never)]
fn retarget(head: &mut RequestHead, target: PathAndQuery) {
    head.uri = Uri::from(target);
}

/// Makes the client's response of the upstream's.
pub(super) fn response(
    response: &mut Response<ResponseBody>,
    target: &Target<'_>,
    admitted: &Admitted,
    via: &Via,
) -> Option<Upgrade> {
    let version = response.head.version;
    let fields = &mut response.head.fields;
    let upgrade = hop_by_hop::strip(fields, Direction::Response);
    turn(fields, Name::Location, &target.route.config, admitted);
    turn(fields, Name::ContentLocation, &target.route.config, admitted);
    via.append(fields, version);
    upgrade
}

/// Turns a reference into the route's upstream to where the client knows it: on the proxy, or in
/// absolute form on the upstream's own name, over plain http.
#[inline(always)]
fn turn(fields: &mut Fields, name: Name, route: &Route, admitted: &Admitted) {
    if fields.may_have_any(name.bit()) {
        turn_value(fields, name, route, admitted);
    }
}

#[inline(never)]
fn turn_value(fields: &mut Fields, name: Name, route: &Route, admitted: &Admitted) {
    let Some(value) = fields.first(name) else { return };
    let by_upstream = matches!(admitted.form(), Form::Absolute { .. } | Form::Tunnelled);
    let path = if by_upstream { &route.upstream.path } else { &route.path };
    if let Some(turned) = location::rewrite(value, &route.upstream, path, &admitted.base()) {
        fields.insert_known(name, turned);
    }
}
