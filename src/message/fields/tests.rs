use http::header::{AUTHORIZATION, DATE, HOST, VIA};
use proptest::prelude::*;

use super::*;

/// Fields as they are read from lines, each with its end.
fn read(lines: &str) -> Fields {
    let head = Bytes::from(format!("GET / HTTP/1.1\r\n{lines}\r\n"));
    let (mut at, mut found) = (16, Vec::new());
    while !matches!(head[at..], [b'\r', ..] | []) {
        let (line, next) = Line::find(&head, at).unwrap().unwrap();
        found.push(line);
        at = next;
    }
    Fields::of_lines(head, found)
}

fn written(fields: &Fields) -> String {
    let mut out = Vec::new();
    fields.write(&mut out, |_, _| true);
    String::from_utf8(out).unwrap()
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap()
}

fn texts<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    values.map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
}

#[test]
fn lines_pass_as_they_came_and_odd_ones_as_they_should_have() {
    let fields = read("HOST: a\r\nx-One: 1\r\nx-two:2\r\nX-three:  3\t\r\nx-four: 4\nx-five:\r\nLast: 6\r\n");
    let expected = "HOST: a\r\nx-One: 1\r\nx-two: 2\r\nX-three: 3\r\nx-four: 4\r\nx-five: \r\nLast: 6\r\n";
    assert_eq!(written(&fields), expected);
    assert_eq!((fields.len(), fields.is_empty()), (7, false));
    assert!(written(&Fields::new()).is_empty() && Fields::new().is_empty());
}

#[test]
fn what_is_kept_back_leaves_no_gap_and_takes_no_neighbour_along() {
    let fields = read("A: 1\r\nVia: x\r\nB: 2\r\nC: 3\r\nHost: y\r\nHost: z\r\nD: 4\r\n");
    let mut out = Vec::new();
    let mut asked = Vec::new();
    fields.write(&mut out, |name, value| {
        asked.push((name, value.to_vec()));
        false
    });
    assert_eq!(String::from_utf8(out).unwrap(), "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n");
    let expected = [(Name::Via, b"x"), (Name::Host, b"y"), (Name::Host, b"z")];
    assert_eq!(asked, expected.map(|(name, value)| (name, value.to_vec())));
}

#[test]
fn fields_are_found_by_name_in_any_case_wherever_they_came_from() {
    let mut fields = read("hOST: a\r\nVIA: 1.1 one, 1.1 two\r\nX-Id: 7\r\nVia: ,1.1 three,\r\n");
    fields.append(VIA, value("1.1 four"));
    assert_eq!(fields.first(Name::Host), Some(&b"a"[..]));
    assert_eq!(fields.single(Name::Host), Ok(Some(&b"a"[..])));
    assert_eq!(fields.single(Name::Via), Err(Repeated));
    assert_eq!(fields.single(Name::Date), Ok(None));
    assert!(fields.has(Name::Via) && !fields.has(Name::Date));
    assert_eq!(texts(fields.all(Name::Via)), ["1.1 one, 1.1 two", ",1.1 three,", "1.1 four"]);
    assert_eq!(texts(fields.list(Name::Via)), ["1.1 one", "1.1 two", "1.1 three", "1.1 four"]);
    let id = HeaderName::from_static("x-id");
    assert_eq!(fields.single_named(&id), Ok(Some(&b"7"[..])));
    assert_eq!(fields.first_named(&id).as_deref(), Some(&b"7"[..]));
    assert_eq!(fields.single_named(&VIA), Err(Repeated));
    assert_eq!(fields.first_named(&DATE), None);
    assert_eq!(fields.first_shared(Name::Host).as_deref(), Some(&b"a"[..]));
}

#[test]
fn what_is_put_in_replaces_every_line_of_its_name() {
    let mut fields =
        read("authorization: Basic evil\r\nA: 1\r\nAUTHORIZATION: Bearer evil\r\nX-B: 2\r\nx-b: 3\r\n");
    fields.append(AUTHORIZATION, value("evil"));
    fields.insert(AUTHORIZATION, value("Bearer ours"));
    assert_eq!(texts(fields.all(Name::Authorization)), ["Bearer ours"]);
    fields.insert(HeaderName::from_static("x-b"), value("4"));
    assert_eq!(written(&fields), "A: 1\r\nauthorization: Bearer ours\r\nx-b: 4\r\n");
    fields.remove(Name::Authorization);
    fields.remove_named(&HeaderName::from_static("x-b"));
    assert_eq!(written(&fields), "A: 1\r\n");
    assert!(!fields.may_have_any(Name::Authorization.bit()));
}

#[test]
fn what_is_sensitive_stays_so_in_a_map_and_back() {
    let mut token = value("Bearer secret");
    token.set_sensitive(true);
    let mut fields = read("Host: a\r\n");
    fields.append(AUTHORIZATION, token);
    let map = HeaderMap::from(&fields);
    assert!(map[AUTHORIZATION].is_sensitive() && !map[HOST].is_sensitive());
    let back = Fields::from(map);
    assert!(back.iter().any(|field| field.own.is_some_and(HeaderValue::is_sensitive)));
    assert_eq!(back, fields);
    let shown = format!("{fields:?}");
    assert!(shown.contains("authorization") && !shown.contains("secret"), "{shown}");
}

proptest! {
    /// Lines of a head and fields of other origin are the same to whoever asks, removes or writes.
    #[test]
    fn where_a_field_came_from_makes_no_difference(
        lines in prop::collection::vec(
            (prop::sample::select(vec!["Host", "via", "X-A", "x-a", "Proxy-Foo", "TE", "Cookie"]), "[a-z]{1,12}"),
            0..12,
        ),
        removed in prop::sample::select(vec!["host", "via", "x-a", "proxy-foo", "te", "x-none"]),
    ) {
        let text: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let pairs = lines.iter().map(|(name, text)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), value(text)));
        let (mut read, mut own) = (read(&text), pairs.collect::<Fields>());
        prop_assert_eq!(written(&read), text.clone());
        prop_assert_eq!(written(&own), lines.iter().map(|(name, value)| format!("{}: {value}\r\n", name.to_lowercase())).collect::<String>());
        for name in [Name::Host, Name::Via, Name::Te, Name::Proxy, Name::Cookie] {
            prop_assert_eq!(texts(read.all(name)), texts(own.all(name)));
            prop_assert_eq!(read.single(name).is_err(), own.single(name).is_err());
            prop_assert_eq!(read.has(name), read.first(name).is_some());
        }
        let removed = HeaderName::from_static(removed);
        prop_assert_eq!(texts(read.all_named(&removed)), texts(own.all_named(&removed)));
        read.remove_named(&removed);
        own.remove_named(&removed);
        prop_assert!(read.all_named(&removed).next().is_none());
        for name in [Name::Host, Name::Via, Name::Te, Name::Proxy, Name::Cookie] {
            prop_assert_eq!(read.has(name), read.first(name).is_some());
            prop_assert_eq!(own.has(name), own.first(name).is_some());
        }
        prop_assert_eq!(&read, &own);
        let left = lines.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(removed.as_str())).count();
        prop_assert_eq!(read.len(), left);
    }
}
