//! What the guard hands out: proof of admission, which only the guard can make.

use super::{Cors, Preflight};
use crate::authority::Authority;
use crate::config::Scheme;

/// What a request that passed is to be: carried on, or answered here.
#[derive(Debug)]
pub enum Admission {
    Request(Admitted),
    /// A CORS preflight of an allowed origin (Fetch §4.8), which never reaches an upstream.
    Preflight(Preflight),
}

/// Proof that the guard let a request through, and what it is for.
#[derive(Debug)]
pub struct Admitted {
    pub(super) form: Form,
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) cors: Option<Cors>,
}

/// The form of a request's target (RFC 9112 §3.2), as far as it decides what is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For the proxy itself: a path, or an absolute form that names the proxy's own address.
    Origin,
    /// `OPTIONS *`.
    Asterisk,
    /// `http://host/path`; `routed`: the authority is that of a route's upstream.
    Absolute { routed: bool },
    /// `CONNECT host:port`.
    Connect { routed: bool },
    /// A request inside an intercepted tunnel.
    Tunnelled,
}

/// An admitted CONNECT to a routed authority: what requests inside it are for.
#[derive(Clone, Debug)]
pub struct Tunnel {
    pub(super) authority: Authority,
}

impl Admitted {
    pub fn form(&self) -> Form {
        self.form
    }

    /// Whom the request is for: the proxy by the name that the client used, or, in a
    /// forward form, the host behind it. No other parse of `Host` or target decides anything.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The scheme that the client used towards [`authority`](Self::authority).
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The origin by which the client knows what it asked for, for `Location`:
    /// `http://localhost:8080`. Without the port where it is the scheme's own, as in the target
    /// of every CONNECT for https.
    pub fn base(&self) -> String {
        format!("{}://{}", self.scheme.name(), self.authority.without_port(self.scheme.default_port()))
    }

    /// What the response is to say to a page of an allowed web origin.
    pub fn cors(&self) -> Option<&Cors> {
        self.cors.as_ref()
    }

    /// The tunnel that an admitted CONNECT to a routed authority opens; `None` for every other
    /// request.
    pub fn tunnel(&self) -> Option<Tunnel> {
        let routed = self.form == Form::Connect { routed: true };
        routed.then(|| Tunnel { authority: self.authority.clone() })
    }
}

impl Tunnel {
    /// Where every request inside goes.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}
