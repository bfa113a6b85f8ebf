//! [`Session`]: a connection as its two ends know it (RFC 9113), without the connection.
//!
//! What comes is fed to it, what is to go out is in its [`Outbox`]. It judges every frame: what is
//! not HTTP/2 ends the connection, what is no response ends its stream.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::sync::Notify;

use super::broken::Broken;
use super::frame::{self, Code, MAX_WINDOW, MIN_MAX_FRAME, PREFACE, flag, kind, setting};
use super::hpack::{DEFAULT_TABLE_SIZE, Decoder, Encoder, Extent, Field, Scheme};
use super::outbox::Outbox;
use super::stream::{FIRST_WINDOW, Fields, Stream, watch};

/// What an upstream may send on all streams together ahead of our taking it off the connection,
/// which does not wait for anybody to read it: one slow client must not hold up the others.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// The largest frame that is taken, in bytes of payload.
const MAX_FRAME: u32 = 64 * 1024;
/// The size of a message's fields as RFC 9113 §6.5.2 counts it, and of the block that they come
/// in.
const MAX_HEADER_LIST: usize = 64 * 1024;
/// Frames that one header block may come in.
const MAX_BLOCK_FRAMES: usize = 64;
/// Frames that want an answer, while none of the answers can be written.
const MAX_REPLIES: usize = 1_000;
/// Streams that are taken to be allowed until the upstream has said how many are (RFC 9113
/// §6.5.2 recommends no fewer).
const FIRST_MAX_STREAMS: usize = 100;
/// Beyond so many bytes in the outbox, requests' bodies wait.
const MAX_WAITING: usize = 256 * 1024;
/// Queues that are kept for the next streams.
const MAX_SPARE: usize = 64;
/// Content up to this size is copied out of what was read, so that it does not keep all of that.
const COPIED: usize = 2 * 1024;

/// Why the connection is at an end: what the upstream is told, and what we are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fatal {
    pub(super) code: Code,
    pub(super) reason: &'static str,
}

const fn protocol(reason: &'static str) -> Fatal {
    Fatal { code: Code::PROTOCOL_ERROR, reason }
}

const fn frame_size(reason: &'static str) -> Fatal {
    Fatal { code: Code::FRAME_SIZE_ERROR, reason }
}

const fn flow_control(reason: &'static str) -> Fatal {
    Fatal { code: Code::FLOW_CONTROL_ERROR, reason }
}

const fn calm(reason: &'static str) -> Fatal {
    Fatal { code: Code::ENHANCE_YOUR_CALM, reason }
}

/// See the [module](self).
pub(super) struct Session {
    pub(super) out: Outbox,
    encoder: Encoder,
    decoder: Decoder,
    streams: HashMap<u32, Stream, BuildHasherDefault<Odd>>,
    next_id: u32,
    /// Streams that count for the upstream.
    open: usize,
    /// Told when one no longer does.
    room: Rc<Notify>,
    peer: Peer,
    /// What may be sent on all streams together, in bytes.
    send_room: i64,
    /// What the upstream may still send on all of them.
    receive_room: u32,
    /// A header block of which not all has come.
    block: Option<Block>,
    /// Streams whose body waits for room on the connection.
    blocked: Vec<u32>,
    /// Answers in the outbox.
    replies: usize,
    going: bool,
    closed: Option<Broken>,
    scratch: Vec<u8>,
    /// Queues of streams that are over.
    spare: Vec<VecDeque<Bytes>>,
    /// The task that reads and writes.
    driver: Option<Waker>,
    /// That task waits for the connection to take more.
    pub(super) stuck: bool,
    /// Nobody will start another exchange.
    pub(super) abandoned: bool,
}

/// What the upstream has said of itself.
struct Peer {
    has_greeted: bool,
    max_streams: usize,
    initial_window: i64,
    max_frame: usize,
}

struct Block {
    stream: u32,
    ends_stream: bool,
    frames: usize,
    bytes: Vec<u8>,
}

/// Spreads stream identifiers, which are odd and rise by two.
#[derive(Default)]
pub(super) struct Odd(u64);

impl Hasher for Odd {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("a stream's identifier is one number");
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A request's head as HTTP/2 has it.
pub(super) struct RequestHead<'a, F> {
    pub(super) method: &'a Method,
    pub(super) scheme: Scheme,
    pub(super) authority: &'a HeaderValue,
    pub(super) path: &'a str,
    pub(super) fields: F,
}

/// What comes of a response ahead of its content.
pub(super) enum Arrival {
    Interim(StatusCode, HeaderMap),
    Head(StatusCode, HeaderMap),
}

impl Session {
    /// With the client's preface in the outbox.
    pub(super) fn new() -> Self {
        let mut out = Outbox::default();
        out.bytes(PREFACE);
        let mut settings = Vec::new();
        for (name, value) in [
            (setting::ENABLE_PUSH, 0),
            (setting::INITIAL_WINDOW_SIZE, FIRST_WINDOW),
            (setting::MAX_FRAME_SIZE, MAX_FRAME),
            (setting::MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST as u32),
        ] {
            settings.extend_from_slice(&name.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        out.frame(kind::SETTINGS, 0, 0, &settings);
        out.window_update(0, CONNECTION_WINDOW - INITIAL_WINDOW);
        Self {
            out,
            encoder: Encoder::new(),
            decoder: Decoder::new(),
            streams: HashMap::default(),
            next_id: 1,
            open: 0,
            room: Rc::default(),
            peer: Peer {
                has_greeted: false,
                max_streams: FIRST_MAX_STREAMS,
                initial_window: i64::from(INITIAL_WINDOW),
                max_frame: MIN_MAX_FRAME,
            },
            send_room: i64::from(INITIAL_WINDOW),
            receive_room: CONNECTION_WINDOW,
            block: None,
            blocked: Vec::new(),
            replies: 0,
            going: false,
            closed: None,
            scratch: Vec::new(),
            spare: Vec::new(),
            driver: None,
            stuck: false,
            abandoned: false,
        }
    }

    /// Whether another exchange can be started, now or when one ends.
    pub(super) fn is_usable(&self) -> bool {
        !self.going && self.closed.is_none() && self.next_id <= MAX_ID
    }

    pub(super) fn has_room(&self) -> bool {
        self.open < self.peer.max_streams
    }

    /// Told each time that there may be room again.
    pub(super) fn room(&self) -> Rc<Notify> {
        Rc::clone(&self.room)
    }

    /// Nothing is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.streams.is_empty()
    }

    /// Starts an exchange, for which there [is room](Self::has_room): its head goes to the outbox.
    pub(super) fn open<'f>(
        &mut self,
        head: RequestHead<'_, impl Iterator<Item = (&'f HeaderName, &'f HeaderValue)>>,
        ends: bool,
    ) -> u32 {
        let id = self.next_id;
        self.next_id += 2;
        let is_head = head.method == Method::HEAD;
        let mut stream = Stream::new(self.peer.initial_window, self.out.position(), is_head, ends);
        stream.data = self.spare.pop().unwrap_or_default();
        let mut block = std::mem::take(&mut self.scratch);
        block.clear();
        self.encoder.request(head.method, head.scheme, head.authority, head.path, head.fields, &mut block);
        self.write_block(id, &block, ends);
        self.scratch = block;
        self.streams.insert(id, stream);
        self.open += 1;
        id
    }

    fn write_block(&mut self, id: u32, block: &[u8], ends: bool) {
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
    pub(super) fn poll_send_room(&mut self, id: u32, cx: &Context<'_>) -> Poll<Option<usize>> {
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
    pub(super) fn poll_unwanted(&mut self, id: u32, cx: &Context<'_>) -> Poll<()> {
        match self.streams.get_mut(&id).filter(|stream| stream.open) {
            Some(stream) => {
                watch(&mut stream.writer, cx);
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    /// Puts content into the outbox, no more than [there is room for](Self::poll_send_room).
    pub(super) fn send_data(&mut self, id: u32, mut data: Bytes, ends: bool) {
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

    pub(super) fn send_trailers(&mut self, id: u32, trailers: &HeaderMap) {
        if !self.streams.get(&id).is_some_and(|stream| stream.open) {
            return;
        }
        let mut block = std::mem::take(&mut self.scratch);
        block.clear();
        self.encoder.trailers(trailers.iter(), &mut block);
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

    /// Ends a stream from our side, in the middle of the request.
    pub(super) fn cancel(&mut self, id: u32) {
        self.reset(id, Code::CANCEL);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.fail(Broken::Reset(Code::CANCEL));
        }
    }

    fn reset(&mut self, id: u32, code: Code) {
        if self.close(id) {
            self.out.reset(id, code);
        }
    }

    /// Nobody holds on to it any more.
    pub(super) fn forget(&mut self, id: u32) {
        self.reset(id, Code::CANCEL);
        if let Some(stream) = self.streams.remove(&id)
            && self.spare.len() < MAX_SPARE
            && stream.data.capacity() <= MAX_SPARE
        {
            let mut data = stream.data;
            data.clear();
            self.spare.push(data);
        }
    }

    /// The stream no longer counts; whether it did.
    fn close(&mut self, id: u32) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        let was_open = std::mem::replace(&mut stream.open, false);
        if was_open {
            stream.wake_writer();
            self.open -= 1;
            self.room.notify_one();
        }
        was_open
    }

    /// Ready with what comes next of a response, up to its head.
    pub(super) fn poll_head(&mut self, id: u32, cx: &Context<'_>) -> Poll<Result<Arrival, Broken>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Err(Broken::Unsent)) };
        if let Some((status, headers)) = stream.interims.pop_front() {
            return Poll::Ready(Ok(Arrival::Interim(status, headers)));
        }
        if let Some((status, headers)) = stream.head.take() {
            return Poll::Ready(Ok(Arrival::Head(status, headers)));
        }
        if let Some(broken) = &stream.broken {
            return Poll::Ready(Err(broken.clone()));
        }
        watch(&mut stream.reader, cx);
        Poll::Pending
    }

    /// All of the content, where all of it is here, in one piece, and nothing follows it.
    pub(super) fn take_whole(&mut self, id: u32) -> Option<Bytes> {
        let stream = self.streams.get_mut(&id)?;
        if !stream.ended || stream.data.len() > 1 || stream.trailers.is_some() {
            return None;
        }
        Some(stream.data.pop_front().unwrap_or_default())
    }

    /// Ready with content; `None` at its end.
    pub(super) fn poll_data(&mut self, id: u32, cx: &Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(None) };
        if let Some((data, more)) = stream.take_data() {
            if let Some(more) = more.filter(|_| stream.open) {
                self.out.window_update(id, more);
            }
            return Poll::Ready(Some(Ok(data)));
        }
        if stream.ended {
            return Poll::Ready(None);
        }
        if let Some(broken) = &stream.broken {
            return Poll::Ready(Some(Err(broken.clone())));
        }
        watch(&mut stream.reader, cx);
        Poll::Pending
    }

    pub(super) fn take_trailers(&mut self, id: u32) -> Option<HeaderMap> {
        self.streams.get_mut(&id)?.trailers.take()
    }

    /// Whether all of the response has come and been taken.
    pub(super) fn is_taken(&self, id: u32) -> bool {
        self.streams.get(&id).is_none_or(|stream| {
            stream.ended && stream.data.is_empty() && stream.trailers.is_none() && stream.head.is_none()
        })
    }

    /// Has the task that writes do so, where there is something to be written.
    pub(super) fn wake_driver(&mut self) {
        if (self.abandoned || !self.out.is_empty() && !self.stuck)
            && let Some(driver) = self.driver.take()
        {
            driver.wake();
        }
    }

    pub(super) fn set_driver(&mut self, cx: &Context<'_>) {
        watch(&mut self.driver, cx);
    }

    /// Something has been written; `all` of it, perhaps.
    pub(super) fn wrote(&mut self, all: bool) {
        if all {
            self.replies = 0;
        }
        if self.out.waiting() < MAX_WAITING {
            self.unblock();
        }
    }

    fn unblock(&mut self) {
        for id in std::mem::take(&mut self.blocked) {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.blocked = false;
                stream.wake_writer();
            }
        }
    }

    /// Tells the upstream that this is the end.
    pub(super) fn say_goodbye(&mut self, code: Code) {
        let mut payload = [0; 8];
        payload[4..].copy_from_slice(&code.0.to_be_bytes());
        self.out.frame(kind::GOAWAY, 0, 0, &payload);
    }

    /// It is at its end because of what the upstream sent.
    pub(super) fn reject(&mut self, fatal: &Fatal) {
        self.say_goodbye(fatal.code);
        self.end(|_| Broken::Malformed(fatal.reason));
    }

    /// The connection is gone.
    pub(super) fn lose(&mut self, error: io::Error) {
        let error = Arc::new(error);
        self.end(
            |was_offered| {
                if was_offered { Broken::Connection(Arc::clone(&error)) } else { Broken::Unsent }
            },
        );
    }

    fn end(&mut self, why: impl Fn(bool) -> Broken) {
        self.closed.get_or_insert_with(|| why(true));
        for stream in self.streams.values_mut() {
            stream.open = false;
            stream.fail(why(self.out.was_offered(stream.began_at)));
        }
        self.open = 0;
        self.room.notify_waiters();
    }

    /// Takes the whole frames off the front of `input`.
    ///
    /// # Errors
    ///
    /// Why what comes is not HTTP/2. The session is of no more use then, and has to be told by
    /// [`reject`](Self::reject).
    pub(super) fn receive(&mut self, input: &mut BytesMut) -> Result<(), Fatal> {
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
        for [n0, n1, value @ ..] in settings {
            self.on_setting(u16::from_be_bytes([*n0, *n1]), u32::from_be_bytes(*value))?;
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
            setting::MAX_CONCURRENT_STREAMS => {
                self.peer.max_streams = size;
                self.room.notify_waiters();
            }
            setting::INITIAL_WINDOW_SIZE => {
                let window = i64::from(value);
                let more = window - self.peer.initial_window;
                self.peer.initial_window = window;
                if window > MAX_WINDOW {
                    return Err(TOO_WIDE);
                }
                for stream in self.streams.values_mut() {
                    stream.send_room += more;
                    if stream.send_room > MAX_WINDOW {
                        return Err(TOO_WIDE);
                    }
                    stream.wake_writer();
                }
            }
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
        self.going = true;
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

/// What every window begins with (RFC 9113 §6.9.2).
const INITIAL_WINDOW: u32 = 65_535;
/// Beyond it, a connection has no more streams to give. Some are left, for what goes on meanwhile.
const MAX_ID: u32 = 0x7fff_ff00;

const COMPRESSION: Fatal =
    Fatal { code: Code::COMPRESSION_ERROR, reason: "a header block cannot be decoded" };
const TOO_WIDE: Fatal = flow_control("a window is wider than windows can be");
const PADDING: Fatal = protocol("a frame is padded with more than it holds");

fn number(payload: &[u8], wrong_size: &'static str) -> Result<u32, Fatal> {
    let bytes = <[u8; 4]>::try_from(payload).map_err(|_| frame_size(wrong_size))?;
    Ok(u32::from_be_bytes(bytes))
}

/// Decodes a block; the inner error is why it makes no valid message (RFC 9113 §§8.2, 8.3).
fn read_fields(decoder: &mut Decoder, block: &[u8]) -> Result<Result<Fields, &'static str>, Fatal> {
    let mut fields = Fields { status: None, headers: HeaderMap::with_capacity(ROOM) };
    let mut fault = None;
    let whole = decoder.decode(block, MAX_HEADER_LIST, &mut |field| match field {
        Field::Status(status) => {
            let comes_first = fields.headers.is_empty() && fields.status.is_none();
            match status.filter(|_| comes_first) {
                Some(status) => fields.status = Some(status),
                None => fault = Some("its status is not one number from 100 to 999 ahead of its fields"),
            }
        }
        Field::Pseudo => fault = Some("it has a pseudo-header field that is not of a response"),
        Field::Invalid => fault = Some("it has an invalid field"),
        Field::Header(name, value) => {
            if is_of_connection(&name) {
                fault = Some("it has a field that is about a connection");
            } else {
                fields.headers.append(name, value);
            }
        }
    });
    if whole.map_err(|_| COMPRESSION)? == Extent::TooLarge {
        fault = Some("its fields are larger than 64 KiB");
    }
    Ok(match fault {
        Some(fault) => Err(fault),
        None => Ok(fields),
    })
}

/// Fields that an ordinary response has, with those that a proxy adds.
const ROOM: usize = 12;

/// RFC 9113 §8.2.2.
pub(super) fn is_of_connection(name: &HeaderName) -> bool {
    use http::header::{CONNECTION, TRANSFER_ENCODING, UPGRADE};
    matches!(*name, CONNECTION | TRANSFER_ENCODING | UPGRADE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}
