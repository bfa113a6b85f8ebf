//! The reading of a response as a function of its bytes: for fuzzing, and for tests that cut the
//! bytes in pieces.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::body::Decoder;
use super::head::{Framing, Head};
use super::is_bodiless;
use crate::message::Recurring;
use crate::net::spare;

/// What a connection gave for one request.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadResponse {
    /// The interim responses ahead of it.
    pub interim: Vec<StatusCode>,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    /// Bytes that came behind it, which make its connection unusable.
    pub behind: usize,
    /// Another request could have been sent.
    pub persists: bool,
}

/// Reads the answer to a GET, or `to_head` to a HEAD, as a connection does on which `pieces` come
/// one by one, and then its end. `None` where it breaks off.
///
/// # Errors
///
/// Why it is no valid response.
pub fn read_response<'a>(
    to_head: bool,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<ReadResponse>, &'static str> {
    let method = if to_head { Method::HEAD } else { Method::GET };
    let (mut unread, mut recurring) = (Bytes::new(), Recurring::default());
    let mut interim = Vec::new();
    let mut reading: Option<(ReadResponse, Decoder)> = None;
    for piece in pieces {
        spare::append(&mut unread, piece);
        while reading.is_none() {
            let Some(answer) = Head::take(&mut unread, &mut recurring)? else { break };
            if answer.head.status.is_informational() && answer.head.status != StatusCode::SWITCHING_PROTOCOLS
            {
                interim.push(answer.head.status);
                continue;
            }
            let switches = answer.head.status == StatusCode::SWITCHING_PROTOCOLS;
            let framing = match answer.framing {
                _ if switches || is_bodiless(&method, answer.head.status) => Framing::Length(0),
                framing => framing,
            };
            let response = ReadResponse {
                interim: std::mem::take(&mut interim),
                status: answer.head.status,
                headers: HeaderMap::from(&answer.head.fields),
                body: Vec::new(),
                trailers: None,
                behind: 0,
                persists: answer.persists && framing != Framing::Unstated && !switches,
            };
            reading = Some((response, Decoder::new(framing)));
        }
        let Some((response, decoder)) = &mut reading else { continue };
        while let Some(frame) = decoder.frame(&mut unread)? {
            match frame.into_data() {
                Ok(data) => response.body.extend_from_slice(&data),
                Err(frame) => response.trailers = frame.into_trailers().ok(),
            }
        }
        decoder.look_ahead(&mut unread)?;
    }
    let Some((mut response, mut decoder)) = reading else { return Ok(None) };
    if !decoder.is_complete() && !decoder.close() {
        return Ok(None);
    }
    response.behind = unread.len();
    Ok(Some(response))
}
