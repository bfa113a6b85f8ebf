//! What only the network can tell: whether each address is reached, and how far the clocks differ.

use super::reach::{self, Target};
use super::report::{Finding, Report, Status};
use super::tokens;
use crate::cli::failure::Failure;
use crate::cli::language::tell;
use crate::config::{Config, HttpUrl};
use crate::oauth::{GrantClient, Language};
use crate::upstream::Connector;

/// Seconds that Maskinporten lets clocks differ by.
const TOLERATED: u64 = 10;

/// Looks at the token endpoint of `client` and at its clock; whether it is worth asking for a
/// token.
pub(super) async fn token_endpoint(
    connector: &Connector,
    client: &GrantClient,
    report: &mut Report,
) -> Result<bool, Failure> {
    let language = report.language;
    let (endpoint, clock) = (format!("endpoint.{}", client.name()), format!("clock.{}", client.name()));
    report.waiting(&endpoint);
    let finding = reached(connector, client, endpoint, language).await;
    let is_reached = finding.status == Status::Ok;
    report.add(finding)?;
    if !is_reached {
        let why = tell!(
            language,
            "the token endpoint tells no time while it is not reached",
            "token-endepunktet oppgir ikke tiden når det ikke nås"
        );
        report.add(Finding::skip(clock, why))?;
        return Ok(false);
    }
    report.waiting(&clock);
    let finding = match client.compare_clocks().await {
        Ok(Some(ahead)) => judge(clock, ahead, language),
        Ok(None) => Finding::skip(
            clock,
            tell!(
                language,
                "the answer of the token endpoint has no `Date`",
                "svaret fra token-endepunktet mangler `Date`"
            ),
        ),
        Err(error) => tokens::refused(clock, &error, language),
    };
    report.add(finding)?;
    Ok(true)
}

async fn reached(connector: &Connector, client: &GrantClient, name: String, language: Language) -> Finding {
    let (configured, issuer) = (client.configured_endpoint(), client.issuer().parse::<HttpUrl>().ok());
    let (url, key) = match (configured, &issuer) {
        (Some(url), _) => (url.clone(), "token_endpoint"),
        (None, Some(url)) => (url.clone(), "issuer"),
        (None, None) => return tokens::refused(name, &crate::oauth::TokenError::IssuerUrl, language),
    };
    let target = Target {
        name: name.clone(),
        shown: url.to_string(),
        scheme: url.scheme,
        authority: &url.authority,
        key,
    };
    let mut finding = reach::examine(connector, target, language).await;
    if finding.status != Status::Ok || configured.is_some() {
        return finding;
    }
    match client.endpoint().await {
        Ok(url) => {
            let found = tell!(language, "its metadata names {url}", "metadataene oppgir {url}");
            finding.detail = format!("{}; {found}", finding.detail);
            finding
        }
        Err(error) => tokens::refused(name, &error, language),
    }
}

/// `ahead`: seconds that the server's clock is ahead of ours; negative where it is behind.
fn judge(name: String, ahead: i64, language: Language) -> Finding {
    let seconds = ahead.unsigned_abs();
    let detail = match ahead {
        0 => tell!(language, "as the token endpoint's", "som token-endepunktets"),
        1.. => tell!(
            language,
            "this machine's clock is {seconds} s behind the token endpoint's",
            "klokka på denne maskinen går {seconds} s etter token-endepunktets"
        ),
        _ => tell!(
            language,
            "this machine's clock is {seconds} s ahead of the token endpoint's",
            "klokka på denne maskinen går {seconds} s foran token-endepunktets"
        ),
    };
    if seconds <= TOLERATED {
        return Finding::ok(name, detail);
    }
    Finding::fail(name, detail)
        .cause(tell!(
            language,
            "Maskinporten tolerates {TOLERATED} s; the proxy corrects for more once a grant is refused over it, other \
             programs do not",
            "Maskinporten godtar {TOLERATED} s; proxyen retter opp for mer når et grant avvises for det, men andre \
             programmer gjør ikke det"
        ))
        .hint(tell!(
            language,
            "let the clock be set by the network: timedatectl set-ntp true",
            "la klokka stilles fra nettet: timedatectl set-ntp true"
        ))
}

/// Connects to every upstream once.
pub(super) async fn upstreams(
    connector: &Connector,
    config: &Config,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut seen = Vec::new();
    for upstream in config.routes.iter().map(|route| &route.upstream) {
        let place = (upstream.scheme, &upstream.authority);
        if seen.contains(&place) {
            continue;
        }
        seen.push(place);
        let name = format!("upstream.{}", upstream.authority);
        report.waiting(&name);
        let shown = format!("{}://{}", upstream.scheme.name(), upstream.authority);
        let target =
            Target { name, shown, scheme: upstream.scheme, authority: &upstream.authority, key: "upstream" };
        let finding = reach::examine(connector, target, report.language).await;
        report.add(finding)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_off_by_more_than_is_tolerated_is_a_failure() {
        for (ahead, status) in
            [(0, Status::Ok), (10, Status::Ok), (-10, Status::Ok), (11, Status::Fail), (-3600, Status::Fail)]
        {
            assert_eq!(judge("clock".to_owned(), ahead, Language::English).status, status, "{ahead}");
        }
    }

    #[test]
    fn says_whose_clock_is_ahead() {
        let told = |ahead| judge("clock".to_owned(), ahead, Language::English).detail;
        assert!(told(30).contains("30 s behind"), "{}", told(30));
        assert!(told(-30).contains("30 s ahead"), "{}", told(-30));
    }
}
