//! The static table (RFC 7541 Appendix A): fields that an index alone stands for.

use super::table::{Entry, Name};

/// What indexes up to [`ENTRIES`]' length stand for; the first is 1.
pub(super) static ENTRIES: [Entry; 61] = [
    Entry::fixed(Name::Pseudo, ":authority", ""),
    Entry::fixed(Name::Pseudo, ":method", "GET"),
    Entry::fixed(Name::Pseudo, ":method", "POST"),
    Entry::fixed(Name::Pseudo, ":path", "/"),
    Entry::fixed(Name::Pseudo, ":path", "/index.html"),
    Entry::fixed(Name::Pseudo, ":scheme", "http"),
    Entry::fixed(Name::Pseudo, ":scheme", "https"),
    Entry::fixed(Name::Status, ":status", "200"),
    Entry::fixed(Name::Status, ":status", "204"),
    Entry::fixed(Name::Status, ":status", "206"),
    Entry::fixed(Name::Status, ":status", "304"),
    Entry::fixed(Name::Status, ":status", "400"),
    Entry::fixed(Name::Status, ":status", "404"),
    Entry::fixed(Name::Status, ":status", "500"),
    header("accept-charset", ""),
    header("accept-encoding", "gzip, deflate"),
    header("accept-language", ""),
    header("accept-ranges", ""),
    header("accept", ""),
    header("access-control-allow-origin", ""),
    header("age", ""),
    header("allow", ""),
    header("authorization", ""),
    header("cache-control", ""),
    header("content-disposition", ""),
    header("content-encoding", ""),
    header("content-language", ""),
    header("content-length", ""),
    header("content-location", ""),
    header("content-range", ""),
    header("content-type", ""),
    header("cookie", ""),
    header("date", ""),
    header("etag", ""),
    header("expect", ""),
    header("expires", ""),
    header("from", ""),
    header("host", ""),
    header("if-match", ""),
    header("if-modified-since", ""),
    header("if-none-match", ""),
    header("if-range", ""),
    header("if-unmodified-since", ""),
    header("last-modified", ""),
    header("link", ""),
    header("location", ""),
    header("max-forwards", ""),
    header("proxy-authenticate", ""),
    header("proxy-authorization", ""),
    header("range", ""),
    header("referer", ""),
    header("refresh", ""),
    header("retry-after", ""),
    header("server", ""),
    header("set-cookie", ""),
    header("strict-transport-security", ""),
    header("transfer-encoding", ""),
    header("user-agent", ""),
    header("vary", ""),
    header("via", ""),
    header("www-authenticate", ""),
];

const fn header(name: &'static str, value: &'static str) -> Entry {
    Entry::fixed(Name::Header(http::HeaderName::from_static(name)), name, value)
}

/// Indexes that the encoder knows by name.
pub(super) const AUTHORITY: u8 = 1;
pub(super) const METHOD_GET: u8 = 2;
pub(super) const METHOD_POST: u8 = 3;
pub(super) const PATH_ROOT: u8 = 4;
pub(super) const SCHEME_HTTP: u8 = 6;
pub(super) const SCHEME_HTTPS: u8 = 7;
pub(super) const ACCEPT_ENCODING: u8 = 16;
pub(super) const ACCEPT_LANGUAGE: u8 = 17;
pub(super) const ACCEPT: u8 = 19;
pub(super) const AUTHORIZATION: u8 = 23;
pub(super) const CACHE_CONTROL: u8 = 24;
pub(super) const CONTENT_TYPE: u8 = 31;
pub(super) const COOKIE: u8 = 32;
pub(super) const PROXY_AUTHORIZATION: u8 = 49;
pub(super) const USER_AGENT: u8 = 58;
pub(super) const VIA: u8 = 60;

/// The index of a header's name; 0 where it has none.
#[inline]
pub(super) fn index_of(name: &[u8]) -> u8 {
    // Matching bytes compiles to a tree over length and bytes; strings would be compared in turn.
    match name {
        b"accept-charset" => 15,
        b"accept-encoding" => ACCEPT_ENCODING,
        b"accept-language" => ACCEPT_LANGUAGE,
        b"accept-ranges" => 18,
        b"accept" => ACCEPT,
        b"access-control-allow-origin" => 20,
        b"age" => 21,
        b"allow" => 22,
        b"authorization" => AUTHORIZATION,
        b"cache-control" => CACHE_CONTROL,
        b"content-disposition" => 25,
        b"content-encoding" => 26,
        b"content-language" => 27,
        b"content-length" => 28,
        b"content-location" => 29,
        b"content-range" => 30,
        b"content-type" => CONTENT_TYPE,
        b"cookie" => COOKIE,
        b"date" => 33,
        b"etag" => 34,
        b"expect" => 35,
        b"expires" => 36,
        b"from" => 37,
        b"host" => 38,
        b"if-match" => 39,
        b"if-modified-since" => 40,
        b"if-none-match" => 41,
        b"if-range" => 42,
        b"if-unmodified-since" => 43,
        b"last-modified" => 44,
        b"link" => 45,
        b"location" => 46,
        b"max-forwards" => 47,
        b"proxy-authenticate" => 48,
        b"proxy-authorization" => PROXY_AUTHORIZATION,
        b"range" => 50,
        b"referer" => 51,
        b"refresh" => 52,
        b"retry-after" => 53,
        b"server" => 54,
        b"set-cookie" => 55,
        b"strict-transport-security" => 56,
        b"transfer-encoding" => 57,
        b"user-agent" => USER_AGENT,
        b"vary" => 59,
        b"via" => VIA,
        b"www-authenticate" => 61,
        _ => 0,
    }
}
