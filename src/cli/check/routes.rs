//! What each route sends where, and whether it could send less.

use ::http::Method;

use super::report::{Finding, Report};
use crate::authority::Host;
use crate::cli::failure::Failure;
use crate::cli::language::tell;
use crate::config::{Access, Config, Environment, Route};
use crate::oauth::Language;

/// A finding for each route.
pub(super) fn examine(config: &Config, report: &mut Report) -> Result<(), Failure> {
    config.routes.iter().try_for_each(|route| report.add(judge(route, report.language)))
}

fn judge(route: &Route, language: Language) -> Finding {
    let name = format!("route.{}", route.name);
    let methods = route
        .methods
        .as_ref()
        .map(|methods| methods.iter().map(Method::as_str).collect::<Vec<_>>().join(",") + " ");
    let (methods, path, upstream) = (methods.unwrap_or_default(), &route.path, &route.upstream);
    let scopes = route.scopes.join(" ");
    let detail = tell!(
        language,
        "{methods}{path} → {upstream}, with a token for {scopes}",
        "{methods}{path} → {upstream}, med token for {scopes}"
    );
    let (Some(reading), Some(writing)) = (of_kind(route, Kind::Read), of_kind(route, Kind::Write)) else {
        return mixed_environments(route, language).unwrap_or_else(|| Finding::ok(name, detail));
    };
    if let Some(finding) = mixed_environments(route, language) {
        return finding;
    }
    if lets_writes_through(route) {
        if !lets_reads_through(route) {
            return Finding::ok(name, detail);
        }
        return Finding::warn(name, detail)
            .cause(tell!(
                language,
                "reading requests carry a token that can write ({writing})",
                "lesende forespørsler får et token som kan skrive ({writing})"
            ))
            .hint(tell!(
                language,
                "add a route with the same path, methods = [\"GET\"] and scopes for reading alone ({reading})",
                "legg til en rute med samme path, methods = [\"GET\"] og bare scopes for lesing ({reading})"
            ));
    }
    Finding::warn(name, detail)
        .cause(tell!(
            language,
            "only reading requests pass here, and their token can write ({writing})",
            "bare lesende forespørsler slipper gjennom her, men tokenet kan skrive ({writing})"
        ))
        .hint(tell!(
            language,
            "leave {writing} out, unless the API asks for it to read",
            "utelat {writing}, om ikke API-et krever det for lesing"
        ))
}

/// A token of one environment on its way to an API of the other: it will be refused there.
fn mixed_environments(route: &Route, language: Language) -> Option<Finding> {
    let own = route.client.environment?;
    let host = route.upstream.authority.host();
    let of = Environment::ALL.into_iter().find(|environment| is_host_of(host, *environment))?;
    if of == own {
        return None;
    }
    let (host, own, of) = (host.to_string(), own.name(), of.name());
    Some(
        Finding::fail(
            format!("route.{}", route.name),
            tell!(
                language,
                "tokens of the environment `{own}` go to {host}, an API of `{of}`",
                "token fra miljøet `{own}` sendes til {host}, et API i `{of}`"
            ),
        )
        .hint(tell!(
            language,
            "set `upstream` or `environment` so that both are test, or both prod",
            "sett `upstream` eller `environment` slik at begge er test, eller begge prod"
        )),
    )
}

fn is_host_of(host: &Host, environment: Environment) -> bool {
    [environment.self_service(), environment.altinn()].into_iter().any(|url| {
        let known: Option<Host> = url.strip_prefix("https://").and_then(|host| host.parse().ok());
        known.as_ref() == Some(host)
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}

/// The route's scopes of a kind, for a person; `None` where there are none.
fn of_kind(route: &Route, kind: Kind) -> Option<String> {
    let scopes: Vec<&str> =
        route.scopes.iter().map(String::as_str).filter(|scope| kind_of(scope) == Some(kind)).collect();
    (!scopes.is_empty()).then(|| scopes.join(" "))
}

/// What a scope lets its holder do, by the last word of its name that tells; there is no other
/// way to know.
fn kind_of(scope: &str) -> Option<Kind> {
    let words = scope.split(|c: char| !c.is_alphanumeric());
    words.rev().find_map(|word| match word.to_ascii_lowercase().as_str() {
        "read" | "les" | "lese" | "innsyn" | "readonly" => Some(Kind::Read),
        "write" | "modify" | "create" | "update" | "delete" | "admin" | "skriv" | "skrive" | "endre"
        | "slett" | "slette" => Some(Kind::Write),
        _ => None,
    })
}

fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn lets_reads_through(route: &Route) -> bool {
    route.methods.as_ref().is_none_or(|methods| methods.iter().any(is_reading))
}

fn lets_writes_through(route: &Route) -> bool {
    route.access == Access::ReadWrite
        && route.methods.as_ref().is_none_or(|methods| !methods.iter().all(is_reading))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_tell_reading_from_writing_by_their_last_word() {
        for (scope, kind) in [
            ("idporten:dcr.read", Some(Kind::Read)),
            ("idporten:dcr.write", Some(Kind::Write)),
            ("idporten:dcr/onbehalfof:write", Some(Kind::Write)),
            ("krr:global/kontaktinformasjon.read", Some(Kind::Read)),
            ("altinn:serviceowner/instances.write", Some(Kind::Write)),
            ("demo:api", None),
            ("readers:list", None),
        ] {
            assert_eq!(kind_of(scope), kind, "{scope}");
        }
    }

    #[test]
    fn hosts_of_the_environments_are_told_apart() {
        let host = |text: &str| text.parse::<Host>().expect("a host");
        assert!(is_host_of(&host("api.test.samarbeid.digdir.no"), Environment::Test));
        assert!(!is_host_of(&host("api.test.samarbeid.digdir.no"), Environment::Prod));
        assert!(is_host_of(&host("platform.altinn.no"), Environment::Prod));
        assert!(!is_host_of(&host("api.example.no"), Environment::Prod));
    }
}
