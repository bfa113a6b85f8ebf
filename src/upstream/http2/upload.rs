//! A request's body on its way over HTTP/2.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http_body::Body;
use tokio::task::JoinHandle;

use super::Owner;
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
pub(super) async fn upload(body: RequestBody, owner: Rc<Owner>, id: u32) {
    let mut body = pin!(body);
    loop {
        let next = poll_fn(|cx| {
            if owner.with(|session| session.poll_unwanted(id, cx)).is_ready() {
                return Poll::Ready(None);
            }
            body.as_mut().poll_frame(cx).map(Some)
        });
        let Some(next) = next.await else { return };
        let frame = match next {
            Some(Ok(frame)) => frame,
            Some(Err(_fault)) => return owner.with(|session| session.cancel(id)),
            None => return owner.with(|session| session.send_data(id, Bytes::new(), true)),
        };
        match frame.into_data() {
            Ok(data) => {
                if send_data(&owner, id, data, body.is_end_stream()).await {
                    return;
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return owner.with(|session| session.send_trailers(id, &trailers));
                }
            }
        }
    }
}

/// Sends `data` as there is room for it; whether the stream has ended with it, or is over.
async fn send_data(owner: &Owner, id: u32, mut data: Bytes, last: bool) -> bool {
    while !data.is_empty() {
        let room = poll_fn(|cx| owner.with(|session| session.poll_send_room(id, cx)));
        let Some(room) = room.await else { return true };
        let part = data.split_to(room.min(data.len()));
        let ends = last && data.is_empty();
        owner.with(|session| session.send_data(id, part, ends));
        if ends {
            return true;
        }
    }
    false
}
