//! `Cookie` lines, which HTTP/2 lets a client split and HTTP/1.1 does not.

use http::header::{COOKIE, HeaderMap, HeaderValue};

/// Joins several `Cookie` lines into one with `; ` (RFC 9113 §8.2.3). One line, or none, stays
/// as it is.
pub fn join(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(COOKIE).iter();
    if lines.next().is_none() || lines.next().is_none() {
        return;
    }
    let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let mut joined = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
        .expect("header values joined with printable characters are a header value");
    joined.set_sensitive(headers.get_all(COOKIE).iter().any(HeaderValue::is_sensitive));
    headers.insert(COOKIE, joined);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, line.parse().unwrap())).collect()
    }

    #[test]
    fn several_lines_become_one_in_order() {
        for (lines, expected) in
            [(&[][..], &[][..]), (&["a=1"], &["a=1"]), (&["a=1", "b=2; c=3", "d=4"], &["a=1; b=2; c=3; d=4"])]
        {
            let mut headers = cookies(lines);
            join(&mut headers);
            assert_eq!(headers, cookies(expected));
        }
    }

    #[test]
    fn what_was_sensitive_stays_so() {
        let mut headers = cookies(&["a=1", "b=2"]);
        headers.iter_mut().for_each(|(_, value)| value.set_sensitive(true));
        join(&mut headers);
        assert!(headers[COOKIE].is_sensitive());
    }
}
