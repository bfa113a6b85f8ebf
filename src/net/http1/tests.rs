//! What the handler gets to see of a client's bytes, whole and cut at every byte.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use http::StatusCode;
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::*;
use crate::net::{BodyError, Drain};

/// A client that sends its pieces one by one and then keeps the connection open.
struct Script(VecDeque<Vec<u8>>);

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(mut piece) = self.0.pop_front() else { return Poll::Pending };
        let here = piece.len().min(buf.remaining());
        buf.put_slice(&piece[..here]);
        if here < piece.len() {
            self.0.push_front(piece.split_off(here));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A request as the handler saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    line: String,
    fields: Vec<(String, Vec<u8>)>,
    content: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
}

/// What the handler got before the connection fell silent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    requests: Vec<Heard>,
    refusal: Option<(usize, Refusal)>,
    bad_chunk: Option<BadChunk>,
}

fn fields(headers: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// Runs a connection to its end, with a clock that stands still while there is something to do.
fn run<R, F, B>(pieces: Vec<Vec<u8>>, handler: F)
where
    F: Fn(Request<Incoming>, Call) -> R,
    R: Future<Output = Result<Response<B>, Infallible>>,
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let tasks = tokio::task::LocalSet::new();
    runtime.unwrap().block_on(async {
        let script = Script(pieces.into_iter().filter(|piece| !piece.is_empty()).collect());
        let (_drain, watch) = Drain::new();
        let transport = Transport::Other(Box::new(script));
        let connection = Connection::new(transport, Rc::default(), Patience::default());
        tasks.run_until(connection.serve(&handler, &mut Turns::new(&watch))).await;
        tasks.await;
    });
}

fn serve(pieces: Vec<Vec<u8>>) -> Seen {
    let seen = RefCell::new(Seen::default());
    run(pieces, async |request, call| {
        if let Some(refusal) = call.refusal {
            let index = seen.borrow().requests.len();
            seen.borrow_mut().refusal = Some((index, refusal));
            return Ok(answer(refusal.status()));
        }
        let (parts, mut body) = http::Request::from(request).into_parts();
        let mut heard = Heard {
            line: format!("{} {} {:?}", parts.method, parts.uri, parts.version),
            fields: fields(&parts.headers),
            content: Vec::new(),
            trailers: Vec::new(),
        };
        // Longer than anything comes: what is missing then will never come.
        let _ = tokio::time::timeout(Duration::from_secs(1), async {
            while let Some(frame) = body.frame().await {
                match frame.map(http_body::Frame::into_data) {
                    Ok(Ok(data)) => heard.content.extend_from_slice(&data),
                    Ok(Err(frame)) => heard.trailers = fields(&frame.into_trailers().unwrap()),
                    Err(BodyError::BadChunk(bad)) => {
                        seen.borrow_mut().bad_chunk = Some(bad);
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await;
        seen.borrow_mut().requests.push(heard);
        Ok(answer(StatusCode::OK))
    });
    seen.into_inner()
}

fn answer(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = http::Response::new(Full::default());
    *response.status_mut() = status;
    response.into()
}

/// The same, for every way to cut the bytes in two, and byte by byte.
fn serve_in_every_cut(bytes: &[u8]) -> Seen {
    let whole = serve(vec![bytes.to_vec()]);
    for cut in 1..bytes.len() {
        let pieces = vec![bytes[..cut].to_vec(), bytes[cut..].to_vec()];
        assert_eq!(serve(pieces), whole, "cut at {cut}: {:?}", bytes.escape_ascii().to_string());
    }
    let single: Vec<Vec<u8>> = bytes.iter().map(|byte| vec![*byte]).collect();
    assert_eq!(serve(single), whole);
    whole
}

fn heard(line: &str, fields: &[(&str, &str)], content: &str) -> Heard {
    let owned = |(name, value): &(&str, &str)| (String::from(*name), value.as_bytes().to_vec());
    Heard {
        line: line.into(),
        fields: fields.iter().map(owned).collect(),
        content: content.into(),
        trailers: Vec::new(),
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n";

#[test]
fn heads_that_are_refused() {
    use Refusal::*;
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    let cases: &[(&str, Refusal)] = &[
        (
            &format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            LengthAndEncoding,
        ),
        (
            &format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
            LengthAndEncoding,
        ),
        (&format!("{post}Content-Length: +5\r\n\r\nabcde"), ContentLength),
        (&format!("{post}Content-Length: 0x5\r\n\r\nabcde"), ContentLength),
        (&format!("{post}Content-Length: 1,1\r\n\r\na"), ContentLength),
        (&format!("{post}Content-Length: 1 1\r\n\r\na"), ContentLength),
        (&format!("{post}Content-Length:\r\n\r\n"), ContentLength),
        (&format!("{post}Content-Length: -1\r\n\r\n"), ContentLength),
        (&format!("{post}Content-Length: 99999999999999999999\r\n\r\n"), ContentLength),
        (&format!("{post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"), ContentLength),
        (&format!("{post}Content-Length: 5\r\ncontent-length: 5\r\n\r\nabcde"), ContentLength),
        (&format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), TransferEncoding),
        (&format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n"), TransferEncoding),
        (&format!("{post}Transfer-Encoding: identity\r\n\r\n"), TransferEncoding),
        (&format!("{post}Transfer-Encoding: \r\n\r\n"), TransferEncoding),
        (
            &format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
            TransferEncoding,
        ),
        (&format!("{post}Transfer-Encoding: \"chunked\"\r\n\r\n"), TransferEncoding),
        (&format!("{post}Transfer-Encoding: chunked;x=y\r\n\r\n"), TransferEncoding),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncoding),
        ("GET / HTTP/1.1\nHost: a\n\n", LineEnding),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", LineEnding),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", LineEnding),
        (&format!("{GET}X: a\r\n b\r\n\r\n"), Folded),
        (&format!("{GET}X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n"), Folded),
        (&format!("{GET}X : a\r\n\r\n"), FieldName),
        (&format!("{GET}Transfer-Encoding : chunked\r\n\r\n"), FieldName),
        (&format!("{GET}: a\r\n\r\n"), FieldName),
        (&format!("{GET}X\r\n\r\n"), FieldName),
        (&format!("{GET}X(y): a\r\n\r\n"), FieldName),
        (&format!("{GET}X\0: a\r\n\r\n"), FieldName),
        (&format!("{GET}Content\u{2d}\u{200b}Length: 5\r\n\r\n"), FieldName),
        (&format!("{GET}X: a\0b\r\n\r\n"), FieldValue),
        (&format!("{GET}X: a\rb\r\n\r\n"), FieldValue),
        (&format!("{GET}X: a\r\r\n\r\n"), FieldValue),
        (&format!("{GET}X: a\x0bb\r\n\r\n"), FieldValue),
        (&format!("{GET}X: a\x7fb\r\n\r\n"), FieldValue),
        (&format!("{GET}Host: b\r\n\r\n"), Host),
        (&format!("{GET}Host: a\r\n\r\n"), Host),
        ("GET / HTTP/1.1\r\n\r\n", Host),
        ("GET / HTTP/1.1\r\nX: a\r\n\r\n", Host),
        ("GET /\r\n\r\n", RequestLine),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        // Valid by its characters' class, and no URI.
        ("GET /<x> HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("GET a:b:c HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", RequestLine),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", RequestLine),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Version),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", Version),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", Version),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\n\r\nabc", ConnectBody),
        ("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", RequestLine),
        ("\x16\x03\x01\x02\0\x01\0\x01\n", LineEnding),
    ];
    for (bytes, refusal) in cases {
        let seen = serve_in_every_cut(bytes.as_bytes());
        let expected = Seen { refusal: Some((0, *refusal)), ..Seen::default() };
        assert_eq!(seen, expected, "nothing of it passes: {}", bytes.escape_debug());
    }
}

#[test]
fn a_good_request_ahead_of_a_bad_one_passes_and_none_after_it() {
    let good = format!("{GET}Content-Length: 3\r\n\r\nabc");
    let bad = "GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    let seen = serve_in_every_cut(format!("{good}{bad}{good}").as_bytes());
    assert_eq!(seen.refusal, Some((1, Refusal::Host)));
    let fields = [("host", "a"), ("content-length", "3")];
    assert_eq!(seen.requests, [heard("GET / HTTP/1.1", &fields, "abc")]);
}

#[test]
fn a_refused_head_request_is_known_as_one() {
    let method = RefCell::new(None);
    run(vec![b"HEAD / HTTP/1.1\r\n\r\n".to_vec()], async |request, call| {
        assert_eq!(call.refusal, Some(Refusal::Host));
        *method.borrow_mut() = Some(request.head.method.clone());
        Ok(answer(StatusCode::BAD_REQUEST))
    });
    assert_eq!(method.into_inner(), Some(Method::HEAD));
}

#[test]
fn chunked_bodies_that_break() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "x\r\n",
        "\r\n",
        ";a\r\n",
        "0x5\r\nabcde\r\n",
        "+5\r\nabcde\r\n",
        "5 \r\nabcde\r\n",
        " 5\r\nabcde\r\n",
        "5\nabcde\r\n",
        "5\r\nabcdef\r\n",
        "5\r\nabcde\n",
        "5\r\nabcdeX\r\n",
        "5\rabcde\r\n",
        "5;a\rb\r\nabcde\r\n",
        "5;a\nabcde\r\n",
        "5;a\0\r\nabcde\r\n",
        "ffffffffffffffff\r\na",
        "1\r\na\r\n0\r\nX : y\r\n\r\n",
        "1\r\na\r\n0\r\n folded\r\n\r\n",
        "1\r\na\r\n0\r\nX: a\nb\r\n\r\n",
        "1\r\na\r\n0\r\nX: a\rb\r\n\r\n",
        "1\r\na\r\n0\r\n\n",
    ] {
        let seen = serve_in_every_cut(format!("{head}{body}GET /smuggled HTTP/1.1\r\n").as_bytes());
        assert!(seen.bad_chunk.is_some(), "{body:?}");
        assert_eq!(seen.requests.len(), 1, "{body:?}: {seen:?}");
        assert!(!seen.requests[0].content.windows(8).any(|w| w == b"smuggled"), "{body:?}: {seen:?}");
    }
}

#[test]
fn what_is_valid_passes_as_it_came() {
    let get = || heard("GET / HTTP/1.1", &[("host", "a")], "");
    let chunked =
        |coding, content| heard("GET / HTTP/1.1", &[("host", "a"), ("transfer-encoding", coding)], content);
    for (bytes, requests) in [
        (format!("{GET}\r\n"), vec![get()]),
        (format!("\r\n{GET}\r\n"), vec![get()]),
        ("GET / HTTP/1.0\r\n\r\n".into(), vec![heard("GET / HTTP/1.0", &[], "")]),
        (
            "OPTIONS * HTTP/1.1\r\nhOsT:\ta\t\r\nX:\r\nY: \u{e6}\u{f8}\u{e5}\t!\r\n\r\n".into(),
            vec![heard(
                "OPTIONS * HTTP/1.1",
                &[("host", "a"), ("x", ""), ("y", "\u{e6}\u{f8}\u{e5}\t!")],
                "",
            )],
        ),
        (
            format!("{GET}Content-Length: 003\r\n\r\nabc{GET}\r\n"),
            vec![heard("GET / HTTP/1.1", &[("host", "a"), ("content-length", "003")], "abc"), get()],
        ),
        (
            format!(
                "{GET}Transfer-Encoding: CHUNKED\r\n\r\n3;a=\"b\"\r\nabc\r\n0A\r\n0123456789\r\n00\r\n\r\n{GET}\r\n"
            ),
            vec![chunked("CHUNKED", "abc0123456789"), get()],
        ),
        (
            format!("{GET}Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\nZ:\r\n\r\n{GET}\r\n"),
            vec![
                Heard {
                    trailers: vec![("x".into(), b"y".to_vec()), ("z".into(), Vec::new())],
                    ..chunked("chunked", "")
                },
                get(),
            ],
        ),
    ] {
        let seen = serve_in_every_cut(bytes.as_bytes());
        assert_eq!(seen, Seen { requests, ..Seen::default() }, "{bytes:?}");
    }
}

#[test]
fn heads_have_limits() {
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(head::MAX_REQUEST_LINE));
    let long_head = format!("{GET}X: {}\r\n\r\n", "a".repeat(head::MAX_HEAD));
    let endless = format!("{GET}X: {}", "a".repeat(head::MAX_HEAD));
    let many: String = (0..head::MAX_FIELDS).map(|n| format!("X{n}: a\r\n")).collect();
    for (bytes, refusal) in [
        (long_target, Refusal::TargetTooLong),
        ("G".repeat(head::MAX_REQUEST_LINE + 1), Refusal::TargetTooLong),
        (long_head, Refusal::HeadTooLarge),
        (endless, Refusal::HeadTooLarge),
        (format!("{GET}{many}\r\n"), Refusal::HeadTooLarge),
    ] {
        for size in [bytes.len(), 1000, 8192] {
            let pieces = bytes.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
            assert_eq!(serve(pieces).refusal, Some((0, refusal)), "pieces of {size}");
        }
    }
    let most: String = (1..head::MAX_FIELDS).map(|n| format!("X{n}: a\r\n")).collect();
    let seen = serve(vec![format!("{GET}{most}\r\n").into_bytes()]);
    assert_eq!(seen.requests[0].fields.len(), head::MAX_FIELDS as usize);
}

#[test]
fn a_head_that_does_not_go_on_is_refused_and_an_idle_connection_is_not() {
    let seen = serve(vec![format!("{GET}\r\n").into_bytes(), b"GET /".to_vec()]);
    assert_eq!((seen.requests.len(), seen.refusal), (1, Some((1, Refusal::Timeout))));
    let seen = serve(vec![format!("{GET}\r\n").into_bytes()]);
    assert_eq!((seen.requests.len(), seen.refusal), (1, None));
    // An empty line behind a request begins no other.
    let seen = serve(vec![format!("{GET}\r\n\r\n").into_bytes()]);
    assert_eq!((seen.requests.len(), seen.refusal), (1, None));
}

#[test]
fn a_start_that_could_be_the_preface_of_http2_has_no_more_time_than_another() {
    for start in ["P", "PRI * HTTP/2.0\r\n\r\nSM", "G"] {
        assert_eq!(serve(vec![start.into()]).refusal, Some((0, Refusal::Timeout)), "{start:?}");
    }
}

#[test]
fn a_request_s_body_can_be_its_response_s() {
    for body in ["Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"] {
        let seen = RefCell::new(0);
        let request = format!("{GET}{body}");
        run(vec![request.clone().into_bytes(), request.into_bytes()], async |request, call| {
            assert_eq!(call.refusal, None);
            *seen.borrow_mut() += 1;
            Ok(http::Response::new(request.body).into())
        });
        assert_eq!(seen.into_inner(), 2, "the connection goes on: {body}");
    }
}

#[test]
fn behind_an_upgrade_request_goes_what_its_answer_says() {
    let upgrade = format!("{GET}Upgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    for (switches, behind, refusal) in [
        (true, "\u{1}\nfree form", None),
        (false, next, None),
        (false, "\u{1}\nfree form", Some(Refusal::LineEnding)),
    ] {
        let early = Rc::new(RefCell::new(Vec::new()));
        let (seen, refused) = (RefCell::new(Vec::new()), RefCell::new(None));
        run(vec![upgrade.clone().into_bytes(), behind.as_bytes().to_vec()], async |request, call| {
            if call.refusal.is_some() {
                *refused.borrow_mut() = call.refusal;
                return Ok(answer(StatusCode::BAD_REQUEST));
            }
            seen.borrow_mut().push(request.head.uri.to_string());
            if request.head.uri.path() == "/next" {
                return Ok(answer(StatusCode::OK));
            }
            let (client, early, length) = (call.upgrade, early.clone(), behind.len());
            // What is behind must not be taken for a request before the answer is there.
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(seen.borrow().len(), 1);
            if !switches {
                return Ok(answer(StatusCode::OK));
            }
            tokio::task::spawn_local(async move {
                let mut client = client.await.unwrap();
                let mut bytes = vec![0; length];
                client.read_exact(&mut bytes).await.unwrap();
                *early.borrow_mut() = bytes;
            });
            Ok(answer(StatusCode::SWITCHING_PROTOCOLS))
        });
        let early = String::from_utf8(early.take()).unwrap();
        assert_eq!(early, if switches { behind } else { "" });
        assert_eq!(refused.into_inner(), refusal);
        assert_eq!(seen.into_inner().len(), if behind == next { 2 } else { 1 });
    }
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}"
}

/// A request's bytes, and what is to be heard of them.
fn request() -> impl Strategy<Value = (Vec<u8>, Heard)> {
    let fields = prop::collection::vec((token(), "[ \t]{0,2}[!-~]{0,20}[ \t]{0,2}"), 0..6);
    let body = prop::option::of((
        any::<bool>(),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..4),
    ));
    let target = "/[!-\"$-~]{0,30}".prop_filter("a target", |target| target.parse::<http::Uri>().is_ok());
    let method = "[A-Z]{1,7}".prop_filter("no tunnel", |method| method != "CONNECT");
    (method, target, fields, body).prop_map(|(method, target, fields, body)| {
        let line = format!("{method} {target} HTTP/1.1");
        let mut expected = heard(&line, &[("host", "a")], "");
        let mut bytes = format!("{line}\r\nHost: a\r\n").into_bytes();
        for (name, value) in fields {
            let special = ["host", "content-length", "transfer-encoding", "upgrade", "connection"];
            if !special.contains(&name.to_ascii_lowercase().as_str()) {
                bytes.extend(format!("{name}:{value}\r\n").into_bytes());
                expected.fields.push((name.to_ascii_lowercase(), value.trim_ascii().into()));
            }
        }
        match body {
            None => bytes.extend(b"\r\n"),
            Some((true, chunks)) => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                expected.fields.push(("transfer-encoding".into(), b"chunked".to_vec()));
                for chunk in chunks {
                    bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                    bytes.extend(&chunk);
                    bytes.extend(b"\r\n");
                    expected.content.extend(&chunk);
                }
                bytes.extend(b"0\r\n\r\n");
            }
            Some((false, chunks)) => {
                expected.content = chunks.concat();
                let length = expected.content.len().to_string();
                bytes.extend(format!("Content-Length: {length}\r\n\r\n").into_bytes());
                bytes.extend(&expected.content);
                expected.fields.push(("content-length".into(), length.into()));
            }
        }
        // Lines of one name are told together.
        let first = |name: &String| expected.fields.iter().position(|(other, _)| other == name);
        let mut order: Vec<_> =
            expected.fields.iter().map(|field| (first(&field.0), field.clone())).collect();
        order.sort_by_key(|(at, _)| *at);
        expected.fields = order.into_iter().map(|(_, field)| field).collect();
        (bytes, expected)
    })
}

proptest! {
    #[test]
    fn valid_requests_pass_unchanged_however_they_are_cut(
        requests in prop::collection::vec(request(), 1..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let bytes: Vec<u8> = requests.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for cut in cuts {
            pieces.push(bytes[start..cut].to_vec());
            start = cut;
        }
        pieces.push(bytes[start..].to_vec());
        let requests = requests.into_iter().map(|(_, expected)| expected).collect();
        prop_assert_eq!(serve(pieces), Seen { requests, ..Seen::default() });
    }

    #[test]
    fn any_bytes_meet_the_same_verdict_however_they_are_cut(
        bytes in prop::collection::vec(prop_oneof![
            Just(b"GET / HTTP/1.1\r\n".to_vec()), Just(b"Host: a\r\n".to_vec()), Just(b"\r\n".to_vec()),
            Just(b"Content-Length: 5\r\n".to_vec()), Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
            Just(b"0\r\n".to_vec()), Just(b"5\r\nabcde".to_vec()), prop::collection::vec(any::<u8>(), 0..5),
        ], 0..10),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = bytes.concat();
        let cut = cut.index(bytes.len() + 1);
        let whole = serve(vec![bytes.clone()]);
        let halves = serve(vec![bytes[..cut].to_vec(), bytes[cut..].to_vec()]);
        prop_assert_eq!(whole, halves);
    }
}
