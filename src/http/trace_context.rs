//! The trace that a request belongs to, for log lines: `traceparent` of W3C Trace Context.
//!
//! The field is only read. It goes on to the upstream as it came.

use http::HeaderMap;

/// A well-formed `traceparent` (W3C Trace Context §3.2), borrowed from its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent<'a> {
    /// 32 hexadecimal digits in lower case, not all zero.
    pub trace_id: &'a str,
    /// 16 hexadecimal digits in lower case, not all zero.
    pub parent_id: &'a str,
    pub sampled: bool,
}

impl<'a> TraceParent<'a> {
    /// `None` where the field is missing, malformed or repeated: then there is no trace.
    pub fn of(headers: &'a HeaderMap) -> Option<Self> {
        Self::parse(super::single(headers, "traceparent").ok()??.to_str().ok()?)
    }

    /// Parses one value. Versions after `00` may append fields, which are not looked at.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut fields = text.splitn(5, '-');
        let version = hex(fields.next()?, 2)?;
        let trace_id = hex(fields.next()?, 32).filter(is_not_zero)?;
        let parent_id = hex(fields.next()?, 16).filter(is_not_zero)?;
        let flags = hex(fields.next()?, 2)?;
        let more = fields.next().is_some();
        if version == "ff" || (version == "00" && more) {
            return None;
        }
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace_id, parent_id, sampled })
    }
}

fn hex(field: &str, length: usize) -> Option<&str> {
    let digits = field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (field.len() == length && digits).then_some(field)
}

fn is_not_zero(field: &&str) -> bool {
    field.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    #[test]
    fn well_formed_ones() {
        for (text, sampled) in [
            (format!("00-{TRACE}-{PARENT}-01"), true),
            (format!("00-{TRACE}-{PARENT}-00"), false),
            (format!("00-{TRACE}-{PARENT}-03"), true),
            (format!("cc-{TRACE}-{PARENT}-01-what-the-future-holds"), true),
        ] {
            let parsed = TraceParent::parse(&text);
            assert_eq!(parsed, Some(TraceParent { trace_id: TRACE, parent_id: PARENT, sampled }), "{text}");
        }
    }

    #[test]
    fn malformed_ones() {
        for text in [
            String::new(),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-{PARENT}-01-x"),
            format!("00-{TRACE}-{PARENT}-1"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("00-{}g-{PARENT}-01", &TRACE[1..]),
            format!("cc-{TRACE}-{PARENT}-01x"),
            format!(" 00-{TRACE}-{PARENT}-01"),
        ] {
            assert_eq!(TraceParent::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_repeated_field_is_no_trace() {
        let value: http::HeaderValue = format!("00-{TRACE}-{PARENT}-01").parse().unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(TraceParent::of(&headers), None);
        headers.append("traceparent", value.clone());
        assert!(TraceParent::of(&headers).is_some());
        headers.append("traceparent", value);
        assert_eq!(TraceParent::of(&headers), None);
    }
}
