//! Listeners, TLS, the strict reading of clients' connections, and the drain.
//!
//! A connection's life: [`Listener::accept`] on the control thread → [`Accepted::into_transport`]
//! on the worker that carries it → [`accept_tls`], where so configured → [`serve`], which calls a
//! handler for each request. The module knows nothing of tokens, routes or upstreams, and builds
//! no response of its own: what it refuses it hands to the handler as a [`Refusal`].

mod chunked;
mod copy;
mod drain;
mod http1;
mod http2;
mod incoming;
mod listener;
mod patience;
mod serve;
pub mod spare;
pub mod tcp;
mod timer;
mod tls;
mod transport;
mod upgrade;

pub use self::chunked::{Blanks, Chunked};
pub use self::copy::{Carried, TUNNEL_IDLE, copy_bidirectional};
pub use self::drain::{
    CONNECTIONS_WITHIN, ConnectionGuard, Drain, DrainWatch, Outcome, Phase, TUNNELS_WITHIN, TunnelGuard,
};
pub use self::http1::{BadChunk, Measured, Refusal, measure_chunked, measure_head};
pub use self::incoming::{BodyError, Incoming};
pub use self::listener::{Accepted, Listener};
pub use self::patience::Patience;
pub use self::serve::{Call, Interim, Peer, accept_tls, serve, serve_with};
pub use self::timer::{Deadline, Timer};
pub use self::tls::{ClientTls, TlsError, client_tls, server_tls};
pub use self::transport::{Stream, Transport};
pub use self::upgrade::{NoUpgrade, OnUpgrade, Upgraded};
