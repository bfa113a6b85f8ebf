//! A request's body on its way over HTTP/2.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;
use tokio::task::JoinHandle;

use crate::upstream::body::RequestBody;

/// A task that is aborted with its owner.
pub(super) struct Upload(JoinHandle<()>);

impl Upload {
    pub(super) fn spawn(sending: impl Future<Output = ()> + 'static) -> Self {
        Self(tokio::task::spawn_local(sending))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends the body as fast as the upstream makes room. A body that the client broke off resets
/// the stream; what the client did is remembered in the body's source.
pub(super) async fn upload(body: RequestBody, mut stream: SendStream<Bytes>) {
    let mut body = pin!(body);
    loop {
        let next = poll_fn(|cx| {
            // The upstream wants no more of it.
            if let Poll::Ready(_reset) = stream.poll_reset(cx) {
                return Poll::Ready(None);
            }
            body.as_mut().poll_frame(cx).map(Some)
        });
        let Some(next) = next.await else { return };
        let frame = match next {
            Some(Ok(frame)) => frame,
            Some(Err(_fault)) => return stream.send_reset(Reason::CANCEL),
            // An error: the stream is over, and the response says why.
            None => return drop(stream.send_data(Bytes::new(), true)),
        };
        let sent = match frame.into_data() {
            Ok(data) => send_data(&mut stream, data, body.is_end_stream()).await,
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => stream.send_trailers(trailers).map(|()| true).or(Ok(true)),
                Err(_unknown) => Ok(false),
            },
        };
        match sent {
            Ok(false) => {}
            Ok(true) | Err(()) => return,
        }
    }
}

/// Sends `data` as there is room for it; `Ok(true)` where the stream has ended with it.
async fn send_data(stream: &mut SendStream<Bytes>, mut data: Bytes, last: bool) -> Result<bool, ()> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = poll_fn(|cx| {
            if stream.capacity() > 0 {
                return Poll::Ready(Some(Ok(stream.capacity())));
            }
            stream.poll_capacity(cx)
        });
        let Some(Ok(room)) = room.await else { return Err(()) };
        if room == 0 {
            continue;
        }
        let part = data.split_to(room.min(data.len()));
        let ends = last && data.is_empty();
        stream.send_data(part, ends).map_err(|_| ())?;
        if ends {
            return Ok(true);
        }
    }
    Ok(false)
}
