//! [`Stream`]: one exchange, as the session knows it.

use std::collections::VecDeque;
use std::hash::Hasher;
use std::task::{Context, Waker};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::broken::Broken;
use super::fields::{Section, length};
use crate::message::Fields;

/// What an upstream may send ahead of our reading it, in bytes: at first, and once its answer has
/// turned out to be read as fast as it comes. So a client that reads slowly makes us hold little,
/// and a fast one is not held up by the way to the upstream and back.
pub(super) const FIRST_WINDOW: u32 = 256 * 1024;
const MAX_WINDOW: u32 = 512 * 1024;
/// Content that has to be read first: so much may be on its way to a client that reads nothing.
const GROWS_AFTER: u64 = 2 * 1024 * 1024;
/// The largest piece that content is put together to, in bytes.
const PIECE: usize = 16 * 1024;
/// Interim responses ahead of one response.
const MAX_INTERIM: usize = 32;

/// One exchange under way. It stays for as long as somebody on our side holds on to it.
pub(super) struct Stream {
    /// Whoever waits for something of the response.
    pub(super) reader: Option<Waker>,
    /// Whoever waits for room to send the request's body.
    pub(super) writer: Option<Waker>,
    /// That room has to come from the connection.
    pub(super) blocked: bool,
    /// Where its first frame stands among all that was ever written.
    pub(super) began_at: u64,
    /// It still counts for the upstream.
    pub(super) open: bool,
    /// The response has no content, whatever its head announces.
    pub(super) bodiless: bool,
    pub(super) interims: VecDeque<(StatusCode, Fields)>,
    interim_count: usize,
    pub(super) head: Option<(StatusCode, Fields)>,
    has_head: bool,
    /// What is still to come of the announced length.
    left: Option<u64>,
    /// Content that nobody has taken yet.
    pub(super) data: VecDeque<Vec<u8>>,
    pub(super) trailers: Option<HeaderMap>,
    /// All of the response has come.
    pub(super) ended: bool,
    /// All of the request has been put into the outbox.
    pub(super) sent: bool,
    /// It is over ahead of its end.
    pub(super) broken: Option<Broken>,
    /// What may still be sent on it, in bytes; below zero where the upstream has lowered it.
    pub(super) send_room: i64,
    /// What the upstream may still send on it.
    receive_room: u32,
    /// What was read since that room was last made larger.
    read: u32,
    window: u32,
    /// All that was ever read.
    taken: u64,
}

impl Stream {
    pub(super) fn new(send_room: i64, began_at: u64, is_head: bool, sent: bool) -> Self {
        Self {
            reader: None,
            writer: None,
            blocked: false,
            began_at,
            open: true,
            bodiless: is_head,
            interims: VecDeque::new(),
            interim_count: 0,
            head: None,
            has_head: false,
            left: None,
            data: VecDeque::new(),
            trailers: None,
            ended: false,
            sent,
            broken: None,
            send_room,
            receive_room: FIRST_WINDOW,
            read: 0,
            window: FIRST_WINDOW,
            taken: 0,
        }
    }

    /// Takes what came in a header block (RFC 9113 §8.1).
    ///
    /// # Errors
    ///
    /// Why it makes the response malformed.
    pub(super) fn on_fields(&mut self, mut section: Section, ends: bool) -> Result<(), &'static str> {
        let Some(status) = section.status else {
            if !self.has_head {
                return Err("it has no status");
            }
            if !ends {
                return Err("its trailers are not its end");
            }
            self.trailers = Some(HeaderMap::from(&section.fields));
            return self.end();
        };
        if self.has_head {
            return Err("it has a second head");
        }
        if status.is_informational() {
            // RFC 9113 §8.6: this version does not switch.
            if ends || status == StatusCode::SWITCHING_PROTOCOLS {
                return Err("an interim response is its end");
            }
            self.interim_count += 1;
            if self.interim_count > MAX_INTERIM {
                return Err("it has more than 32 interim responses");
            }
            self.interims.push_back((status, section.fields));
            return Ok(());
        }
        self.bodiless |= matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.left = length(&mut section.fields)?;
        self.has_head = true;
        self.head = Some((status, section.fields));
        if ends { self.end() } else { Ok(()) }
    }

    /// Counts `size` bytes of DATA, padding included, against what there was room for.
    pub(super) fn take_room(&mut self, size: u32) -> bool {
        match self.receive_room.checked_sub(size) {
            Some(room) => self.receive_room = room,
            None => return false,
        }
        true
    }

    /// Takes it that so much content comes next, and what of its frame is none.
    ///
    /// # Errors
    ///
    /// Why that makes the response malformed.
    pub(super) fn announce(&mut self, size: usize, padding: u32) -> Result<(), &'static str> {
        if !self.has_head {
            return Err("content comes ahead of its head");
        }
        self.read += padding;
        if size > 0 && self.bodiless {
            return Err("it has content where there is none");
        }
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(size as u64).ok_or(WRONG_LENGTH)?;
        }
        Ok(())
    }

    /// Puts content behind what waits. Its frame has so much `more`.
    pub(super) fn queue(&mut self, mut content: &[u8], more: usize) {
        while !content.is_empty() {
            let room = self.data.back().map_or(0, |last| last.capacity() - last.len());
            if room == 0 {
                self.data.push_back(Vec::with_capacity(self.expected(content.len() + more)));
                continue;
            }
            let (here, rest) = content.split_at(room.min(content.len()));
            if let Some(last) = self.data.back_mut() {
                last.extend_from_slice(here);
            }
            content = rest;
        }
    }

    /// What the next piece needs room for, where so much is known to come.
    fn expected(&self, known: usize) -> usize {
        let all = match self.left {
            // What is announced may never come, and is not waited for.
            Some(left) => usize::try_from(left).unwrap_or(PIECE).saturating_add(known),
            // Where what came is not taken at once, there is much of it.
            None if !self.data.is_empty() => PIECE,
            None => known,
        };
        all.min(PIECE)
    }

    /// All of it has come.
    ///
    /// # Errors
    ///
    /// It is less than was announced.
    pub(super) fn end(&mut self) -> Result<(), &'static str> {
        if self.left.is_some_and(|left| left > 0) && !self.bodiless {
            return Err(WRONG_LENGTH);
        }
        self.ended = true;
        Ok(())
    }

    /// Takes content for whoever reads it.
    pub(super) fn take_data(&mut self) -> Option<Bytes> {
        let data = piece(self.data.pop_front()?);
        // No piece is as long as this.
        self.read += u32::try_from(data.len()).unwrap_or(u32::MAX);
        self.taken += data.len() as u64;
        Some(data)
    }

    /// How much more the upstream may send, now that so much was read: the `part`th of its window.
    pub(super) fn widen(&mut self, part: u32) -> Option<u32> {
        if self.ended || !self.open || self.read < self.window / part {
            return None;
        }
        let mut more = std::mem::take(&mut self.read);
        if self.data.is_empty() && self.window < MAX_WINDOW && self.taken >= GROWS_AFTER {
            more += self.window;
            self.window *= 2;
        }
        self.receive_room += more;
        Some(more)
    }

    /// It is over; whoever waits for it is told.
    pub(super) fn fail(&mut self, broken: Broken) {
        if !self.ended {
            self.broken.get_or_insert(broken);
        }
        self.wake_reader();
        self.wake_writer();
    }

    pub(super) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    pub(super) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

const WRONG_LENGTH: &str = "its content has not the length that it announces";

/// A piece of content as it is passed on. It may wait long for a client that reads slowly, and keeps
/// no more room than it has use for.
pub(super) fn piece(mut content: Vec<u8>) -> Bytes {
    if content.len() < content.capacity() / 2 {
        content.shrink_to_fit();
    }
    Bytes::from(content)
}

/// Has `waker` wake whoever polls with `cx`.
pub(super) fn watch(waker: &mut Option<Waker>, cx: &Context<'_>) {
    if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
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
