//! Listeners: where connections come in, and how many.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::transport::Transport;
use crate::config::Listen;

#[cfg(unix)]
mod unix;

const BACKLOG: i32 = 4096;
/// Pauses after an error of accept that time may heal.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Connections that a listener holds at once, where the process may have enough files.
const MOST_CONNECTIONS: usize = 10_000;

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(unix::Listener),
}

/// A connection that has been accepted and not been read from; it can go to another thread.
#[derive(Debug)]
pub struct Accepted {
    socket: Accept,
    /// `None` for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// The address of ours that was connected to.
    pub local: Option<IpAddr>,
    /// Gives the connection's place back when it is dropped.
    pub permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Accept {
    Tcp(std::net::TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

impl Listener {
    /// Binds `listen`. To be called inside a tokio runtime, which then drives it.
    ///
    /// # Errors
    ///
    /// `AddrInUse` where another process listens there, and what the system says otherwise.
    pub fn bind(listen: &Listen) -> io::Result<Self> {
        let kind = match listen {
            Listen::Tcp(address) => Kind::Tcp(bind_tcp(*address)?),
            #[cfg(unix)]
            Listen::Unix(path) => Kind::Unix(unix::Listener::bind(path)?),
            #[cfg(not(unix))]
            Listen::Unix(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "Unix sockets are not to be had on this system; set `listen` to an address",
                ));
            }
        };
        Ok(Self { kind, permits: Arc::new(Semaphore::new(most_connections())) })
    }

    /// The address that it got, with the port that the system picked for port 0.
    pub fn local_addr(&self) -> io::Result<Listen> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            #[cfg(unix)]
            Kind::Unix(listener) => Ok(Listen::Unix(listener.path().to_owned())),
        }
    }

    /// The next connection. Where the process has too many open files, or the listener its most
    /// connections, it waits until there is room again.
    pub async fn accept(&self) -> Accepted {
        // The semaphore is never closed; a listener without it would have no bound.
        let permit = match self.permits.clone().acquire_owned().await {
            Ok(permit) => permit,
            Err(_closed) => std::future::pending().await,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_accept().await {
                Ok((socket, peer)) => {
                    let local = socket.local();
                    return Accepted { socket, peer, local, permit };
                }
                // The peer gave up while it was waiting; that says nothing of the listener.
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, ?pause, "cannot accept connections for now");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn try_accept(&self) -> io::Result<(Accept, Option<SocketAddr>)> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers are written whole, so Nagle's algorithm would only delay them. A socket
                // that its peer has closed refuses the option, and is served to its end.
                let _ = stream.set_nodelay(true);
                Ok((Accept::Tcp(stream.into_std()?), Some(peer)))
            }
            #[cfg(unix)]
            Kind::Unix(listener) => Ok((Accept::Unix(listener.accept().await?.into_std()?), None)),
        }
    }
}

impl Accept {
    /// `None` for a Unix socket, and for a connection that is gone already.
    fn local(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok().map(|address| address.ip()),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }
}

impl Accepted {
    /// The stream, driven by the current thread's runtime from now on.
    pub fn into_transport(self) -> io::Result<(Transport, OwnedSemaphorePermit)> {
        let transport = match self.socket {
            Accept::Tcp(stream) => Transport::Tcp(tokio::net::TcpStream::from_std(stream)?),
            #[cfg(unix)]
            Accept::Unix(stream) => Transport::Unix(tokio::net::UnixStream::from_std(stream)?),
        };
        Ok((transport, self.permit))
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart need not wait for connections in TIME_WAIT. On Windows the option means
    // that anyone may take the port over, so it stays off there.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into()).map_err(|error| explain(error, &address))?;
    socket.listen(BACKLOG).map_err(|error| explain(error, &address))?;
    TcpListener::from_std(socket.into())
}

fn explain(error: io::Error, address: &dyn std::fmt::Display) -> io::Error {
    let kind = error.kind();
    let text = match kind {
        io::ErrorKind::AddrInUse => format!("another process already listens on {address}"),
        io::ErrorKind::AddrNotAvailable => format!("{address} is not an address of this machine"),
        io::ErrorKind::PermissionDenied => {
            format!("the system does not let this user listen on {address}")
        }
        _ => format!("cannot listen on {address}: {error}"),
    };
    io::Error::new(kind, text)
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// A request may need two files, its client's and its upstream's; some are needed for the rest.
fn most_connections() -> usize {
    #[cfg(unix)]
    {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        if let Some(files) = files {
            let half = usize::try_from(files / 2).unwrap_or(usize::MAX);
            return half.saturating_sub(32).clamp(16, MOST_CONNECTIONS);
        }
    }
    MOST_CONNECTIONS
}

#[cfg(test)]
mod tests;
