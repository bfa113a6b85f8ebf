//! Forward mode: what is no route's. Requests in absolute form and tunnels to other hosts pass
//! untouched and without a token, or are refused; tunnels to routed hosts go to `intercept`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ::http::Uri;

use super::{Answer, Problem, Relay, error, upgrade};
use crate::authority::Authority;
use crate::config::{Listen, OtherHosts, Scheme};
use crate::guard::Admitted;
use crate::http::hop_by_hop::{self, Direction};
use crate::http::problem::ProblemKind;
use crate::message::{Name, RequestHead};
use crate::net::{Incoming, OnUpgrade};
use crate::telemetry::Exchange;
use crate::upstream::{AddressPolicy, Origin, RequestBody, UpstreamStream};

/// Passes a request for another host on, by the scheme that it names. Few clients ask a proxy for
/// `https://` in place of opening a tunnel; those that do must not end up with plain http.
pub(super) async fn pass_on(
    relay: &Relay<'_>,
    admitted: &Admitted,
    head: &mut RequestHead,
    body: Incoming,
    client: OnUpgrade,
    exchange: &mut Option<Box<Exchange>>,
) -> Result<Answer, Problem> {
    let authority = admitted.authority();
    allow_others(relay, authority)?;
    let via = &relay.worker.surroundings.via;
    if via.is_loop(&head.fields) {
        return Err(Problem::new(ProblemKind::Loop, "the request has passed this proxy before"));
    }
    let origin = guarded(relay, admitted.scheme(), authority)?;
    let asked = head.uri.path_and_query().cloned().unwrap_or_else(|| "/".parse().expect("a path"));
    head.uri = Uri::from(if asked.as_str().starts_with('/') {
        asked
    } else {
        // `http://host?query` has no path; origin-form must (RFC 9112 §3.2.1).
        format!("/{}", asked.as_str())
            .parse()
            .map_err(|_| Problem::new(ProblemKind::MalformedRequest, "the target cannot be sent on"))?
    });
    let asked = hop_by_hop::strip(&mut head.fields, Direction::Request);
    // Other versions have no upgrades (RFC 9110 §7.8).
    let asked = asked.filter(|_| head.version == ::http::Version::HTTP_11);
    head.fields.remove(Name::Host);
    via.append(&mut head.fields, head.version);
    if let Some(asked) = &asked {
        asked.put_on(&mut head.fields);
    }
    let body = RequestBody::streaming(body);
    let mut response = relay.send(&origin, head, body, None, exchange).await?;
    if let Some(exchange) = exchange {
        exchange.head_arrived();
    }
    let version = response.head.version;
    let agreed = hop_by_hop::strip(&mut response.head.fields, Direction::Response);
    via.append(&mut response.head.fields, version);
    if response.status() == ::http::StatusCode::SWITCHING_PROTOCOLS {
        return upgrade::bridge(relay, response, asked.as_ref(), agreed, client, exchange);
    }
    Ok(Answer::Relayed(response))
}

/// Opens a tunnel to another host, whose bytes nobody looks at.
pub(super) async fn tunnel(
    relay: &Relay<'_>,
    authority: &Authority,
    client: OnUpgrade,
    exchange: &mut Option<Box<Exchange>>,
) -> Result<Answer, Problem> {
    allow_others(relay, authority)?;
    // The scheme says nothing but which way an outbound proxy is chosen.
    let origin = guarded(relay, Scheme::Https, authority)?;
    let guard = relay.worker.drain().tunnel();
    let dialled = relay.state.way_out.connector.dial(&origin).await;
    if let Some(exchange) = exchange {
        exchange.connected();
    }
    let stream = UpstreamStream::tunnel(dialled.map_err(error::of_upstream)?, relay.worker.recorder());
    let status = ::http::StatusCode::OK;
    tokio::task::spawn_local(upgrade::join(client, stream, guard, exchange.take(), status));
    Ok(upgrade::established())
}

fn allow_others(relay: &Relay<'_>, authority: &Authority) -> Result<(), Problem> {
    match relay.state.config.forward.other_hosts {
        OtherHosts::Tunnel => Ok(()),
        OtherHosts::Deny => Err(Problem::new(
            ProblemKind::OtherHostDenied,
            format!(
                "no route's upstream is {authority}, and other hosts are denied; set [forward] other_hosts = \"tunnel\" to let them pass without a token"
            ),
        )),
    }
}

/// The way to a host that the client has named. What it resolves to is judged when it is
/// connected to.
fn guarded(relay: &Relay<'_>, scheme: Scheme, authority: &Authority) -> Result<Origin, Problem> {
    let surroundings = &relay.worker.surroundings;
    let own: Vec<Listen> =
        [Some(&surroundings.listen), surroundings.admin.as_ref()].into_iter().flatten().cloned().collect();
    let policy: AddressPolicy = Arc::new(move |address, port| !is_prohibited(address, port, &own));
    Origin::guarded(scheme, authority, policy)
        .map_err(|error| Problem::new(ProblemKind::MalformedRequest, error.to_string()))
}

/// Addresses that a client must not reach by way of the proxy: the proxy's own listeners, and
/// what is link-local, cloud metadata included. Other loopback services the client can reach
/// by itself where the proxy listens on loopback; from elsewhere they are prohibited, too.
fn is_prohibited(address: IpAddr, port: u16, own: &[Listen]) -> bool {
    let address = without_nat64(address.to_canonical());
    let off_limits = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.is_multicast() || is_metadata_v4(v4),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast() || is_metadata_v6(v6),
    };
    if off_limits {
        return true;
    }
    let local = address.is_loopback() || address.is_unspecified();
    let is_own = own.iter().any(|listen| match listen {
        Listen::Tcp(listen) => {
            let ip = listen.ip().to_canonical();
            listen.port() == port
                && (ip == address || local || ip.is_unspecified() && is_this_machine(address))
        }
        Listen::Unix(_) => false,
    });
    let exposed = own.iter().any(|listen| !listen.is_local());
    is_own || (exposed && local)
}

/// Metadata services that are not link-local: Alibaba's, Azure's wire server, Oracle's.
fn is_metadata_v4(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192])
}

/// Metadata over IPv6: EC2's (fd00:ec2::254, and ::23 for pods) and Google's (fd20:ce::254).
fn is_metadata_v6(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0xfd00, 0xec2, 0, 0, 0, 0, 0, _] | [0xfd20, 0xce, 0, 0, 0, 0, 0, _])
}

/// The IPv4 address that a NAT64 gateway would turn this one into (RFC 6052 §2.1).
fn without_nat64(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.octets() {
            [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
            _ => address,
        },
        IpAddr::V4(_) => address,
    }
}

/// Whether one of this machine's own addresses is meant. Asked only where the proxy listens on
/// all of them and the port is its own.
///
/// The system answers best: a socket can be bound to an address that is local, and to no other.
/// Nothing is sent and nothing blocks, and unlike a list of interfaces or the source address that
/// a route would use, it knows secondary addresses and those that come later. Where there is no
/// clear no (files have run out), the answer is yes.
fn is_this_machine(address: IpAddr) -> bool {
    match std::net::UdpSocket::bind((address, 0)) {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::AddrNotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<Listen> {
        vec![Listen::Tcp("127.0.0.1:8080".parse().unwrap()), Listen::Tcp("127.0.0.1:8081".parse().unwrap())]
    }

    #[test]
    fn link_local_and_metadata_addresses_are_prohibited_in_every_spelling() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
            "fd20:ce::254",
            "64:ff9b::169.254.169.254",
        ] {
            assert!(is_prohibited(address.parse().unwrap(), 80, &own()), "{address}");
        }
        for address in ["192.0.2.1", "2001:db8::1", "10.0.0.1", "fd00::1", "64:ff9b::192.0.2.1"] {
            assert!(!is_prohibited(address.parse().unwrap(), 80, &own()), "{address}");
        }
    }

    #[test]
    fn the_proxys_own_listeners_are_prohibited_whatever_they_are_called() {
        for address in ["127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"] {
            assert!(is_prohibited(address.parse().unwrap(), 8080, &own()), "{address}");
            assert!(is_prohibited(address.parse().unwrap(), 8081, &own()), "{address}");
            assert!(!is_prohibited(address.parse().unwrap(), 9000, &own()), "{address}: another service");
        }
        let everywhere = [Listen::Tcp("0.0.0.0:8080".parse().unwrap())];
        assert!(is_prohibited("127.0.0.1".parse().unwrap(), 9000, &everywhere), "loopback from elsewhere");
        assert!(!is_prohibited("192.0.2.1".parse().unwrap(), 8080, &everywhere), "another machine");
    }

    #[test]
    fn an_address_of_this_machine_is_told_from_anothers() {
        assert!(is_this_machine("127.0.0.1".parse().unwrap()));
        for other in ["192.0.2.1", "198.51.100.7", "2001:db8::1"] {
            assert!(!is_this_machine(other.parse().unwrap()), "{other}");
        }
    }
}
