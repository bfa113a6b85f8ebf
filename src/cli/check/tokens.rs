//! Whether Maskinporten gives the tokens that the routes ask for, and Altinn swaps them.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::lint::{Expected, lint};
use super::report::{Finding, Report};
use crate::cli::failure::Failure;
use crate::cli::language::tell;
use crate::keys::SigningKey;
use crate::oauth::error::{AnswerFault, Service};
use crate::oauth::{AccessToken, Identity, Language, TokenError, jwt};

/// The pause after a refusal that the whole client meets: a check does not wait for it.
const PAUSE: Duration = Duration::from_secs(60);

/// Signs a grant for `identity` and holds it against the documentation.
pub(super) async fn grant(
    route: &str,
    identity: &Identity,
    key: &SigningKey,
    now: SystemTime,
    language: Language,
) -> Finding {
    let name = format!("grant.{route}");
    let profile = identity.profile();
    let grant = match profile.client().grant(identity).await {
        Ok(grant) => grant,
        Err(error) => return Finding::fail(name, error.to_string()),
    };
    let expected = Expected {
        issuer: profile.issuer(),
        client_id: profile.client_id(),
        scopes: profile.scopes(),
        public_key: key.public_key(),
        now,
    };
    let flaws = lint(grant.expose(), &expected);
    if flaws.is_empty() {
        let (algorithm, issuer) = (key.algorithm().name(), profile.issuer());
        let by = match key.kid() {
            Some(kid) => format!("kid {kid}"),
            None => format!("x5c ({})", key.chain().len()),
        };
        return Finding::ok(
            name,
            tell!(
                language,
                "{algorithm} with {by}, for {issuer}, as documented",
                "{algorithm} med {by}, til {issuer}, i tråd med dokumentasjonen"
            ),
        );
    }
    let flaws: Vec<String> = flaws.iter().map(|flaw| flaw.tell(language)).collect();
    Finding::fail(name, flaws.join("; "))
}

/// Asks for the token of `identity`, and swaps it where the route does.
pub(super) async fn token(route: &str, identity: &Identity, report: &mut Report) -> Result<(), Failure> {
    let language = report.language;
    let client = identity.profile().client();
    let token = match client.token(identity, PAUSE).await {
        Ok(token) => token,
        Err(failure) => {
            report.add(refused(format!("token.{route}"), &failure.error, language))?;
            if identity.profile().exchange().is_some() {
                let why = tell!(language, "there is no token to swap", "det finnes ikke noe token å bytte");
                report.add(Finding::skip(format!("exchange.{route}"), why))?;
            }
            return Ok(());
        }
    };
    report.add(obtained(format!("token.{route}"), identity, &token, language))?;

    let Some(platform) = identity.profile().exchange() else { return Ok(()) };
    let name = format!("exchange.{route}");
    report.waiting(&name);
    let finding = match client.exchange(identity, platform, &token, PAUSE).await {
        Ok(swapped) => {
            let seconds = swapped.expires_in().as_secs();
            let mut finding = Finding::ok(
                name,
                tell!(
                    language,
                    "swapped at {platform}; lives for {seconds} s",
                    "byttet hos {platform}; lever i {seconds} s"
                ),
            );
            finding.claims = jwt::claims_for_display(swapped.expose());
            finding
        }
        Err(failure) => refused(name, &failure.error, language),
    };
    report.add(finding)
}

fn obtained(name: String, identity: &Identity, token: &AccessToken, language: Language) -> Finding {
    let asked = identity.profile().scopes();
    let claims = jwt::claims_for_display(token.expose());
    let claimed = claims.as_ref().and_then(|claims| claims.get("scope")).and_then(Value::as_str);
    let granted = token.scope().or(claimed);
    let missing: Vec<&str> = match granted {
        // Nothing is said of them: all that were asked for (RFC 6749 §5.1).
        None => Vec::new(),
        Some(granted) => {
            let granted: Vec<&str> = granted.split_whitespace().collect();
            asked.iter().map(String::as_str).filter(|scope| !granted.contains(scope)).collect()
        }
    };
    let seconds = token.expires_in().as_secs();
    let scopes = granted.map_or_else(|| asked.join(" "), str::to_owned);
    let detail = tell!(language, "{scopes}; lives for {seconds} s", "{scopes}; lever i {seconds} s");
    let mut finding = match missing.is_empty() {
        true => Finding::ok(name, detail),
        false => {
            let missing = missing.join(" ");
            Finding::warn(name, detail)
                .cause(tell!(
                    language,
                    "fewer scopes were granted than asked for: {missing} is missing",
                    "det ble gitt færre scopes enn det ble spurt om: {missing} mangler"
                ))
                .hint(tell!(
                    language,
                    "add the scope to the client in the self-service, or leave it out of the route",
                    "legg scopet til på klienten i selvbetjeningen, eller utelat det fra ruten"
                ))
        }
    };
    finding.claims = claims;
    finding
}

/// A finding for what went wrong between a grant and a token.
pub(super) fn refused(name: String, error: &TokenError, language: Language) -> Finding {
    let fix = error.fix(language);
    let finding =
        Finding::fail(name, told(error, language)).maybe_hint((!fix.is_empty()).then(|| fix.to_owned()));
    match error.maskinporten().and_then(|refusal| refusal.entry) {
        Some(entry) => finding.cause(entry.cause(language)),
        None => finding,
    }
}

/// What Maskinporten says is left in its own words.
fn told(error: &TokenError, language: Language) -> String {
    if language == Language::English {
        return error.to_string();
    }
    match error {
        TokenError::Refused(refusal) => format!("Maskinporten avviste grantet: {refusal}"),
        TokenError::ExchangeRefused { status, detail } => {
            format!("Altinn ville ikke bytte Maskinporten-tokenet ({status}): {detail}")
        }
        TokenError::Unavailable { service, status, .. } => format!("{} svarte {status}", place(*service)),
        TokenError::Unreachable { service, reason, .. } => {
            format!("{} kunne ikke nås: {reason}", place(*service))
        }
        TokenError::TimedOut { service } => format!("{} svarte ikke i tide", place(*service)),
        TokenError::Redirected { service, status } => format!(
            "{} svarte med en omdirigering ({status}), og slike følges aldri; sjekk adressen",
            place(*service)
        ),
        TokenError::Malformed { service, status, fault } => {
            format!(
                "svaret fra {} kan ikke brukes ({status}): {}",
                place(*service),
                fault_in_norwegian(fault)
            )
        }
        TokenError::IssuerUrl => {
            "issuer er ikke en https-adresse, så metadataene kan ikke slås opp".to_owned()
        }
        TokenError::Signing(error) => format!("grantet ble ikke signert: {error}"),
        TokenError::Interrupted => "forespørselen ble avbrutt før den var besvart".to_owned(),
    }
}

fn place(service: Service) -> &'static str {
    match service {
        Service::TokenEndpoint => "token-endepunktet",
        Service::Metadata => "metadataene til issuer",
        Service::Altinn => "Altinns tokenbytte",
    }
}

fn fault_in_norwegian(fault: &AnswerFault) -> String {
    match fault {
        AnswerFault::Empty => "det er tomt".to_owned(),
        AnswerFault::TooLong { limit } => format!("det er lengre enn {limit} byte"),
        AnswerFault::NotJson => "det er ikke et JSON-objekt".to_owned(),
        AnswerFault::NoToken => "det inneholder ikke noe token".to_owned(),
        AnswerFault::TokenCharacters => "tokenet har tegn som ikke hører hjemme i et token".to_owned(),
        AnswerFault::TokenType => "`token_type` er ikke Bearer".to_owned(),
        AnswerFault::ExpiresIn => "`expires_in` er ikke et antall sekunder".to_owned(),
        AnswerFault::Dead => "tokenet er allerede utløpt".to_owned(),
        AnswerFault::Status => "statuskoden er uventet".to_owned(),
        AnswerFault::Issuer { found } => format!("metadataene oppgir en annen issuer: \"{found}\""),
        AnswerFault::Endpoint => {
            "metadataene oppgir ikke et `token_endpoint` på samme vert over https".to_owned()
        }
    }
}
