//! `Cookie` lines, which HTTP/2 lets a client split and HTTP/1.1 does not.

use http::header::HeaderValue;

use crate::message::{Fields, Name};

/// Joins several `Cookie` lines into one with `; ` (RFC 9113 §8.2.3). One line, or none, stays
/// as it is.
#[inline(never)]
pub fn join(fields: &mut Fields) {
    let Some(joined) = joined(fields) else { return };
    let mut joined = HeaderValue::from_bytes(&joined)
        .expect("field values joined with printable characters are a field value");
    let of_cookies = fields.iter().filter(|field| field.known == Name::Cookie);
    joined.set_sensitive(of_cookies.filter_map(|field| field.own).any(HeaderValue::is_sensitive));
    fields.insert_known(Name::Cookie, joined);
}

/// Several `Cookie` lines as one; `None` where there is one, or none.
#[inline]
pub fn joined(fields: &Fields) -> Option<Vec<u8>> {
    if !fields.may_have_any(Name::Cookie.bit()) {
        return None;
    }
    join_lines(fields)
}

#[inline(never)]
fn join_lines(fields: &Fields) -> Option<Vec<u8>> {
    fields.all(Name::Cookie).nth(1)?;
    let lines: Vec<&[u8]> = fields.all(Name::Cookie).collect();
    Some(lines.join(&b"; "[..]))
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    fn cookies(lines: &[&str]) -> Fields {
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
        let sensitive = |value| {
            let mut value = HeaderValue::from_static(value);
            value.set_sensitive(true);
            (COOKIE, value)
        };
        let mut fields: Fields = ["a=1", "b=2"].into_iter().map(sensitive).collect();
        join(&mut fields);
        assert!(fields.iter().all(|field| field.own.is_some_and(HeaderValue::is_sensitive)));
    }
}
