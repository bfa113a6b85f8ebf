//! `check`: examines the set-up from the configuration to the upstreams; says what is wrong and how
//! to mend it.
//!
//! It runs the code that `serve` runs, on the same files, and changes nothing. Tokens are asked
//! for, as serving would; none is sent to an upstream.

mod fault;
mod key;
mod lint;
mod online;
mod reach;
mod report;
mod routes;
mod setting;
mod tokens;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use self::report::{Finding, Report};
use super::args::{CheckArgs, Global};
use super::failure::{Failure, Outcome};
use super::language::{self, tell};
use super::token::Uncounted;
use super::{process, setup};
use crate::clock::Clock;
use crate::config::{Config, GrantTemplate};
use crate::keys::SigningKey;
use crate::message::Fields;
use crate::oauth::{Identity, Setup, TokenSources};
use crate::state::{BuildError, Template, WayOut};

pub(super) use self::key::date;

pub(super) fn run(global: &Global, args: &CheckArgs) -> Outcome {
    let _logging = setup::silent_logging(global)?;
    process::harden();
    let mut report = Report::new(args.json, language::of(args.lang));
    let request = setup::request(global, setup::upstream(args.upstream.as_ref()));
    let loaded = request.and_then(|request| {
        let config = crate::config::load(&request).map_err(setup::of_config)?.config;
        Ok((config, request.files))
    });
    let (config, files) = match loaded {
        Ok(loaded) => loaded,
        Err(failure) => {
            let hint = failure.next_step().map(str::to_owned);
            report.add(Finding::fail("config", failure.message()).maybe_hint(hint))?;
            report.finish()?;
            return Ok(ExitCode::from(2));
        }
    };
    process::runtime()?.block_on(async {
        setting::configuration(&config, &files, &mut report)?;
        examine(&config, args.offline, &mut report).await?;
        report.finish()
    })
}

/// A token that the configuration asks for: that of a route, or the one that `token` prints.
struct Errand<'a> {
    name: &'a str,
    template: Template,
    key: &'a SigningKey,
    /// `None` where it depends on what requests bring.
    identity: Option<Identity>,
}

async fn examine(config: &Config, offline: bool, report: &mut Report) -> Result<(), Failure> {
    let clock = Clock::system();
    setting::listeners(config, report)?;
    setting::local_ca(config, clock.wall(), report)?;
    routes::examine(config, report)?;
    let mut keys = BTreeMap::new();
    for client in config.clients.values() {
        if let Some(key) = key::examine(client, clock.wall(), report)? {
            keys.insert(client.name.as_str(), key);
        }
    }
    let way_out = match WayOut::open(config) {
        Ok(way_out) => way_out,
        Err(error) => return trust(&error, report),
    };
    let http = way_out.token_http();
    let sources = TokenSources::new(Setup {
        runtime: tokio::runtime::Handle::current(),
        clock: clock.clone(),
        http,
        observer: Arc::new(Uncounted),
        capacity: 1,
    });
    let errands = errands(config, &keys, &sources, report)?;
    for errand in &errands {
        grant(errand, &clock, report).await?;
    }
    if offline {
        let why = tell!(report.language, "offline", "frakoblet");
        let names = ["endpoint", "clock", "token", "upstream"];
        return names.into_iter().try_for_each(|name| report.add(Finding::skip(name, why.clone())));
    }
    tokens(&errands, &way_out, report).await?;
    online::upstreams(&way_out.connector, config, report).await
}

fn trust(error: &BuildError, report: &mut Report) -> Result<(), Failure> {
    let mut finding = Finding::fail("trust", error.to_string()).maybe_hint(error.hint());
    finding.cause = causes(error);
    report.add(finding)?;
    let why = tell!(
        report.language,
        "whom to trust on the network is not known",
        "hvem vi kan stole på i nettet, er ikke kjent"
    );
    report.add(Finding::skip("token", why.clone()))?;
    report.add(Finding::skip("upstream", why))
}

/// What is behind `error`, on one line.
fn causes(error: &dyn std::error::Error) -> Option<String> {
    let chain = std::iter::successors(error.source(), |cause| cause.source());
    let causes: Vec<String> = chain.map(ToString::to_string).collect();
    (!causes.is_empty()).then(|| causes.join(": "))
}

/// What there is to ask for. Where a key cannot be used, that has been told, and the rest waits.
fn errands<'a>(
    config: &'a Config,
    keys: &'a BTreeMap<&str, SigningKey>,
    sources: &Arc<TokenSources>,
    report: &mut Report,
) -> Result<Vec<Errand<'a>>, Failure> {
    let of_routes = config.routes.iter().map(|route| (route.name.as_str(), route.grant()));
    let alone = config.token_only.iter().map(|grant| (grant.client.name.as_str(), grant.clone()));
    let mut errands = Vec::new();
    for (name, grant) in of_routes.chain(alone) {
        let GrantTemplate { client, .. } = &grant;
        let Some(key) = keys.get(client.name.as_str()) else {
            let client = &client.name;
            let why = tell!(
                report.language,
                "the key of client `{client}` comes first",
                "nøkkelen til klienten `{client}` må på plass først"
            );
            report.add(Finding::skip(format!("token.{name}"), why))?;
            continue;
        };
        let template = Template::new(grant, key, sources);
        let identity = template.identity(&Fields::new()).ok();
        errands.push(Errand { name, template, key, identity });
    }
    Ok(errands)
}

async fn grant(errand: &Errand<'_>, clock: &Clock, report: &mut Report) -> Result<(), Failure> {
    let Some(identity) = &errand.identity else {
        return report.add(Finding::skip(format!("grant.{}", errand.name), of_requests(report)));
    };
    let finding = tokens::grant(errand.name, identity, errand.key, clock.wall(), report.language).await;
    report.add(finding)
}

/// The token endpoint of each client, and each distinct token once.
async fn tokens(errands: &[Errand<'_>], way_out: &WayOut, report: &mut Report) -> Result<(), Failure> {
    let mut endpoints: Vec<(&str, bool)> = Vec::new();
    let mut asked: Vec<(&Identity, &str)> = Vec::new();
    for Errand { name, template, identity, .. } in errands {
        let client = template.client();
        let known = endpoints.iter().find(|(known, _)| *known == client.name()).map(|(_, reached)| *reached);
        let is_reached = match known {
            Some(reached) => reached,
            None => {
                let reached = online::token_endpoint(&way_out.connector, client, report).await?;
                endpoints.push((client.name(), reached));
                reached
            }
        };
        let finding = format!("token.{name}");
        let Some(identity) = identity else {
            report.add(Finding::skip(finding, of_requests(report)))?;
            continue;
        };
        if !is_reached {
            let why =
                tell!(report.language, "the token endpoint is not reached", "token-endepunktet nås ikke");
            report.add(Finding::skip(finding, why))?;
            continue;
        }
        if let Some((_, other)) = asked.iter().find(|(known, _)| *known == identity) {
            let why = tell!(
                report.language,
                "the same token as that of route `{other}`",
                "samme token som ruten `{other}`"
            );
            report.add(Finding::skip(finding, why))?;
            continue;
        }
        asked.push((identity, name));
        report.waiting(&finding);
        tokens::token(name, identity, report).await?;
    }
    Ok(())
}

fn of_requests(report: &Report) -> String {
    tell!(
        report.language,
        "its claims come with each request, so there is none to ask for here; try `token --header`",
        "innholdet kommer med hver forespørsel, så det er ikke noe å be om her; prøv `token --header`"
    )
}
