//! Whether an address is reached, TLS included, and what is in the way if not.

use std::io;

use super::report::Finding;
use crate::authority::Authority;
use crate::cli::language::tell;
use crate::config::Scheme;
use crate::keys::CertificateInfo;
use crate::oauth::Language;
use crate::upstream::{Connector, Origin, Probe, ProxyProblem, Reached, TlsProblem, UpstreamError};

/// An address to be reached.
pub(super) struct Target<'a> {
    /// The name of the finding.
    pub(super) name: String,
    /// As it is shown.
    pub(super) shown: String,
    pub(super) scheme: Scheme,
    pub(super) authority: &'a Authority,
    /// The key of the configuration that names it.
    pub(super) key: &'static str,
}

/// Connects, and hangs up without having sent anything.
pub(super) async fn examine(connector: &Connector, target: Target<'_>, language: Language) -> Finding {
    let origin = match Origin::new(target.scheme, target.authority) {
        Ok(origin) => origin,
        Err(error) => return Finding::fail(target.name, error.to_string()),
    };
    let Probe { result, refused } = connector.probe(&origin).await;
    match result {
        Ok(reached) => {
            let how = how(&reached, language);
            Finding::ok(target.name, format!("{}: {how}", target.shown))
        }
        Err(error) => {
            let shown = refused.as_deref().and_then(CertificateInfo::from_der);
            let told = explain(&error, shown.as_ref(), target.key, language);
            let Told { what, hint } = told;
            let what = tell!(language, "{origin} is not reached: {what}", "{origin} nås ikke: {what}");
            Finding::fail(target.name, what).maybe_hint(hint)
        }
    }
}

fn how(reached: &Reached, language: Language) -> String {
    let mut text = match (reached.tls, reached.http2) {
        (None, _) => {
            tell!(language, "reached, without TLS on this machine", "nås, uten TLS på denne maskinen")
        }
        (Some(tls), true) => format!("{tls}, HTTP/2"),
        (Some(tls), false) => format!("{tls}, HTTP/1.1"),
    };
    if let Some(proxy) = &reached.through {
        text += &tell!(language, ", through the outbound proxy {proxy}", ", gjennom proxyen {proxy}");
    }
    text
}

struct Told {
    what: String,
    hint: Option<String>,
}

fn explain(error: &UpstreamError, shown: Option<&CertificateInfo>, key: &str, language: Language) -> Told {
    let (what, hint) = match error {
        UpstreamError::Dns { host, source } => (
            tell!(
                language,
                "the name {host} cannot be resolved ({source})",
                "navnet {host} kan ikke slås opp ({source})"
            ),
            tell!(
                language,
                "check the spelling in `{key}`, DNS and VPN; where names are resolved by an outbound proxy, set \
                 HTTPS_PROXY or `[upstream] proxy`",
                "sjekk stavemåten i `{key}`, DNS og VPN; er det en proxy som slår opp navn, sett HTTPS_PROXY eller \
                 `[upstream] proxy`"
            ),
        ),
        UpstreamError::NoAddress { host } => (
            tell!(language, "the name {host} has no address", "navnet {host} har ingen adresse"),
            tell!(language, "check the spelling in `{key}`", "sjekk stavemåten i `{key}`"),
        ),
        UpstreamError::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => (
            tell!(
                language,
                "nothing listens there (connection refused)",
                "ingenting lytter der (connection refused)"
            ),
            tell!(
                language,
                "check that it runs, and host and port in `{key}`",
                "sjekk at den kjører, og vert og port i `{key}`"
            ),
        ),
        UpstreamError::Connect { source, .. } => (
            tell!(language, "there is no way to it ({source})", "det finnes ingen vei dit ({source})"),
            tell!(language, "check the network, VPN and firewall", "sjekk nettverk, VPN og brannmur"),
        ),
        UpstreamError::ConnectTimeout { after, .. } => {
            let seconds = after.as_secs_f32();
            (
                tell!(language, "no answer within {seconds} s", "ikke noe svar innen {seconds} s"),
                tell!(
                    language,
                    "a firewall may be in the way; where the network has an outbound proxy, set HTTPS_PROXY or \
                     `[upstream] proxy`",
                    "en brannmur kan stå i veien; har nettverket en proxy utover, sett HTTPS_PROXY eller \
                     `[upstream] proxy`"
                ),
            )
        }
        UpstreamError::Tls { problem, .. } => return explain_tls(problem, shown, key, language),
        UpstreamError::Proxy { proxy, problem: ProxyProblem::Credentials } => (
            tell!(
                language,
                "the outbound proxy {proxy} wants other credentials (407)",
                "proxyen {proxy} krever en annen innlogging (407)"
            ),
            tell!(
                language,
                "put user and password into HTTPS_PROXY or `[upstream] proxy`: http://user:password@host:port",
                "legg bruker og passord i HTTPS_PROXY eller `[upstream] proxy`: http://bruker:passord@vert:port"
            ),
        ),
        UpstreamError::Proxy { proxy, problem } => (
            tell!(
                language,
                "the outbound proxy {proxy} {problem}",
                "proxyen {proxy} slapp oss ikke gjennom ({problem})"
            ),
            tell!(
                language,
                "check HTTPS_PROXY and `[upstream] proxy`; hosts that need none go into NO_PROXY",
                "sjekk HTTPS_PROXY og `[upstream] proxy`; verter som ikke trenger den, føres opp i NO_PROXY"
            ),
        ),
        other => return Told { what: other.to_string(), hint: other.hint().map(str::to_owned) },
    };
    Told { what, hint: Some(hint) }
}

fn explain_tls(problem: &TlsProblem, shown: Option<&CertificateInfo>, key: &str, language: Language) -> Told {
    let subject = shown.map_or("?", |certificate| certificate.subject.as_str());
    let issuer = shown.map_or("?", |certificate| certificate.issuer.as_str());
    let (what, hint) = match problem {
        TlsProblem::UnknownIssuer => (
            tell!(
                language,
                "its TLS certificate ({subject}) was issued by {issuer}, whom this machine does not trust",
                "TLS-sertifikatet ({subject}) er utstedt av {issuer}, som denne maskinen ikke stoler på"
            ),
            tell!(
                language,
                "if that is who should have issued it (an authority of your own, or of a proxy that looks into \
                 TLS), set `[upstream] ca_file` to that authority's certificate in PEM",
                "er det den som skal ha utstedt det (en egen utsteder, eller en proxy som ser inn i TLS), sett \
                 `[upstream] ca_file` til utstederens sertifikat i PEM"
            ),
        ),
        TlsProblem::WrongName(names) => (
            tell!(
                language,
                "its TLS certificate is for other names{names}",
                "TLS-sertifikatet gjelder andre navn{names}"
            ),
            tell!(
                language,
                "set `{key}` to a name that the certificate holds",
                "sett `{key}` til et navn som står i sertifikatet"
            ),
        ),
        TlsProblem::Expired(_) | TlsProblem::NotYetValid(_) => {
            let dates = shown.map_or_else(String::new, |certificate| {
                let (from, to) =
                    (super::key::date(certificate.not_before), super::key::date(certificate.not_after));
                format!(", {from} – {to}")
            });
            (
                tell!(
                    language,
                    "its TLS certificate is outside its dates ({subject}{dates})",
                    "TLS-sertifikatet er utenfor sin gyldighetstid ({subject}{dates})"
                ),
                tell!(
                    language,
                    "its owner must renew it, unless this machine's clock is wrong",
                    "eieren må fornye det, om ikke klokka på denne maskinen er feil"
                ),
            )
        }
        TlsProblem::NotTls => (
            tell!(language, "it does not speak TLS on this port", "den snakker ikke TLS på denne porten"),
            tell!(language, "check the port in `{key}`", "sjekk porten i `{key}`"),
        ),
        TlsProblem::Refused(how) => (
            tell!(
                language,
                "it refused the TLS handshake ({how}); it may ask for a client certificate",
                "den avviste TLS-oppkoblingen ({how}); kanskje krever den klientsertifikat"
            ),
            tell!(
                language,
                "check with its owner what it asks for; this proxy shows upstreams no client certificate",
                "spør eieren hva som kreves; denne proxyen viser ikke klientsertifikat"
            ),
        ),
        other => return Told { what: format!("TLS: {other}"), hint: None },
    };
    Told { what, hint: Some(hint) }
}
