//! The stream under an exchange, and the bytes that have been read of it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use tokio_util::io::poll_read_buf;

use crate::net::spare;
use crate::upstream::connector::UpstreamStream;

/// What one read of a head takes at most. With most answers that is the whole of them, and a read
/// that the stream cannot fill saves asking it whether there is more.
const SCRATCH: usize = 16 * 1024;
/// What one read of a body takes at first, and at most: it doubles while reads fill it.
const MIN_READ: usize = 16 * 1024;
const MAX_READ: usize = 64 * 1024;
/// Room behind the end of a body: a read that does not fill its buffer has emptied the socket.
const BEYOND: usize = 64;

thread_local! {
    /// Where answers are read to whose length nobody knows yet, so that each then gets memory of
    /// its own size.
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// A connection's stream, with what was read of it and not yet used.
pub(super) struct Wire {
    stream: Side,
    /// Read, not used.
    pub(super) unread: Bytes,
    /// Where a body is read to; without memory while the connection idles.
    buffer: BytesMut,
    /// The size of the next read of a body.
    read_size: usize,
}

enum Side {
    Whole(UpstreamStream),
    /// The other half is a task's, which writes.
    Shared(Shared),
}

/// A stream that is read from one task and written to from another.
#[derive(Clone)]
pub(super) struct Shared(Rc<RefCell<Both>>);

struct Both {
    stream: UpstreamStream,
    /// The writer has given up, so that nothing that is read is to be relied on.
    cut: bool,
    reader: Option<Waker>,
}

impl Wire {
    pub(super) fn new(stream: UpstreamStream) -> Self {
        Self {
            stream: Side::Whole(stream),
            unread: Bytes::new(),
            buffer: BytesMut::new(),
            read_size: MIN_READ,
        }
    }

    /// Whether nobody has closed it, and it has sent nothing that was not asked for.
    pub(super) fn is_quiet(&mut self) -> bool {
        let Side::Whole(stream) = &mut self.stream else { return false };
        self.unread.is_empty() && stream.is_quiet()
    }

    /// The stream to write to; `None` where that is another's.
    pub(super) fn writer(&mut self) -> Option<&mut UpstreamStream> {
        match &mut self.stream {
            Side::Whole(stream) => Some(stream),
            Side::Shared(_) => None,
        }
    }

    /// The stream and what came early; `None` where it is shared.
    pub(super) fn into_parts(self) -> Option<(UpstreamStream, Bytes)> {
        match self.stream {
            Side::Whole(stream) => Some((stream, self.unread)),
            Side::Shared(_) => None,
        }
    }

    /// Leaves the writing to whoever gets the other half.
    pub(super) fn share(self) -> (Self, Shared) {
        let shared = match self.stream {
            Side::Whole(stream) => Shared(Rc::new(RefCell::new(Both { stream, cut: false, reader: None }))),
            Side::Shared(shared) => shared,
        };
        (Self { stream: Side::Shared(shared.clone()), ..self }, shared)
    }

    /// Frees what only a body needs.
    pub(super) fn rest(&mut self) {
        self.unread = Bytes::new();
        self.buffer = BytesMut::new();
        self.read_size = MIN_READ;
    }

    /// See [`UpstreamStream::is_readable`].
    pub(super) fn is_readable(&self, cx: &mut Context<'_>) -> bool {
        match &self.stream {
            Side::Whole(stream) => stream.is_readable(cx),
            Side::Shared(_) => true,
        }
    }

    /// Reads more of a head; the number of bytes, 0 at the stream's end.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        READ.with_borrow_mut(|scratch| {
            let count = ready!(self.poll_read(cx, scratch))?;
            spare::append(&mut self.unread, &scratch[..count]);
            Poll::Ready(Ok(count))
        })
    }

    /// Reads more of a body, of which `left` bytes are still to come as far as that is known.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>, left: Option<u64>) -> Poll<io::Result<usize>> {
        let left = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        let size = left.saturating_add(BEYOND).min(self.read_size);
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.reserve(size);
        let mut came = 0;
        // TLS gives out a record at a time: several make one write to the client.
        let outcome = loop {
            match self.poll_buffer(cx, &mut buffer) {
                Poll::Ready(Ok(0)) | Poll::Pending if came > 0 => break Poll::Ready(Ok(came)),
                Poll::Ready(Ok(read)) if read > 0 => came += read,
                other => break other,
            }
            if came >= left.min(size / 4 * 3) || !self.comes_in_records() {
                break Poll::Ready(Ok(came));
            }
        };
        if came >= self.read_size / 4 * 3 {
            self.read_size = (self.read_size * 2).min(MAX_READ);
        }
        // A body that is waited for keeps no buffer: it may be long in coming.
        if came > 0 {
            self.unread = buffer.split().freeze();
            self.buffer = buffer;
        }
        outcome
    }

    fn comes_in_records(&self) -> bool {
        match &self.stream {
            Side::Whole(stream) => stream.is_tls(),
            Side::Shared(_) => false,
        }
    }

    fn poll_buffer(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Side::Whole(stream) => poll_read_buf(Pin::new(stream), cx, buffer),
            Side::Shared(shared) => {
                let mut both = shared.for_reader(cx)?;
                poll_read_buf(Pin::new(&mut both.stream), cx, buffer)
            }
        }
    }

    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Side::Whole(stream) => stream.poll_read_to(cx, buffer),
            Side::Shared(shared) => shared.poll_read(cx, buffer),
        }
    }
}

impl Shared {
    #[inline(never)]
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.for_reader(cx)?.stream.poll_read_to(cx, buffer)
    }

    fn for_reader(&self, cx: &Context<'_>) -> io::Result<std::cell::RefMut<'_, Both>> {
        let mut both = self.0.borrow_mut();
        if both.cut {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the request broke off"));
        }
        if !both.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            both.reader = Some(cx.waker().clone());
        }
        Ok(both)
    }

    pub(super) fn with_stream<T>(&self, write: impl FnOnce(&mut UpstreamStream) -> T) -> T {
        write(&mut self.0.borrow_mut().stream)
    }

    /// The request cannot be sent to its end: the exchange is over in both directions.
    pub(super) fn cut(&self) {
        let mut both = self.0.borrow_mut();
        both.cut = true;
        if let Some(reader) = both.reader.take() {
            reader.wake();
        }
    }
}
