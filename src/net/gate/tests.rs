//! The gate's verdicts, whole and cut at every byte.

use std::collections::VecDeque;
use std::future::poll_fn;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::*;

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

/// What came out of a gate before it fell silent.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    bytes: Vec<u8>,
    refusal: Option<(u32, Refusal)>,
    bad_chunk: Option<BadChunk>,
}

fn through_gate(pieces: Vec<Vec<u8>>, read_size: usize) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let shared = Arc::new(Shared::default());
        let script = Script(pieces.into_iter().filter(|piece| !piece.is_empty()).collect());
        let mut gate = Gate::new(Transport::Other(Box::new(script)), shared.clone());
        let mut bytes = Vec::new();
        let mut bad_chunk = None;
        loop {
            let mut space = vec![0; read_size];
            let mut buf = ReadBuf::new(&mut space);
            let outcome = poll_fn(|cx| match Pin::new(&mut gate).poll_read(cx, &mut buf) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending => Poll::Ready(None),
            })
            .await;
            match outcome {
                None => break,
                Some(Ok(())) => bytes.extend_from_slice(buf.filled()),
                Some(Err(error)) => {
                    bad_chunk = error.get_ref().and_then(|inner| inner.downcast_ref::<BadChunk>()).copied();
                    assert!(bad_chunk.is_some(), "{error}");
                    break;
                }
            }
        }
        let refused = gate.passed;
        // The service's calls come in the order of the heads.
        for _ in 0..refused {
            assert_eq!(shared.call().1, None);
        }
        let (index, refusal) = shared.call();
        Seen { bytes, refusal: refusal.map(|refusal| (index, refusal)), bad_chunk }
    })
}

/// The same, for every way to cut the bytes in two, byte by byte, and with small reads.
fn through_gate_in_every_cut(bytes: &[u8]) -> Seen {
    let whole = through_gate(vec![bytes.to_vec()], 8192);
    for cut in 1..bytes.len() {
        let pieces = vec![bytes[..cut].to_vec(), bytes[cut..].to_vec()];
        assert_eq!(through_gate(pieces, 8192), whole, "cut at {cut}: {:?}", bytes.escape_ascii().to_string());
    }
    let single: Vec<Vec<u8>> = bytes.iter().map(|byte| vec![*byte]).collect();
    assert_eq!(through_gate(single, 8192), whole);
    assert_eq!(through_gate(vec![bytes.to_vec()], 7), whole);
    whole
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
        let seen = through_gate_in_every_cut(bytes.as_bytes());
        let text = bytes.escape_debug();
        assert_eq!(seen.refusal, Some((0, *refusal)), "{text}");
        assert_eq!(seen.bytes, STAND_IN, "nothing of it passes: {text}");
    }
}

#[test]
fn a_good_request_ahead_of_a_bad_one_passes_and_none_after_it() {
    let good = format!("{GET}Content-Length: 3\r\n\r\nabc");
    let bad = "GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    let seen = through_gate_in_every_cut(format!("{good}{bad}{good}").as_bytes());
    assert_eq!(seen.refusal, Some((1, Refusal::Host)));
    assert_eq!(seen.bytes, [good.as_bytes(), STAND_IN].concat());
}

#[test]
fn a_refused_head_request_gets_no_body() {
    let seen = through_gate_in_every_cut(b"HEAD / HTTP/1.1\r\n\r\n");
    assert_eq!(seen.bytes, HEAD_STAND_IN);
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
        let seen = through_gate_in_every_cut(format!("{head}{body}GET /smuggled HTTP/1.1\r\n").as_bytes());
        assert!(seen.bad_chunk.is_some(), "{body:?}");
        let passed = String::from_utf8(seen.bytes).unwrap();
        assert!(passed.starts_with(head) && !passed.contains("smuggled"), "{body:?}: {passed:?}");
    }
}

#[test]
fn what_is_valid_passes_as_it_came() {
    for bytes in [
        format!("{GET}\r\n"),
        format!("\r\n{GET}\r\n"),
        "GET / HTTP/1.0\r\n\r\n".into(),
        "OPTIONS * HTTP/1.1\r\nhOsT:\ta\t\r\nX:\r\nY: \u{e6}\u{f8}\u{e5}\t!\r\n\r\n".into(),
        format!("{GET}Content-Length: 003\r\n\r\nabc{GET}\r\n"),
        format!(
            "{GET}Transfer-Encoding: CHUNKED\r\n\r\n3;a=\"b\"\r\nabc\r\n0A\r\n0123456789\r\n00\r\n\r\n{GET}\r\n"
        ),
        format!("{GET}Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\nZ:\r\n\r\n{GET}\r\n"),
    ] {
        let seen = through_gate_in_every_cut(bytes.as_bytes());
        assert_eq!(
            seen,
            Seen { bytes: bytes.clone().into_bytes(), refusal: None, bad_chunk: None },
            "{bytes:?}"
        );
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
            assert_eq!(through_gate(pieces, 8192).refusal, Some((0, refusal)), "pieces of {size}");
        }
    }
    let most: String = (1..head::MAX_FIELDS).map(|n| format!("X{n}: a\r\n")).collect();
    let bytes = format!("{GET}{most}\r\n").into_bytes();
    assert_eq!(through_gate(vec![bytes.clone()], 8192).bytes, bytes);
}

#[test]
fn nothing_behind_an_upgrade_request_passes_before_its_answer() {
    let upgrade = format!("{GET}Upgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    let seen = through_gate_in_every_cut(format!("{upgrade}{GET}\r\n").as_bytes());
    assert_eq!(seen.bytes, upgrade.as_bytes());
}

#[tokio::test]
async fn behind_an_upgrade_request_goes_what_its_answer_says() {
    let upgrade = format!("{GET}Upgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    for (switches, behind, comes) in [
        (true, "\u{1}\nfree form", "\u{1}\nfree form".as_bytes()),
        (false, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (false, "\u{1}\nfree form", STAND_IN),
    ] {
        let shared = Arc::new(Shared::default());
        let script = Script([format!("{upgrade}{behind}").into_bytes()].into());
        let mut gate = Gate::new(Transport::Other(Box::new(script)), shared.clone());
        let mut head = vec![0; upgrade.len()];
        gate.read_exact(&mut head).await.unwrap();
        shared.call();
        shared.answer(switches);
        let mut rest = vec![0; comes.len()];
        gate.read_exact(&mut rest).await.unwrap();
        assert_eq!(rest, comes, "{switches} {behind:?}");
    }
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}"
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let fields = prop::collection::vec((token(), "[ \t]{0,2}[!-~]{0,20}[ \t]{0,2}"), 0..6);
    let body = prop::option::of((
        any::<bool>(),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..4),
    ));
    ("[A-Z]{1,7}", "/[!-\"$-~]{0,30}", fields, body).prop_map(|(method, target, fields, body)| {
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n").into_bytes();
        for (name, value) in fields {
            let special = ["host", "content-length", "transfer-encoding", "upgrade"];
            if !special.contains(&name.to_ascii_lowercase().as_str()) {
                bytes.extend(format!("{name}:{value}\r\n").into_bytes());
            }
        }
        match body.filter(|_| method != "CONNECT") {
            None => bytes.extend(b"\r\n"),
            Some((true, chunks)) => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in chunks {
                    bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                    bytes.extend(chunk);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(b"0\r\n\r\n");
            }
            Some((false, chunks)) => {
                let content = chunks.concat();
                bytes.extend(format!("Content-Length: {}\r\n\r\n", content.len()).into_bytes());
                bytes.extend(content);
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn valid_requests_pass_unchanged_however_they_are_cut(
        requests in prop::collection::vec(request(), 1..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        read_size in 1usize..300,
    ) {
        let bytes = requests.concat();
        prop_assume!(!bytes.starts_with(b"CONNECT ") && !bytes.windows(9).any(|w| w == b"\nCONNECT "));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for cut in cuts {
            pieces.push(bytes[start..cut].to_vec());
            start = cut;
        }
        pieces.push(bytes[start..].to_vec());
        let seen = through_gate(pieces, read_size);
        prop_assert_eq!(seen, Seen { bytes, refusal: None, bad_chunk: None });
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
        let whole = through_gate(vec![bytes.clone()], 8192);
        let halves = through_gate(vec![bytes[..cut].to_vec(), bytes[cut..].to_vec()], 8192);
        prop_assert_eq!(whole, halves);
    }
}
