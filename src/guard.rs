//! Who may use a listener: the proxy lends out an organisation's identity to whatever reaches it.
//!
//! [`Policy::admit`] judges a request's head and makes an [`Admitted`], which nothing outside this
//! module can construct; what proxies a request asks for one, so nothing can
//! be proxied unguarded. It carries the one [`Authority`] that was parsed.
//!
//! Two things get past a listener on loopback: a name of an attacker's that resolves to it (DNS
//! rebinding), which the list of hosts stops, and web pages, which their `Origin` and
//! `Sec-Fetch-Site` give away. Each covers what the other cannot see. All comparisons are exact;
//! there are no patterns, and no name is resolved here.

mod admitted;
mod cors;
mod origin;
mod password;
mod refusal;
mod target;

use std::net::{IpAddr, SocketAddr};

use http::{Method, Version};

use crate::authority::{Authority, Host};
use crate::config::{Listen, Scheme};
use crate::hint::seldom;
use crate::message::{Fields, RequestHead};
use crate::secret::Secret;

pub use admitted::{Admission, Admitted, Form, Tunnel};
pub use cors::{Cors, Preflight};
pub use refusal::Refusal;
pub use target::{TargetError, connect_target};

use origin::Origins;
use target::Target;

/// What a [`Policy`] is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    pub service: Service,
    /// Where the listener is bound, with the port that it got.
    pub listen: Listen,
    /// Whether the listener speaks TLS.
    pub tls: bool,
    /// Hosts beyond loopback ones and the listener's own.
    pub allowed_hosts: Vec<Host>,
    /// Web origins in their serialised form (`https://app.example.no`).
    pub allowed_origins: Vec<String>,
    /// Not empty. A loopback admin listener does not ask for it.
    pub password: Option<Secret<String>>,
}

/// What stands behind the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The proxy; `browsers`: whether a browser's `User-Agent` may use routed hosts in absolute
    /// form.
    Proxy {
        browsers: bool,
    },
    Admin,
}

/// The rules of one listener, ready to judge requests.
#[derive(Debug)]
pub struct Policy {
    service: Service,
    /// `None`: a Unix domain socket.
    address: Option<SocketAddr>,
    /// What a request that names no host is taken to be for.
    own: Authority,
    scheme: Scheme,
    allowed_hosts: Vec<Host>,
    origins: Origins,
    password: Option<Secret<String>>,
    /// Other machines can reach the status page, and there is no password that could let them in.
    closed: bool,
    /// Health and metrics need neither a known host nor the password.
    open_to_probes: bool,
}

impl Policy {
    pub fn new(settings: Settings) -> Self {
        let Settings { service, listen, tls, allowed_hosts, allowed_origins, password } = settings;
        let local = listen.is_local();
        let address = match listen {
            Listen::Tcp(address) => Some(address),
            Listen::Unix(_) => None,
        };
        let localhost = || Authority::new(Host::Name("localhost".into()), None);
        let exposed_admin = service == Service::Admin && !local;
        let asks = service != Service::Admin || exposed_admin;
        Self {
            service,
            address,
            own: address.map_or_else(localhost, Authority::from),
            scheme: if tls { Scheme::Https } else { Scheme::Http },
            allowed_hosts,
            origins: Origins::new(allowed_origins),
            closed: exposed_admin && password.is_none(),
            password: password.filter(|_| asks),
            open_to_probes: exposed_admin,
        }
    }

    /// Judges a request that came in on the listener.
    ///
    /// `local` is the address that the connection was accepted on, where it has one: the
    /// listener's own where it listens on all. `routed` tells whether an authority is that of a
    /// route's upstream; it is asked at most once.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], which says what to set where that would help.
    pub fn admit(
        &self,
        head: &RequestHead,
        local: Option<IpAddr>,
        routed: impl FnOnce(&Authority) -> bool,
    ) -> Result<Admission, Refusal> {
        if head.method == Method::TRACE {
            seldom();
            return Err(Refusal::Trace);
        }
        let probe = self.open_to_probes && is_probe(head);
        let target = Target::read(head)?;
        let (form, scheme, authority) = self.place(target, probe, local, routed)?;

        let cors = match form {
            Form::Absolute { routed: false } | Form::Connect { routed: false } => None,
            _ => self.origins.judge(&head.fields, scheme, &authority)?,
        };
        if cors.is_none() && is_absolute(head, form) {
            self.refuse_browser(&head.fields)?;
        }
        // Browsers send preflights without credentials, so this comes before the password.
        if let Some(preflight) = cors.as_ref().and_then(|cors| Preflight::of(head, cors)) {
            return Ok(Admission::Preflight(preflight));
        }
        if !probe {
            self.ask_password(&head.fields)?;
        }
        Ok(Admission::Request(Admitted { form, scheme, authority, cors }))
    }

    /// What a target means on this listener: whom the request is for, under which scheme.
    #[inline(always)]
    fn place(
        &self,
        target: Target,
        probe: bool,
        local: Option<IpAddr>,
        routed: impl FnOnce(&Authority) -> bool,
    ) -> Result<(Form, Scheme, Authority), Refusal> {
        match target {
            Target::Own { form, authority: Some(authority) }
                if probe || self.is_own_host(authority.host(), local) =>
            {
                Ok((form, self.scheme, authority))
            }
            other => self.place_other(other, probe, local, routed),
        }
    }

    /// As [`place`](Self::place), for what is no path on one of the listener's own names.
    #[inline(never)]
    fn place_other(
        &self,
        target: Target,
        probe: bool,
        local: Option<IpAddr>,
        routed: impl FnOnce(&Authority) -> bool,
    ) -> Result<(Form, Scheme, Authority), Refusal> {
        let admin = self.service == Service::Admin;
        let is_own = |authority: &Authority| probe || self.is_own_host(authority.host(), local);
        match target {
            Target::Own { form, authority: None } => Ok((form, self.scheme, self.own.clone())),
            Target::Own { authority: Some(authority), .. } => Err(Refusal::host(&authority)),

            Target::Connect { .. } if admin => Err(Refusal::Connect),
            Target::Connect { authority } => {
                let routed = routed(&authority);
                Ok((Form::Connect { routed }, Scheme::Https, authority))
            }

            Target::Absolute { authority, .. } if admin && is_own(&authority) => {
                Ok((Form::Origin, self.scheme, authority))
            }
            Target::Absolute { authority, .. } if admin => Err(Refusal::host(&authority)),
            Target::Absolute { scheme, authority } => {
                let routed = routed(&authority);
                if !routed && self.is_own_address(&authority, scheme, local) {
                    return Ok((Form::Origin, self.scheme, authority));
                }
                Ok((Form::Absolute { routed }, scheme, authority))
            }

            // HTTP/2 has one form for both, so names of the proxy come first there, and names
            // that are neither its own nor routed are not passed on.
            Target::Either { form, authority, .. } if is_own(&authority) => {
                Ok((form, self.scheme, authority))
            }
            Target::Either { scheme, authority, .. } if !admin && routed(&authority) => {
                Ok((Form::Absolute { routed: true }, scheme, authority))
            }
            Target::Either { authority, .. } => Err(Refusal::host(&authority)),
        }
    }

    /// Judges a request inside an intercepted tunnel. Who may open the tunnel was judged with
    /// its CONNECT; where the request goes is the tunnel's authority, whatever it says itself.
    ///
    /// # Errors
    ///
    /// [`Refusal::Misdirected`] where the request is for another authority, and as
    /// [`admit`](Self::admit).
    #[inline(never)]
    pub fn admit_inside(&self, tunnel: &Tunnel, head: &RequestHead) -> Result<Admission, Refusal> {
        if head.method == Method::TRACE {
            return Err(Refusal::Trace);
        }
        let named = match Target::read(head)? {
            Target::Connect { .. } => return Err(Refusal::Connect),
            Target::Own { authority, .. } => authority,
            Target::Either { authority, .. } | Target::Absolute { authority, .. } => Some(authority),
        };
        let default = Scheme::Https.default_port();
        if let Some(named) = named.filter(|named| !named.agrees_with(&tunnel.authority, default)) {
            return Err(Refusal::Misdirected {
                named: named.to_string(),
                tunnel: tunnel.authority.to_string(),
            });
        }
        let cors = self.origins.judge(&head.fields, Scheme::Https, &tunnel.authority)?;
        if let Some(preflight) = cors.as_ref().and_then(|cors| Preflight::of(head, cors)) {
            return Ok(Admission::Preflight(preflight));
        }
        let authority = tunnel.authority.clone();
        Ok(Admission::Request(Admitted { form: Form::Tunnelled, scheme: Scheme::Https, authority, cors }))
    }

    /// Whether a request for `host` is one for this listener. The port does not matter: ports
    /// are mapped.
    fn is_own_host(&self, host: &Host, local: Option<IpAddr>) -> bool {
        host.is_loopback() || self.is_known_host(host, local)
    }

    /// By the addresses it is bound to and the hosts that are allowed.
    #[inline(never)]
    fn is_known_host(&self, host: &Host, local: Option<IpAddr>) -> bool {
        let is = |address: IpAddr| *host == Host::from(address.to_canonical());
        self.address.is_some_and(|address| is(address.ip()))
            || local.is_some_and(is)
            || self.allowed_hosts.contains(host)
    }

    /// Whether `authority` in absolute form is the listener itself, and not another service on
    /// the same host; so here the port does matter. A socket has none.
    fn is_own_address(&self, authority: &Authority, scheme: Scheme, local: Option<IpAddr>) -> bool {
        let port = match self.address {
            Some(address) => authority.port_or(scheme.default_port()) == address.port(),
            None => authority.port().is_none(),
        };
        port && self.is_own_host(authority.host(), local)
    }

    /// In absolute form over plain HTTP a browser sends neither `Sec-Fetch-*` nor, with a GET,
    /// an `Origin`; its `User-Agent` is all there is to know it by.
    fn refuse_browser(&self, fields: &Fields) -> Result<(), Refusal> {
        match self.service {
            Service::Proxy { browsers: false } if origin::is_unmarked_browser(fields) => {
                Err(Refusal::Browser)
            }
            _ => Ok(()),
        }
    }

    #[inline(always)]
    fn ask_password(&self, fields: &Fields) -> Result<(), Refusal> {
        if self.closed {
            seldom();
            return Err(Refusal::AdminClosed);
        }
        match &self.password {
            None => Ok(()),
            Some(password) => self.compare_password(fields, password),
        }
    }

    #[inline(never)]
    fn compare_password(&self, fields: &Fields, password: &Secret<String>) -> Result<(), Refusal> {
        match self.service {
            Service::Proxy { .. } if password::proxy(fields, password) => Ok(()),
            Service::Proxy { .. } => Err(Refusal::ProxyPassword),
            Service::Admin if password::admin(fields, password) => Ok(()),
            Service::Admin => Err(Refusal::AdminPassword),
        }
    }
}

/// Whether the request came in absolute form and may get a token. In HTTP/2 every request has a
/// scheme, and only the forwarded ones count.
fn is_absolute(head: &RequestHead, form: Form) -> bool {
    match form {
        Form::Absolute { routed } => routed,
        Form::Origin => head.version != Version::HTTP_2 && head.uri.scheme().is_some(),
        _ => false,
    }
}

/// What orchestrators and Prometheus ask for without knowing names or passwords.
fn is_probe(head: &RequestHead) -> bool {
    matches!(head.method, Method::GET | Method::HEAD)
        && matches!(head.uri.path(), "/healthz" | "/readyz" | "/metrics")
}

#[cfg(test)]
mod tests;
