use super::*;

/// As `java.util.Properties.store` writes a key or value.
fn stored(text: &str, is_key: bool) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        match c {
            ' ' if is_key || at == 0 => out.push_str("\\ "),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\u{c}' => out.push_str("\\f"),
            '=' | ':' | '#' | '!' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04X}"))),
        }
    }
    out
}

proptest::proptest! {
    #[test]
    fn what_java_stores_is_read_back(key in "\\PC{1,8}|[ \t=:#!\\\\a]{1,8}", value in "(?s).{0,20}|[ \t\n=:#!\\\\a]{0,8}") {
        let text = format!("#Mon Nov 23 16:55:56 CET 2026\n{}={}\n", stored(&key, true), stored(&value, false));
        proptest::prop_assert_eq!(values(&text), [pair(&key, &value)]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = parse(&decode(&bytes));
    }
}

fn values(text: &str) -> Vec<(String, String)> {
    parse(text).unwrap().into_iter().map(|(key, property)| (key, property.value)).collect()
}

fn one(text: &str) -> (String, String) {
    let mut values = values(text);
    assert_eq!(values.len(), 1, "{text:?}: {values:?}");
    values.remove(0)
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn every_separator_of_java_s_is_known() {
    for text in ["k=v", "k:v", "k v", "k\tv", "k = v", "k : v", "  k  =  v", "\tk\u{c}v"] {
        assert_eq!(one(text), pair("k", "v"), "{text:?}");
    }
    assert_eq!(one("k"), pair("k", ""));
    assert_eq!(one("k="), pair("k", ""));
    assert_eq!(one("=v"), pair("", "v"));
    // One separator is dropped, and no more.
    assert_eq!(one("k==v"), pair("k", "=v"));
    assert_eq!(one("k = : v"), pair("k", ": v"));
    assert_eq!(one("url=https://a:b=c"), pair("url", "https://a:b=c"));
}

#[test]
fn escapes_are_java_s() {
    assert_eq!(one(r"k=\u00e6\u00F8\u00e5"), pair("k", "æøå"));
    assert_eq!(one(r"k=\uD83D\uDE00"), pair("k", "😀"));
    assert_eq!(one(r"k=a\tb\nc\rd\fe"), pair("k", "a\tb\nc\rd\u{c}e"));
    assert_eq!(one(r"k=C:\\keys\\a.jks"), pair("k", r"C:\keys\a.jks"));
    // An unknown escape is the character itself, as for Windows paths that were not doubled.
    assert_eq!(one(r"k=\d\q"), pair("k", "dq"));
    assert_eq!(one(r"a\ b\=c\:d = v"), pair("a b=c:d", "v"));
    assert_eq!(one(r"k=\ v"), pair("k", " v"));
    for text in [r"k=\u12", r"k=\u12g4", r"k=\u"] {
        assert_eq!(parse(text), Err(Malformed { line: 1 }), "{text}");
    }
    assert_eq!(parse("a=b\n\nk=\\u12"), Err(Malformed { line: 3 }));
}

#[test]
fn lines_go_on_behind_an_odd_number_of_backslashes() {
    assert_eq!(one("k=a,\\\n    b"), pair("k", "a,b"));
    assert_eq!(one("k=a\\\r\n  # not a comment"), pair("k", "a# not a comment"));
    assert_eq!(values("k=a\\\\\nj=b"), [pair("j", "b"), pair("k", "a\\")]);
    assert_eq!(one("k=a\\"), pair("k", "a"));
    assert_eq!(one("scope=a \\\n\n"), pair("scope", "a "));
}

#[test]
fn comments_and_blank_lines_are_passed_over() {
    assert_eq!(values("# a=b\n! c=d\n \t# e=f\n\n   \r\rk=v # no comment"), [pair("k", "v # no comment")]);
}

#[test]
fn white_space_at_the_end_is_part_of_a_value() {
    assert_eq!(one("k=v  "), pair("k", "v  "));
}

#[test]
fn the_last_of_two_counts_and_lines_are_numbered() {
    let properties = parse("a=1\n#\nb=x\\\n  y\na=2\r\nc=3").unwrap();
    let lines: Vec<_> = properties.iter().map(|(key, p)| (key.as_str(), p.value.as_str(), p.line)).collect();
    assert_eq!(lines, [("a", "2", 5), ("b", "xy", 3), ("c", "3", 6)]);
}

#[test]
fn utf_8_and_latin_1_are_told_apart() {
    assert_eq!(decode("k=æ".as_bytes()), "k=æ");
    assert_eq!(decode(b"k=\xE6"), "k=\u{e6}");
    assert_eq!(decode(b"\xEF\xBB\xBFk=v"), "k=v");
}

#[test]
fn the_tool_s_names_become_ours() {
    let text = "issuer=abc\naudience=https://test.maskinporten.no/\nscope=a:b  c:d\nkeystore.type=jks\n\
                keystore.file=base64:AAAA\nkeystore.password= pass word \nkeystor.alias=x\nextra=1\npid=\n";
    let read = read(Path::new("a.properties"), text.as_bytes(), &[]).unwrap();
    let find = |path: &str| {
        let value = Value::from(read.layer.root.clone()).find(path)?;
        value.as_str().map(str::to_owned)
    };
    assert_eq!(find("clients.default.client_id").as_deref(), Some("abc"));
    assert_eq!(find("clients.default.issuer").as_deref(), Some("https://test.maskinporten.no/"));
    assert_eq!(find("clients.default.key.file").as_deref(), Some("base64:AAAA"));
    // White space before a value is no part of it; behind it, it is.
    assert_eq!(find("clients.default.key.password").as_deref(), Some("pass word "));
    let scopes = read.layer.grant["scopes"].as_array().unwrap();
    assert_eq!(scopes.iter().filter_map(Value::as_str).collect::<Vec<_>>(), ["a:b", "c:d"]);
    assert!(!read.layer.grant.contains_key("pid"));
    assert_eq!(
        read.warnings,
        [
            "a.properties:8: `extra` means nothing here",
            "a.properties:7: `keystor.alias` means nothing here; did you mean `keystore.alias`?",
        ]
    );
}

#[test]
fn a_keystore_is_looked_for_beside_the_file_and_then_where_we_stand() {
    let folder = tempfile::tempdir().unwrap();
    let (beside, cwd) = (folder.path().join("beside"), folder.path().join("cwd"));
    for path in [&beside, &cwd] {
        std::fs::create_dir(path).unwrap();
    }
    let folders = [beside.as_path(), cwd.as_path()];
    assert_eq!(Path::new(&locate("k.jks", &folders)), beside.join("k.jks"));
    std::fs::write(cwd.join("k.jks"), "").unwrap();
    assert_eq!(Path::new(&locate("k.jks", &folders)), cwd.join("k.jks"));
    std::fs::write(beside.join("k.jks"), "").unwrap();
    assert_eq!(Path::new(&locate("k.jks", &folders)), beside.join("k.jks"));
}
