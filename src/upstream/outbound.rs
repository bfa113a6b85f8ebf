//! The outbound proxy between here and the internet: which one, for which hosts, and the tunnel
//! through it (RFC 9110 §9.3.6).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::error::ProxyProblem;
use crate::authority::{Authority, Host};
use crate::config::HttpProxy;
use crate::secret::Secret;

/// The most of a proxy's answer that is read, in bytes.
const MAX_ANSWER: usize = 16 * 1024;

/// The outbound proxy and the hosts that go without it.
#[derive(Clone, Debug)]
pub(super) struct Outbound {
    proxy: HttpProxy,
    bypass: Vec<Bypass>,
}

/// An entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Bypass {
    Everything,
    /// The name, and the names below it.
    Name {
        name: String,
        port: Option<u16>,
    },
    Address {
        host: Host,
        port: Option<u16>,
    },
    Network(ipnet::IpNet),
}

/// A variable of the environment that should name a proxy, and does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is not the URL of an HTTP proxy (http://[user:password@]host:port)")]
pub struct BadProxyVariable {
    pub variable: &'static str,
}

impl Outbound {
    /// The configured proxy, or else the environment's; `NO_PROXY` holds for both. Lower-case
    /// names come first, as in curl.
    pub(super) fn new(
        configured: Option<&HttpProxy>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, BadProxyVariable> {
        let set = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        let proxy = match configured {
            Some(proxy) => Some(proxy.clone()),
            None => ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
                .into_iter()
                .find_map(|variable| set(variable).map(|value| (variable, value)))
                .map(|(variable, value)| parse_proxy(value.trim()).ok_or(BadProxyVariable { variable }))
                .transpose()?,
        };
        let bypass = set("no_proxy").or_else(|| set("NO_PROXY")).unwrap_or_default();
        Ok(proxy.map(|proxy| Self { proxy, bypass: parse_bypass(&bypass) }))
    }

    /// The proxy's own address, for messages.
    pub(super) fn authority(&self) -> &Authority {
        &self.proxy.authority
    }

    pub(super) fn port(&self) -> u16 {
        self.proxy.authority.port_or(80)
    }

    /// Whether connections to `host` go through the proxy. Those to loopback never do.
    pub(super) fn takes(&self, host: &Host, port: u16) -> bool {
        !host.is_loopback() && !self.bypass.iter().any(|entry| entry.covers(host, port))
    }

    /// Asks for a tunnel on a fresh connection to the proxy; afterwards the stream is the
    /// target's.
    pub(super) async fn tunnel(
        &self,
        stream: &mut TcpStream,
        host: &Host,
        port: u16,
    ) -> Result<(), ProxyProblem> {
        let target = Authority::new(host.clone(), Some(port));
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(credentials) = &self.proxy.credentials {
            let value = Secret::new(STANDARD.encode(credentials.expose()));
            request.extend_from_slice(b"Proxy-Authorization: Basic ");
            request.extend_from_slice(value.expose().as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let broken = |error: std::io::Error| ProxyProblem::Broken(error.to_string());
        stream.write_all(&request).await.map_err(broken)?;

        let mut answer = Vec::with_capacity(512);
        loop {
            if answer.len() >= MAX_ANSWER {
                return Err(ProxyProblem::Malformed);
            }
            if stream.read_buf(&mut answer).await.map_err(broken)? == 0 {
                return Err(ProxyProblem::Malformed);
            }
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut fields);
            match response.parse(&answer) {
                Ok(httparse::Status::Partial) => continue,
                Ok(httparse::Status::Complete(len)) => {
                    return match response.code {
                        // What comes ahead of our first byte is not the target's.
                        Some(200..=299) if len < answer.len() => Err(ProxyProblem::Malformed),
                        Some(200..=299) => Ok(()),
                        Some(407) => Err(ProxyProblem::Credentials),
                        Some(status) => Err(ProxyProblem::Refused(status)),
                        None => Err(ProxyProblem::Malformed),
                    };
                }
                Err(_) => return Err(ProxyProblem::Malformed),
            }
        }
    }
}

impl Bypass {
    fn covers(&self, host: &Host, port: u16) -> bool {
        match (self, host) {
            (Self::Everything, _) => true,
            (Self::Name { name, port: only }, Host::Name(host)) => {
                let host = host.trim_end_matches('.');
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                (host == name || below) && only.is_none_or(|only| only == port)
            }
            (Self::Address { host: address, port: only }, host) => {
                address == host && only.is_none_or(|only| only == port)
            }
            (Self::Network(network), Host::V4(address)) => network.contains(&std::net::IpAddr::V4(*address)),
            (Self::Network(network), Host::V6(address)) => network.contains(&std::net::IpAddr::V6(*address)),
            _ => false,
        }
    }
}

fn parse_proxy(text: &str) -> Option<HttpProxy> {
    let rest = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return None,
        None => text,
    };
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (credentials, authority) = match rest.rsplit_once('@') {
        Some((credentials, authority)) => {
            let decoded = percent_decode_str(credentials).decode_utf8().ok()?;
            (Some(Secret::new(decoded.into_owned())), authority)
        }
        None => (None, rest),
    };
    Some(HttpProxy { authority: authority.parse().ok()?, credentials })
}

fn parse_bypass(text: &str) -> Vec<Bypass> {
    text.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).filter_map(parse_entry).collect()
}

fn parse_entry(entry: &str) -> Option<Bypass> {
    if entry == "*" {
        return Some(Bypass::Everything);
    }
    if let Ok(network) = entry.parse() {
        return Some(Bypass::Network(network));
    }
    // A bare IPv6 address stands without brackets here.
    if let Ok(address) = entry.parse() {
        return Some(Bypass::Address { host: Host::V6(address), port: None });
    }
    let authority: Authority = entry.trim_start_matches("*.").trim_start_matches('.').parse().ok()?;
    let port = authority.port();
    Some(match authority.host() {
        Host::Name(name) => Bypass::Name { name: name.trim_end_matches('.').to_owned(), port },
        address => Bypass::Address { host: address.clone(), port },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbound(pairs: &[(&str, &str)]) -> Result<Option<Outbound>, BadProxyVariable> {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Outbound::new(None, &move |name| {
            pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn reads_the_environment() {
        assert!(outbound(&[]).unwrap().is_none());
        assert!(outbound(&[("HTTPS_PROXY", " ")]).unwrap().is_none());
        let proxy =
            outbound(&[("HTTPS_PROXY", "http://us%40er:p%3Aw@proxy.example:3128/")]).unwrap().unwrap();
        assert_eq!(proxy.authority().to_string(), "proxy.example:3128");
        assert_eq!(proxy.proxy.credentials.unwrap().expose(), "us@er:p:w");
        assert_eq!(
            outbound(&[("HTTPS_PROXY", "socks5://proxy:1080")]).unwrap_err(),
            BadProxyVariable { variable: "HTTPS_PROXY" }
        );
    }

    #[test]
    fn no_proxy_covers_names_below_addresses_and_networks() {
        let no_proxy = "example.no, .intern.no,*.sky.no, 10.0.0.0/8,192.0.2.1,::1, port.no:8443";
        let outbound = outbound(&[("https_proxy", "proxy:3128"), ("NO_PROXY", no_proxy)]).unwrap().unwrap();
        for (host, port, through) in [
            ("example.no", 443, false),
            ("api.example.no", 443, false),
            ("notexample.no", 443, true),
            ("intern.no", 443, false),
            ("a.sky.no", 443, false),
            ("10.1.2.3", 443, false),
            ("11.1.2.3", 443, true),
            ("192.0.2.1", 443, false),
            ("192.0.2.2", 443, true),
            ("port.no", 8443, false),
            ("port.no", 443, true),
            ("localhost", 443, false),
            ("127.0.0.2", 443, false),
            ("[::1]", 443, false),
            ("test.maskinporten.no", 443, true),
        ] {
            assert_eq!(outbound.takes(&host.parse().unwrap(), port), through, "{host}:{port}");
        }
    }
}
