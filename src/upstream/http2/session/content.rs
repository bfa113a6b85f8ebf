//! Content, which a session passes on as it comes.

use super::{CONNECTION_WINDOW, Session};
use crate::upstream::http2::fatal::{EMPTY, Fatal, PADDING, flow_control};
use crate::upstream::http2::frame::{self, Code, flag};

/// A DATA frame of which the head has come.
pub(super) struct Content {
    stream: u32,
    ends_stream: bool,
    /// Bytes to come of the content and of the padding behind it.
    left: usize,
    padding: usize,
}

impl Session {
    /// Takes the start of a DATA frame (RFC 9113 §6.1); its length, 0 where it is not complete.
    pub(super) fn on_data(&mut self, head: frame::Head, first: Option<u8>) -> Result<usize, Fatal> {
        let (mut start, mut padding) = (0, 0);
        if head.has(flag::PADDED) {
            if head.length == 0 {
                return Err(EMPTY);
            }
            let Some(first) = first else { return Ok(0) };
            (start, padding) = (1, usize::from(first));
        }
        let left = (head.length - start).checked_sub(padding).ok_or(PADDING)?;
        self.check_known(head)?;
        // No frame is larger than was agreed.
        let size = head.length as u32;
        self.receive_room =
            self.receive_room.checked_sub(size).ok_or(flow_control("more content than there is room for"))?;
        if self.receive_room < CONNECTION_WINDOW / 2 {
            self.out.window_update(0, CONNECTION_WINDOW - self.receive_room);
            self.receive_room = CONNECTION_WINDOW;
        }
        let ends_stream = head.has(flag::END_STREAM);
        self.content = Some(Content { stream: head.stream, ends_stream, left, padding });
        // Of a stream that was given up, more may be on its way.
        if let Some(stream) = self.streams.get_mut(&head.stream).filter(|stream| stream.broken.is_none()) {
            if stream.ended {
                return Err(Fatal {
                    code: Code::STREAM_CLOSED,
                    reason: "content behind the end of a stream",
                });
            }
            if !stream.take_room(size) {
                self.fail(head.stream, Code::FLOW_CONTROL_ERROR, "more content than there is room for");
            } else if let Err(reason) = stream.announce(left, size - left as u32) {
                self.fail(head.stream, Code::PROTOCOL_ERROR, reason);
            }
        }
        if left + padding == 0 {
            self.on_content(&[]);
        }
        Ok(frame::HEAD + start)
    }

    /// Takes what there is of a DATA frame's content and padding; how much that was.
    pub(super) fn on_content(&mut self, bytes: &[u8]) -> usize {
        let Some(content) = &mut self.content else { return 0 };
        let (here, behind) = bytes.split_at(content.left.min(bytes.len()));
        let padding = content.padding.min(behind.len());
        content.left -= here.len();
        content.padding -= padding;
        let id = content.stream;
        let is_over = content.left + content.padding == 0;
        let ends = is_over && content.ends_stream;
        if let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.broken.is_none()) {
            stream.queue(here, content.left);
            let outcome = if ends { stream.end() } else { Ok(()) };
            self.judge(id, outcome);
        }
        if is_over {
            self.content = None;
        }
        here.len() + padding
    }
}
