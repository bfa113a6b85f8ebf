//! Connections that stop being HTTP: upgrades (WebSocket and others) and tunnels.

use ::http::StatusCode;
use bytes::Bytes;
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Answer, Problem, Relay};
use crate::http::hop_by_hop::Upgrade;
use crate::http::problem::ProblemKind;
use crate::message::{Response, ResponseHead};
use crate::net::{OnUpgrade, TUNNEL_IDLE, TunnelGuard, copy_bidirectional};
use crate::telemetry::{Exchange, Failed};
use crate::upstream::ResponseBody;

/// Carries a 101 out: joins the client's connection to the upstream's once the response is sent.
///
/// # Errors
///
/// The upstream switches to something that nobody asked for.
pub(super) fn bridge(
    relay: &Relay<'_>,
    response: Response<ResponseBody>,
    asked: Option<&Upgrade>,
    agreed: Option<Upgrade>,
    client: OnUpgrade,
    exchange: &mut Option<Box<Exchange>>,
) -> Result<Answer, Problem> {
    let Response { mut head, body } = response;
    let (Some(asked), Some(agreed), Some(upstream)) = (asked, agreed, body.into_upgraded()) else {
        return Err(unasked());
    };
    if !asked.offers(&agreed) {
        return Err(unasked());
    }
    agreed.put_on(&mut head.fields);
    let guard = relay.worker.drain().tunnel();
    tokio::task::spawn_local(join(client, upstream, guard, exchange.take(), head.status));
    Ok(Answer::Own(Response { head, body: Full::default() }))
}

/// Joins a client's connection to `other` until both sides are done, one of them fails, or the
/// program ends.
pub(super) async fn join<S>(
    client: OnUpgrade,
    mut other: S,
    guard: TunnelGuard,
    mut exchange: Option<Box<Exchange>>,
    status: StatusCode,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(exchange) = &mut exchange {
        exchange.set_status(status);
    }
    // An error means that the client was gone before the tunnel was there.
    let Ok(mut client) = client.await else { return };
    let carried = tokio::select! {
        carried = copy_bidirectional(&mut client, &mut other, TUNNEL_IDLE) => carried,
        () = guard.cut() => return,
    };
    let Some(exchange) = &mut exchange else { return };
    match carried {
        Ok(carried) => {
            exchange.received(carried.from_a);
            exchange.sent(carried.from_b);
        }
        Err(error) => exchange.fail(Failed::Upstream, Some(format!("the tunnel broke: {error}").into())),
    }
}

/// The answer to a CONNECT that is granted.
pub(super) fn established() -> Answer {
    Answer::Own(Response { head: Box::<ResponseHead>::default(), body: Full::<Bytes>::default() })
}

fn unasked() -> Problem {
    Problem::new(
        ProblemKind::UpgradeFailed,
        "the upstream answered 101 and switched to a protocol that was not asked for",
    )
}
