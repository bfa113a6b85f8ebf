//! What a session makes of the frames that come.

use super::{Block, MAX_BLOCK_FRAMES, MAX_FRAME, MAX_GOODBYES, MAX_REPLIES, Session, USUAL_MAX_STREAMS};
use crate::upstream::http2::broken::Broken;
use crate::upstream::http2::fatal::{
    COMPRESSION, EMPTY, Fatal, PADDING, TOO_WIDE, calm, frame_size, protocol,
};
use crate::upstream::http2::fields::{MAX_HEADER_LIST, read_fields};
use crate::upstream::http2::frame::{self, Code, MAX_WINDOW, MIN_MAX_FRAME, flag, kind, setting};
use crate::upstream::http2::hpack::DEFAULT_TABLE_SIZE;

impl Session {
    /// Reads what comes next. Content is passed on as it comes, all else when its frame is complete.
    ///
    /// # Errors
    ///
    /// Why what comes is not HTTP/2. The session is of no more use then, and has to be told by
    /// [`reject`](Self::reject).
    pub(in crate::upstream::http2) fn receive(&mut self, mut bytes: &[u8]) -> Result<(), Fatal> {
        while !bytes.is_empty() {
            let taken = if self.content.is_some() {
                self.on_content(bytes)
            } else if self.part.is_empty() {
                self.on_frame(bytes)?
            } else {
                self.on_part(bytes)?
            };
            if taken == 0 {
                self.part.extend_from_slice(bytes);
                break;
            }
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Puts a frame together that came in parts; how much of `bytes` was needed.
    fn on_part(&mut self, bytes: &[u8]) -> Result<usize, Fatal> {
        let mut frame = std::mem::take(&mut self.part);
        let whole = match frame::Head::read(&frame) {
            None => frame::HEAD,
            // Its padding's length is all that is missing.
            Some(head) if head.kind == kind::DATA => frame::HEAD + 1,
            Some(head) => frame::HEAD + head.length,
        };
        let here = bytes.len().min(whole - frame.len());
        frame.extend_from_slice(&bytes[..here]);
        if self.on_frame(&frame)? > 0 {
            frame.clear();
        }
        self.part = frame;
        Ok(here)
    }

    /// Takes the frame off the front of `bytes`, of DATA the start alone; how long that was, 0 where
    /// it is not complete.
    fn on_frame(&mut self, bytes: &[u8]) -> Result<usize, Fatal> {
        let Some(head) = frame::Head::read(bytes) else { return Ok(0) };
        if !self.peer.has_greeted && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err(protocol("it does not begin with SETTINGS"));
        }
        if head.length > MAX_FRAME as usize {
            return Err(frame_size("a frame is larger than was agreed"));
        }
        if self.block.is_some() && head.kind != kind::CONTINUATION {
            return Err(protocol("a header block is broken off"));
        }
        if head.kind == kind::DATA {
            return self.on_data(head, bytes.get(frame::HEAD).copied());
        }
        let Some(payload) = bytes.get(frame::HEAD..frame::HEAD + head.length) else { return Ok(0) };
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
        Ok(frame::HEAD + head.length)
    }

    fn on_headers(&mut self, head: frame::Head, payload: &[u8]) -> Result<(), Fatal> {
        self.check_known(head)?;
        let (start, end) = unpad(head, payload)?;
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
    pub(super) fn judge(&mut self, id: u32, outcome: Result<(), &'static str>) {
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
    pub(super) fn fail(&mut self, id: u32, code: Code, reason: &'static str) {
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
    pub(super) fn check_known(&self, head: frame::Head) -> Result<(), Fatal> {
        if head.stream % 2 == 1 && head.stream < self.next_id {
            return Ok(());
        }
        Err(protocol("a frame is about a stream that was never begun"))
    }
}

/// Where in the payload of HEADERS its block stands (RFC 9113 §6.2).
fn unpad(head: frame::Head, payload: &[u8]) -> Result<(usize, usize), Fatal> {
    let (mut start, mut end) = (0, payload.len());
    if head.has(flag::PADDED) {
        let padding = *payload.first().ok_or(EMPTY)?;
        start = 1;
        end = end.checked_sub(usize::from(padding)).ok_or(PADDING)?;
    }
    if head.has(flag::PRIORITY) {
        start += 5;
    }
    if start > end { Err(PADDING) } else { Ok((start, end)) }
}

fn number(payload: &[u8], wrong_size: &'static str) -> Result<u32, Fatal> {
    let bytes = <[u8; 4]>::try_from(payload).map_err(|_| frame_size(wrong_size))?;
    Ok(u32::from_be_bytes(bytes))
}
