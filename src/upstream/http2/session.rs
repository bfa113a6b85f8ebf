//! [`Session`]: a connection as its two ends know it (RFC 9113), without the connection.
//!
//! What comes is fed to it, what is to go out is in its [`Outbox`]. It judges every frame: what is
//! not HTTP/2 ends the connection, what is no response ends its stream.

mod content;
mod receive;
mod send;

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::sync::Notify;

use self::content::Content;
use super::broken::Broken;
use super::fatal::Fatal;
use super::fields::MAX_HEADER_LIST;
use super::frame::{Code, MIN_MAX_FRAME, PREFACE, kind, setting};
use super::hpack::{Decoder, Encoder, Scheme};
use super::outbox::Outbox;
use super::stream::{FIRST_WINDOW, Odd, Stream, piece, watch};
use crate::message::{Field, Fields};

/// What an upstream may send on all streams together ahead of our taking it off the connection,
/// which does not wait for anybody to read it: one slow client must not hold up the others.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// The largest frame that is taken, in bytes of payload.
const MAX_FRAME: u32 = 64 * 1024;
/// Frames that one header block may come in.
const MAX_BLOCK_FRAMES: usize = 64;
/// Frames that want an answer, while none of the answers can be written.
const MAX_REPLIES: usize = 1_000;
/// Streams that are taken to be allowed where nothing is known (RFC 9113 §6.5.2 recommends no
/// fewer).
pub(super) const USUAL_MAX_STREAMS: usize = 100;
/// Beyond so many bytes in the outbox, requests' bodies wait; and beyond so many, requests do. What
/// is there goes out even if its client has left, since the upstream's table must hear of it.
const MAX_WAITING: usize = 256 * 1024;
const MAX_CROWD: usize = 1024 * 1024;
/// Times that an upstream may say it goes away, each time with fewer requests that it has seen.
const MAX_GOODBYES: usize = 16;
/// What every window begins with (RFC 9113 §6.9.2).
const INITIAL_WINDOW: u32 = 65_535;
/// Beyond it, a connection has no more streams to give. Some are left, for what goes on meanwhile.
const MAX_ID: u32 = 0x7fff_ff00;
/// Queues that are kept for the next streams.
const MAX_SPARE: usize = 64;

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
    /// A DATA frame of which not all has come, and what there is of another frame.
    content: Option<Content>,
    part: Vec<u8>,
    /// A header block of which not all has come.
    block: Option<Block>,
    /// Streams whose body waits for room on the connection.
    blocked: Vec<u32>,
    /// Answers in the outbox, and where the first of them stands among all that was ever written.
    replies: usize,
    replied_at: u64,
    /// The last stream that the upstream will look at, where it goes away.
    last_seen: Option<u32>,
    goodbyes: usize,
    closed: bool,
    scratch: Vec<u8>,
    /// Queues of streams that are over.
    spare: Vec<VecDeque<Vec<u8>>>,
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
    Interim(StatusCode, Fields),
    Head(StatusCode, Fields),
}

impl Session {
    /// With the client's preface in the outbox. `max_streams` holds until the upstream has said how
    /// many it takes.
    pub(super) fn new(max_streams: usize) -> Self {
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
                max_streams,
                initial_window: i64::from(INITIAL_WINDOW),
                max_frame: MIN_MAX_FRAME,
            },
            send_room: i64::from(INITIAL_WINDOW),
            receive_room: CONNECTION_WINDOW,
            content: None,
            part: Vec::new(),
            block: None,
            blocked: Vec::new(),
            replies: 0,
            replied_at: 0,
            last_seen: None,
            goodbyes: 0,
            closed: false,
            scratch: Vec::new(),
            spare: Vec::new(),
            driver: None,
            stuck: false,
            abandoned: false,
        }
    }

    /// Whether another exchange can be started, now or when one ends.
    pub(super) fn is_usable(&self) -> bool {
        self.last_seen.is_none() && !self.closed && self.next_id <= MAX_ID
    }

    pub(super) fn has_room(&self) -> bool {
        self.open < self.peer.max_streams && self.out.waiting() < MAX_CROWD
    }

    /// How many streams the upstream takes at a time.
    pub(super) fn max_streams(&self) -> usize {
        self.peer.max_streams
    }

    /// Told each time that there may be room again.
    pub(super) fn room(&self) -> Rc<Notify> {
        Rc::clone(&self.room)
    }

    /// Nothing is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.streams.is_empty()
    }

    /// Frees what only a busy connection needs.
    pub(super) fn rest(&mut self) {
        self.out.rest();
        if self.part.is_empty() {
            self.part = Vec::new();
        }
    }

    /// Starts an exchange, for which there [is room](Self::has_room): its head goes to the outbox.
    pub(super) fn open<'f>(
        &mut self,
        head: RequestHead<'_, impl Iterator<Item = Field<'f>>>,
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

    /// Whether the response has no content, now that its head is there.
    pub(super) fn is_bodiless(&self, id: u32) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.bodiless)
    }

    /// All of the content, where all of it is here, in one piece, and nothing follows it.
    pub(super) fn take_whole(&mut self, id: u32) -> Option<Bytes> {
        let stream = self.streams.get_mut(&id)?;
        if !stream.ended || stream.data.len() > 1 || stream.trailers.is_some() {
            return None;
        }
        Some(stream.data.pop_front().map(piece).unwrap_or_default())
    }

    /// Ready with content; `None` at its end.
    pub(super) fn poll_data(&mut self, id: u32, cx: &Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(None) };
        if let Some(data) = stream.take_data() {
            if let Some(more) = stream.widen(2) {
                self.out.window_update(id, more);
                self.widen_others();
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

    /// Tells the upstream what it may send on all streams that will soon need it: one write does for
    /// them all.
    fn widen_others(&mut self) {
        for (id, stream) in &mut self.streams {
            if let Some(more) = stream.widen(8) {
                self.out.window_update(*id, more);
            }
        }
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

    /// Something of the outbox may have been written, of `before` bytes that waited.
    pub(super) fn wrote(&mut self, before: usize) {
        let waiting = self.out.waiting();
        if self.out.position() - waiting as u64 > self.replied_at {
            self.replies = 0;
        }
        if waiting < MAX_WAITING {
            self.unblock();
        }
        if before >= MAX_CROWD && waiting < MAX_CROWD {
            self.room.notify_waiters();
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

    /// It is at its end because of what the upstream sent. Requests that still wait are not written:
    /// nobody would hear what becomes of them.
    pub(super) fn reject(&mut self, fatal: &Fatal) {
        self.end(|was_offered| match was_offered {
            true => Broken::Malformed(fatal.reason),
            false => Broken::Unsent,
        });
        if self.out.waiting() > 0 {
            return self.out.discard();
        }
        self.say_goodbye(fatal.code);
    }

    /// The connection is gone.
    pub(super) fn lose(&mut self, error: io::Error) {
        self.out.discard();
        let error = Arc::new(error);
        self.end(|was_offered| match was_offered {
            true => Broken::Connection(Arc::clone(&error)),
            false => Broken::Unsent,
        });
    }

    fn end(&mut self, why: impl Fn(bool) -> Broken) {
        self.closed = true;
        for stream in self.streams.values_mut() {
            stream.open = false;
            stream.fail(why(self.out.was_offered(stream.began_at)));
        }
        self.open = 0;
        self.room.notify_waiters();
    }
}
