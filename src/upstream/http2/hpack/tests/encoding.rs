use http::Method;
use http::header::*;

use super::super::{DEFAULT_TABLE_SIZE, Encoder, Scheme, statics};
use super::reference::{Reference, fixed};
use super::*;
use crate::message::Fields;

type Line = (HeaderName, HeaderValue);

fn line(name: HeaderName, value: &str) -> Line {
    (name, HeaderValue::from_str(value).unwrap())
}

fn token(length: usize) -> Line {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", "x".repeat(length))).unwrap();
    value.set_sensitive(true);
    (AUTHORIZATION, value)
}

fn request(encoder: &mut Encoder, path: &str, lines: &[Line]) -> Vec<u8> {
    let (authority, mut out) = (HeaderValue::from_static("api.example"), Vec::new());
    let fields: Fields = lines.iter().cloned().collect();
    encoder.request(&Method::GET, Scheme::Https, &authority, path, fields.iter(), &mut out);
    out
}

fn trailers(encoder: &mut Encoder, lines: &[Line]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.trailers(lines.iter().cloned().collect::<Fields>().iter(), &mut out);
    out
}

fn texts(lines: &[Line]) -> Vec<Text> {
    lines.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec())).collect()
}

#[test]
fn a_name_has_the_first_index_of_the_static_table_that_it_is_at() {
    let fixed = fixed();
    for (name, _) in fixed.iter().filter(|(name, _)| !name.starts_with(b":")) {
        let first = fixed.iter().position(|(other, _)| other == name).unwrap();
        assert_eq!(usize::from(statics::index_of(name)), first + 1);
    }
    for name in ["", "x", "accep", "accepts", "x-real-ip", "accept_charset"] {
        assert_eq!(statics::index_of(name.as_bytes()), 0);
    }
}

#[test]
fn a_request_that_repeats_costs_a_byte_for_each_field() {
    let mut encoder = Encoder::new();
    let lines = [
        token(1100),
        line(USER_AGENT, "curl/8.5.0"),
        line(ACCEPT, "application/json"),
        line(ACCEPT_ENCODING, "gzip, br"),
        line(ACCEPT_LANGUAGE, "nb"),
        line(CONTENT_TYPE, "application/json"),
        line(VIA, "2 proxy"),
        line(CACHE_CONTROL, "no-cache"),
        line(ORIGIN, "https://app.example"),
    ];
    let first = request(&mut encoder, "/", &lines);
    assert!(first.len() > 1200);
    // As if parsed anew: found by its bytes.
    let again: Vec<Line> = lines.iter().map(|(name, value)| (name.clone(), copy(value))).collect();
    let second = request(&mut encoder, "/", &again);
    assert_eq!(second.len(), 4 + lines.len());
    assert!(second.iter().all(|byte| byte & 0x80 != 0));

    let mut reference = Reference::new(DEFAULT_TABLE_SIZE);
    assert_eq!(reference.decode(&first), reference.decode(&second));
}

fn copy(value: &HeaderValue) -> HeaderValue {
    let mut copy = HeaderValue::from_bytes(value.as_bytes()).unwrap();
    copy.set_sensitive(value.is_sensitive());
    copy
}

#[test]
fn an_entry_holds_the_token_itself_but_a_copy_of_what_a_client_sent() {
    let mut encoder = Encoder::new();
    let lines = [token(100), line(USER_AGENT, "curl/8.5.0")];
    request(&mut encoder, "/", &lines);
    let is_shared = |(_, value): &Line| {
        encoder.entries.iter().any(|entry| std::ptr::eq(entry.value.as_bytes(), value.as_bytes()))
    };
    assert_eq!(lines.each_ref().map(is_shared), [true, false]);
}

#[test]
fn static_fields_are_indexed_from_the_start() {
    let mut encoder = Encoder::new();
    let block = request(&mut encoder, "/", &[line(ACCEPT_ENCODING, "gzip, deflate")]);
    assert_eq!(block, b"\x82\x87\x41\x0bapi.example\x84\x90");
    let mut out = Vec::new();
    let authority = HeaderValue::from_static("api.example");
    encoder.request(&Method::POST, Scheme::Http, &authority, "/a", [].into_iter(), &mut out);
    encoder.request(&Method::PUT, Scheme::Http, &authority, "/", [].into_iter(), &mut out);
    assert_eq!(out, b"\x83\x86\xbe\x04\x02/a\x02\x03PUT\x86\xbe\x84");
}

#[test]
fn secrets_are_never_indexed() {
    let mut sensitive = line(HeaderName::from_static("x-key"), "s");
    sensitive.1.set_sensitive(true);
    let mut agent = line(USER_AGENT, "s");
    agent.1.set_sensitive(true);
    // The name's index, with a prefix of four bits.
    let cases: [(Line, &[u8]); 5] = [
        (line(AUTHORIZATION, "s"), &[0x1f, 23 - 15]),
        (line(PROXY_AUTHORIZATION, "s"), &[0x1f, 49 - 15]),
        (line(COOKIE, "s"), &[0x1f, 32 - 15]),
        (sensitive, b"\x10\x05x-key"),
        (agent, &[0x1f, 58 - 15]),
    ];
    for (line, head) in cases {
        let mut encoder = Encoder::new();
        for _ in 0..2 {
            assert_eq!(trailers(&mut encoder, std::slice::from_ref(&line)), [head, b"\x01s"].concat());
        }
        assert!(encoder.entries.is_empty());
    }
}

#[test]
fn a_clients_own_authorization_is_not_indexed_even_if_it_is_the_token() {
    let mut encoder = Encoder::new();
    let (name, value) = token(20);
    trailers(&mut encoder, &[(name.clone(), value.clone())]);
    let mut plain = value.clone();
    plain.set_sensitive(false);
    assert_eq!(trailers(&mut encoder, &[(name, plain)])[0], 0x1f);
}

#[test]
fn all_else_is_not_indexed() {
    let cases: [(Line, &[u8]); 4] = [
        (line(REFERER, "s"), &[0x0f, 51 - 15]),
        (line(CONTENT_LENGTH, "s"), &[0x0f, 28 - 15]),
        (line(HeaderName::from_static("x-id"), "s"), b"\x00\x04x-id"),
        (line(DNT, "s"), b"\x00\x03dnt"),
    ];
    for (line, head) in cases {
        let mut encoder = Encoder::new();
        for _ in 0..2 {
            assert_eq!(trailers(&mut encoder, std::slice::from_ref(&line)), [head, b"\x01s"].concat());
        }
        assert!(encoder.entries.is_empty());
    }
}

#[test]
fn only_the_token_may_take_more_than_half_of_the_table() {
    let half = DEFAULT_TABLE_SIZE / 2 - 32 - "user-agent".len();
    for (length, first) in [(half, 0x40 | 58), (half + 1, 0x0f)] {
        let mut encoder = Encoder::new();
        assert_eq!(trailers(&mut encoder, &[line(USER_AGENT, &"x".repeat(length))])[0], first);
        assert_eq!(encoder.entries.len(), usize::from(length == half));
    }
    // Two halves are a whole.
    let mut encoder = Encoder::new();
    let halves = ["x", "y"].map(|byte| line(USER_AGENT, &byte.repeat(half)));
    trailers(&mut encoder, &halves);
    assert_eq!((encoder.entries.len(), encoder.size), (2, DEFAULT_TABLE_SIZE));
    assert_eq!(trailers(&mut encoder, &halves), [0xbf, 0xbe]);

    let whole = DEFAULT_TABLE_SIZE - 32 - "authorization".len() - "Bearer ".len();
    for (length, first) in [(whole, 0x40 | 23), (whole + 1, 0x1f)] {
        let mut encoder = Encoder::new();
        assert_eq!(trailers(&mut encoder, &[token(length)])[0], first);
        assert_eq!(encoder.size, if length == whole { DEFAULT_TABLE_SIZE } else { 0 });
    }
}

#[test]
fn a_peer_without_a_table_gets_literals_and_no_secret_is_indexed_behind_it() {
    let mut encoder = Encoder::new();
    encoder.set_table_size(0);
    let lines = [token(10), line(ACCEPT, "*/*")];
    assert_eq!(trailers(&mut encoder, &lines), b"\x20\x1f\x08\x11Bearer xxxxxxxxxx\x0f\x04\x03*/*");
    assert_eq!(trailers(&mut encoder, &lines)[0], 0x1f);
}

#[test]
fn size_updates_say_the_smallest_size_and_the_last() {
    let cases: [(&[usize], &[u8]); 9] = [
        (&[], &[]),
        (&[4096], &[]),
        (&[65536], &[]),
        (&[0], &[0x20]),
        (&[100], &[0x3f, 69]),
        (&[100, 4096], &[0x3f, 69, 0x3f, 0xe1, 0x1f]),
        (&[0, 100, 50], &[0x20, 0x3f, 19]),
        (&[100, 0], &[0x20]),
        (&[100, 65536, 200], &[0x3f, 69, 0x3f, 0xa9, 0x01]),
    ];
    for (sizes, expected) in cases {
        let mut encoder = Encoder::new();
        sizes.iter().for_each(|size| encoder.set_table_size(*size));
        assert_eq!(trailers(&mut encoder, &[]), expected, "{sizes:?}");
        assert!(trailers(&mut encoder, &[]).is_empty(), "{sizes:?}: said once");
    }
    let mut encoder = Encoder::new();
    encoder.set_table_size(0);
    trailers(&mut encoder, &[]);
    encoder.set_table_size(100);
    assert_eq!(trailers(&mut encoder, &[]), [0x3f, 69]);
    encoder.set_table_size(100);
    assert!(trailers(&mut encoder, &[]).is_empty());
}

#[test]
fn what_a_smaller_size_pushed_out_is_written_anew() {
    let (mut encoder, mut reference) = (Encoder::new(), Reference::new(DEFAULT_TABLE_SIZE));
    let lines = [token(100), line(ACCEPT, "*/*")];
    for sizes in [&[][..], &[], &[50, 4096], &[], &[0], &[], &[4096], &[]] {
        sizes.iter().for_each(|size| encoder.set_table_size(*size));
        let block = request(&mut encoder, "/x", &lines);
        let (fields, is_good) = reference.decode(&block);
        assert!(is_good);
        assert_eq!(fields[4..], texts(&lines));
    }
    assert_eq!(encoder.size, reference.size());
}

/// A supplier acts for many, each with a token of its own.
#[test]
fn many_tokens_push_each_other_out() {
    let (mut encoder, mut reference) = (Encoder::new(), Reference::new(DEFAULT_TABLE_SIZE));
    for at in 0..200 {
        let lines = [token(1000 + at * 7 % 50), line(ACCEPT, "*/*"), line(VIA, "2 proxy")];
        let (fields, is_good) = reference.decode(&request(&mut encoder, "/", &lines));
        assert!(is_good);
        assert_eq!(fields[4..], texts(&lines));
        assert!(encoder.size <= DEFAULT_TABLE_SIZE);
        assert_eq!((encoder.size, encoder.entries.len()), (reference.size(), reference.entries.len()));
    }
    assert!(encoder.entries.len() >= 3);
}

/// Requests whose fields repeat, and now and then do not.
fn a_line() -> impl Strategy<Value = Line> {
    let names = [
        AUTHORIZATION,
        PROXY_AUTHORIZATION,
        COOKIE,
        USER_AGENT,
        ACCEPT,
        ACCEPT_ENCODING,
        CONTENT_TYPE,
        VIA,
        ORIGIN,
        REFERER,
        CONTENT_LENGTH,
        HeaderName::from_static("x-request-id"),
        HeaderName::from_static("x-a-name-that-is-longer-than-sixty-four-bytes-of-which-there-are-some"),
    ];
    let value = prop_oneof![
        Just("gzip, deflate".to_owned()),
        Just("same".to_owned()),
        "[a-c]",
        "[!-~]{0,20}",
        (0..5000_usize).prop_map(|length| "y".repeat(length)),
    ];
    (prop::sample::select(names.to_vec()), value, any::<bool>()).prop_map(|(name, value, is_sensitive)| {
        let mut line = line(name, &value);
        line.1.set_sensitive(is_sensitive);
        line
    })
}

proptest! {
    #[test]
    fn requests_come_out_as_they_went_in(
        requests in prop::collection::vec(
            (
                prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(
                    prop_oneof![Just(0), Just(4096), Just(65536), 0..4200_usize], 1..4)],
                prop::sample::select(vec!["GET", "POST", "PUT", "PURGE"]),
                prop::sample::select(vec![Scheme::Http, Scheme::Https]),
                prop_oneof![Just("a.example".to_owned()), "[a-z]{1,10}"],
                prop_oneof![Just("/".to_owned()), "/[a-z?]{1,200}"],
                prop::collection::vec(a_line(), 0..10),
            ),
            1..12,
        ),
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let mut reference = Reference::new(DEFAULT_TABLE_SIZE);
        let mut announced = DEFAULT_TABLE_SIZE;
        for (sizes, method, scheme, authority, path, lines) in requests {
            for size in &sizes {
                encoder.set_table_size(*size);
                announced = *size;
            }
            let mut block = Vec::new();
            let value = HeaderValue::from_str(&authority).unwrap();
            let fields: Fields = lines.iter().cloned().collect();
            let token = Method::from_bytes(method.as_bytes()).unwrap();
            encoder.request(&token, scheme, &value, &path, fields.iter(), &mut block);

            let scheme = if scheme == Scheme::Http { "http" } else { "https" };
            let mut sent = vec![
                text(":method", method),
                text(":scheme", scheme),
                text(":authority", &authority),
                text(":path", &path),
            ];
            sent.extend(texts(&lines));
            let (received, is_good) = reference.decode(&block);
            prop_assert!(is_good);
            prop_assert_eq!(&received, &sent);
            let (decoded, extent) = decode(&mut decoder, &block, usize::MAX);
            prop_assert_eq!(extent, Ok(Extent::Whole));
            prop_assert_eq!(decoded, sent.iter().map(expected).collect::<Vec<_>>());

            // Both tables are the same, no larger than the peer allows, and hold nothing twice.
            prop_assert!(reference.capacity <= announced);
            prop_assert_eq!(encoder.size, reference.size());
            prop_assert_eq!(encoder.entries.len(), reference.entries.len());
            let values = encoder.entries.iter().map(|entry| entry.value.as_bytes());
            prop_assert!(values.eq(reference.entries.iter().map(|(_, value)| &value[..])));
            let mut entries: Vec<_> = reference.entries.iter().collect();
            entries.sort();
            entries.dedup();
            prop_assert_eq!(entries.len(), reference.entries.len());
        }
    }
}
