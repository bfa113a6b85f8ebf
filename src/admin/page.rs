//! The status page as it is served: complete without JavaScript, which then keeps it live.

mod requests;

use std::fmt::{self, Write as _};
use std::sync::Arc;

use ::http::HeaderValue;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::status::{StatusSnapshot, TokenError, TokenState, TokenStatus};
use crate::telemetry::{Entry, timestamp};

const TEMPLATE: &str = include_str!("page.html");

/// Requests in the page itself; JavaScript fetches the rest.
const SHOWN: usize = 50;

/// The template, and the policy that lets its own script and style run and nothing else.
pub(super) struct Page {
    policy: HeaderValue,
}

impl Page {
    pub(super) fn new() -> Self {
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(between("<script>", "</script>")),
            hash(between("<style>", "</style>")),
        );
        Self { policy: policy.try_into().expect("base64 and keywords are ASCII") }
    }

    /// The `Content-Security-Policy` of every answer.
    pub(super) fn policy(&self) -> &HeaderValue {
        &self.policy
    }

    pub(super) fn render(&self, status: &StatusSnapshot, requests: &[Arc<Entry>]) -> String {
        let mut html = String::with_capacity(TEMPLATE.len() + 32 * 1024);
        let mut rest = TEMPLATE;
        while let Some((before, after)) = rest.split_once("<!--slot:") {
            let (slot, after) = after.split_once("-->").expect("the template's slots are closed");
            html.push_str(before);
            fill(slot, status, requests, &mut html).expect("writing to a String does not fail");
            rest = after;
        }
        html.push_str(rest);
        html
    }
}

fn fill(slot: &str, status: &StatusSnapshot, requests: &[Arc<Entry>], html: &mut String) -> fmt::Result {
    match slot {
        "where" => {
            let since = timestamp(status.service.started_at);
            write!(html, "at {} since {}", Text(&status.service.url), seconds_of(&since))
        }
        "overall" => overall(status, html),
        "notices" => notices(status, html),
        "tokens" => status.tokens.iter().try_for_each(|token| card(token, html)),
        "routes" => routes(status, html),
        "requests" => requests.iter().take(SHOWN).try_for_each(|entry| requests::row(entry, html)),
        "empty" if requests.is_empty() => {
            write!(html, "No request yet. What goes through {} shows here.", Text(&status.service.url))
        }
        "empty" => Ok(()),
        "version" => write!(html, "version {}", Text(status.service.version)),
        other => unreachable!("the template has no slot {other}"),
    }
}

fn overall(status: &StatusSnapshot, html: &mut String) -> fmt::Result {
    let sick = status.tokens.iter().filter(|token| tone(token.state) == "bad").count();
    let young = status.tokens.iter().any(|token| token.state == TokenState::Fetching);
    let (tone, words) = match (sick, young) {
        (0, false) => ("ok", "Ready".to_owned()),
        (0, true) => ("", "Getting tokens".to_owned()),
        (1, _) => ("bad", "1 token needs help".to_owned()),
        (many, _) => ("bad", format!("{many} tokens need help")),
    };
    write!(html, r#"<span class="pill big {tone}">{words}</span>"#)
}

fn notices(status: &StatusSnapshot, html: &mut String) -> fmt::Result {
    let config = &status.config;
    if let Some(error) = &config.error {
        let title = "The new configuration is not in use.";
        write!(html, r#"<p class="notice bad"><strong>{title}</strong> {}</p>"#, Text(error))?;
    }
    if config.needs_restart {
        let what =
            if config.restart_for.is_empty() { "the configuration" } else { &config.restart_for.join(", ") };
        write!(
            html,
            r#"<p class="notice"><strong>A restart is needed</strong> for the changes to {}.</p>"#,
            Text(what)
        )?;
    }
    for client in &status.clients {
        if let Some(warning) = &client.warning {
            let (name, warning) = (Text(&client.name), Text(warning));
            write!(html, r#"<p class="notice"><strong>Client {name}:</strong> {warning}</p>"#)?;
        }
    }
    Ok(())
}

fn card(token: &TokenStatus, html: &mut String) -> fmt::Result {
    let tone = tone(token.state);
    let live = token.state == TokenState::Live;
    write!(
        html,
        r#"<li class="card{}"><div class="row"><div><h3>{}</h3><div class="client">client {}</div></div><span class="pill {tone}">{}</span></div>"#,
        if tone == "bad" { " sick" } else { "" },
        Text(&token.route),
        Text(&token.client),
        word(token.state),
    )?;
    match token.expires_in.filter(|_| live) {
        Some(left) => {
            write!(html, r#"<p class="left"><b>{}</b><span>left</span></p>"#, clock(left))?;
            life(token, left, html)?;
        }
        None => write!(html, r#"<p class="hint">{}</p>"#, hint(token.state))?,
    }
    if let Some(error) = &token.error {
        fault(error, live, html)?;
    }
    html.push_str(r#"<ul class="scopes" aria-label="Scopes">"#);
    for scope in &token.scopes {
        write!(html, "<li>{}</li>", Text(scope))?;
    }
    html.push_str("</ul>");
    if let Some(Value::Object(claims)) = token.claims.as_ref().map(|claims| claims.value()) {
        html.push_str(r#"<div class="foot"><details><summary>Claims</summary><dl class="claims">"#);
        for (name, value) in claims {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            write!(html, "<dt>{}</dt><dd>{}</dd>", Text(name), Text(&value))?;
        }
        html.push_str("</dl></details></div>");
    }
    html.push_str("</li>");
    Ok(())
}

/// How much of the token's life is left, where its claims tell how long that is.
fn life(token: &TokenStatus, left: i64, html: &mut String) -> fmt::Result {
    let claim = |name| token.claims.as_ref()?.value().get(name)?.as_i64();
    let whole = match (claim("iat"), claim("exp")) {
        (Some(from), Some(to)) if to > from => to.saturating_sub(from),
        _ => return Ok(()),
    };
    let width = (left as f64 / whole as f64).clamp(0.0, 1.0) * 1000.0;
    write!(
        html,
        r#"<svg class="life" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true"><rect width="{width:.1}" height="10"></rect></svg>"#
    )
}

fn fault(error: &TokenError, live: bool, html: &mut String) -> fmt::Result {
    write!(html, r#"<div class="fault{}"><p class="cause">"#, if live { " old" } else { "" })?;
    if let Some(code) = &error.code {
        write!(html, "<code>{}</code> ", Text(code))?;
    }
    write!(html, "{}</p>", Text(&sentence(&error.cause)))?;
    if let Some(fix) = &error.fix {
        write!(html, r#"<p class="fix">{}</p>"#, Text(&sentence(fix)))?;
    }
    html.push_str("</div>");
    Ok(())
}

fn routes(status: &StatusSnapshot, html: &mut String) -> fmt::Result {
    for route in &status.routes {
        write!(html, r#"<tr><td data-label="Name">{}"#, Text(&route.name))?;
        if route.access == "read-only" {
            html.push_str(r#"<span class="tag">read-only</span>"#);
        }
        let host = route.host.as_deref().unwrap_or_default();
        write!(html, r#"</td><td data-label="Path"><code>{}{}</code>"#, Text(host), Text(&route.path))?;
        if let Some(methods) = &route.methods {
            write!(html, r#"<span class="tag">{}</span>"#, Text(&methods.join(" ")))?;
        }
        let (upstream, client) = (Text(&route.upstream), Text(&route.client));
        write!(
            html,
            r#"</td><td data-label="Upstream"><code>{upstream}</code></td><td data-label="Client">{client}</td></tr>"#
        )?;
    }
    Ok(())
}

fn tone(state: TokenState) -> &'static str {
    match state {
        TokenState::Live => "ok",
        TokenState::Fetching | TokenState::OnDemand => "",
        TokenState::Unavailable | TokenState::Refused | TokenState::Expired => "bad",
    }
}

fn word(state: TokenState) -> &'static str {
    match state {
        TokenState::Live => "Live",
        TokenState::Fetching => "Fetching",
        TokenState::Unavailable => "Unavailable",
        TokenState::Refused => "Refused",
        TokenState::Expired => "Expired",
        TokenState::OnDemand => "On demand",
    }
}

fn hint(state: TokenState) -> &'static str {
    match state {
        TokenState::Fetching => "The first token is being fetched.",
        TokenState::OnDemand => {
            "Its claims come with each request, so its tokens are fetched when a request needs one."
        }
        _ => "",
    }
}

/// A message as a sentence of its own: messages are made to stand within others. A first word that
/// is no plain word stays as it is. The script does the same.
fn sentence(text: &str) -> String {
    let first = text.split([' ', ',']).next().unwrap_or_default();
    let plain = first.len() < text.len() && first.chars().all(char::is_lowercase);
    let mut sentence = String::with_capacity(text.len() + 1);
    let mut chars = text.chars();
    if plain {
        sentence.extend(chars.next().into_iter().flat_map(char::to_uppercase));
    }
    sentence.push_str(chars.as_str());
    if !text.ends_with(['.', '!', '?', '…']) {
        sentence.push('.');
    }
    sentence
}

/// `1:02:03` or `2:03`, as the script counts down.
fn clock(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// A timestamp to the second, for reading.
fn seconds_of(timestamp: &str) -> String {
    format!("{} UTC", timestamp.get(..19).unwrap_or(timestamp).replace('T', " "))
}

fn between(start: &str, end: &str) -> &'static str {
    let (_, rest) = TEMPLATE.split_once(start).expect("the template has the element once");
    let (inner, _) = rest.split_once(end).expect("the template's elements are closed");
    inner
}

/// A CSP hash source (CSP 3 §2.3.1).
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}

/// Text in HTML, in an element or a quoted attribute: nothing in it becomes markup.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests;
