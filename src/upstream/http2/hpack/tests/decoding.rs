use super::super::{DEFAULT_TABLE_SIZE, TRUNCATED};
use super::reference::{Reference, fixed, size};
use super::*;

const NO_LIMIT: usize = usize::MAX;

/// A string as it stands in a block.
fn string(text: &[u8], is_coded: bool) -> Vec<u8> {
    let (text, pattern) = if is_coded { (huffman_encode(text), 0x80) } else { (text.to_vec(), 0) };
    let mut out = Vec::new();
    integer::encode(text.len(), 7, pattern, &mut out);
    [out, text].concat()
}

/// A literal as it stands in a block, of a name that stands there too.
fn literal(pattern: u8, name: &str, value: &str) -> Vec<u8> {
    [vec![pattern], string(name.as_bytes(), false), string(value.as_bytes(), true)].concat()
}

/// A block of the RFC's, with the size of the table behind it and its fields.
type Vector<'a> = (&'a str, usize, &'a [(&'a str, &'a str)]);

fn vectors(table_size: usize, blocks: &[Vector<'_>]) {
    let (mut decoder, mut reference) = (Decoder::with_table_size(table_size), Reference::new(table_size));
    for (hex, size, fields) in blocks {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let block: Vec<u8> = digits.chunks(2).map(byte).collect();
        let fields: Vec<Text> = fields.iter().map(|(name, value)| text(name, value)).collect();
        assert_eq!(reference.decode(&block), (fields.clone(), true), "{hex}");
        let (decoded, extent) = decode(&mut decoder, &block, NO_LIMIT);
        assert_eq!(extent, Ok(Extent::Whole), "{hex}");
        assert_eq!(decoded, fields.iter().map(expected).collect::<Vec<_>>(), "{hex}");
        assert_eq!((decoder.table.size(), reference.size()), (*size, *size), "{hex}");
    }
}

#[test]
fn appendix_c_2() {
    let custom = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    vectors(4096, &[(custom, 55, &[("custom-key", "custom-header")])]);
    vectors(4096, &[("040c 2f73 616d 706c 652f 7061 7468", 0, &[(":path", "/sample/path")])]);
    vectors(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", 0, &[("password", "secret")])]);
    vectors(4096, &[("82", 0, &[(":method", "GET")])]);
}

const REQUESTS: [&[(&str, &str)]; 3] = [
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
        ("cache-control", "no-cache"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ],
];

#[test]
fn appendix_c_3() {
    let blocks = [
        ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", 57, REQUESTS[0]),
        ("8286 84be 5808 6e6f 2d63 6163 6865", 110, REQUESTS[1]),
        ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", 164, REQUESTS[2]),
    ];
    vectors(4096, &blocks);
}

#[test]
fn appendix_c_4() {
    let blocks = [
        ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", 57, REQUESTS[0]),
        ("8286 84be 5886 a8eb 1064 9cbf", 110, REQUESTS[1]),
        ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", 164, REQUESTS[2]),
    ];
    vectors(4096, &blocks);
}

const RESPONSES: [&[(&str, &str)]; 3] = [
    &[
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ],
    &[
        (":status", "307"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ],
    &[
        (":status", "200"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
        ("location", "https://www.example.com"),
        ("content-encoding", "gzip"),
        ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ],
];

#[test]
fn appendix_c_5() {
    let blocks = [
        (
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a
             3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            222,
            RESPONSES[0],
        ),
        ("4803 3330 37c1 c0bf", 222, RESPONSES[1]),
        (
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04
             677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49
             553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
            215,
            RESPONSES[2],
        ),
    ];
    vectors(256, &blocks);
}

#[test]
fn appendix_c_6() {
    let blocks = [
        (
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e
             919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            222,
            RESPONSES[0],
        ),
        ("4883 640e ffc1 c0bf", 222, RESPONSES[1]),
        (
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7
             821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed
             4ee5 b106 3d50 07",
            215,
            RESPONSES[2],
        ),
    ];
    vectors(256, &blocks);
}

#[test]
fn the_static_table_is_that_of_the_rfc() {
    let fields = fixed();
    assert_eq!(fields.len(), 61);
    for (at, field) in fields.iter().enumerate() {
        let index = at as u8 + 1;
        // The size, and the name's length, show in what the limit admits.
        let (decoded, _) = decode(&mut Decoder::new(), &[0x80 | index], size(field));
        assert_eq!(decoded, [expected(field)], "{index}");
        let (decoded, extent) = decode(&mut Decoder::new(), &[0x80 | index], size(field) - 1);
        assert_eq!((&decoded[..], extent), (&[][..], Ok(Extent::TooLarge)), "{index}");

        let block = [0x0f, index.saturating_sub(15), 3, b'2', b'0', b'1'];
        let block = if index < 15 { [&[index], &block[2..]].concat() } else { block.to_vec() };
        let field = (field.0.clone(), b"201".to_vec());
        let (decoded, _) = decode(&mut Decoder::new(), &block, size(&field));
        assert_eq!(decoded, [expected(&field)], "{index}");
        let (_, extent) = decode(&mut Decoder::new(), &block, size(&field) - 1);
        assert_eq!(extent, Ok(Extent::TooLarge), "{index}");
    }
}

#[test]
fn what_no_message_may_hold_is_said_to_be_invalid_and_keeps_its_place() {
    let bad = [
        ("", "x"),
        ("Server", "x"),
        ("a b", "x"),
        ("a:b", "x"),
        ("a\"", "x"),
        ("a\u{e6}", "x"),
        ("a\0", "x"),
    ];
    let bad_values = ["\0", "a\rb", "a\nb", "a\u{7f}"];
    for (name, value) in bad.into_iter().chain(bad_values.map(|value| ("x", value))) {
        for pattern in [0x00, 0x10, 0x40] {
            let mut decoder = Decoder::new();
            let block = [literal(0x40, "ahead", "1"), literal(pattern, name, value), vec![0x88]].concat();
            let (decoded, extent) = decode(&mut decoder, &block, NO_LIMIT);
            let ahead = || expected(&text("ahead", "1"));
            assert_eq!(decoded, [ahead(), Field::Invalid, Field::Status(Some(StatusCode::OK))], "{name:?}");
            assert_eq!(extent, Ok(Extent::Whole));
            if pattern == 0x40 {
                let (decoded, _) = decode(&mut decoder, &[0xbe, 0xbf], NO_LIMIT);
                assert_eq!(decoded, [Field::Invalid, ahead()], "{name:?}: {value:?}");
                // Its name is still one to refer to, and only as good as it is.
                let (decoded, _) = decode(&mut decoder, &[0x0f, 62 - 15, 1, b'1'], NO_LIMIT);
                assert_eq!(decoded, [expected(&text(name, "1"))]);
            }
        }
    }
    for value in ["a b", "\u{e6}", "a\tb", "", "!"] {
        let (decoded, _) = decode(&mut Decoder::new(), &literal(0, "x", value), NO_LIMIT);
        assert_eq!(decoded, [expected(&text("x", value))]);
        assert_ne!(decoded, [Field::Invalid], "{value:?}");
    }
}

#[test]
fn blanks_around_a_value_are_no_part_of_it() {
    for (value, kept) in [(" a", "a"), ("a\t", "a"), (" \ta b ", "a b"), (" ", "")] {
        for pattern in [0x00, 0x10, 0x40] {
            let mut decoder = Decoder::new();
            let (decoded, extent) = decode(&mut decoder, &literal(pattern, "x", value), NO_LIMIT);
            let Field::Header(_, decoded) = &decoded[0] else { panic!("{value:?} is no value") };
            assert_eq!((decoded.as_bytes(), extent), (kept.as_bytes(), Ok(Extent::Whole)));
            if pattern == 0x40 {
                let (again, _) = decode(&mut decoder, &[0xbe], NO_LIMIT);
                assert_eq!(again, [expected(&text("x", kept))]);
            }
        }
    }
}

#[test]
fn a_status_is_three_digits() {
    for (value, status) in [("307", Some(307)), ("999", Some(999)), ("100", Some(100))] {
        for pattern in [0x08, 0x48] {
            let block = [vec![pattern], string(value.as_bytes(), false)].concat();
            let (decoded, _) = decode(&mut Decoder::new(), &block, NO_LIMIT);
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            assert_eq!(decoded, [Field::Status(status)], "{value}");
        }
    }
    for value in ["", "20", "2000", "099", "2 0", "+20", "20\0", "abc"] {
        for block in [literal(0, ":status", value), literal(0x40, ":status", value)] {
            let (decoded, _) = decode(&mut Decoder::new(), &block, NO_LIMIT);
            assert_eq!(decoded, [Field::Status(None)], "{value:?}");
        }
    }
}

#[test]
fn other_pseudo_fields_are_told_apart_by_their_colon_alone() {
    for name in [":path", ":", ":Status", ":status2", ":\0"] {
        let mut decoder = Decoder::new();
        let block = [literal(0x40, name, "\0"), vec![0xbe], literal(0, name, "x")].concat();
        let (decoded, _) = decode(&mut decoder, &block, NO_LIMIT);
        assert_eq!(decoded, [Field::Pseudo, Field::Pseudo, Field::Pseudo], "{name}");
        assert_eq!(decoder.table.size(), name.len() + 1 + 32);
    }
}

#[test]
fn what_was_never_indexed_is_sensitive() {
    // RFC 7541 §6.2.3: it has to be sent on the same way.
    for (pattern, is_sensitive) in [(0x00, false), (0x10, true), (0x40, false)] {
        let (decoded, _) = decode(&mut Decoder::new(), &literal(pattern, "x", "y"), NO_LIMIT);
        let [Field::Header(_, value)] = &decoded[..] else { panic!("{decoded:?}") };
        assert_eq!(value.is_sensitive(), is_sensitive);
    }
}

#[test]
fn bad_blocks_are_refused() {
    let index = "a header block has an index that stands for nothing";
    let coding = "a header block's Huffman code is not valid";
    let late = "a header block changes the table's size behind its start";
    let large = "a header block makes the table larger than it may be";
    let integer = "an integer of a header block is too large";
    let truncated = TRUNCATED.0;
    let cases: [(&[u8], &str); 26] = [
        (&[0x80], index),
        (&[0xbe], index),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], index),
        (&[0x7e, 0x01, b'a'], index),
        (&[0x0f, 0x2f, 0x01, b'a'], index),
        (&[0xff], truncated),
        (&[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], integer),
        (&[0x40], truncated),
        (&[0x40, 0x01], truncated),
        (&[0x40, 0x01, b'a'], truncated),
        (&[0x40, 0x01, b'a', 0x02, b'b'], truncated),
        (&[0x00, 0x7f, 0x80], truncated),
        (&[0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f], truncated),
        (&[0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], integer),
        (&[0x08, 0x84, 0xff, 0xff, 0xff, 0xff], coding),
        (&[0x08, 0x81, 0xff], coding),
        (&[0x08, 0x81, 0x00], coding),
        (&[0x00, 0x81, 0x00, 0x00], coding),
        (&[0x88, 0x20], late),
        (&[0x20, 0x20, 0x20], late),
        (&[0x20, 0x88, 0x20], late),
        (&[0x3f, 0xe2, 0x1f], large),
        (&[0x20, 0x3f, 0xe2, 0x1f], large),
        (&[0x3f], truncated),
        (&[0x3f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], integer),
        (&[0x10, 0x80, 0x80, 0x80], index),
    ];
    for (block, reason) in cases {
        for limit in [NO_LIMIT, 0] {
            let (_, extent) = decode(&mut Decoder::new(), block, limit);
            assert_eq!(extent, Err(BadBlock(reason)), "{block:02x?}");
        }
    }
}

#[test]
fn size_updates_stand_at_the_start_and_evict() {
    let mut decoder = Decoder::new();
    let insert = |name: &str| literal(0x40, name, "1");
    decode(&mut decoder, &[insert("a"), insert("b")].concat(), NO_LIMIT).1.unwrap();
    assert_eq!(decoder.table.size(), 68);
    // To 34, which leaves the newer one, and up to 4096.
    let (decoded, extent) = decode(&mut decoder, &[0x3f, 0x03, 0x3f, 0xe1, 0x1f, 0xbe], NO_LIMIT);
    assert_eq!((decoded, extent), (vec![expected(&text("b", "1"))], Ok(Extent::Whole)));
    assert!(decode(&mut decoder, &[0xbf], NO_LIMIT).1.is_err());
    // To nothing, in a block of its own: nothing is kept from then on.
    assert_eq!(decode(&mut decoder, &[0x20], NO_LIMIT), (vec![], Ok(Extent::Whole)));
    assert_eq!(decoder.table.size(), 0);
    assert_eq!(decode(&mut decoder, &insert("c"), NO_LIMIT).0, [expected(&text("c", "1"))]);
    assert!(decode(&mut decoder, &[0xbe], NO_LIMIT).1.is_err());
}

#[test]
fn a_literal_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new();
    decode(&mut decoder, &literal(0x40, "a", "1"), NO_LIMIT).1.unwrap();
    // Just what fits takes the place of all else.
    let fits = "x".repeat(4096 - 32 - 1);
    decode(&mut decoder, &literal(0x40, "b", &fits), NO_LIMIT).1.unwrap();
    assert_eq!(decoder.table.size(), 4096);
    // What does not, and takes its name from the entry that goes, is handed out all the same.
    let block = [vec![0x40 | 62], string(format!("{fits}x").as_bytes(), false)].concat();
    let (decoded, _) = decode(&mut decoder, &block, NO_LIMIT);
    assert_eq!(decoded, [expected(&text("b", &format!("{fits}x")))]);
    assert_eq!(decoder.table.size(), 0);
    assert!(decode(&mut decoder, &[0xbe], NO_LIMIT).1.is_err());
}

#[test]
fn an_entry_may_take_its_name_from_the_one_that_it_pushes_out() {
    let mut decoder = Decoder::with_table_size(64);
    decode(&mut decoder, &literal(0x40, "custom", "1"), NO_LIMIT).1.unwrap();
    let (decoded, _) = decode(&mut decoder, &[0x40 | 62, 1, b'2', 0xbe], NO_LIMIT);
    assert_eq!(decoded, [expected(&text("custom", "2")), expected(&text("custom", "2"))]);
}

#[test]
fn behind_the_limit_only_the_table_goes_on() {
    let mut decoder = Decoder::new();
    // 34 each.
    let block: Vec<u8> = (b'a'..=b'j').flat_map(|name| [0x40, 1, name, 1, b'1']).collect();
    let (decoded, extent) = decode(&mut decoder, &block, 3 * 34 + 33);
    let field = |name: &str| expected(&text(name, "1"));
    assert_eq!((decoded, extent), (vec![field("a"), field("b"), field("c")], Ok(Extent::TooLarge)));
    assert_eq!(decoder.table.size(), 340);
    assert_eq!(decode(&mut decoder, &[0xbe], NO_LIMIT).0, [field("j")]);
    // A field that would still fit is not handed out behind one that did not.
    let block = [literal(0, "x", &"y".repeat(100)), vec![0x88]].concat();
    assert_eq!(decode(&mut decoder, &block, 100), (vec![], Ok(Extent::TooLarge)));
}

#[test]
fn what_is_stored_behind_the_limit_has_room_beside_what_was_listed() {
    let mut decoder = Decoder::new();
    let value = |length: usize| "x".repeat(length);
    let block =
        [literal(0, "a", &value(2000)), literal(0, "a", &value(2000)), literal(0x40, "b", &value(4000))];
    let (decoded, extent) = decode(&mut decoder, &block.concat(), 4096);
    assert_eq!((decoded.len(), extent), (2, Ok(Extent::TooLarge)));
    assert_eq!(decode(&mut decoder, &[0xbe], NO_LIMIT).0, [expected(&text("b", &value(4000)))]);
}

#[test]
fn a_bomb_yields_no_more_than_the_limit() {
    let mut decoder = Decoder::new();
    decode(&mut decoder, &literal(0x40, "bomb", &"x".repeat(4000)), NO_LIMIT).1.unwrap();
    let (decoded, extent) = decode(&mut decoder, &[0xbe; 16 * 1024], 64 * 1024);
    assert_eq!((decoded.len(), extent), (64 * 1024 / 4036, Ok(Extent::TooLarge)));
    let (decoded, _) = decode(&mut decoder, &[0x88; 64 * 1024], 42 * 10);
    assert_eq!(decoded.len(), 10);
}

/// Whoever holds on to an entry's value must not hold on to the block that it came in.
#[test]
fn a_blocks_values_share_memory_but_an_entry_has_its_own() {
    let mut decoder = Decoder::new();
    let block = [literal(0, "a", "first"), literal(0x40, "b", "second"), literal(0, "c", "third")].concat();
    let (decoded, _) = decode(&mut decoder, &block, NO_LIMIT);
    let at = |field: &Field| match field {
        Field::Header(_, value) => value.as_bytes().as_ptr() as usize,
        _ => panic!("{field:?}"),
    };
    let [first, second, third] = [0, 1, 2].map(|field| at(&decoded[field]));
    // Its name stands ahead of it.
    assert_eq!(third, first + "first".len() + "c".len());
    let (again, _) = decode(&mut decoder, &[0xbe], NO_LIMIT);
    assert_eq!(at(&again[0]), second);
    let block = first..first + block.len() * 2;
    assert!(!block.contains(&second));
}

#[derive(Clone, Debug)]
enum Op {
    Index(usize),
    Literal { pattern: u8, name: Result<usize, Vec<u8>>, value: Vec<u8>, coded: (bool, bool) },
    Raw(Vec<u8>),
}

impl Op {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Index(index) => integer::encode(*index, 7, 0x80, out),
            Self::Literal { pattern, name, value, coded } => {
                let bits = if *pattern == 0x40 { 6 } else { 4 };
                integer::encode(*name.as_ref().unwrap_or(&0), bits, *pattern, out);
                if let Err(name) = name {
                    out.extend(string(name, coded.0));
                }
                out.extend(string(value, coded.1));
            }
            Self::Raw(bytes) => out.extend(bytes),
        }
    }
}

/// A block's size updates and fields, which are mostly valid.
fn a_block() -> impl Strategy<Value = (Vec<usize>, Vec<Op>)> {
    let name = prop_oneof![
        "[a-c]{1,2}".prop_map(String::into_bytes),
        "(:status|:path|date|Date|)".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..80),
    ];
    let value = prop_oneof![
        "[0-9]{3}".prop_map(String::into_bytes),
        "[ -~]{0,30}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..80),
        (0..5000_usize).prop_map(|length| vec![b'x'; length]),
    ];
    let name = prop_oneof![(1..70_usize).prop_map(Ok), name.prop_map(Err)];
    let pattern = prop_oneof![2 => Just(0x40), 1 => Just(0x00), 1 => Just(0x10)];
    let literal = (pattern, name, value, any::<(bool, bool)>())
        .prop_map(|(pattern, name, value, coded)| Op::Literal { pattern, name, value, coded });
    let op = prop_oneof![
        10 => (1..66_usize).prop_map(Op::Index),
        20 => literal,
        1 => prop::collection::vec(any::<u8>(), 0..8).prop_map(Op::Raw),
    ];
    let size = prop_oneof![Just(0), Just(4096), 0..300_usize, 0..4100_usize];
    let sizes = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(size, 1..3)];
    (sizes, prop::collection::vec(op, 0..12))
}

/// A connection's blocks come out as the reference says, however far they are good.
fn compare(blocks: &[Vec<u8>], limit: usize) -> Result<(), TestCaseError> {
    let (mut decoder, mut reference) = (Decoder::new(), Reference::new(DEFAULT_TABLE_SIZE));
    for block in blocks {
        let (texts, is_good) = reference.decode(block);
        let (decoded, extent) = decode(&mut decoder, block, limit);
        let mut sum = 0;
        let admitted = texts.iter().take_while(|text| {
            sum += size(text);
            sum <= limit
        });
        let admitted: Vec<Field> = admitted.map(expected).collect();
        prop_assert_eq!(extent.is_ok(), is_good);
        if let Ok(extent) = extent {
            prop_assert_eq!(extent == Extent::TooLarge, texts.len() > admitted.len());
        }
        prop_assert_eq!(decoded, admitted);
        if !is_good {
            break;
        }
        prop_assert_eq!(decoder.table.size(), reference.size());
        prop_assert!(reference.size() <= DEFAULT_TABLE_SIZE);
    }
    Ok(())
}

fn a_limit() -> impl Strategy<Value = usize> {
    prop_oneof![Just(NO_LIMIT), 0..1000_usize, 0..20_000_usize]
}

proptest! {
    #[test]
    fn blocks_are_decoded_as_the_reference_does(
        blocks in prop::collection::vec(a_block(), 1..6),
        flip in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        limit in a_limit(),
    ) {
        let write = |(sizes, ops): &(Vec<usize>, Vec<Op>)| {
            let mut out = Vec::new();
            sizes.iter().for_each(|size| integer::encode(*size, 5, 0x20, &mut out));
            ops.iter().for_each(|op| op.write(&mut out));
            out
        };
        let mut blocks: Vec<Vec<u8>> = blocks.iter().map(write).collect();
        if let Some(flip) = flip && let Some(last) = blocks.last_mut().filter(|last| !last.is_empty()) {
            let bit = flip.index(last.len() * 8);
            last[bit / 8] ^= 1 << (bit % 8);
        }
        compare(&blocks, limit)?;
    }

    #[test]
    fn anything_is_decoded_as_the_reference_does(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..4),
        limit in a_limit(),
    ) {
        compare(&blocks, limit)?;
    }
}
