//! [`Connector`]: makes connections, and knows nothing of requests.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{TlsProblem, UpstreamError};
use super::origin::Origin;
use super::outbound::{BadProxyVariable, Outbound};
use crate::authority::Host;
use crate::config::{Scheme, UpstreamSettings};
use crate::net::{ClientTls, TlsError, client_tls};

/// RFC 8305 §5: the next address is tried when this one has not answered for so long.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// A connection on which nothing is acknowledged for so long is dead; so networks that changed
/// are noticed well before a response's timeout.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// How upstreams are connected to; shared by all threads, made anew when its settings change.
#[derive(Clone, Debug)]
pub struct Connector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Tells connections of one connector from another's in a pool.
    id: u64,
    tls: ClientTls,
    outbound: Option<Outbound>,
    connect_timeout: Duration,
    response_timeout: Duration,
}

/// Why the settings make no connector.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Proxy(#[from] BadProxyVariable),
}

/// A connection to an upstream, TLS included.
#[derive(Debug)]
pub enum UpstreamStream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

impl Connector {
    /// `environment` looks a variable up (`std::env::var(name).ok()`).
    ///
    /// # Errors
    ///
    /// The CA file cannot be used, or a proxy variable cannot be read.
    pub fn new(
        settings: &UpstreamSettings,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConnectorError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Ok(Self(Arc::new(Inner {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            tls: client_tls(settings.ca_file.as_deref())?,
            outbound: Outbound::new(settings.proxy.as_ref(), &environment)?,
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
        })))
    }

    /// Whom upstreams are trusted by.
    pub fn tls(&self) -> &ClientTls {
        &self.0.tls
    }

    pub(super) fn id(&self) -> u64 {
        self.0.id
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.0.connect_timeout
    }

    pub(super) fn response_timeout(&self) -> Duration {
        self.0.response_timeout
    }

    /// A TCP connection to the origin, through the outbound proxy where one is to be used: for
    /// tunnels.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`]: name, connection, time, proxy.
    pub async fn dial(&self, origin: &Origin) -> Result<TcpStream, UpstreamError> {
        let after = self.0.connect_timeout;
        tokio::time::timeout(after, self.dial_unbounded(origin))
            .await
            .map_err(|_| UpstreamError::ConnectTimeout { to: origin.to_string(), after })?
    }

    /// A connection that requests can be sent on, and what it speaks.
    pub(super) async fn connect(
        &self,
        origin: &Origin,
        http1_only: bool,
    ) -> Result<(UpstreamStream, Protocol), UpstreamError> {
        let after = self.0.connect_timeout;
        let connecting = async {
            let tcp = self.dial_unbounded(origin).await?;
            if origin.scheme() == Scheme::Http {
                return Ok((UpstreamStream::Tcp(tcp), Protocol::Http1));
            }
            let tls = if http1_only { &self.0.tls.http1 } else { &self.0.tls.h2_or_http1 };
            let stream = TlsConnector::from(tls.clone()).connect(origin.server_name(), tcp).await.map_err(
                |source| UpstreamError::Tls {
                    to: origin.to_string(),
                    problem: TlsProblem::of(&source),
                    source,
                },
            )?;
            let protocol = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                _ => Protocol::Http1,
            };
            Ok((UpstreamStream::Tls(Box::new(stream)), protocol))
        };
        tokio::time::timeout(after, connecting)
            .await
            .map_err(|_| UpstreamError::ConnectTimeout { to: origin.to_string(), after })?
    }

    async fn dial_unbounded(&self, origin: &Origin) -> Result<TcpStream, UpstreamError> {
        let (host, port) = (origin.authority().host(), origin.port());
        let outbound = self.0.outbound.as_ref().filter(|outbound| outbound.takes(host, port));
        let Some(outbound) = outbound else {
            let addresses = resolve(host, port).await?;
            for address in &addresses {
                if !origin.allows(address.ip()) {
                    return Err(UpstreamError::Forbidden { host: host.to_string(), address: address.ip() });
                }
            }
            return race(addresses, origin.to_string()).await;
        };
        // The outbound proxy resolves the name; an address in the request can still be judged.
        if let Some(address) = literal(host).filter(|address| !origin.allows(*address)) {
            return Err(UpstreamError::Forbidden { host: host.to_string(), address });
        }
        let proxy = outbound.authority().to_string();
        let addresses = resolve(outbound.authority().host(), outbound.port()).await?;
        let mut stream = race(addresses, format!("the outbound proxy {proxy}")).await?;
        outbound
            .tunnel(&mut stream, host, port)
            .await
            .map_err(|problem| UpstreamError::Proxy { proxy, problem })?;
        Ok(stream)
    }
}

fn literal(host: &Host) -> Option<IpAddr> {
    match host {
        Host::V4(address) => Some(IpAddr::V4(*address)),
        Host::V6(address) => Some(IpAddr::V6(*address)),
        Host::Name(_) => None,
    }
}

/// The addresses of `host`, in the order in which they are tried (RFC 8305 §4). Loopback names
/// are not asked of any resolver (RFC 6761 §6.3).
async fn resolve(host: &Host, port: u16) -> Result<Vec<SocketAddr>, UpstreamError> {
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
async fn race(addresses: Vec<SocketAddr>, to: String) -> Result<TcpStream, UpstreamError> {
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

impl UpstreamStream {
    fn pinned(self: Pin<&mut Self>) -> Pin<&mut dyn crate::net::Stream> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(stream.as_mut()),
        }
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_read(cx, buf)
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.pinned().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pinned().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned().poll_shutdown(cx)
    }
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
}
