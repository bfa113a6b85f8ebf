//! What a session sends of a request, as there is room for it.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;

use super::{MAX_WAITING, Session};
use crate::message::Fields;
use crate::upstream::http2::frame::{flag, kind};
use crate::upstream::http2::stream::watch;

impl Session {
    pub(super) fn write_block(&mut self, id: u32, block: &[u8], ends: bool) {
        let (mut kind, mut flags) = (kind::HEADERS, if ends { flag::END_STREAM } else { 0 });
        let mut rest = block;
        loop {
            let (part, behind) = rest.split_at(rest.len().min(self.peer.max_frame));
            if behind.is_empty() {
                flags |= flag::END_HEADERS;
            }
            self.out.frame(kind, flags, id, part);
            if behind.is_empty() {
                return;
            }
            (kind, flags, rest) = (kind::CONTINUATION, 0, behind);
        }
    }

    /// Ready with how much of a request's body may be sent; `None` where no more of it is wanted.
    pub(in crate::upstream::http2) fn poll_send_room(
        &mut self,
        id: u32,
        cx: &Context<'_>,
    ) -> Poll<Option<usize>> {
        let waiting = self.out.waiting();
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.open) else {
            return Poll::Ready(None);
        };
        if stream.send_room > 0 && self.send_room > 0 && waiting < MAX_WAITING {
            let room = stream.send_room.min(self.send_room);
            return Poll::Ready(Some(usize::try_from(room).unwrap_or(usize::MAX)));
        }
        watch(&mut stream.writer, cx);
        if stream.send_room > 0 && !std::mem::replace(&mut stream.blocked, true) {
            self.blocked.push(id);
        }
        Poll::Pending
    }

    /// Ready when no more of a request's body is wanted.
    pub(in crate::upstream::http2) fn poll_unwanted(&mut self, id: u32, cx: &Context<'_>) -> Poll<()> {
        match self.streams.get_mut(&id).filter(|stream| stream.open) {
            Some(stream) => {
                watch(&mut stream.writer, cx);
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    /// Puts content into the outbox, no more than [there is room for](Self::poll_send_room).
    pub(in crate::upstream::http2) fn send_data(&mut self, id: u32, mut data: Bytes, ends: bool) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.open) else { return };
        let size = i64::try_from(data.len()).unwrap_or(i64::MAX);
        stream.send_room -= size;
        self.send_room -= size;
        while data.len() > self.peer.max_frame {
            self.out.data(id, 0, data.split_to(self.peer.max_frame));
        }
        self.out.data(id, if ends { flag::END_STREAM } else { 0 }, data);
        if ends {
            self.sent(id);
        }
    }

    pub(in crate::upstream::http2) fn send_trailers(&mut self, id: u32, trailers: &HeaderMap) {
        if !self.streams.get(&id).is_some_and(|stream| stream.open) {
            return;
        }
        let mut block = std::mem::take(&mut self.scratch);
        block.clear();
        self.encoder.trailers(Fields::from(trailers.clone()).iter(), &mut block);
        self.write_block(id, &block, true);
        self.scratch = block;
        self.sent(id);
    }

    fn sent(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.sent = true;
        if stream.ended {
            self.close(id);
        }
    }
}
