//! The reading of an upstream's frames as a function of their bytes: for fuzzing, and for tests
//! that cut the bytes in pieces.

use std::task::{Context, Poll, Waker};

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::hpack::Scheme;
use super::session::{Arrival, RequestHead, Session, USUAL_MAX_STREAMS};
use crate::message::Fields;

/// What came for one of the requests of [`read_http2`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReadStream {
    pub interim: Vec<StatusCode>,
    pub head: Option<(StatusCode, HeaderMap)>,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    /// All of it has come.
    pub ended: bool,
    /// Why no more of it will come.
    pub broken: Option<String>,
}

/// What a connection gave for a GET on stream 1, a HEAD on stream 3 and a POST, whose body never
/// ends, on stream 5.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadConnection {
    pub streams: [ReadStream; 3],
    /// Why the connection is at its end.
    pub fatal: Option<&'static str>,
}

/// Reads what `pieces` bring of a connection, one by one. What is written to it is thrown away.
pub fn read_http2<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> ReadConnection {
    let mut session = Session::new(USUAL_MAX_STREAMS);
    let fields = Fields::new();
    let authority = HeaderValue::from_static("api.example.no");
    let requests = [(Method::GET, true), (Method::HEAD, true), (Method::POST, false)];
    let ids = requests.map(|(method, ends)| {
        let head = RequestHead {
            method: &method,
            scheme: Scheme::Https,
            authority: &authority,
            path: "/",
            fields: fields.iter(),
        };
        session.open(head, ends)
    });
    // All of it goes out ahead of what comes; a sink takes it at once.
    let _taken = session.out.poll_write(&mut tokio::io::sink(), &mut Context::from_waker(Waker::noop()));
    let mut fatal = None;
    for piece in pieces {
        if let Err(reason) = session.receive(piece) {
            fatal = Some(reason.reason);
            session.reject(&reason);
            break;
        }
    }
    ReadConnection { streams: ids.map(|id| read_stream(&mut session, id)), fatal }
}

fn read_stream(session: &mut Session, id: u32) -> ReadStream {
    let cx = Context::from_waker(Waker::noop());
    let mut read = ReadStream::default();
    loop {
        match session.poll_head(id, &cx) {
            Poll::Ready(Ok(Arrival::Interim(status, _))) => read.interim.push(status),
            Poll::Ready(Ok(Arrival::Head(status, fields))) => {
                read.head = Some((status, HeaderMap::from(&fields)));
                break;
            }
            Poll::Ready(Err(broken)) => {
                read.broken = Some(broken.to_string());
                return read;
            }
            Poll::Pending => return read,
        }
    }
    loop {
        match session.poll_data(id, &cx) {
            Poll::Ready(Some(Ok(data))) => read.body.extend_from_slice(&data),
            Poll::Ready(Some(Err(broken))) => {
                read.broken = Some(broken.to_string());
                return read;
            }
            Poll::Ready(None) => {
                read.trailers = session.take_trailers(id);
                read.ended = session.is_taken(id);
                return read;
            }
            Poll::Pending => return read,
        }
    }
}
