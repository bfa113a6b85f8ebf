//! What can be said of the configuration alone: listeners, the local CA, and its own warnings.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use super::report::{Finding, Report};
use crate::ca::{self, Ca, RoutedNames};
use crate::cli::failure::Failure;
use crate::cli::language::tell;
use crate::config::{Config, Listen};
use crate::net;
use crate::oauth::Language;

/// The configuration as a whole, and what it warns of itself.
pub(super) fn configuration(config: &Config, files: &[PathBuf], report: &mut Report) -> Result<(), Failure> {
    let (clients, routes) = (config.clients.len(), config.routes.len());
    let files = match files {
        [] => tell!(report.language, "the environment", "miljøvariablene"),
        files => files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "),
    };
    let language = report.language;
    report.add(Finding::ok(
        "config",
        tell!(
            language,
            "{files} (clients: {clients}, routes: {routes})",
            "{files} (klienter: {clients}, ruter: {routes})"
        ),
    ))?;
    for warning in &config.warnings {
        report.add(Finding::warn("config", warning.as_str()))?;
    }
    Ok(())
}

/// The listeners: who reaches them, and whether their addresses are free.
pub(super) fn listeners(config: &Config, report: &mut Report) -> Result<(), Failure> {
    let language = report.language;
    let guarded = match config.inbound.password.as_ref().map(|source| source.resolve()) {
        None => false,
        Some(Ok(password)) => password.is_some(),
        Some(Err(error)) => {
            let what = tell!(
                language,
                "the inbound password cannot be read: {error}",
                "passordet i [inbound] kan ikke leses: {error}"
            );
            report.add(Finding::fail("inbound", what).hint(error.hint()))?;
            true
        }
    };
    if let Some(tls) = &config.inbound.tls
        && let Err(error) = net::server_tls(tls)
    {
        let what = tell!(
            language,
            "[inbound.tls] cannot be used: {error}",
            "[inbound.tls] kan ikke brukes: {error}"
        );
        report.add(Finding::fail("inbound", what))?;
    }
    let certified = config.inbound.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    report.add(listener("listen", &config.listen, guarded || certified, language))?;
    if let Some(admin) = &config.admin {
        report.add(listener("admin", admin, guarded || certified, language))?;
    }
    Ok(())
}

fn listener(key: &str, listen: &Listen, guarded: bool, language: Language) -> Finding {
    if !listen.is_local() && !guarded {
        return Finding::fail(
            key,
            tell!(
                language,
                "{listen} is reachable by other machines, and no password is asked for",
                "{listen} kan nås fra andre maskiner, og det kreves ikke passord"
            ),
        )
        .hint(tell!(
            language,
            "give [inbound] password a value, or listen on 127.0.0.1",
            "gi [inbound] password en verdi, eller lytt på 127.0.0.1"
        ));
    }
    if let Some(error) = bind_error(listen) {
        return unbindable(key, listen, &error, language);
    }
    let detail = match (listen, listen.is_local()) {
        (Listen::Unix(_), _) => {
            tell!(language, "{listen}, which only you can open", "{listen}, som bare du kan åpne")
        }
        (Listen::Tcp(_), true) => {
            tell!(language, "{listen}, for this machine alone", "{listen}, bare for denne maskinen")
        }
        (Listen::Tcp(_), false) => tell!(
            language,
            "{listen}, for other machines too, which must identify themselves",
            "{listen}, også for andre maskiner, som må identifisere seg"
        ),
    };
    Finding::ok(key, detail)
}

/// Sockets are not tried: binding would take the place of one that is in use.
fn bind_error(listen: &Listen) -> Option<io::Error> {
    match listen {
        Listen::Tcp(address) if address.port() != 0 => std::net::TcpListener::bind(address).err(),
        _ => None,
    }
}

fn unbindable(key: &str, listen: &Listen, error: &io::Error, language: Language) -> Finding {
    match error.kind() {
        // Whoever checks often has the proxy running beside.
        io::ErrorKind::AddrInUse => Finding::warn(
            key,
            tell!(language, "something listens on {listen} already", "noe lytter allerede på {listen}"),
        )
        .hint(tell!(
            language,
            "if it is this proxy, all is well; otherwise stop it, or set `{key}` to another address",
            "er det denne proxyen, er alt i orden; ellers stopp det, eller sett `{key}` til en annen adresse"
        )),
        io::ErrorKind::PermissionDenied => Finding::fail(
            key,
            tell!(
                language,
                "the system does not let this user listen on {listen}",
                "systemet lar ikke denne brukeren lytte på {listen}"
            ),
        )
        .hint(tell!(
            language,
            "ports below 1024 are for the administrator; use a higher one",
            "porter under 1024 er for administratoren; bruk en høyere"
        )),
        io::ErrorKind::AddrNotAvailable => Finding::fail(
            key,
            tell!(
                language,
                "this machine has no address {listen}",
                "denne maskinen har ingen adresse {listen}"
            ),
        )
        .hint(tell!(language, "127.0.0.1 is always there", "127.0.0.1 finnes alltid")),
        _ => Finding::fail(
            key,
            tell!(language, "cannot listen on {listen}: {error}", "kan ikke lytte på {listen}: {error}"),
        ),
    }
}

/// The local CA, where TLS is intercepted.
pub(super) fn local_ca(config: &Config, now: SystemTime, report: &mut Report) -> Result<(), Failure> {
    let language = report.language;
    if !config.forward.intercept {
        return Ok(());
    }
    let dir = ca::default_dir(&config.base_dir);
    let ca = match Ca::load(&dir) {
        Ok(ca) => ca,
        Err(error) => {
            let what = tell!(
                language,
                "`intercept` is on, and there is no local CA that could be used: {error}",
                "`intercept` er på, men det finnes ingen lokal CA som kan brukes: {error}"
            );
            let hint = error.hint().map(str::to_owned);
            return report.add(Finding::fail("ca", what).maybe_hint(hint));
        }
    };
    let warnings = ca.warnings(&RoutedNames::of(config), now);
    if warnings.is_empty() {
        let path = ca.root_pem_path();
        let path = path.display();
        return report.add(Finding::ok(
            "ca",
            tell!(
                language,
                "{path} vouches for the routed hosts alone",
                "{path} går god for vertene i rutene, og ingen andre"
            ),
        ));
    }
    warnings.into_iter().try_for_each(|warning| report.add(Finding::warn("ca", warning)))
}
