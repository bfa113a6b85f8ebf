//! [`Exchange`]: from a request to the head of its response.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;

use super::Failure;
use super::head::{Fault, Head, MAX_HEAD, TOO_LONG};
use super::upload::{self, Upload};
use super::wire::Wire;
use crate::hint::seldom;
use crate::message::{Name, Recurring};
use crate::net::Interim;
use crate::upstream::body::{GoAhead, Replay};
use crate::upstream::error::UpstreamError;
use crate::upstream::origin::Origin;

/// Interim responses ahead of one response.
const MAX_INTERIM: usize = 32;

/// Why there is no head.
pub(super) enum NoHead {
    Malformed(Fault),
    Closed(io::Error),
    Client(upload::Fault),
    Timeout,
}

/// A request on its way, until the head of its response is there.
pub(super) struct Exchange<'a> {
    upload: Upload,
    /// Why the upstream takes no more of the request; it may have answered all the same.
    broken: Option<io::Error>,
    go_ahead: Option<GoAhead>,
    interim: &'a Interim,
    interims: usize,
    recurring: &'a RefCell<Recurring>,
    /// The response was not there when it was first looked for.
    waits: bool,
    /// A byte of a response has come.
    has_read: bool,
    /// What has been read was looked at, and is not a whole head.
    is_partial: bool,
    /// The stream broke ahead of the first byte that was written.
    is_unsent: bool,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        upload: Upload,
        go_ahead: Option<GoAhead>,
        interim: &'a Interim,
        recurring: &'a RefCell<Recurring>,
    ) -> Self {
        Self {
            upload,
            broken: None,
            go_ahead,
            interim,
            interims: 0,
            recurring,
            waits: false,
            has_read: false,
            is_partial: false,
            is_unsent: false,
        }
    }

    pub(super) fn upload(&self) -> &Upload {
        &self.upload
    }

    /// What of the request has not gone out and still can.
    pub(super) fn into_rest(self) -> Option<Upload> {
        Some(self.upload).filter(|upload| !upload.is_done() && self.broken.is_none())
    }

    /// Writes and reads as far as that goes; ready with the head of the response.
    pub(super) fn poll(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<Result<Head, NoHead>> {
        loop {
            self.send(wire, cx)?;
            let answer = ready!(self.receive(wire, cx))?;
            let status = answer.head.status;
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Ok(answer));
            }
            seldom();
            self.pass_on(answer)?;
        }
    }

    /// Does with an interim response what is to be done.
    #[inline(never)]
    fn pass_on(&mut self, interim: Head) -> Result<(), NoHead> {
        if interim.head.status == StatusCode::CONTINUE {
            // The body that was held back goes out now.
            self.go_ahead.iter().for_each(GoAhead::set);
        } else {
            let mut fields = interim.head.fields;
            for name in [Name::Connection, Name::TransferEncoding, Name::ContentLength] {
                fields.remove(name);
            }
            self.interim.send(interim.head.status, &fields);
        }
        self.interims += 1;
        if self.interims > MAX_INTERIM {
            return Err(NoHead::Malformed("it has more than 32 interim responses"));
        }
        Ok(())
    }

    /// Writes on, if there is something to write.
    fn send(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Result<(), NoHead> {
        if self.broken.is_some() || self.upload.is_done() {
            return Ok(());
        }
        let Some(stream) = wire.writer() else { return Ok(()) };
        match self.upload.poll(stream, cx) {
            Poll::Pending | Poll::Ready(Ok(())) => Ok(()),
            Poll::Ready(Err(upload::Fault::Upstream(error))) if self.upload.written() == 0 => {
                seldom();
                // A TLS session may have sent some of what it has not taken as a whole.
                self.is_unsent = !stream.is_tls();
                Err(NoHead::Closed(error))
            }
            Poll::Ready(Err(upload::Fault::Upstream(error))) => {
                seldom();
                self.broken = Some(error);
                Ok(())
            }
            Poll::Ready(Err(fault)) => {
                seldom();
                Err(NoHead::Client(fault))
            }
        }
    }

    fn receive(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<Result<Head, NoHead>> {
        loop {
            if !wire.unread.is_empty() && !self.is_partial {
                if let Some(head) = Head::take(&mut wire.unread, &mut self.recurring.borrow_mut())
                    .map_err(NoHead::Malformed)?
                {
                    return Poll::Ready(Ok(head));
                }
                seldom();
                if wire.unread.len() >= MAX_HEAD {
                    return Poll::Ready(Err(NoHead::Malformed(TOO_LONG)));
                }
                self.is_partial = true;
            }
            // Right behind the request there is nearly always nothing; later the task is woken because
            // there is something.
            if !std::mem::replace(&mut self.waits, true) && !wire.is_readable(cx) {
                return Poll::Pending;
            }
            let came = match ready!(wire.poll_more(cx)) {
                Ok(came @ 1..) => came,
                other => {
                    seldom();
                    let end = other.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                    return Poll::Ready(Err(NoHead::Closed(self.broken.take().unwrap_or(end))));
                }
            };
            self.has_read = true;
            // Behind a part of a head, bytes without the end of a line make no whole one; with too
            // much there is none. What comes first is looked at in any case.
            let before = wire.unread.len() - came;
            let is_full = wire.unread.len() >= MAX_HEAD;
            self.is_partial =
                before > 0 && !is_full && memchr::memchr(b'\n', &wire.unread[before..]).is_none();
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn failure(
        self,
        reason: NoHead,
        replay: &Replay,
        origin: &Origin,
        timeout: Duration,
    ) -> Failure {
        if let Some(fault) = replay.fault() {
            return UpstreamError::Client(fault).into();
        }
        let to = origin.to_string();
        match reason {
            NoHead::Malformed(reason) => UpstreamError::Malformed { to, reason: reason.into() }.into(),
            NoHead::Client(fault) => fault.into_error(to).into(),
            NoHead::Timeout => UpstreamError::ResponseTimeout { to, after: timeout }.into(),
            NoHead::Closed(source) => Failure {
                error: UpstreamError::Closed { to, source: source.into() },
                unsent: if self.is_unsent { replay.body() } else { None },
                died: !self.has_read,
            },
        }
    }
}
