//! [`Name`]: the names that this program looks for.

/// A field's name, as far as anything depends on it. Told once, when a field comes; from then on
/// fields are found by comparing numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Name {
    /// None of those below.
    Other,
    Authorization,
    Connection,
    ContentLength,
    ContentLocation,
    Cookie,
    Date,
    Expect,
    Host,
    Http2Settings,
    KeepAlive,
    Location,
    Origin,
    /// `Proxy-` and anything but what is below.
    Proxy,
    ProxyAuthorization,
    ProxyStatus,
    SecFetchSite,
    Te,
    Traceparent,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Via,
}

impl Name {
    /// Reads a name, in any case. `text` holds no control characters.
    pub fn of(text: &[u8]) -> Self {
        let Some(first) = text.first() else { return Self::Other };
        match (text.len(), first | 0x20) {
            (2, b't') => Self::Te.if_is(text),
            (3, b'v') => Self::Via.if_is(text),
            (4, b'd') => Self::Date.if_is(text),
            (4, b'h') => Self::Host.if_is(text),
            (6, b'c') => Self::Cookie.if_is(text),
            (6, b'e') => Self::Expect.if_is(text),
            (6, b'o') => Self::Origin.if_is(text),
            (7, b't') => Self::Trailer.if_is(text),
            (7, b'u') => Self::Upgrade.if_is(text),
            (8, b'l') => Self::Location.if_is(text),
            (10, b'c') => Self::Connection.if_is(text),
            (10, b'k') => Self::KeepAlive.if_is(text),
            (10, b'u') => Self::UserAgent.if_is(text),
            (11, b't') => Self::Traceparent.if_is(text),
            (13, b'a') => Self::Authorization.if_is(text),
            (14, b'c') => Self::ContentLength.if_is(text),
            (14, b'h') => Self::Http2Settings.if_is(text),
            (14, b's') => Self::SecFetchSite.if_is(text),
            (16, b'c') => Self::ContentLocation.if_is(text),
            (17, b't') => Self::TransferEncoding.if_is(text),
            (6.., b'p') => Self::of_proxy(text),
            _ => Self::Other,
        }
    }

    /// This one, where `text` is its name, in which there are letters, digits and hyphens alone: no
    /// other character differs from one of them by the case's bit alone, control characters aside.
    #[inline(always)]
    fn if_is(self, text: &[u8]) -> Self {
        let known = self.text().as_bytes();
        if text.len() != known.len() {
            return Self::Other;
        }
        let differing =
            text.iter().zip(known).fold(0, |differing, (byte, known)| differing | ((byte | 0x20) ^ known));
        if differing == 0 { self } else { Self::Other }
    }

    #[cold]
    fn of_proxy(text: &[u8]) -> Self {
        match text.split_at_checked(6) {
            Some((start, rest)) if start.eq_ignore_ascii_case(b"proxy-") => {
                if rest.eq_ignore_ascii_case(b"authorization") {
                    Self::ProxyAuthorization
                } else if rest.eq_ignore_ascii_case(b"status") {
                    Self::ProxyStatus
                } else {
                    Self::Proxy
                }
            }
            _ => Self::Other,
        }
    }

    /// The one name that it stands for, in lower case; empty where it is not [one](Self::is_one).
    #[inline]
    pub fn text(self) -> &'static str {
        // In the order of the variants.
        const TEXTS: [&str; Name::Via as usize + 1] = [
            "",
            "authorization",
            "connection",
            "content-length",
            "content-location",
            "cookie",
            "date",
            "expect",
            "host",
            "http2-settings",
            "keep-alive",
            "location",
            "origin",
            "",
            "proxy-authorization",
            "proxy-status",
            "sec-fetch-site",
            "te",
            "traceparent",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "user-agent",
            "via",
        ];
        TEXTS[self as usize]
    }

    /// Whether it stands for one name alone.
    pub fn is_one(self) -> bool {
        !matches!(self, Self::Other | Self::Proxy)
    }

    /// A set of this one, for [`Fields::may_have_any`](super::Fields::may_have_any).
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_by_nothing_less_than_all_of_them() {
        for (text, name) in [
            ("te", Name::Te),
            ("via", Name::Via),
            ("date", Name::Date),
            ("host", Name::Host),
            ("cookie", Name::Cookie),
            ("expect", Name::Expect),
            ("origin", Name::Origin),
            ("trailer", Name::Trailer),
            ("upgrade", Name::Upgrade),
            ("location", Name::Location),
            ("connection", Name::Connection),
            ("keep-alive", Name::KeepAlive),
            ("user-agent", Name::UserAgent),
            ("traceparent", Name::Traceparent),
            ("authorization", Name::Authorization),
            ("content-length", Name::ContentLength),
            ("http2-settings", Name::Http2Settings),
            ("sec-fetch-site", Name::SecFetchSite),
            ("content-location", Name::ContentLocation),
            ("transfer-encoding", Name::TransferEncoding),
            ("proxy-authorization", Name::ProxyAuthorization),
            ("proxy-status", Name::ProxyStatus),
            ("proxy-connection", Name::Proxy),
            ("proxy-", Name::Proxy),
        ] {
            assert_eq!(Name::of(text.as_bytes()), name, "{text}");
            assert_eq!(name.text(), if name.is_one() { text } else { "" });
            assert_eq!(Name::of(text.to_ascii_uppercase().as_bytes()), name, "{text}");
            for at in 0..text.len() {
                let mut other = text.as_bytes().to_vec();
                other[at] = b'~';
                let is_proxy = at >= 6 && text.starts_with("proxy-");
                let expected = if is_proxy { Name::Proxy } else { Name::Other };
                assert_eq!(Name::of(&other), expected, "{text} at {at}");
            }
            assert_ne!(Name::of(format!("{text}x").as_bytes()), name.min_proxy(), "{text}");
        }
        for text in ["", "t", "x", "proxy", "hos", "hosts"] {
            assert_eq!(Name::of(text.as_bytes()), Name::Other, "{text}");
        }
    }

    impl Name {
        /// `Proxy` stands for many names, so a longer one is the same.
        fn min_proxy(self) -> Self {
            if self == Self::Proxy { Self::Other } else { self }
        }
    }
}
