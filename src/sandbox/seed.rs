//! What the sandbox holds from the start, so that a newcomer's first requests show something.

use std::time::SystemTime;

use super::credentials::Credentials;
use super::registry::{Client, ClientSpec, RegisteredKey, Registry, Scope, ScopeSpec, SystemUser};
use super::selfservice::{MODIFY, READ, SCOPES_WRITE, SUPPLIER, WRITE};

/// The organisation number of the test clients, unless another is asked for. Synthetic.
pub const ORGANISATION: &str = "314159268";
/// An organisation that has delegated `demo:api` to it.
pub const CONSUMER: &str = "910753614";
/// An organisation with a system user for its first client.
pub const CUSTOMER: &str = "910693514";
/// The owner of the `idporten:` scopes.
const DIGDIR: &str = "991825827";

pub(super) const DEMO_API: &str = "demo:api";

/// The test clients of `credentials`, with `key` registered on the first.
pub(super) fn plant(
    registry: &mut Registry,
    credentials: &Credentials,
    key: RegisteredKey,
    pretty: bool,
    now: SystemTime,
) {
    let organisation = credentials.organisation.as_str();
    let mut scope = |spec| registry.put_scope(Scope::from_spec(spec, now));
    for (name, description) in [
        (READ, "Lese klientregistreringer"),
        (MODIFY, "Endre klientregistreringer"),
        (WRITE, "Opprette klientregistreringer"),
        (SUPPLIER, "Registrere klienter for andre"),
        (SCOPES_WRITE, "Administrere scopes og tilganger"),
    ] {
        scope(ScopeSpec::new(name, DIGDIR).described(description).private().for_all());
    }
    scope(ScopeSpec::new(DEMO_API, organisation).described("Sandkassens ekko-API").for_all());
    registry.delegate(CONSUMER, organisation, DEMO_API);
    registry.put_system_user(SystemUser {
        client_id: credentials.client_id.clone(),
        organisation: CUSTOMER.to_owned(),
        external_ref: None,
    });

    let client = |id: &str, name: &str, description: &str| {
        let spec = ClientSpec::new(id, organisation).described(name, description);
        [READ, MODIFY, WRITE, SCOPES_WRITE, DEMO_API].iter().fold(spec, |spec, scope| spec.scope(scope))
    };
    let first = client(&credentials.client_id, "Sandkasse", "Testklient med registrert nøkkel").key(key);
    registry.put_client(Client::from_spec(first, now));
    let second =
        client(&credentials.certificate_client_id, "Sandkasse x5c", "Testklient med virksomhetssertifikat");
    registry.put_client(Client::from_spec(second, now));
    if pretty {
        decorate(registry, organisation, now);
    }
}

/// Clients and scopes to look at.
fn decorate(registry: &mut Registry, organisation: &str, now: SystemTime) {
    for (name, description, public) in [
        ("demo:vaer.read", "Værmålinger fra egne stasjoner", true),
        ("demo:vaer.write", "Registrere værmålinger", false),
        ("demo:loyve/soknad", "Søknader om løyve", true),
    ] {
        let spec = ScopeSpec::new(name, organisation).described(description).granted_to(CONSUMER);
        let spec = if public { spec } else { spec.private() };
        registry.put_scope(Scope::from_spec(spec, now));
    }
    for (name, description, scopes) in [
        ("Værstasjon", "Sender målinger hver time", vec!["demo:vaer.write"]),
        ("Saksbehandling", "Henter vær og løyvesøknader", vec!["demo:vaer.read", "demo:loyve/soknad"]),
    ] {
        let id = uuid::Uuid::new_v4().to_string();
        let spec = ClientSpec::new(id, organisation).described(name, description);
        let spec = scopes.iter().fold(spec, |spec, scope| spec.scope(scope));
        registry.put_client(Client::from_spec(spec, now));
    }
}
