//! Who may use the listener, and what must hold before it may leave loopback.

use super::Checker;
use crate::authority::Authority;
use crate::config::{Inbound, InboundTls, Listen, SecretSource, file};

impl Checker<'_> {
    pub(super) fn inbound(&mut self, inbound: file::Inbound) -> Inbound {
        let given = inbound.password.is_some();
        let password =
            self.secret(inbound.password, "inbound.password").filter(|source| !self.is_empty(source));
        self.empty_password = given && password.is_none();
        let tls = inbound.tls.and_then(|tls| {
            let file = "a path, PEM";
            let cert = self.required(tls.cert, "inbound.tls.cert", file);
            let key = self.required(tls.key, "inbound.tls.key", file);
            let cert = cert.and_then(|text| self.watched_file("inbound.tls.cert", &text));
            let key = key.and_then(|text| self.private_file("inbound.tls.key", &text));
            let client_ca = tls.client_ca.and_then(|text| self.watched_file("inbound.tls.client_ca", &text));
            Some(InboundTls { cert: cert?, key: key?, client_ca })
        });
        let mut allowed_hosts = Vec::new();
        for (at, text) in inbound.allowed_hosts.iter().enumerate() {
            allowed_hosts.extend(self.host(text, &format!("inbound.allowed_hosts[{at}]")));
        }
        for (at, text) in inbound.allowed_origins.iter().enumerate() {
            self.web_origin(text, &format!("inbound.allowed_origins[{at}]"));
        }
        Inbound { password, tls, allowed_hosts, allowed_origins: inbound.allowed_origins }
    }

    /// Whether a password is known to be empty, which counts as none. A variable that is not set
    /// is told of where it is read; for the listener's safety it counts as empty here.
    fn is_empty(&self, source: &SecretSource) -> bool {
        match source {
            SecretSource::Env(name) => self.surroundings.env.get(name).is_none_or(String::is_empty),
            SecretSource::File(path) => {
                std::fs::read(path).is_ok_and(|bytes| matches!(bytes.as_slice(), b"" | b"\n" | b"\r\n"))
            }
            SecretSource::Literal(_) | SecretSource::Command(_) => false,
        }
    }

    /// An origin as browsers write it (RFC 6454 §6.2): they are compared to the letter.
    fn web_origin(&mut self, text: &str, path: &str) {
        let allowed = "scheme and host in lower case, the port where it is not the scheme's own, nothing more: \"https://app.example.no\"";
        let message = match text {
            "null" => "`null` is the origin of any sandboxed page, so it would let all of them in",
            _ if text.contains('*') => "there are no patterns; name each origin",
            _ if serialised(text) => return,
            _ => "this is not how browsers write an origin",
        };
        self.refuse(path, Some(text), message, Some(allowed));
    }

    /// Refuses listeners that other machines can reach and nothing protects.
    pub(super) fn exposure(&mut self, listen: &Listen, admin: Option<&Listen>, inbound: &Inbound) {
        let client_ca = inbound.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        // A password or certificate that has a problem of its own is no second one.
        let told = self.problems.iter().any(|problem| problem.path.starts_with("inbound"));
        if inbound.password.is_some() || client_ca || told {
            return;
        }
        for (key, listen) in [("listen", Some(listen)), ("admin", admin)] {
            if let Some(listen) = listen.filter(|listen| !listen.is_local()) {
                let mut message =
                    "other machines can reach this address, and whoever reaches it acts as the organisation"
                        .to_owned();
                if self.empty_password {
                    message.push_str(
                        "; inbound.password is empty (or its variable is not set), which counts as none",
                    );
                }
                let allowed = "an address on loopback or a socket; else inbound.password (not empty) or inbound.tls.client_ca";
                self.refuse(key, Some(&listen.to_string()), message, Some(allowed));
            }
        }
    }
}

fn serialised(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let default_port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return false,
    };
    rest.parse::<Authority>()
        .is_ok_and(|authority| authority.to_string() == rest && authority.port() != Some(default_port))
}
