//! The routes that a properties file, or the variables of NAIS, imply.
//!
//! They say what to ask for, but know of no routes. So: `--upstream` makes one route at `/`;
//! without it, scopes of the self-service API make one to that API; a route of a file that names
//! no scopes takes the whole of it; and where there is no route at all, it is kept for `token`.

use figment::value::{Dict, Value};

use super::client::Environment;
use super::error::{Origin, Problem};
use super::layer::{GRANT_PREFIX, Merged};

/// The flag that names the upstream.
pub(super) const UPSTREAM_FLAG: &str = "--upstream";

/// The scopes of the self-service API begin so.
const SELF_SERVICE_SCOPE: &str = "idporten:";

/// Puts what is implied into `merged`. Gives back the grant that no route took, as a table like a
/// route's.
pub(super) fn apply(merged: &mut Merged, upstream: Option<&str>) -> Result<Option<Dict>, Box<Problem>> {
    let has_grant = merged.grant.contains_key("scopes");
    let has_routes = routes(merged).is_some_and(|routes| !routes.is_empty());
    if let Some(url) = upstream
        && (has_routes || !has_grant)
    {
        let message = if has_routes {
            "this makes one route at `/`, but the configuration has routes of its own"
        } else {
            "this makes one route at `/`, but nothing says which scopes to ask for there"
        };
        return Err(Box::new(Problem {
            origin: Origin::Flag(UPSTREAM_FLAG),
            path: "routes".to_owned(),
            value: Some(format!("{:?}", super::url::without_userinfo(url))),
            message: message.to_owned(),
            allowed: Some(
                "with a .properties file or the variables of NAIS, that name `scope`s; else a [[routes]] in proxy.toml".to_owned(),
            ),
            nearest: None,
        }));
    }
    if !has_grant {
        return Ok(None);
    }
    if has_routes {
        fill_routes(merged);
        return Ok(None);
    }
    let (name, url, origin) = match upstream {
        Some(url) => ("default", url.to_owned(), Origin::Flag(UPSTREAM_FLAG)),
        None => match self_service(merged) {
            Some(environment) => {
                ("self-service", environment.self_service().to_owned(), scopes_origin(merged))
            }
            None => return Ok(Some(merged.grant.clone())),
        },
    };
    let mut route = merged.grant.clone();
    route.insert("name".to_owned(), name.into());
    route.insert("path".to_owned(), "/".into());
    route.insert("upstream".to_owned(), url.into());
    for key in merged.grant.keys() {
        let origin = merged.origins.of(&format!("{GRANT_PREFIX}.{key}"));
        merged.origins.set(format!("routes[0].{key}"), origin);
    }
    for key in ["upstream", "name", "path"] {
        merged.origins.set(format!("routes[0].{key}"), origin.clone());
    }
    merged.root.insert("routes".to_owned(), vec![Value::from(route)].into());
    Ok(None)
}

/// Gives the grant to the routes of its client that name no scopes. What such a route does say
/// for itself stays.
fn fill_routes(merged: &mut Merged) {
    let Merged { root, grant, origins } = merged;
    let clients = root.get("clients").and_then(Value::as_dict).map_or(0, Dict::len);
    let owner = grant.get("client").and_then(Value::as_str);
    let Some(Value::Array(_, routes)) = root.get_mut("routes") else { return };
    for (at, route) in routes.iter_mut().enumerate() {
        let Value::Dict(_, route) = route else { continue };
        let its_own = match route.get("client") {
            Some(client) => client.as_str().is_some_and(|client| Some(client) == owner),
            None => clients == 1,
        };
        if route.contains_key("scopes") || !its_own {
            continue;
        }
        for (key, value) in grant.iter() {
            if !route.contains_key(key) {
                route.insert(key.clone(), value.clone());
                let origin = origins.of(&format!("{GRANT_PREFIX}.{key}"));
                origins.set(format!("routes[{at}].{key}"), origin);
            }
        }
    }
}

/// The environment whose self-service API the scopes are for.
fn self_service(merged: &Merged) -> Option<Environment> {
    let scopes = merged.grant.get("scopes")?.as_array()?;
    if !scopes.iter().filter_map(Value::as_str).any(|scope| scope.starts_with(SELF_SERVICE_SCOPE)) {
        return None;
    }
    let client = merged.grant.get("client")?.as_str()?;
    let client = merged.root.get("clients")?.as_dict()?.get(client)?.as_dict()?;
    let text = |key: &str| client.get(key).and_then(Value::as_str);
    let named = text("environment").and_then(|name| Environment::ALL.into_iter().find(|e| e.name() == name));
    named.or_else(|| text("issuer").and_then(Environment::of_issuer))
}

fn scopes_origin(merged: &Merged) -> Origin {
    merged.origins.of(&format!("{GRANT_PREFIX}.scopes"))
}

fn routes(merged: &Merged) -> Option<&Vec<Value>> {
    match merged.root.get("routes") {
        Some(Value::Array(_, routes)) => Some(routes),
        _ => None,
    }
}
