//! What a session makes of the frames that come.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Block, CONNECTION_WINDOW, COPIED, MAX_BLOCK_FRAMES, MAX_FRAME, MAX_GOODBYES, MAX_REPLIES, Session,
    USUAL_MAX_STREAMS,
};
use crate::upstream::http2::broken::Broken;
use crate::upstream::http2::fatal::{
    COMPRESSION, Fatal, PADDING, TOO_WIDE, calm, flow_control, frame_size, protocol,
};
use crate::upstream::http2::fields::{MAX_HEADER_LIST, read_fields};
use crate::upstream::http2::frame::{self, Code, MAX_WINDOW, MIN_MAX_FRAME, flag, kind, setting};
use crate::upstream::http2::hpack::DEFAULT_TABLE_SIZE;

impl Session {
    /// Takes the whole frames off the front of `input`.
    ///
    /// # Errors
    ///
    /// Why what comes is not HTTP/2. The session is of no more use then, and has to be told by
    /// [`reject`](Self::reject).
    pub(in crate::upstream::http2) fn receive(&mut self, input: &mut BytesMut) -> Result<(), Fatal> {
        while let Some(head) = frame::Head::read(input) {
            if !self.peer.has_greeted && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
                return Err(protocol("it does not begin with SETTINGS"));
            }
            if head.length > MAX_FRAME as usize {
                return Err(frame_size("a frame is larger than was agreed"));
            }
            let Some(payload) = input.get(frame::HEAD..frame::HEAD + head.length) else { break };
            if self.block.is_some() && head.kind != kind::CONTINUATION {
                return Err(protocol("a header block is broken off"));
            }
            if head.kind == kind::DATA {
                let (start, end) = self.unpad(head, payload)?;
                let data = if end - start <= COPIED {
                    let data = Bytes::copy_from_slice(&payload[start..end]);
                    input.advance(frame::HEAD + head.length);
                    data
                } else {
                    let mut whole = input.split_to(frame::HEAD + head.length).freeze();
                    whole.advance(frame::HEAD + start);
                    whole.truncate(end - start);
                    whole
                };
                self.on_data(head, data)?;
                continue;
            }
            match head.kind {
                kind::HEADERS => self.on_headers(head, payload)?,
                kind::CONTINUATION => self.on_continuation(head, payload)?,
                kind::SETTINGS => self.on_settings(head, payload)?,
                kind::WINDOW_UPDATE => self.on_window_update(head, payload)?,
                kind::RST_STREAM => self.on_reset(head, payload)?,
                kind::PING => self.on_ping(head, payload)?,
                kind::GOAWAY => self.on_goodbye(head, payload)?,
                kind::PUSH_PROMISE => return Err(protocol("it pushes, which was declined")),
                kind::PRIORITY if head.stream == 0 => return Err(protocol("PRIORITY without a stream")),
                // RFC 9113 §5.5: what is not known is not looked at.
                _ => {}
            }
            input.advance(frame::HEAD + head.length);
        }
        Ok(())
    }

    /// Where in the payload its content stands (RFC 9113 §§6.1, 6.2).
    fn unpad(&self, head: frame::Head, payload: &[u8]) -> Result<(usize, usize), Fatal> {
        let (mut start, mut end) = (0, payload.len());
        if head.has(flag::PADDED) {
            let padding = *payload.first().ok_or(frame_size("a padded frame is empty"))?;
            start = 1;
            end = end.checked_sub(usize::from(padding)).ok_or(PADDING)?;
        }
        if head.kind == kind::HEADERS && head.has(flag::PRIORITY) {
            start += 5;
        }
        if start > end { Err(PADDING) } else { Ok((start, end)) }
    }

    fn on_data(&mut self, head: frame::Head, data: Bytes) -> Result<(), Fatal> {
        self.check_known(head)?;
        // No frame is larger than was agreed.
        let size = head.length as u32;
        self.receive_room =
            self.receive_room.checked_sub(size).ok_or(flow_control("more content than there is room for"))?;
        if self.receive_room < CONNECTION_WINDOW / 2 {
            self.out.window_update(0, CONNECTION_WINDOW - self.receive_room);
            self.receive_room = CONNECTION_WINDOW;
        }
        // Of a stream that was given up, more may be on its way.
        let Some(stream) = self.streams.get_mut(&head.stream).filter(|stream| stream.broken.is_none()) else {
            return Ok(());
        };
        if stream.ended {
            return Err(Fatal { code: Code::STREAM_CLOSED, reason: "content behind the end of a stream" });
        }
        if !stream.take_room(size) {
            self.fail(head.stream, Code::FLOW_CONTROL_ERROR, "more content than there is room for");
            return Ok(());
        }
        let padding = size - data.len() as u32;
        let outcome = stream.on_data(data, padding, head.has(flag::END_STREAM));
        self.judge(head.stream, outcome);
        Ok(())
    }

    fn on_headers(&mut self, head: frame::Head, payload: &[u8]) -> Result<(), Fatal> {
        self.check_known(head)?;
        let (start, end) = self.unpad(head, payload)?;
        let ends_stream = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.on_block(head.stream, ends_stream, &payload[start..end]);
        }
        let bytes = payload[start..end].to_vec();
        self.block = Some(Block { stream: head.stream, ends_stream, frames: 1, bytes });
        Ok(())
    }

    fn on_continuation(&mut self, head: frame::Head, payload: &[u8]) -> Result<(), Fatal> {
        let mut block = self.block.take().ok_or(protocol("CONTINUATION continues nothing"))?;
        if block.stream != head.stream {
            return Err(protocol("a header block is broken off"));
        }
        block.frames += 1;
        if block.bytes.len() + payload.len() > MAX_HEADER_LIST || block.frames > MAX_BLOCK_FRAMES {
            return Err(calm("a header block is too long"));
        }
        block.bytes.extend_from_slice(payload);
        if head.has(flag::END_HEADERS) {
            return self.on_block(block.stream, block.ends_stream, &block.bytes);
        }
        self.block = Some(block);
        Ok(())
    }

    fn on_block(&mut self, id: u32, ends: bool, block: &[u8]) -> Result<(), Fatal> {
        let stream = self.streams.get_mut(&id).filter(|stream| stream.broken.is_none());
        if stream.as_ref().is_some_and(|stream| stream.ended) {
            return Err(Fatal { code: Code::STREAM_CLOSED, reason: "fields behind the end of a stream" });
        }
        // Nobody waits for it; the decoder must know it all the same.
        let Some(stream) = stream else {
            return match self.decoder.decode(block, 0, &mut |_| {}) {
                Ok(_) => Ok(()),
                Err(_) => Err(COMPRESSION),
            };
        };
        let outcome = match read_fields(&mut self.decoder, block)? {
            Ok(fields) => stream.on_fields(fields, ends),
            Err(reason) => Err(reason),
        };
        self.judge(id, outcome);
        Ok(())
    }

    /// What a message that came on a stream makes of it.
    fn judge(&mut self, id: u32, outcome: Result<(), &'static str>) {
        match outcome {
            Ok(()) => {
                let Some(stream) = self.streams.get_mut(&id) else { return };
                stream.wake_reader();
                if stream.ended && stream.sent {
                    self.close(id);
                }
            }
            Err(reason) => self.fail(id, Code::PROTOCOL_ERROR, reason),
        }
    }

    /// What came on a stream is no response.
    fn fail(&mut self, id: u32, code: Code, reason: &'static str) {
        self.reset(id, code);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.fail(Broken::Malformed(reason));
        }
    }

    fn on_settings(&mut self, head: frame::Head, payload: &[u8]) -> Result<(), Fatal> {
        if head.stream != 0 {
            return Err(protocol("SETTINGS on a stream"));
        }
        if head.has(flag::ACK) {
            return if payload.is_empty() { Ok(()) } else { Err(frame_size("SETTINGS of a wrong size")) };
        }
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(frame_size("SETTINGS of a wrong size"));
        }
        let settings = settings
            .iter()
            .map(|[n0, n1, value @ ..]| (u16::from_be_bytes([*n0, *n1]), u32::from_be_bytes(*value)));
        let mut window = None;
        let mut max_streams = None;
        for (name, value) in settings {
            match name {
                setting::INITIAL_WINDOW_SIZE if i64::from(value) > MAX_WINDOW => return Err(TOO_WIDE),
                // All streams have to hear of these: once, however often a frame repeats them.
                setting::INITIAL_WINDOW_SIZE => window = Some(i64::from(value)),
                setting::MAX_CONCURRENT_STREAMS => max_streams = usize::try_from(value).ok(),
                _ => self.on_setting(name, value)?,
            }
        }
        if let Some(window) = window {
            self.on_window(window)?;
        }
        if !self.peer.has_greeted {
            // Where it says nothing, what is known of another connection is no limit of this one.
            max_streams = max_streams.or(Some(self.peer.max_streams.max(USUAL_MAX_STREAMS)));
        }
        if let Some(max_streams) = max_streams {
            self.peer.max_streams = max_streams;
            self.room.notify_waiters();
        }
        self.peer.has_greeted = true;
        self.reply()?;
        self.out.frame(kind::SETTINGS, flag::ACK, 0, &[]);
        Ok(())
    }

    fn on_setting(&mut self, name: u16, value: u32) -> Result<(), Fatal> {
        let size = usize::try_from(value).unwrap_or(usize::MAX);
        match name {
            setting::HEADER_TABLE_SIZE => self.encoder.set_table_size(size.min(DEFAULT_TABLE_SIZE)),
            setting::ENABLE_PUSH if value != 0 => return Err(protocol("a server that is pushed to")),
            setting::MAX_FRAME_SIZE => {
                if !(MIN_MAX_FRAME..1 << 24).contains(&size) {
                    return Err(protocol("a frame size that none may have"));
                }
                self.peer.max_frame = size;
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 9113 §6.9.2.
    fn on_window(&mut self, window: i64) -> Result<(), Fatal> {
        let more = window - std::mem::replace(&mut self.peer.initial_window, window);
        for stream in self.streams.values_mut() {
            stream.send_room += more;
            if stream.send_room > MAX_WINDOW {
                return Err(TOO_WIDE);
            }
            stream.wake_writer();
        }
        Ok(())
    }

    fn on_window_update(&mut self, head: frame::Head, payload: &[u8]) -> Result<(), Fatal> {
        let more = number(payload, "WINDOW_UPDATE of a wrong size")? & 0x7fff_ffff;
        if head.stream == 0 {
            if more == 0 {
                return Err(protocol("a window that grows by nothing"));
            }
            self.send_room += i64::from(more);
            if self.send_room > MAX_WINDOW {
                return Err(TOO_WIDE);
            }
            self.unblock();
            return Ok(());
        }
        self.check_known(head)?;
        let Some(stream) = self.streams.get_mut(&head.stream).filter(|stream| stream.open) else {
            return Ok(());
        };
        if more == 0 {
            self.fail(head.stream, Code::PROTOCOL_ERROR, "a window that grows by nothing");
            return Ok(());
        }
        stream.send_room += i64::from(more);
        if stream.send_room > MAX_WINDOW {
            self.fail(head.stream, Code::FLOW_CONTROL_ERROR, TOO_WIDE.reason);
            return Ok(());
        }
        stream.wake_writer();
        Ok(())
    }

    fn on_reset(&mut self, head: frame::Head, payload: &[u8]) -> Result<(), Fatal> {
        let code = Code(number(payload, "RST_STREAM of a wrong size")?);
        self.check_known(head)?;
        self.close(head.stream);
        if let Some(stream) = self.streams.get_mut(&head.stream) {
            // Behind the end of a response it says that the rest of the request is not wanted
            // (RFC 9113 §8.1).
            stream.fail(Broken::Reset(code));
        }
        Ok(())
    }

    fn on_ping(&mut self, head: frame::Head, payload: &[u8]) -> Result<(), Fatal> {
        if payload.len() != 8 {
            return Err(frame_size("PING of a wrong size"));
        }
        if head.stream != 0 {
            return Err(protocol("PING on a stream"));
        }
        if !head.has(flag::ACK) {
            self.reply()?;
            self.out.frame(kind::PING, flag::ACK, 0, payload);
        }
        Ok(())
    }

    fn on_goodbye(&mut self, head: frame::Head, payload: &[u8]) -> Result<(), Fatal> {
        let (Some((last, rest)), 0) = (payload.split_first_chunk::<4>(), head.stream) else {
            return Err(frame_size("GOAWAY of a wrong size, or on a stream"));
        };
        let Some(code) = rest.first_chunk::<4>() else {
            return Err(frame_size("GOAWAY of a wrong size, or on a stream"));
        };
        let last = u32::from_be_bytes(*last) & 0x7fff_ffff;
        let code = Code(u32::from_be_bytes(*code));
        self.goodbyes += 1;
        if self.goodbyes > MAX_GOODBYES {
            return Err(calm("it goes away again and again"));
        }
        if self.last_seen.is_some_and(|before| before <= last) {
            return Ok(());
        }
        self.last_seen = Some(last);
        let unseen: Vec<u32> = self.streams.keys().copied().filter(|id| *id > last).collect();
        for id in unseen {
            self.close(id);
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.fail(Broken::NotLookedAt(code));
            }
        }
        // Whoever waits for room here had better look elsewhere.
        self.room.notify_waiters();
        Ok(())
    }

    /// Counts an answer that the upstream asks for.
    fn reply(&mut self) -> Result<(), Fatal> {
        if self.replies == 0 {
            self.replied_at = self.out.position();
        }
        self.replies += 1;
        if self.replies > MAX_REPLIES { Err(calm("it asks for answers and takes none")) } else { Ok(()) }
    }

    /// Whether a frame is about a stream that there is, or was.
    fn check_known(&self, head: frame::Head) -> Result<(), Fatal> {
        if head.stream % 2 == 1 && head.stream < self.next_id {
            return Ok(());
        }
        Err(protocol("a frame is about a stream that was never begun"))
    }
}

fn number(payload: &[u8], wrong_size: &'static str) -> Result<u32, Fatal> {
    let bytes = <[u8; 4]>::try_from(payload).map_err(|_| frame_size(wrong_size))?;
    Ok(u32::from_be_bytes(bytes))
}
