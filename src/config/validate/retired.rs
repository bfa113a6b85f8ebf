//! Hosts of Difi and Digdir that are out of service, and what took their place. Old properties
//! files and guides still name them.

use crate::authority::Host;
use crate::config::Environment;

/// What to use in place of `host`; `None` where it is not known to be retired.
pub(super) fn replacement(host: &Host) -> Option<String> {
    let Host::Name(name) = host else { return None };
    let (test, prod) = (Environment::Test, Environment::Prod);
    let exact = match &**name {
        "ver1.maskinporten.no" | "ver2.maskinporten.no" | "oidc-ver1.difi.no" | "oidc-ver2.difi.no" => {
            test.issuer()
        }
        "oidc.difi.no" => prod.issuer(),
        "integrasjon-ver1.difi.no" | "integrasjon-ver2.difi.no" | "api.samarbeid-ver2.difi.no" => {
            test.self_service()
        }
        "integrasjon.difi.no" => prod.self_service(),
        _ if name.ends_with(".difi.no") => {
            return Some(format!(
                "{} and {} (test), {} and {} (prod)",
                test.issuer(),
                test.self_service(),
                prod.issuer(),
                prod.self_service()
            ));
        }
        _ => return None,
    };
    Some(exact.to_owned())
}
