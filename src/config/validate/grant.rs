//! What tokens are asked for: clients, scopes and claims, of a route or of `token` alone.

use std::sync::Arc;

use http::HeaderName;

use super::{Checker, Clients};
use crate::config::identifiers::{is_national_id, is_org_number};
use crate::config::{ClaimSource, Client, Exchange, GrantTemplate, file};

/// What the values of a claim must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    OrgNumber,
    /// Never shown.
    NationalId,
}

impl Checker<'_> {
    /// What a token is asked for, of a route or where there is none. `path` is where its keys are.
    pub(super) fn grant(
        &mut self,
        grant: file::Route,
        clients: &Clients,
        path: &str,
    ) -> Option<GrantTemplate> {
        let key = |key: &str| format!("{path}.{key}");
        let client = self.client_of(grant.client.as_deref(), clients, &key("client"));
        let scopes = self
            .required(grant.scopes, &key("scopes"), "the scopes to ask for, as [\"idporten:dcr.read\"]")
            .and_then(|scopes| self.scopes(scopes, &key("scopes")));
        let resource = self.resource(grant.resource, &key("resource"));
        let consumer_org = self.claim(grant.consumer_org, Form::OrgNumber, &key("consumer_org"));
        let pid = self.claim(grant.pid, Form::NationalId, &key("pid"));
        let systemuser_org = self.claim(grant.systemuser_org, Form::OrgNumber, &key("systemuser_org"));
        let external_ref = grant.systemuser_external_ref.filter(|text| !text.is_empty());
        if external_ref.is_some() && matches!(systemuser_org, Some(None)) {
            let message = "this belongs to a system user, and there is no `systemuser_org`";
            self.refuse(&key("systemuser_external_ref"), external_ref.as_deref(), message, None);
        }
        let details = Some(grant.authorization_details).filter(|details| !details.is_empty());
        if let Some(details) = &details {
            self.details(details, matches!(systemuser_org, Some(None)), &key("authorization_details"));
        }
        let client = client?;
        if grant.exchange == Some(Exchange::Altinn) && client.altinn.is_none() {
            let message =
                "the client's issuer is none of Digdir's environments, so its Altinn platform must be named";
            let allowed = format!("clients.{}.altinn = \"https://…\"", client.name);
            self.refuse(&key("exchange"), Some("altinn"), message, Some(&allowed));
            return None;
        }
        Some(GrantTemplate {
            client,
            scopes: scopes?,
            resource: resource?,
            consumer_org: consumer_org?,
            pid: pid?,
            systemuser_org: systemuser_org?,
            systemuser_external_ref: external_ref,
            authorization_details: details.map(serde_json::Value::Array),
            exchange: grant.exchange,
        })
    }

    fn client_of(&mut self, name: Option<&str>, clients: &Clients, path: &str) -> Option<Arc<Client>> {
        // Where there is none at all, that is the one problem to tell.
        if clients.is_empty() {
            return None;
        }
        let (name, client) = match name {
            Some(name) => match clients.get_key_value(name) {
                Some(found) => found,
                None => {
                    let known = clients.keys().map(String::as_str);
                    self.client_in_doubt = true;
                    self.refuse_unknown(path, name, "there is no client of this name", known);
                    return None;
                }
            },
            None if clients.len() == 1 => clients.first_key_value()?,
            None => {
                self.client_in_doubt = true;
                let known = clients.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                self.refuse(
                    path,
                    None,
                    "there are several clients, so the route must name one",
                    Some(&known),
                );
                return None;
            }
        };
        self.used.insert(name.clone());
        client.clone()
    }

    fn scopes(&mut self, scopes: Vec<String>, path: &str) -> Option<Vec<String>> {
        if scopes.is_empty() {
            self.refuse(path, None, "there is no token without a scope", None);
            return None;
        }
        let mut valid = Vec::new();
        for scope in scopes {
            // RFC 6749 §3.3, scope-token.
            let plain = scope.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'));
            if scope.is_empty() || !plain {
                let allowed = "scopes one by one, without white space: [\"a:b\", \"c:d\"]";
                self.refuse(path, Some(&scope), "this is not one scope", Some(allowed));
                return None;
            }
            if !valid.contains(&scope) {
                valid.push(scope);
            }
        }
        Some(valid)
    }

    fn resource(&mut self, resource: Vec<String>, path: &str) -> Option<Vec<String>> {
        for uri in &resource {
            let graphic = uri.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
            let scheme = uri.split_once(':').is_some_and(|(scheme, rest)| {
                let mut bytes = scheme.bytes();
                !rest.is_empty()
                    && bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
                    && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            });
            if !graphic || !scheme {
                let allowed = "an absolute URI without a fragment (RFC 8707), as \"https://api.example.no\"";
                self.refuse(path, Some(uri), "this is no audience that a grant can name", Some(allowed));
                return None;
            }
        }
        Some(resource)
    }

    /// The outer `None` is a problem, the inner a claim that is left out.
    fn claim(&mut self, claim: Option<file::Claim>, form: Form, path: &str) -> Option<Option<ClaimSource>> {
        let Some(claim) = claim else { return Some(None) };
        match claim {
            file::Claim::Fixed(text) => {
                self.claim_value(&text, form, path)?;
                if form == Form::NationalId {
                    self.holds_secret(path);
                }
                Some(Some(ClaimSource::Fixed(text)))
            }
            file::Claim::Header(header) => {
                let at = format!("{path}.header");
                let name =
                    self.required(header.header, &at, "the name of a request header, as \"X-Consumer-Org\"")?;
                let name = self.claim_header(&name, &at)?;
                if let Some(allow) = &header.allow {
                    let at = format!("{path}.allow");
                    if allow.is_empty() {
                        self.refuse(
                            &at,
                            None,
                            "an empty list allows nothing; leave it out to allow every value",
                            None,
                        );
                        return None;
                    }
                    for value in allow {
                        self.claim_value(value, form, &at)?;
                    }
                }
                Some(Some(ClaimSource::Header { name, allow: header.allow }))
            }
        }
    }

    fn claim_value(&mut self, text: &str, form: Form, path: &str) -> Option<()> {
        let (valid, shown, message) = match form {
            Form::OrgNumber => (
                is_org_number(text),
                // Eleven digits may be a person's number that went to the wrong key.
                Some(text).filter(|text| text.len() < 11),
                "this is no organisation number: nine digits, the last of which is a control digit (modulus 11)",
            ),
            Form::NationalId => (
                is_national_id(text),
                None,
                "this is no national identity number: eleven digits, the last two of which are control digits",
            ),
        };
        if !valid {
            self.refuse(path, shown, message, None);
            return None;
        }
        Some(())
    }

    /// A header that feeds a claim is not forwarded, so it cannot be one that a request needs.
    fn claim_header(&mut self, text: &str, path: &str) -> Option<HeaderName> {
        let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
            self.refuse(path, Some(text), "this is no name of a header", None);
            return None;
        };
        let lower = name.as_str();
        let taken = matches!(
            lower,
            "host" | "authorization" | "cookie" | "set-cookie" | "origin" | "via" | "expect"
            // RFC 9110 §7.6.1
            | "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade"
        ) || ["proxy-", "content-", "sec-"].iter().any(|prefix| lower.starts_with(prefix));
        if taken {
            let message =
                "this header has a meaning of its own in a request, and a claim's header is not forwarded";
            self.refuse(path, Some(text), message, Some("a header of its own, as \"X-Consumer-Org\""));
            return None;
        }
        Some(name)
    }

    fn details(&mut self, details: &[serde_json::Value], no_system_user: bool, path: &str) {
        if !no_system_user {
            let message = "these stand in place of `systemuser_org`; only one of the two can be set";
            self.refuse(path, None, message, None);
        }
        for (at, detail) in details.iter().enumerate() {
            if !detail.get("type").is_some_and(serde_json::Value::is_string) {
                let allowed = "a `type` in each table (RFC 9396 §2), as \"urn:altinn:consent\"";
                self.refuse(&format!("{path}[{at}]"), None, "the `type` is missing", Some(allowed));
            }
        }
    }
}
