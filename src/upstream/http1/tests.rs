//! The codec by itself: what is written of a request, and what is made of an answer's bytes.

use http::{HeaderMap, HeaderValue, Request, Version};
use proptest::prelude::*;

use super::encode::{Framing as Announced, encode};
use super::head::{MAX_HEAD, TOO_LONG};
use super::*;
use crate::config::Scheme;

fn origin() -> Origin {
    Origin::new(Scheme::Https, &"api.example.no".parse().unwrap()).unwrap()
}

fn written(request: http::request::Builder, body: RequestBody) -> Result<(String, Announced), UpstreamError> {
    let (head, ()) = request.body(()).unwrap().into_parts();
    let encoded = encode(&head.into(), &body, &origin())?;
    Ok((String::from_utf8(encoded.bytes).unwrap(), encoded.framing))
}

#[test]
fn a_request_is_written_in_origin_form_with_its_fields_in_order() {
    let request = Request::get("http://other.example/a%2Fb//c?q=%20")
        .header("x-first", "1")
        .header("host", "other.example")
        .header("x-second", "2")
        .header("x-second", "3")
        .header("expect", "100-continue")
        .header("transfer-encoding", "chunked");
    let (head, framing) = written(request, RequestBody::empty()).unwrap();
    let expected = "GET /a%2Fb//c?q=%20 HTTP/1.1\r\nhost: api.example.no\r\n\
                    x-first: 1\r\nx-second: 2\r\nx-second: 3\r\n\r\n";
    assert_eq!((head.as_str(), framing), (expected, Announced::Empty));
    for (target, path) in
        [("*", "*"), ("/", "/"), ("http://a", "/"), ("http://a?q", "/?q"), ("/?x:y@z", "/?x:y@z")]
    {
        let (head, _) = written(Request::options(target), RequestBody::empty()).unwrap();
        assert!(head.starts_with(&format!("OPTIONS {path} HTTP/1.1\r\n")), "{head}");
    }
}

#[test]
fn a_body_is_announced_once_and_as_it_is() {
    let body = || RequestBody::full("abc".into());
    let (head, framing) = written(Request::get("/"), body()).unwrap();
    assert!(head.ends_with("\r\ncontent-length: 3\r\n\r\n"), "{head}");
    assert_eq!(framing, Announced::Length(3));
    let (head, framing) = written(Request::post("/").header("content-length", "3"), body()).unwrap();
    assert_eq!((head.matches("content-length").count(), framing), (1, Announced::Length(3)));

    let no_body = Request::post("/").version(Version::HTTP_2);
    let (head, framing) = written(no_body, RequestBody::empty()).unwrap();
    assert!(head.contains("content-length: 0\r\n"), "{head}");
    assert_eq!(framing, Announced::Empty);
}

#[test]
fn lengths_that_the_next_request_would_pay_for_are_not_written() {
    for lengths in [&["3"][..], &["0", "0"], &["+0"], &[""]] {
        let mut request = Request::post("/");
        for length in lengths {
            request = request.header("content-length", *length);
        }
        let error = written(request, RequestBody::empty()).unwrap_err();
        assert!(matches!(error, UpstreamError::Request(_)), "{lengths:?}: {error}");
    }
}

#[test]
fn cookies_that_came_apart_go_on_together() {
    let request = Request::get("/")
        .header("cookie", "a=1")
        .header("accept", "x")
        .header("cookie", "b=2")
        .header("cookie", "c=3");
    let (head, _) = written(request, RequestBody::empty()).unwrap();
    assert!(head.contains("cookie: a=1; b=2; c=3\r\n") && head.contains("accept: x\r\n"), "{head}");
    assert_eq!(head.matches("cookie").count(), 1, "{head}");
}

/// The answer to a GET, in one piece.
fn read(bytes: &str) -> Result<Option<ReadResponse>, &'static str> {
    read_response(false, [bytes.as_bytes()])
}

fn whole(bytes: &str) -> ReadResponse {
    read(bytes).unwrap().unwrap()
}

const CHUNKED: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 Fine\r\n\
    Transfer-Encoding: Chunked\r\nX: 1\r\nX:  2 \r\n\r\n\
    3;ext=\"a\"\r\nabc\r\n1  \r\nd\r\n0a\r\n0123456789\r\n000\r\nX-Sum: 14\r\nX-Sum:y\r\n\r\n";
const OTHERS: [&str; 5] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 Not Found\r\nServer: x\r\n\r\nto the close",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\n\r\n",
    "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\nmore",
];

#[test]
fn a_response_is_the_same_wherever_its_bytes_are_cut() {
    for text in [CHUNKED].into_iter().chain(OTHERS) {
        let expected = whole(text);
        let bytes = text.as_bytes();
        for at in 0..=bytes.len() {
            let (one, other) = bytes.split_at(at);
            assert_eq!(read_response(false, [one, other]).as_ref(), Ok(&Some(whole(text))), "{at}");
        }
        let single = read_response(false, bytes.chunks(1));
        assert_eq!(single.unwrap().unwrap(), expected);
    }
}

proptest! {
    #[test]
    fn any_pieces_of_a_response_give_the_same_head_and_body(
        which in 0..6usize,
        cuts in proptest::collection::vec(0..400usize, 0..12),
    ) {
        let text = [CHUNKED].into_iter().chain(OTHERS).nth(which).unwrap();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]);
        prop_assert_eq!(read_response(false, pieces), Ok(Some(whole(text))));
    }

    #[test]
    fn no_bytes_at_all_are_too_much_for_the_reader(bytes: Vec<u8>) {
        let _ = read_response(false, [&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..], &bytes]);
        let _ = read_response(false, [&bytes[..]]);
    }
}

#[test]
fn a_chunked_body_and_its_trailers() {
    let response = whole(CHUNKED);
    assert_eq!(response.interim, [StatusCode::EARLY_HINTS]);
    assert_eq!(response.body, b"abcd0123456789");
    assert_eq!(response.headers.get_all("x").iter().collect::<Vec<_>>(), ["1", "2"]);
    let mut trailers = HeaderMap::new();
    trailers.append("x-sum", HeaderValue::from_static("14"));
    trailers.append("x-sum", HeaderValue::from_static("y"));
    assert_eq!(response.trailers, Some(trailers));
    assert!(response.persists);
}

#[test]
fn where_bodies_end() {
    for (text, body, behind, persists) in [
        (OTHERS[0], "abcde", 0, true),
        (OTHERS[1], "to the close", 0, false),
        (OTHERS[2], "", 0, true),
        (OTHERS[3], "", 0, true),
        (OTHERS[4], "", 4, true),
        ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "a", 0, false),
        ("HTTP/1.0 200 OK\r\nConnection: x, Keep-Alive\r\nContent-Length: 1\r\n\r\na", "a", 0, true),
        ("HTTP/1.1 200 OK\r\nConnection: x ,Close\r\nContent-Length: 1\r\n\r\na", "a", 0, false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "a", 0, true),
        ("HTTP/1.1 101 x\r\nContent-Length: 1\r\n\r\na", "", 1, false),
    ] {
        let response = whole(text);
        let seen = (String::from_utf8(response.body).unwrap(), response.behind, response.persists);
        assert_eq!(seen, (body.to_owned(), behind, persists), "{text:?}");
    }
    let head = read_response(true, [OTHERS[0].as_bytes()]).unwrap().unwrap();
    assert_eq!((head.body.len(), head.behind), (0, 5));
}

#[test]
fn a_length_that_is_said_twice_goes_on_once() {
    let response = whole("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na");
    assert_eq!(response.headers.get_all("content-length").iter().count(), 1);
}

#[test]
fn what_breaks_off_is_not_taken_for_the_whole() {
    for text in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Len",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n",
    ] {
        assert_eq!(read(text), Ok(None), "{text:?}");
    }
}

#[test]
fn malformed_responses_say_what_is_wrong() {
    for (text, fault) in [
        ("HTTP/2.0 200 OK\r\n\r\n", "it is not HTTP/1.1 or HTTP/1.0"),
        ("HTTP/1.1 2000 OK\r\n\r\n", "invalid status line"),
        ("HTTP/1.1 099 OK\r\n\r\n", "its status is not a number from 100 to 999"),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "invalid header name"),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "invalid header name"),
        ("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "invalid header value"),
        ("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", "invalid header value"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "it has both Content-Length and Transfer-Encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "its Transfer-Encoding is not exactly `chunked`",
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "its Transfer-Encoding belongs to HTTP/1.1 alone",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
            "its Content-Length is not one plain decimal number",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 01\r\n\r\n",
            "it has differing Content-Length fields",
        ),
    ] {
        assert_eq!(read(text), Err(fault), "{text:?}");
    }
    for (body, fault) in [
        ("x\r\n", "a chunk size is not a hexadecimal number"),
        ("\r\n", "a chunk size is not a hexadecimal number"),
        ("1 1\r\n", "a chunk size is not a hexadecimal number"),
        ("1000000000000000\r\n", "a chunk size has more than 15 digits"),
        ("1\na\r\n", "a chunk size is not a hexadecimal number"),
        ("1;\ra", "a chunk or its size does not end in CRLF"),
        ("1;\n", "a chunk extension holds a control character"),
        ("1\r\nabc", "a chunk or its size does not end in CRLF"),
        ("0\r\nX\r\n\r\n", "its trailers are not valid, or more than 100"),
        ("0\r\nX: y\r\n z\r\n\r\n", "its trailers are not valid, or more than 100"),
        ("0\r\nX: y\n\r\n\r\n", "a trailer holds a control character"),
    ] {
        let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert_eq!(read(&text), Err(fault), "{body:?}");
    }
}

#[test]
fn what_means_nothing_is_limited() {
    let many = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(count));
    assert!(read(&many(100)).unwrap().is_some());
    assert_eq!(read(&many(101)), Err("it has more than 100 header fields"));
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(MAX_HEAD));
    assert_eq!(read(&long), Err(TOO_LONG));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let extensions = format!("{chunked}1;{}\r\na", "x".repeat(16 * 1024 + 1));
    assert_eq!(read(&extensions), Err("the chunk extensions are longer than 16 KiB"));
    let blanks = format!("{chunked}1{}\r\na", " ".repeat(16 * 1024 + 1));
    assert_eq!(read(&blanks), Err("the chunk extensions are longer than 16 KiB"));
    let trailers = format!("{chunked}0\r\nX: {}\r\n\r\n", "y".repeat(16 * 1024));
    assert_eq!(read(&trailers), Err("the trailers are longer than 16 KiB"));
}
