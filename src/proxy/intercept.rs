//! TLS interception: a tunnel to a routed host ends here, with a leaf of the local CA, and the
//! requests inside are served as that host's routes. The authority of the CONNECT decides where
//! they go, whatever the bytes inside say.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::AlertDescription;
use tokio_rustls::TlsAcceptor;

use super::{Answer, Problem, Relay, upgrade};
use crate::ca::CaError;
use crate::guard::Tunnel;
use crate::http::problem::ProblemKind;
use crate::message::Request;
use crate::net::{self, Call, Incoming, OnUpgrade, Peer, Transport};
use crate::telemetry::{Exchange, Failed};

/// Opens a tunnel to a routed host.
///
/// # Errors
///
/// Interception is off, or the CA cannot vouch for the host: 403 that says what to do.
pub(super) fn tunnel(
    relay: &Relay<'_>,
    tunnel: Tunnel,
    client: OnUpgrade,
    exchange: &mut Option<Box<Exchange>>,
) -> Result<Answer, Problem> {
    let authority = tunnel.authority();
    let Some(interception) = &relay.state.interception else {
        return Err(Problem::new(
            ProblemKind::InterceptionOff,
            format!(
                "{authority} has a route, and a token can only be added to what the proxy can read; use http:// in place of https:// (it goes out over https), or set [forward] intercept = true and run `maskinporten-proxy ca init`"
            ),
        ));
    };
    let tls = interception.leaves.config_for(authority.host()).map_err(|error| of_ca(&error, authority))?;
    let worker = Rc::clone(relay.worker);
    let from = Peer { tls: false, certified: false, ..(*relay.call.peer).clone() };
    let guard = worker.drain().tunnel();
    let exchange = exchange.take();
    tokio::task::spawn_local(async move {
        // It lasts to the end of the handshake; requests inside are exchanges of their own.
        let mut exchange = exchange;
        if let Some(exchange) = &mut exchange {
            exchange.set_status(::http::StatusCode::OK);
        }
        let Ok(client) = client.await else { return };
        let transport = Transport::Other(Box::new(client));
        let accepted = net::accept_tls(&TlsAcceptor::from(tls), transport, from).await;
        let (transport, peer) = match accepted {
            Ok(parts) => parts,
            Err(error) => {
                if let Some(exchange) = &mut exchange {
                    exchange.fail(Failed::Client, Some(of_handshake(&error).into()));
                }
                return;
            }
        };
        drop(exchange);
        let (drain, patience) = (worker.drain().clone(), worker.patience());
        let tunnel = Arc::new(tunnel);
        let handler = move |request: Request<Incoming>, call: Call| {
            super::handle_inside(Rc::clone(&worker), Arc::clone(&tunnel), request, call)
        };
        tokio::select! {
            () = net::serve_with(patience, transport, Rc::new(peer), drain, handler) => {}
            () = guard.cut() => {}
        }
    });
    Ok(upgrade::established())
}

/// What the user of a client that got no further than the handshake should know: the first thing
/// that goes wrong with a local CA is that the client was not told of it.
fn of_handshake(error: &io::Error) -> String {
    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match rustls {
        Some(rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate,
        )) => "the client does not trust the local CA; `maskinporten-proxy ca show` says how it is made to"
            .to_owned(),
        Some(rustls::Error::InvalidMessage(_)) => {
            "what came through the tunnel is not TLS, and nothing of it was passed on; for plain http the client is to send its requests without CONNECT".to_owned()
        }
        _ => format!("the TLS handshake inside the tunnel failed: {error}"),
    }
}

fn of_ca(error: &CaError, authority: &crate::authority::Authority) -> Problem {
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    Problem::new(
        ProblemKind::NameNotInCa,
        format!("no certificate can be made for {authority}: {error}{hint}"),
    )
}
