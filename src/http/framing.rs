//! Framing as far as a parsed head shows it (RFC 9112 §6.1, §6.3).
//!
//! A second lock: HTTP/1 heads are judged where they are read. This one holds for heads of any
//! origin, HTTP/2 included. What fails here is answered with 400 and the connection closed, for
//! nobody knows where the next message begins.

use http::Version;

use crate::message::{Fields, Name, decimal};

/// Why the length of a message cannot be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    #[error("Content-Length and Transfer-Encoding stand together")]
    Both,
    #[error("Content-Length is not one decimal number")]
    ContentLength,
    #[error("Transfer-Encoding is not `chunked` and nothing else")]
    TransferEncoding,
    #[error("Transfer-Encoding belongs to HTTP/1.1 alone")]
    Version,
}

/// The length of the body by the head alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Neither field: no body in an HTTP/1 request; to the end of the stream in HTTP/2.
    Unstated,
    Chunked,
    /// In bytes.
    Length(u64),
}

/// Reads how a request's body is framed, strictly: one line of one field.
///
/// # Errors
///
/// Everything that two readers could understand differently, repeated lines that agree included.
#[inline(always)]
pub fn check(version: Version, fields: &Fields) -> Result<Framing, FramingError> {
    let named = Name::ContentLength.bit() | Name::TransferEncoding.bit();
    if fields.may_have_any(named) { stated(version, fields) } else { Ok(Framing::Unstated) }
}

#[inline(never)]
fn stated(version: Version, fields: &Fields) -> Result<Framing, FramingError> {
    let length = fields.single(Name::ContentLength).map_err(|_| FramingError::ContentLength)?;
    let coding = fields.single(Name::TransferEncoding).map_err(|_| FramingError::TransferEncoding)?;
    match (length, coding) {
        (None, None) => Ok(Framing::Unstated),
        (Some(_), Some(_)) => Err(FramingError::Both),
        (Some(length), None) => decimal(length).map(Framing::Length).ok_or(FramingError::ContentLength),
        (None, Some(_)) if version != Version::HTTP_11 => Err(FramingError::Version),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (None, Some(_)) => Err(FramingError::TransferEncoding),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_LENGTH;

    use super::*;

    fn checked(version: Version, lines: &[(&str, &str)]) -> Result<Framing, FramingError> {
        let mut headers = Fields::new();
        for (name, value) in lines {
            headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        check(version, &headers)
    }

    #[test]
    fn one_length_or_one_chunked() {
        assert_eq!(checked(Version::HTTP_11, &[]), Ok(Framing::Unstated));
        assert_eq!(checked(Version::HTTP_2, &[("content-length", "0")]), Ok(Framing::Length(0)));
        assert_eq!(checked(Version::HTTP_10, &[("content-length", "0042")]), Ok(Framing::Length(42)));
        assert_eq!(checked(Version::HTTP_11, &[("transfer-encoding", "Chunked")]), Ok(Framing::Chunked));
    }

    #[test]
    fn odd_lengths() {
        for value in ["", "+5", "-1", "0x5", "1,1", "1, 1", "5 ", "5\t5", "1e3", "١", "18446744073709551616"]
        {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            let headers = Fields::from_iter([(CONTENT_LENGTH, value.clone())]);
            assert_eq!(check(Version::HTTP_11, &headers), Err(FramingError::ContentLength), "{value:?}");
        }
        let twice = [("content-length", "5"), ("content-length", "5")];
        assert_eq!(checked(Version::HTTP_11, &twice), Err(FramingError::ContentLength));
    }

    #[test]
    fn odd_codings() {
        for value in [
            "",
            "gzip",
            "gzip, chunked",
            "chunked, gzip",
            "chunked, chunked",
            "chunked;q=1",
            "xchunked",
            "chunked,",
        ] {
            let lines = [("transfer-encoding", value)];
            assert_eq!(checked(Version::HTTP_11, &lines), Err(FramingError::TransferEncoding), "{value}");
        }
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(checked(Version::HTTP_11, &twice), Err(FramingError::TransferEncoding));
        let chunked = [("transfer-encoding", "chunked")];
        assert_eq!(checked(Version::HTTP_10, &chunked), Err(FramingError::Version));
        assert_eq!(checked(Version::HTTP_2, &chunked), Err(FramingError::Version));
    }

    #[test]
    fn both_together() {
        let both = [("content-length", "5"), ("transfer-encoding", "chunked")];
        assert_eq!(checked(Version::HTTP_11, &both), Err(FramingError::Both));
    }
}
