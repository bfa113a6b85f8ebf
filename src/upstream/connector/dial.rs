//! From a name to a TCP connection (RFC 8305, «happy eyeballs»).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;

use crate::authority::Host;
use crate::upstream::error::UpstreamError;

/// RFC 8305 §5: the next address is tried when this one has not answered for so long.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// A connection on which nothing is acknowledged for so long is dead; so networks that changed
/// are noticed well before a response's timeout.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

pub(super) fn literal(host: &Host) -> Option<IpAddr> {
    match host {
        Host::V4(address) => Some(IpAddr::V4(*address)),
        Host::V6(address) => Some(IpAddr::V6(*address)),
        Host::Name(_) => None,
    }
}

/// The addresses of `host`, in the order in which they are tried (RFC 8305 §4). Loopback names
/// are not asked of any resolver (RFC 6761 §6.3).
pub(super) async fn resolve(host: &Host, port: u16) -> Result<Vec<SocketAddr>, UpstreamError> {
    if let Some(address) = literal(host) {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if host.is_loopback() {
        return Ok(vec![
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
            SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port),
        ]);
    }
    let name = host.to_unbracketed();
    let found = tokio::net::lookup_host((name.as_str(), port))
        .await
        .map_err(|source| UpstreamError::Dns { host: name.clone(), source })?;
    let addresses = interleave(found.collect());
    if addresses.is_empty() {
        return Err(UpstreamError::NoAddress { host: name });
    }
    Ok(addresses)
}

/// The families in turn, IPv6 first, each in the resolver's order.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [v6.next(), v4.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

/// RFC 8305 §5: the first connection that stands wins.
pub(super) async fn race(addresses: Vec<SocketAddr>, to: String) -> Result<TcpStream, UpstreamError> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let started = waiting.next().map(|address| attempts.push(TcpStream::connect(address)));
        if started.is_none() && attempts.is_empty() {
            return Err(UpstreamError::Connect { to, source: last });
        }
        let more = waiting.len() > 0;
        tokio::select! {
            Some(outcome) = attempts.next() => match outcome {
                Ok(stream) => {
                    tune(&stream);
                    return Ok(stream);
                }
                Err(error) => last = error,
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if more => {}
        }
    }
}

/// Options that a connection does without where the system has them not.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = socket2::SockRef::from(stream);
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    #[cfg(not(target_os = "linux"))]
    let _ = UNACKNOWLEDGED;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (a, b, c) = (address("192.0.2.1:1"), address("192.0.2.2:1"), address("[2001:db8::1]:1"));
        assert_eq!(interleave(vec![a, b, c]), [c, a, b]);
    }

    #[tokio::test]
    async fn a_dead_address_does_not_stand_in_the_way() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let dead = {
            let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap()
        };
        let stream = race(vec![dead, live], "test".into()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);
        let error = race(vec![dead], "test".into()).await.unwrap_err();
        assert_eq!(error.proxy_status(), "connection_refused");
    }

    /// The queue of a listener that accepts nobody is full: to whom comes next it says nothing.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_address_that_says_nothing_is_not_waited_for() {
        use socket2::{Domain, Socket, Type};
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        silent.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        silent.listen(0).unwrap();
        let silent_address = silent.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        // The queue of length 0 holds one; one more may be on its way into it.
        for _ in 0..8 {
            let connect = TcpStream::connect(silent_address);
            match tokio::time::timeout(Duration::from_millis(100), connect).await {
                Ok(connected) => queued.push(connected.unwrap()),
                Err(_) => break,
            }
        }
        assert!(queued.len() < 8, "the queue never fills");

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let stream = race(vec![silent_address, live], "test".into()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);
    }
}
