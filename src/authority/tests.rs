use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> Result<(String, Option<u16>), AuthorityError> {
    let authority: Authority = text.parse()?;
    Ok((authority.host().to_string(), authority.port()))
}

#[test]
fn hosts_with_and_without_a_port() {
    for (text, host, port) in [
        ("localhost", "localhost", None),
        ("LOCALHOST:8080", "localhost", Some(8080)),
        ("api.Example.NO", "api.example.no", None),
        ("api.example.no.:443", "api.example.no.", Some(443)),
        ("my_host-1", "my_host-1", None),
        ("127.0.0.1:1", "127.0.0.1", Some(1)),
        ("[::1]", "[::1]", None),
        ("[0:0:0:0:0:0:0:1]:65535", "[::1]", Some(65535)),
        ("[::FFFF:127.0.0.1]", "[::ffff:127.0.0.1]", None),
        ("127a0b0c1", "127a0b0c1", None),
        ("0x7f.example", "0x7f.example", None),
        ("localhost:0080", "localhost", Some(80)),
    ] {
        assert_eq!(parsed(text), Ok((host.to_owned(), port)), "{text}");
    }
}

#[test]
fn what_is_no_authority() {
    for (text, error) in [
        ("", AuthorityError::Empty),
        (":80", AuthorityError::Empty),
        ("user@localhost", AuthorityError::Userinfo),
        ("localhost:8080@evil", AuthorityError::Userinfo),
        ("@", AuthorityError::Userinfo),
        ("localhost:", AuthorityError::Port),
        ("localhost:0", AuthorityError::Port),
        ("localhost:65536", AuthorityError::Port),
        ("localhost:+80", AuthorityError::Port),
        ("localhost:80:90", AuthorityError::Port),
        ("localhost:80 ", AuthorityError::Port),
        ("localhost:8o", AuthorityError::Port),
        ("::1", AuthorityError::Port),
        ("local host", AuthorityError::Character),
        ("localhost/x", AuthorityError::Character),
        ("localhost,evil.com", AuthorityError::Character),
        ("localhost#", AuthorityError::Character),
        ("localhost?x", AuthorityError::Character),
        ("localhost\\", AuthorityError::Character),
        ("localhost\0", AuthorityError::Character),
        ("localhost\r\nx", AuthorityError::Character),
        ("%6cocalhost", AuthorityError::Character),
        ("bl\u{e5}.no", AuthorityError::Character),
        ("a]", AuthorityError::Character),
        ("[::1", AuthorityError::Port),
        ("[::1]x", AuthorityError::Ipv6),
        ("[::1]x:80", AuthorityError::Ipv6),
        ("[::1]]", AuthorityError::Ipv6),
        ("[[::1]]", AuthorityError::Ipv6),
        ("[::1%eth0]", AuthorityError::Ipv6),
        ("[::1%25eth0]", AuthorityError::Ipv6),
        ("[127.0.0.1]", AuthorityError::Ipv6),
        ("[localhost]", AuthorityError::Ipv6),
        ("[]", AuthorityError::Ipv6),
        ("[v1.x]", AuthorityError::Ipv6),
        ("127.1", AuthorityError::Ipv4),
        ("127.0.0.1.", AuthorityError::Ipv4),
        ("127.0.0.01", AuthorityError::Ipv4),
        ("127.0.0.256", AuthorityError::Ipv4),
        ("127.0.0.1.2", AuthorityError::Ipv4),
        ("0x7f.1", AuthorityError::Ipv4),
        ("0x7f000001", AuthorityError::Ipv4),
        ("127.0.0.0x1", AuthorityError::Ipv4),
        ("127.0.0.0x", AuthorityError::Ipv4),
        ("2130706433", AuthorityError::Ipv4),
        ("evil.com.1", AuthorityError::Ipv4),
        (".", AuthorityError::Length),
        ("..", AuthorityError::Length),
        (".localhost", AuthorityError::Length),
        ("a..localhost", AuthorityError::Length),
        ("localhost..", AuthorityError::Length),
    ] {
        assert_eq!(parsed(text), Err(error), "{text:?}");
    }
    assert_eq!(parsed(&"a".repeat(64)), Err(AuthorityError::Length));
    assert_eq!(parsed(&["a"; 128].join(".")), Err(AuthorityError::Length));
    assert!(parsed(&["a"; 127].join(".")).is_ok());
}

#[test]
fn loopback_by_spelling_alone() {
    for name in
        ["localhost", "LocalHost", "a.localhost", "a.b.LOCALHOST", "127.0.0.1", "127.255.0.9", "[::1]"]
    {
        assert!(name.parse::<Host>().unwrap().is_loopback(), "{name}");
    }
    for name in [
        "localhost.",
        "notlocalhost",
        "localhost.evil.com",
        "127.0.0.1.evil.com",
        "127a0b0c1",
        "128.0.0.1",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::]",
        "[::2]",
        "[fe80::1]",
    ] {
        assert!(!name.parse::<Host>().unwrap().is_loopback(), "{name}");
    }
}

#[test]
fn a_port_left_out_is_the_default() {
    let authority = |text: &str| text.parse::<Authority>().unwrap();
    assert!(authority("a").agrees_with(&authority("A:443"), 443));
    assert!(authority("a:80").agrees_with(&authority("a"), 80));
    assert!(!authority("a").agrees_with(&authority("a:80"), 443));
    assert!(!authority("a").agrees_with(&authority("a."), 443));
    assert_eq!(authority("a:443").without_port(443), authority("a"));
    assert_eq!(authority("a:444").without_port(443), authority("a:444"));
    assert_eq!(authority("[::1]:8").host().to_unbracketed(), "::1");
}

#[test]
fn socket_addresses_are_authorities() {
    let of = |text: &str| Authority::from(text.parse::<SocketAddr>().unwrap()).to_string();
    assert_eq!(of("127.0.0.1:80"), "127.0.0.1:80");
    assert_eq!(of("[::1]:80"), "[::1]:80");
}

proptest! {
    #[test]
    fn what_is_written_parses_to_the_same(text in "[a-z0-9.:@\\[\\]x-]{0,20}|\\[[0-9a-f:]{2,12}\\](:[0-9]{1,5})?") {
        if let Ok(authority) = text.parse::<Authority>() {
            prop_assert_eq!(authority.to_string().parse(), Ok(authority.clone()));
            prop_assert!(!authority.to_string().contains('@'));
        }
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text in any::<String>()) {
        let _ = text.parse::<Authority>();
    }
}

proptest! {
    #[test]
    fn the_quick_reading_says_what_the_whole_one_says(
        text in "(([a-zA-Z0-9_-]{0,5}|[0-9]{1,3}|0x[0-9a-f]{1,2})[.]{0,2}){1,5}(:[0-9]{0,6})?[@: ]?"
    ) {
        if let Some(quick) = plain(&text) {
            prop_assert_eq!(careful(&text), Ok(quick));
        }
    }
}
