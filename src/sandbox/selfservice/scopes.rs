//! `/scopes`, `/scopes/all` and `/scopes/access`.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value};

use super::{Answer, Call, SCOPES_WRITE};
use crate::sandbox::grant::is_digits;
use crate::sandbox::registry::{Scope, strings};
use crate::sandbox::reply::Reply;

const ASSIGNED: [&str; 5] = ["name", "owner_orgno", "active", "created", "last_updated"];

impl Call<'_> {
    /// The caller's own scopes, or one of them.
    pub(super) fn list_scopes(&self) -> Answer {
        let owner = self.caller(&[SCOPES_WRITE])?.organisation;
        if let Some(name) = self.visit.query("scope") {
            return Ok(Reply::ok(&self.own_scope(&owner, &name, self.with_inactive())?.to_json()));
        }
        Ok(self.listed(|scope| scope.owner == owner && (scope.active || self.with_inactive())))
    }

    /// Open to all, token or not.
    pub(super) fn list_public_scopes(&self) -> Answer {
        Ok(self.listed(|scope| scope.active && scope.is_public()))
    }

    pub(super) fn create_scope(&self) -> Answer {
        let owner = self.caller(&[SCOPES_WRITE])?.organisation;
        let attributes = checked(self.object()?)?;
        let text = |name| attributes.get(name).and_then(Value::as_str).unwrap_or_default();
        let (prefix, subscope) = (text("prefix"), text("subscope"));
        if !is_name(prefix, "") || !is_name(subscope, ":/") {
            return Err(Reply::bad_request("prefix and subscope are required, in letters, digits and .-_"));
        }
        let name = format!("{prefix}:{subscope}");
        let now = self.shared.now();
        self.shared.registry(|registry| {
            if !registry.owns_prefix(prefix, &owner) {
                let what = "the prefix is not assigned to your organisation";
                return Err(Reply::problem(StatusCode::FORBIDDEN, "forbidden", what));
            }
            if registry.scope(&name).is_some() {
                return Err(Reply::conflict("the scope exists, active or not"));
            }
            let scope = Scope::new(name, owner, attributes.clone(), now);
            Ok(Reply::ok(&registry.put_scope(scope).to_json()))
        })
    }

    pub(super) fn replace_scope(&self) -> Answer {
        let (_, old) = self.named_scope()?;
        let mut attributes = checked(self.object()?)?;
        // The name itself cannot be changed.
        for part in ["prefix", "subscope"] {
            let before = old.attributes.get(part).cloned().unwrap_or_default();
            if attributes.get(part).is_some_and(|after| *after != before) {
                return Err(Reply::bad_request("the name of a scope cannot be changed"));
            }
            attributes.insert(part.to_owned(), before);
        }
        let now = self.shared.now();
        self.changed(&old.name, |scope| {
            scope.attributes = attributes;
            scope.last_updated = now;
        })
        .map(|scope| Reply::ok(&scope.to_json()))
    }

    /// Consumers keep their access, but get no tokens until the scope is there again.
    pub(super) fn deactivate_scope(&self) -> Answer {
        let (_, scope) = self.named_scope()?;
        let now = self.shared.now();
        self.changed(&scope.name, |scope| {
            scope.active = false;
            scope.last_updated = now;
        })
        .map(|_| Reply::new(StatusCode::NO_CONTENT))
    }

    pub(super) fn list_access(&self) -> Answer {
        let (_, scope) = self.named_scope()?;
        let inactive = self.with_inactive();
        let listed = scope.access.iter().filter(|(_, access)| access.approved || inactive);
        Ok(Reply::ok(&listed.filter_map(|(organisation, _)| scope.access_to_json(organisation)).collect()))
    }

    pub(super) fn change_access(&self, organisation: &str, approved: bool) -> Answer {
        let (_, scope) = self.named_scope()?;
        if !is_digits(organisation, 9) {
            return Err(Reply::bad_request("the consumer is not an organisation number"));
        }
        if !approved && !scope.access.get(organisation).is_some_and(|access| access.approved) {
            return Err(Reply::not_found("the consumer has no access to withdraw"));
        }
        let now = self.shared.now();
        let scope = self.changed(&scope.name, |scope| scope.grant(organisation, approved, now))?;
        if !approved {
            return Ok(Reply::new(StatusCode::NO_CONTENT));
        }
        Ok(Reply::ok(&scope.access_to_json(organisation).unwrap_or_default()))
    }

    fn listed(&self, choose: impl Fn(&Scope) -> bool) -> Reply {
        let scopes: Vec<Arc<Scope>> = self
            .shared
            .registry(|registry| registry.scopes().filter(|scope| choose(scope)).cloned().collect());
        Reply::ok(&scopes.iter().map(|scope| scope.to_json()).collect())
    }

    /// The caller and the active scope of its own that the query names.
    fn named_scope(&self) -> Result<(String, Arc<Scope>), Reply> {
        let owner = self.caller(&[SCOPES_WRITE])?.organisation;
        let name =
            self.visit.query("scope").ok_or_else(|| Reply::bad_request("scope is missing in the query"))?;
        let scope = self.own_scope(&owner, &name, false)?;
        Ok((owner, scope))
    }

    /// Another organisation's scope is as good as none.
    fn own_scope(&self, owner: &str, name: &str, with_inactive: bool) -> Result<Arc<Scope>, Reply> {
        self.shared
            .registry(|registry| registry.scope(name))
            .filter(|scope| scope.owner == owner && (scope.active || with_inactive))
            .ok_or_else(|| Reply::not_found("your organisation has no such scope"))
    }

    fn changed(&self, name: &str, change: impl FnOnce(&mut Scope)) -> Result<Arc<Scope>, Reply> {
        self.shared
            .registry(|registry| registry.change_scope(name, change))
            .ok_or_else(|| Reply::not_found("your organisation has no such scope"))
    }
}

/// Letters, digits, `.`, `-`, `_` and those of `more`.
fn is_name(text: &str, more: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c) || more.contains(c))
}

/// The attributes that may be stored, or what is wrong with them.
fn checked(mut attributes: Map<String, Value>) -> Result<Map<String, Value>, Reply> {
    attributes.retain(|name, _| !ASSIGNED.contains(&name.as_str()));
    let bad = |what: &str| Err(Reply::bad_request(what));
    if attributes.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
        return bad("description is required");
    }
    let is_visibility = |value: &Value| matches!(value.as_str(), Some("PUBLIC" | "PRIVATE"));
    if attributes.get("visibility").is_some_and(|value| !is_visibility(value)) {
        return bad("visibility must be PUBLIC or PRIVATE");
    }
    if attributes.get("allowed_integration_types").is_some_and(|types| strings(types).is_none()) {
        return bad("allowed_integration_types must be an array of texts");
    }
    if attributes.get("accessible_for_all").is_some_and(|value| !value.is_boolean()) {
        return bad("accessible_for_all must be true or false");
    }
    Ok(attributes)
}
