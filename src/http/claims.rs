//! Request headers that feed claims of the grant.
//!
//! They decide in whose name a token is asked for, so there is nothing to choose from: one line,
//! one value. Read them before hop-by-hop fields are stripped, or a `Connection` line could name
//! them away.

use http::HeaderName;

use crate::message::{Fields, text};

/// Why a header gives no value for a claim. None of these shows the value: it may be a national
/// identity number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimHeaderError {
    #[error("the header is missing")]
    Missing,
    #[error("the header is empty")]
    Empty,
    #[error("the header has more than one value")]
    Repeated,
    #[error("the header holds characters beyond printable ASCII")]
    NotText,
}

/// The one value of `name`, without white space around it.
///
/// A comma counts as a repetition: any recipient may join two lines with one (RFC 9110 §5.3), and
/// no organisation or identity number holds one.
///
/// # Errors
///
/// Where the header is missing, empty, repeated, or not printable ASCII.
pub fn single<'a>(fields: &'a Fields, name: &'a HeaderName) -> Result<&'a str, ClaimHeaderError> {
    let line = fields.single_named(name).map_err(|_| ClaimHeaderError::Repeated)?;
    let text = text(line.ok_or(ClaimHeaderError::Missing)?).ok_or(ClaimHeaderError::NotText)?.trim();
    if text.is_empty() {
        return Err(ClaimHeaderError::Empty);
    }
    if text.contains(',') {
        return Err(ClaimHeaderError::Repeated);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_with_one_value() {
        let name = HeaderName::from_static("x-consumer-org");
        for (lines, expected) in [
            (&["910753614"][..], Ok("910753614")),
            (&["\t910753614 "], Ok("910753614")),
            (&[], Err(ClaimHeaderError::Missing)),
            (&[""], Err(ClaimHeaderError::Empty)),
            (&[" \t"], Err(ClaimHeaderError::Empty)),
            (&["1", "2"], Err(ClaimHeaderError::Repeated)),
            (&["1", "1"], Err(ClaimHeaderError::Repeated)),
            (&["", "1"], Err(ClaimHeaderError::Repeated)),
            (&["1,2"], Err(ClaimHeaderError::Repeated)),
            (&["1\u{e6}"], Err(ClaimHeaderError::NotText)),
        ] {
            let mut headers = Fields::new();
            for line in lines {
                headers.append(name.clone(), http::HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
            assert_eq!(single(&headers, &name), expected, "{lines:?}");
        }
    }
}
