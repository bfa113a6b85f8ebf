//! `token`: an access token alone on stdout, the grant, or both as jwt-grant-generator prints them.

use std::process::ExitCode;
use std::sync::Arc;

use ::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::args::{Global, TokenArgs};
use super::failure::{Failure, Outcome};
use super::{print_line, process, setup};
use crate::clock::Clock;
use crate::config::{Config, GrantTemplate};
use crate::net;
use crate::oauth::{Language, Setup, TokenError, TokenHttp, TokenSources};
use crate::state::{self, Template};
use crate::telemetry::Metrics;

pub(super) fn run(global: &Global, args: &TokenArgs) -> Outcome {
    let _logging = setup::logging_for_tools(global)?;
    process::harden();
    let config = setup::load(global, setup::upstream(args.upstream.as_ref()))?.config;
    let grant = chosen(&config, args)?;
    let headers = headers(&args.headers)?;
    process::runtime()?.block_on(ask(&config, grant, &headers, args))
}

async fn ask(config: &Config, grant: GrantTemplate, headers: &HeaderMap, args: &TokenArgs) -> Outcome {
    let clock = Clock::system();
    let key = state::load_key(&grant.client, clock.wall()).map_err(setup::of_build)?;
    let tls = net::client_tls(config.upstream.ca_file.as_deref()).map_err(Failure::usage)?;
    let sources = TokenSources::new(Setup {
        runtime: tokio::runtime::Handle::current(),
        clock,
        http: TokenHttp::new((*tls.h2_or_http1).clone(), &config.upstream).map_err(Failure::usage)?,
        observer: Arc::new(crate::app::FetchMetrics::new(Arc::new(Metrics::new(1)))),
        capacity: 1,
    });
    let template = Template::new(grant, &key, &sources);
    let identity = template.identity(headers).map_err(|error| {
        Failure::usage(error).hint("this claim is taken from a request header: give it with --header 'Name: value'")
    })?;
    let client = identity.profile().client();
    if args.grant {
        let assertion = client.grant(&identity).await.map_err(Failure::run_time)?;
        print_line(assertion.expose())?;
        return Ok(ExitCode::SUCCESS);
    }
    let (assertion, token) = client.token_with_grant(&identity).await.map_err(refused)?;
    if args.json {
        let token: serde_json::Value = serde_json::from_str(token.raw()).map_err(Failure::run_time)?;
        print_line(json!({ "grant": assertion.expose(), "token": token }).to_string())?;
    } else {
        print_line(token.expose())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the token is asked for: the route that was named, or the only one there is.
fn chosen(config: &Config, args: &TokenArgs) -> Result<GrantTemplate, Failure> {
    let names = || config.routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(name) = &args.route {
        let route = config.routes.iter().find(|route| route.name == *name);
        return route.map(|route| route.grant()).ok_or_else(|| {
            Failure::usage(anyhow::anyhow!("there is no route `{name}`")).hint(format!("the routes are: {}", names()))
        });
    }
    match (&config.routes[..], &config.token_only) {
        ([route], _) => Ok(route.grant()),
        ([], Some(grant)) => Ok(grant.clone()),
        ([], None) => Err(Failure::usage(anyhow::anyhow!("the configuration has no route to get a token for"))),
        _ => Err(Failure::usage(anyhow::anyhow!("there are several routes, each with a token of its own"))
            .hint(format!("name one with --route: {}", names()))),
    }
}

fn headers(lines: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let parsed = line.split_once(':').and_then(|(name, value)| {
            Some((name.trim().parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?))
        });
        // The value may be a person's number, so the line is not repeated.
        let (name, value) = parsed.ok_or_else(|| {
            Failure::usage(anyhow::anyhow!("a --header is not a name, a colon and a value")).hint("--header 'X-Consumer-Org: 910753614'")
        })?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn refused(error: TokenError) -> Failure {
    let language = Language::English;
    let fix = error.fix(language);
    Failure::run_time(anyhow::anyhow!("{error}")).context("no token is to be had").maybe_hint((!fix.is_empty()).then(|| fix.to_owned()))
}
