//! `token`: an access token alone on stdout, the grant, or both as jwt-grant-generator prints them.

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue};
use serde_json::json;

use super::args::{Global, TokenArgs};
use super::failure::{Failure, Outcome};
use super::{print_line, process, setup};
use crate::clock::Clock;
use crate::config::{Config, GrantTemplate};
use crate::message::Fields;
use crate::oauth::{self, Identity, Language, Observer, Setup, TokenError, TokenSources};
use crate::state::{self, Template, WayOut};

pub(super) fn run(global: &Global, args: &TokenArgs) -> Outcome {
    let _logging = setup::silent_logging(global)?;
    process::harden();
    let config = setup::load(global, setup::upstream(args.upstream.as_ref()))?.config;
    let grant = chosen(&config, args)?;
    let headers = headers(&args.headers)?;
    process::runtime()?.block_on(ask(&config, grant, &headers, args))
}

async fn ask(config: &Config, grant: GrantTemplate, headers: &Fields, args: &TokenArgs) -> Outcome {
    let clock = Clock::system();
    let key = state::load_key(&grant.client, clock.wall()).map_err(setup::of_build)?;
    let way_out = WayOut::open(config).map_err(setup::of_build)?;
    let sources = TokenSources::new(Setup {
        runtime: tokio::runtime::Handle::current(),
        clock,
        http: way_out.token_http(),
        observer: Arc::new(Uncounted),
        capacity: 1,
    });
    let template = Template::new(grant, &key, &sources);
    let identity = template.identity(headers).map_err(|error| {
        Failure::usage(error)
            .hint("this claim is taken from a request header: give it with --header 'Name: value'")
    })?;
    if args.grant {
        return print_line(sign(&identity).await?);
    }
    let source = sources.source(&identity);
    let authorization = source.authorization().await.map_err(|failure| refused(&failure.error))?;
    let header = authorization.header.to_str().map_err(Failure::run_time)?;
    let token = header.strip_prefix("Bearer ").unwrap_or(header);
    if !args.json {
        return print_line(token);
    }
    let status = source.status();
    let response = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": status.expires_in.map(|left| left.as_secs()),
        "scope": status.granted.unwrap_or_else(|| identity.profile().scopes().join(" ")),
    });
    // A grant of its own, not used yet: one that was used is good for nothing any more.
    let grant = sign(&identity).await?;
    print_line(json!({ "grant": grant, "token": response }).to_string())
}

async fn sign(identity: &Identity) -> Result<String, Failure> {
    let assertion = identity.profile().client().grant(identity).await.map_err(Failure::run_time)?;
    Ok(assertion.expose().to_owned())
}

/// Nobody reads the metrics of a command that ends.
#[derive(Debug)]
pub(super) struct Uncounted;

impl Observer for Uncounted {
    fn fetched(&self, _client: &str, _outcome: oauth::Outcome, _took: Duration) {}
}

/// What the token is asked for: the route that was named, or the only one there is.
fn chosen(config: &Config, args: &TokenArgs) -> Result<GrantTemplate, Failure> {
    let names = || config.routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(name) = &args.route {
        let route = config.routes.iter().find(|route| route.name == *name);
        return route.map(|route| route.grant()).ok_or_else(|| {
            Failure::usage(anyhow::anyhow!("there is no route `{name}`"))
                .hint(format!("the routes are: {}", names()))
        });
    }
    match (&config.routes[..], &config.token_only) {
        ([route], _) => Ok(route.grant()),
        ([], Some(grant)) => Ok(grant.clone()),
        ([], None) => {
            Err(Failure::usage(anyhow::anyhow!("the configuration has no route to get a token for")))
        }
        _ => Err(Failure::usage(anyhow::anyhow!("there are several routes, each with a token of its own"))
            .hint(format!("name one with --route: {}", names()))),
    }
}

fn headers(lines: &[String]) -> Result<Fields, Failure> {
    let mut headers = Fields::new();
    for line in lines {
        let parsed = line.split_once(':').and_then(|(name, value)| {
            Some((name.trim().parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?))
        });
        // The value may be a person's number, so the line is not repeated.
        let (name, value) = parsed.ok_or_else(|| {
            Failure::usage(anyhow::anyhow!("a --header is not a name, a colon and a value"))
                .hint("--header 'X-Consumer-Org: 910753614'")
        })?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Why there is no token, in the words that also stand on the status page.
pub(super) fn refused(error: &TokenError) -> Failure {
    let language = Language::English;
    let fix = error.fix(language);
    let mut failure = Failure::run_time(error.clone());
    if let Some(entry) = error.maskinporten().and_then(|refusal| refusal.entry) {
        failure = failure.context(entry.cause(language));
    }
    failure.context("no token is to be had").maybe_hint((!fix.is_empty()).then(|| fix.to_owned()))
}
