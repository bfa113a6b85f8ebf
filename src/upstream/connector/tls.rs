//! [`TlsStream`]: TLS to an upstream, by rustls's interface without buffers of its own.
//!
//! Much is read of the socket at once, and each record is decrypted where it was read to. What comes
//! is so copied once less than by way of rustls's own buffers, which take 4 KiB at a time.

mod records;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use rustls::client::UnbufferedClientConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, ProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use self::records::{Incoming, Outgoing};
use crate::net::tcp;

/// What is encrypted at a time.
const MAX_WRITE: usize = 64 * 1024;
/// Pieces up to this size are put into one record.
const JOINED: usize = 4 * 1024;
/// What records add to what they carry, or more.
const RECORDS_ADD: usize = 512;

/// A connection past its handshake.
pub(super) struct TlsStream {
    tcp: TcpStream,
    tls: UnbufferedClientConnection,
    incoming: Incoming,
    outgoing: Outgoing,
    /// Decrypted and not given out.
    plain: BytesMut,
    /// The upstream has said that it sends no more.
    is_over: bool,
    /// It was told so.
    has_said_goodbye: bool,
    /// Why there is no more TLS here. The session is not asked again.
    failed: Option<rustls::Error>,
}

/// What to do with a session that takes what is written.
#[derive(Clone, Copy)]
enum Task<'a> {
    Nothing,
    Encrypt(&'a [io::IoSlice<'a>]),
    SayGoodbye,
}

/// Who gets what was decrypted.
enum Sink<'s, 'b> {
    Nobody,
    /// As much as it has room for.
    Buffer(&'s mut ReadBuf<'b>),
    /// All of it.
    Reader(&'s mut dyn FnMut(&[u8])),
}

impl Sink<'_, '_> {
    /// How much it takes.
    fn take(&mut self, plain: &[u8]) -> usize {
        match self {
            Self::Nobody => 0,
            Self::Buffer(buffer) => {
                let here = plain.len().min(buffer.remaining());
                buffer.put_slice(&plain[..here]);
                here
            }
            Self::Reader(read) => {
                read(plain);
                plain.len()
            }
        }
    }
}

/// What came of looking at the records that are there.
enum Step {
    /// Look again.
    Again,
    /// There was content, of which so much was taken.
    Read(usize),
    /// There is no whole record left, and the task is done: so much was encrypted.
    Idle(usize),
    /// The handshake needs more.
    Blocked,
    /// Nothing more goes out.
    Closed,
}

impl TlsStream {
    /// Shakes hands.
    ///
    /// # Errors
    ///
    /// The connection's own, and with a [`rustls::Error`] inside what TLS says.
    pub(super) async fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        tcp: TcpStream,
    ) -> io::Result<Self> {
        let mut stream = Self {
            tcp,
            tls: UnbufferedClientConnection::new(config, name).map_err(of_tls)?,
            incoming: Incoming::new(),
            outgoing: Outgoing::default(),
            plain: BytesMut::new(),
            is_over: false,
            has_said_goodbye: false,
            failed: None,
        };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    pub(super) fn alpn_protocol(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    /// Has `read` look at what comes next; how much that was, 0 at the end.
    pub(super) fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        read: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        self.poll_take(cx, Sink::Reader(read))
    }

    pub(super) fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.tls.protocol_version()
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.step(&mut Sink::Nobody, Task::Nothing)? {
                Step::Idle(_) => return self.poll_send(cx),
                Step::Again | Step::Read(_) if !self.is_over => {}
                Step::Again | Step::Read(_) | Step::Closed => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Step::Blocked => {
                    ready!(self.poll_send(cx))?;
                    ready!(self.poll_receive(cx))?;
                }
            }
        }
    }

    /// Looks at the next record, if a whole one is there; what it holds goes to `sink`. Where there is
    /// none, does the task.
    fn step(&mut self, sink: &mut Sink<'_, '_>, task: Task<'_>) -> io::Result<Step> {
        if let Some(error) = &self.failed {
            return Err(of_tls(error.clone()));
        }
        let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(self.incoming.records());
        let step = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                let mut all = 0;
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(|error| of_tls(self.failed.insert(error).clone()))?;
                    discard += record.discard;
                    let taken = if self.plain.is_empty() { sink.take(record.payload) } else { 0 };
                    self.plain.extend_from_slice(&record.payload[taken..]);
                    all += taken;
                }
                Ok(if all + self.plain.len() > 0 { Step::Read(all) } else { Step::Again })
            }
            Ok(ConnectionState::EncodeTlsData(mut message)) => {
                encode(&mut message, &mut self.outgoing).map(|()| Step::Again)
            }
            // It goes out from here, ahead of all that is written later.
            Ok(ConnectionState::TransmitTlsData(message)) => {
                message.done();
                Ok(Step::Again)
            }
            Ok(ConnectionState::WriteTraffic(traffic)) => {
                perform(traffic, task, &mut self.outgoing).map(Step::Idle)
            }
            Ok(ConnectionState::BlockedHandshake) => Ok(Step::Blocked),
            Ok(ConnectionState::PeerClosed) => {
                self.is_over = true;
                Ok(Step::Again)
            }
            Ok(ConnectionState::Closed) => {
                self.is_over = true;
                Ok(Step::Closed)
            }
            Ok(other) => Err(io::Error::other(format!("TLS is in a state that is not known: {other:?}"))),
            Err(error) => Err(of_tls(self.failed.insert(error).clone())),
        };
        self.incoming.discard(discard);
        if self.failed.is_some() {
            self.say_why();
        }
        step
    }

    /// Tells the upstream what is wrong, as far as that can be done at once.
    #[cold]
    fn say_why(&mut self) {
        while self.tls.wants_write() {
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(self.incoming.records());
            let Ok(ConnectionState::EncodeTlsData(mut alert)) = state else { break };
            if encode(&mut alert, &mut self.outgoing).is_err() {
                break;
            }
            self.incoming.discard(discard);
        }
        while let Ok(sent @ 1..) = self.tcp.try_write(self.outgoing.rest()) {
            self.outgoing.went(sent);
        }
    }

    /// Reads more of the socket.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let came = ready!(tcp::poll_read(&mut self.tcp, cx, self.incoming.room()))?;
        if came == 0 {
            // RFC 8446 §6.1: without a close_notify, nobody knows whether that was all.
            let why = "the connection was closed without a word in TLS";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, why)));
        }
        self.incoming.came(came);
        Poll::Ready(Ok(()))
    }

    /// Writes all records that are to go out.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.rest().is_empty() {
            let sent = ready!(tcp::poll_write(&mut self.tcp, cx, self.outgoing.rest()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.went(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Has `sink` take what comes next; how much that was, 0 at the end.
    fn poll_take(&mut self, cx: &mut Context<'_>, mut sink: Sink<'_, '_>) -> Poll<io::Result<usize>> {
        // What was decrypted ahead of its being asked for.
        if !self.plain.is_empty() {
            let taken = sink.take(&self.plain);
            self.plain.advance(taken);
            if self.plain.is_empty() {
                self.plain = BytesMut::new();
            }
            return Poll::Ready(Ok(taken));
        }
        while !self.is_over {
            match self.step(&mut sink, Task::Nothing)? {
                Step::Read(taken) => return Poll::Ready(Ok(taken)),
                Step::Again | Step::Closed => {}
                // What TLS itself has to say goes out with what is written next: were it written here,
                // it would be whoever reads that is told of room, in place of whoever writes.
                Step::Idle(_) | Step::Blocked => ready!(self.poll_receive(cx))?,
            }
        }
        Poll::Ready(Ok(0))
    }

    /// Does the task behind what has already come; how much was encrypted.
    fn poll_task(&mut self, cx: &mut Context<'_>, task: Task<'_>) -> Poll<io::Result<usize>> {
        // One batch at a time: what waits here is bounded.
        ready!(self.poll_send(cx))?;
        loop {
            match self.step(&mut Sink::Nobody, task)? {
                Step::Again | Step::Read(_) => {}
                Step::Idle(taken) => return Poll::Ready(Ok(taken)),
                Step::Blocked | Step::Closed => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_take(cx, Sink::Buffer(buf)).map_ok(|_| ())
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let taken = ready!(this.poll_task(cx, Task::Encrypt(pieces)))?;
        // What the socket has no room for goes out with what comes next, or when it is flushed.
        let _ = this.poll_send(cx)?;
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.has_said_goodbye {
            ready!(this.poll_task(cx, Task::SayGoodbye))?;
            this.has_said_goodbye = true;
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

/// What TLS itself has to say goes behind what is on its way.
fn encode<Data>(message: &mut EncodeTlsData<'_, Data>, outgoing: &mut Outgoing) -> io::Result<()> {
    outgoing.put(RECORDS_ADD, |room| {
        message.encode(room).map_err(|error| match error {
            EncodeError::InsufficientSize(error) => Ok(error.required_size),
            error => Err(io::Error::other(error)),
        })
    })
}

/// How much of the task's bytes was encrypted.
fn perform<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    task: Task<'_>,
    outgoing: &mut Outgoing,
) -> io::Result<usize> {
    let of_encrypt = |error| match error {
        EncryptError::InsufficientSize(error) => Ok(error.required_size),
        error => Err(io::Error::other(error)),
    };
    let mut encrypt = |data: &[u8]| {
        if data.is_empty() {
            return Ok(());
        }
        outgoing.put(data.len() + RECORDS_ADD, |room| traffic.encrypt(data, room).map_err(of_encrypt))
    };
    match task {
        Task::Nothing => Ok(0),
        Task::Encrypt(pieces) => {
            let is_one = pieces.len() == 1;
            let (mut taken, mut joined) = (0, Vec::new());
            for piece in pieces {
                let data = &piece[..piece.len().min(MAX_WRITE - taken)];
                if joined.len() + data.len() > JOINED {
                    encrypt(&joined)?;
                    joined.clear();
                }
                if is_one || data.len() > JOINED {
                    encrypt(data)?;
                } else {
                    joined.extend_from_slice(data);
                }
                taken += data.len();
            }
            encrypt(&joined)?;
            Ok(taken)
        }
        Task::SayGoodbye => {
            outgoing.put(RECORDS_ADD, |room| traffic.queue_close_notify(room).map_err(of_encrypt))?;
            Ok(0)
        }
    }
}

fn of_tls(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
