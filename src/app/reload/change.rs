//! [`Change`]: what a new configuration changes, told from the old one and the new one alone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::config::{Config, InboundTls};

/// What differs between two configurations, by the names that the user gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change<'a> {
    routes: Names<'a>,
    clients: Names<'a>,
    /// Other settings that take effect at once: keys of the reference.
    settings: Vec<&'static str>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Names<'a> {
    added: Vec<&'a str>,
    changed: Vec<&'a str>,
    removed: Vec<&'a str>,
}

impl<'a> Change<'a> {
    /// Files that are named the same count as the same here, whatever is in them now.
    pub(super) fn between(old: &'a Config, new: &'a Config) -> Self {
        let routes = |config: &'a Config| -> BTreeMap<&'a str, _> {
            config.routes.iter().map(|route| (route.name.as_str(), route)).collect()
        };
        let clients = |config: &'a Config| -> BTreeMap<&'a str, _> {
            config.clients.iter().map(|(name, client)| (name.as_str(), client)).collect()
        };
        let settings = [
            ("forward", old.forward != new.forward),
            ("inbound.password", old.inbound.password != new.inbound.password),
            ("inbound.allowed_hosts", old.inbound.allowed_hosts != new.inbound.allowed_hosts),
            ("inbound.allowed_origins", old.inbound.allowed_origins != new.inbound.allowed_origins),
            ("upstream", old.upstream != new.upstream),
        ];
        Self {
            routes: Names::between(&routes(old), &routes(new)),
            clients: Names::between(&clients(old), &clients(new)),
            settings: settings.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl<'a> Names<'a> {
    fn between<T: PartialEq>(
        old: &BTreeMap<&'a str, &'a Arc<T>>,
        new: &BTreeMap<&'a str, &'a Arc<T>>,
    ) -> Self {
        let mut names = Self::default();
        for (name, value) in new {
            match old.get(name) {
                None => names.added.push(name),
                Some(before) if before != value => names.changed.push(name),
                Some(_) => {}
            }
        }
        names.removed.extend(old.keys().filter(|name| !new.contains_key(*name)));
        names
    }
}

/// For the log: `routes added: a, b; client changed: test; also changed: forward`.
impl fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no setting; files that it names were read again");
        }
        let kinds = [("routes", &self.routes), ("clients", &self.clients)];
        let parts = kinds.iter().flat_map(|(kind, names)| {
            [("added", &names.added), ("changed", &names.changed), ("removed", &names.removed)]
                .into_iter()
                .filter(|(_, names)| !names.is_empty())
                .map(move |(what, names)| format!("{kind} {what}: {}", names.join(", ")))
        });
        let settings = (!self.settings.is_empty()).then(|| format!("settings: {}", self.settings.join(", ")));
        f.write_str(&parts.chain(settings).collect::<Vec<_>>().join("; "))
    }
}

/// What belongs to the process and differs from what it was started with: the names of keys.
///
/// `tls_files` tells whether what the files of `[inbound.tls]` hold is no longer what was read at
/// the start.
pub(super) fn needs_restart(
    boot: &Config,
    now: &Config,
    tls_files: impl FnOnce(&InboundTls) -> bool,
) -> Vec<String> {
    let tls = boot.inbound.tls != now.inbound.tls || now.inbound.tls.as_ref().is_some_and(tls_files);
    let changed = [
        ("listen", boot.listen != now.listen),
        ("admin", boot.admin != now.admin),
        ("threads", boot.threads != now.threads),
        ("inbound.tls", tls),
    ];
    changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadRequest, Overrides, load};

    const BASE: &str = r#"
listen = "127.0.0.1:8080"
[clients.test]
environment = "test"
client_id = "238259d7-f0ab-4bd5-b253-0f0159375096"
key = { file = "/keys/key.p12", password = "x" }
[[routes]]
name = "clients"
path = "/clients"
upstream = "https://api.test.samarbeid.digdir.no/clients"
scopes = ["idporten:dcr.read"]
[[routes]]
name = "scopes"
path = "/scopes"
upstream = "https://api.test.samarbeid.digdir.no/scopes"
scopes = ["idporten:scopes.write"]
"#;

    fn config(text: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("proxy.toml");
        std::fs::write(&file, text).unwrap();
        let cwd = "/".into();
        let request =
            LoadRequest { files: vec![file], flags: Overrides::default(), env: BTreeMap::new(), cwd };
        load(&request).unwrap_or_else(|error| panic!("{error}")).config
    }

    fn pair(old: &str, new: &str) -> (Config, Config) {
        (config(old), config(new))
    }

    fn told(old: &str, new: &str) -> String {
        let (old, new) = pair(old, new);
        Change::between(&old, &new).to_string()
    }

    #[test]
    fn nothing_changes_between_a_configuration_and_itself() {
        let (old, new) = pair(BASE, BASE);
        assert!(Change::between(&old, &new).is_empty());
        assert!(needs_restart(&old, &new, |_| true).is_empty(), "there is no [inbound.tls] to have changed");
    }

    #[test]
    fn routes_and_clients_are_told_by_name() {
        let renamed = BASE.replace("name = \"scopes\"", "name = \"ranges\"");
        assert_eq!(told(BASE, &renamed), "routes added: ranges; routes removed: scopes");
        assert_eq!(
            told(BASE, &BASE.replace("idporten:dcr.read", "idporten:dcr.write")),
            "routes changed: clients"
        );
        let other_client = BASE.replace("238259d7", "338259d7");
        assert_eq!(
            told(BASE, &other_client),
            "routes changed: clients, scopes; clients changed: test",
            "a route's client is part of it"
        );
    }

    #[test]
    fn the_order_of_routes_is_no_change() {
        let (head, routes) = BASE.split_once("[[routes]]").unwrap();
        let (first, second) = routes.split_once("[[routes]]").unwrap();
        let turned = format!("{head}[[routes]]{second}\n[[routes]]{first}");
        let (old, new) = pair(BASE, &turned);
        assert!(Change::between(&old, &new).is_empty());
    }

    #[test]
    fn settings_are_told_by_key_and_never_by_value() {
        let text = format!(
            "{BASE}\n[inbound]\npassword = \"hemmelig\"\nallowed_hosts = [\"a.example\"]\n[forward]\nother_hosts = \"deny\"\n"
        );
        let shown = told(BASE, &text);
        assert_eq!(shown, "settings: forward, inbound.password, inbound.allowed_hosts");
        let (old, new) = pair(BASE, &text);
        assert!(!format!("{:?}", Change::between(&old, &new)).contains("hemmelig"));
    }

    #[test]
    fn what_belongs_to_the_process_needs_a_restart() {
        let tls = "[inbound]\ntls = { cert = \"/c.pem\", key = \"/k.pem\" }\n";
        for (text, keys) in [
            (BASE.replace(":8080", ":9090"), vec!["listen"]),
            (format!("admin = \"off\"\nthreads = 7\n{BASE}"), vec!["admin", "threads"]),
            (format!("{BASE}{tls}"), vec!["inbound.tls"]),
        ] {
            let (old, new) = pair(BASE, &text);
            assert_eq!(needs_restart(&old, &new, |_| false), keys);
        }
        let with_tls = format!("{BASE}{tls}");
        let (old, new) = pair(&with_tls, &with_tls);
        assert_eq!(
            needs_restart(&old, &new, |_| true),
            ["inbound.tls"],
            "another certificate in the same file"
        );
        assert!(needs_restart(&old, &new, |_| false).is_empty());
    }
}
